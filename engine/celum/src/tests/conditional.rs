//! Versions that replace one version and no other, on the emulated tenant: who holds the lock when, and what is left.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::{Value as Json, json};
use windlass_core::{
    AssetId, Availability, Destination, Draft, DraftPart, Error, Expected, Kind, Library, Revision,
    Sink, Usable, Value,
};
use windlass_sandbox::bell::Deliver;
use windlass_sandbox::celum::{Availability as Seeded, Profile};

use super::emulated::{Bed, draft, number, text};
use super::{digests, mark, profile};
use crate::events::Event;

fn onto(id: &AssetId, replaces: &str) -> Destination {
    Destination::Version {
        asset: id.clone(),
        draft: draft("one.txt"),
        replaces: Some(Revision::new(replaces)),
    }
}

fn ours(correlation: &str) -> Json {
    let comment = format!("windlass is adding a version: {correlation}");
    json!({"lock": {"op": "SET", "comment": comment}})
}

async fn revision(bed: &Bed, id: &AssetId) -> String {
    let held = bed.holding(id).await;
    assert_eq!(held.locked, None);
    held.asset.revision.as_str().to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_asset_is_locked_while_a_version_replaces_another_and_free_afterwards() {
    let bed = Bed::new().await;
    let id = bed.put("one.txt", b"1").await;
    bed.upload(&onto(&id, "1"), b"2nd").await.unwrap();
    assert_eq!(revision(&bed, &id).await, "2");
    let locks = bed.celum().lock_comments(number(&id));
    assert_eq!(locks, [format!("windlass is adding a version: {}", mark())]);
    // One that replaces whatever is there locks nothing.
    let any = Destination::Version {
        asset: id.clone(),
        draft: draft("one.txt"),
        replaces: None,
    };
    bed.upload(&any, b"third").await.unwrap();
    assert_eq!(bed.celum().lock_comments(number(&id)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_refused_leaves_no_lock() {
    let bed = Bed::new().await;
    let id = bed.put("one.txt", b"1").await;
    let mut refused = draft("one.txt");
    refused.fields[0].value = Value::Number(3);
    let destination = Destination::Version {
        asset: id.clone(),
        draft: refused,
        replaces: Some(Revision::new("1")),
    };
    let error = bed.upload(&destination, b"2nd").await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert_eq!(revision(&bed, &id).await, "1");
    assert_eq!(bed.celum().lock_comments(number(&id)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_locked_is_a_conflict_that_says_why_and_stays_locked() {
    for status in [403, 409, 423] {
        let mut tenant = Profile::default();
        tenant.lock.others_status = status;
        let bed = Bed::with(tenant, profile()).await;
        let id = bed.put("one.txt", b"1").await;
        let begun = bed.begin(&onto(&id, "1"), b"2nd").await;
        bed.celum().lock_asset(number(&id), "retouching").unwrap();
        let says = |error: Error| {
            assert_eq!(error.kind(), Kind::Conflict, "{error:?}");
            assert!(error.message().contains("retouching"), "{error:?}");
        };
        // Found late, found early, and where only metadata would change.
        says(begun.commit(&digests(b"2nd")).await.unwrap_err());
        says(bed.upload(&onto(&id, "1"), b"2nd").await.unwrap_err());
        let renamed = Draft {
            name: "two".to_owned(),
            ..draft("one.txt")
        };
        says(bed.endpoint.set_metadata(&id, &renamed).await.unwrap_err());
        let held = bed.holding(&id).await;
        assert_eq!(held.locked.as_deref(), Some("retouching"));
        assert_eq!(held.asset.revision.as_str(), "1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_of_our_user_that_is_not_of_an_upload_is_somebody_elses() {
    let bed = Bed::new().await;
    let id = bed.put("one.txt", b"1").await;
    let body = json!({"lock": {"op": "SET", "comment": "by hand"}});
    bed.patch(&id, &body).await;
    let error = bed.upload(&onto(&id, "1"), b"2nd").await.unwrap_err();
    assert!(error.message().contains("by hand"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_a_crash_left_is_taken_over_and_lifted() {
    let bed = Bed::new().await;
    let id = bed.put("one.txt", b"1").await;
    bed.patch(&id, &ours("an upload of yesterday")).await;
    bed.upload(&onto(&id, "1"), b"2nd").await.unwrap();
    assert_eq!(revision(&bed, &id).await, "2");
    // Metadata alone lifts it as well.
    bed.patch(&id, &ours("an upload of yesterday")).await;
    let same = draft("one.txt");
    bed.endpoint.set_metadata(&id, &same).await.unwrap();
    assert_eq!(revision(&bed, &id).await, "2");
}

#[tokio::test(start_paused = true)]
async fn whoever_looks_what_became_of_a_version_lifts_its_lock() {
    let bed = Bed::new().await;
    let id = bed.put("one.txt", b"1").await;
    let find = async |content: &[u8]| {
        let (onto, of) = (onto(&id, "1"), Expected::from(&digests(content)));
        let found = bed.endpoint.find(&onto, &mark(), &of).await;
        found.unwrap().map(|placed| placed.revision)
    };
    // It crashed before the version was added, and after.
    bed.patch(&id, &ours("of mine")).await;
    assert_eq!(find(b"2nd").await, None);
    assert_eq!(revision(&bed, &id).await, "1");
    bed.upload(&onto(&id, "1"), b"2nd").await.unwrap();
    bed.patch(&id, &ours("of mine")).await;
    assert_eq!(find(b"2nd").await, Some(Revision::new("2")));
    assert_eq!(revision(&bed, &id).await, "2");
    // Not that of somebody else.
    bed.celum().lock_asset(number(&id), "retouching").unwrap();
    assert_eq!(find(b"2nd").await, Some(Revision::new("2")));
    assert_eq!(bed.holding(&id).await.locked.as_deref(), Some("retouching"));
}

#[tokio::test(start_paused = true)]
async fn what_yields_counts_for_a_new_asset_and_not_for_one_that_is_there() {
    let bed = Bed::new().await;
    let everything = || Draft {
        availability: Some(Availability::Direct { available: true }),
        yields: [
            DraftPart::Name,
            DraftPart::Collection,
            DraftPart::AssetType,
            DraftPart::Availability,
            DraftPart::Field("campaignId".to_owned()),
        ]
        .into(),
        ..draft("one.txt")
    };
    let new = Destination::New {
        draft: everything(),
    };
    let id = bed.upload(&new, b"1").await.unwrap();
    let held = bed.holding(&id).await;
    assert_eq!(held.value("campaignId"), Some(&text("CMP-0142")));
    assert_eq!(held.title, "one.txt");
    // People have the last word from here on.
    let tenant = bed.celum();
    let asset = number(&id);
    let other = tenant
        .ensure_collection("Brand Library/Inbox/Elsewhere")
        .unwrap();
    let inbox = tenant.collection_id("Brand Library/Inbox").unwrap();
    tenant
        .edit(
            asset,
            &json!({"name": "Theirs", "parentIds": {"op": "MODIFY", "add": [other], "remove": [inbox]}}),
        )
        .unwrap();
    tenant
        .set_field(asset, "campaignId", &json!("CMP-9999"))
        .unwrap();
    tenant
        .set_availability(asset, &Seeded::Direct(false))
        .unwrap();
    let theirs = bed.holding(&id).await;
    bed.endpoint.set_metadata(&id, &everything()).await.unwrap();
    assert_eq!(bed.holding(&id).await, theirs);
    let version = Destination::Version {
        asset: id.clone(),
        draft: everything(),
        replaces: Some(theirs.asset.revision.clone()),
    };
    bed.upload(&version, b"2nd").await.unwrap();
    let now = bed.holding(&id).await;
    assert_eq!(now.asset.revision.as_str(), "2");
    assert_eq!(
        (now.title, now.statements, now.collections, now.usable),
        (
            "Theirs".to_owned(),
            theirs.statements,
            theirs.collections,
            Usable::Stated(Availability::Direct { available: false }),
        )
    );
    // What does not yield is made so.
    let mut firm = everything();
    firm.yields.remove(&DraftPart::Name);
    firm.yields
        .remove(&DraftPart::Field("campaignId".to_owned()));
    bed.endpoint.set_metadata(&id, &firm).await.unwrap();
    let now = bed.holding(&id).await;
    assert_eq!(now.title, "one.txt");
    assert_eq!(now.value("campaignId"), Some(&text("CMP-0142")));
}

#[tokio::test(start_paused = true)]
async fn what_changed_since_is_what_was_made_edited_or_versioned_since() {
    let bed = Bed::new().await;
    let mut ids = Vec::new();
    for name in ["a.txt", "b.txt", "c.txt", "d.txt"] {
        ids.push(bed.put(name, b"1").await);
        tokio::time::advance(std::time::Duration::from_mins(1)).await;
    }
    let since = bed.holding(&ids[3]).await.changed.unwrap();
    bed.celum()
        .edit(number(&ids[0]), &json!({"name": "renamed"}))
        .unwrap();
    tokio::time::advance(std::time::Duration::from_mins(1)).await;
    bed.upload(&onto(&ids[1], "1"), b"2nd").await.unwrap();
    let query = windlass_core::Query::default();
    let page = bed.endpoint.changed(&query, since, None).await.unwrap();
    let found: Vec<&AssetId> = page.holdings.iter().map(|held| &held.asset.id).collect();
    assert_eq!(found, [&ids[0], &ids[1], &ids[3]]);
    assert!(page.holdings.iter().all(|held| held.changed >= Some(since)));
    assert!(page.holdings[1].changed > page.holdings[0].changed);
}

#[tokio::test(start_paused = true)]
async fn every_event_of_the_emulated_tenant_hints_at_its_asset() {
    let bed = Bed::new().await;
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let kept = Arc::clone(&events);
    let deliver: Deliver = Arc::new(move |request| {
        let event = crate::events::read(request.body()).unwrap();
        kept.lock().unwrap().push(event);
        async { Ok(http::Response::new(Bytes::new())) }.boxed()
    });
    let url = "http://hooks.invalid/celum".parse().unwrap();
    bed.celum().register_events(&url, deliver).unwrap();
    let id = bed.put("one.txt", b"1").await;
    bed.upload(&onto(&id, "1"), b"2nd").await.unwrap();
    bed.celum().activate_version(number(&id), 1).unwrap();
    let inbox = "Brand Library/Inbox";
    bed.celum()
        .move_asset(number(&id), inbox, "Brand Library/Inbox/Done")
        .unwrap();
    bed.celum().delete_asset(number(&id)).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let events = events.lock().unwrap();
    let only = std::slice::from_ref(&id);
    assert!(events.iter().all(|event| event.assets == only));
    let kinds: BTreeSet<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        [
            "ASSET_ADDED",
            "ASSET_CREATED",
            "ASSET_DELETED",
            "ASSET_REMOVED",
            "ASSET_UPDATED",
            "ASSET_VERSION_ACTIVATED",
            "ASSET_VERSION_ADDED",
        ]
    );
}
