//! What the tenant tells of changes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Bed;
use crate::bell::Deliver;
use crate::celum::{CelumOptions, Profile};
use crate::fault::Faults;

type Events = Arc<Mutex<Vec<Value>>>;

fn listen(bed: &Bed) -> Events {
    let events = Events::default();
    let kept = Arc::clone(&events);
    let deliver: Deliver = Arc::new(move |request| {
        let event = serde_json::from_slice(request.body()).unwrap();
        kept.lock().unwrap().push(event);
        async { Ok(Response::new(Bytes::new())) }.boxed()
    });
    let url = "http://hooks.invalid/celum".parse().unwrap();
    bed.celum.register_events(&url, deliver).unwrap();
    events
}

/// What was told since, by kind.
async fn told(events: &Events) -> Vec<String> {
    sleep(Duration::from_secs(1)).await;
    let events = std::mem::take(&mut *events.lock().unwrap());
    let kinds = events.iter().map(|event| event["type"].as_str().unwrap());
    kinds.map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_change_is_an_event() {
    let bed = Bed::new();
    let events = listen(&bed);
    let id = bed.asset("a.txt", b"1").await;
    assert_eq!(told(&events).await, ["ASSET_CREATED"]);
    let celum = &bed.celum;
    celum.rename_asset(id, "other").unwrap();
    assert_eq!(told(&events).await, ["ASSET_UPDATED"]);
    celum.set_field(id, "approval", &json!(1)).unwrap();
    assert_eq!(told(&events).await, ["ASSET_UPDATED"]);
    assert_eq!(celum.add_version(id, "a.txt", "22".into()).unwrap(), 2);
    assert_eq!(
        told(&events).await,
        ["ASSET_VERSION_ADDED", "ASSET_VERSION_ACTIVATED"]
    );
    celum.activate_version(id, 1).unwrap();
    assert_eq!(told(&events).await, ["ASSET_VERSION_ACTIVATED"]);
    let inbox = "Brand Library/Inbox";
    celum
        .move_asset(id, inbox, "Brand Library/Inbox/Done")
        .unwrap();
    assert_eq!(told(&events).await, ["ASSET_ADDED", "ASSET_REMOVED"]);
    celum.lock_asset(id, "being retouched").unwrap();
    celum.unlock_asset(id).unwrap();
    assert_eq!(told(&events).await, ["ASSET_UPDATED", "ASSET_UPDATED"]);
    bed.api("DELETE", &format!("/assets/{id}/versions/2"), None)
        .await
        .ok();
    assert_eq!(told(&events).await, ["ASSET_VERSION_DELETED"]);
    celum.delete_asset(id).unwrap();
    assert_eq!(told(&events).await, ["ASSET_DELETED"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_carries_the_asset_and_what_changed_of_it() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"1").await;
    let events = listen(&bed);
    bed.celum.set_field(id, "approval", &json!(1)).unwrap();
    sleep(Duration::from_secs(1)).await;
    let event = events.lock().unwrap()[0].clone();
    assert_eq!(event["entity"]["id"], id);
    assert_eq!(event["entityBeforeUpdate"]["id"], id);
    assert_eq!(
        event["updatedInformationFields"],
        json!([bed.field("approval")])
    );
    assert_eq!(event["updatedFields"], json!([]));
    assert!(event["date"].is_string() && event["userId"].is_u64());
}

#[tokio::test(start_paused = true)]
async fn events_are_lost_doubled_and_late_as_the_profile_has_it() {
    let faults =
        "route=event,nth=1,do=lost;route=event,nth=2,do=late:2000;route=event,nth=4,do=twice";
    let bed = Bed::open(CelumOptions {
        faults: Faults::new(faults.parse().unwrap(), 1),
        profile: Profile::default(),
        ..CelumOptions::default()
    });
    let ids = [
        bed.asset("a.txt", b"1").await,
        bed.asset("b.txt", b"1").await,
    ];
    let events = listen(&bed);
    for (id, name) in [(0, "1"), (0, "2"), (0, "3"), (1, "4")] {
        bed.celum.rename_asset(ids[id], name).unwrap();
    }
    sleep(Duration::from_secs(5)).await;
    let events = events.lock().unwrap();
    let names: Vec<&str> = events
        .iter()
        .map(|event| event["entity"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["3", "4", "4", "2"]);
}
