use std::io;
use std::time::Duration;

use axum::http::Response;
use futures_util::FutureExt;
use tokio::time::sleep;

use super::*;
use crate::bell::Deliver;

type Notices = Arc<Mutex<Vec<axum::http::Request<Bytes>>>>;

/// An address that echoes challenges with these headers and keeps what comes, once it has failed so often.
fn receiver(headers: &[(&'static str, &'static str)], failures: usize) -> (Deliver, Notices) {
    let notices = Notices::default();
    let kept = Arc::clone(&notices);
    let headers = headers.to_vec();
    let left = Arc::new(Mutex::new(failures));
    let deliver: Deliver = Arc::new(move |request| {
        let mut response = Response::builder();
        for (name, value) in &headers {
            response = response.header(*name, *value);
        }
        if let Some(challenge) = request.uri().query() {
            let echo = challenge.strip_prefix("challenge=").unwrap().to_owned();
            let response = response.body(Bytes::from(echo)).unwrap();
            return async { Ok(response) }.boxed();
        }
        let mut left = left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return async { Err(io::Error::from(io::ErrorKind::ConnectionRefused)) }.boxed();
        }
        kept.lock().unwrap().push(request);
        async { Ok(Response::new(Bytes::new())) }.boxed()
    });
    (deliver, notices)
}

const PROPER: [(&str, &str); 2] = [
    ("content-type", "text/plain; charset=utf-8"),
    ("x-content-type-options", "nosniff"),
];

fn url() -> url::Url {
    "http://hooks.invalid/dropbox".parse().unwrap()
}

fn faulty(faults: &str) -> Rig {
    Rig::with(DropboxOptions {
        faults: faults.parse().unwrap(),
        ..DropboxOptions::default()
    })
}

fn count(notices: &Notices) -> usize {
    notices.lock().unwrap().len()
}

async fn change(rig: &Rig, n: usize) {
    rig.dropbox
        .put_file(&format!("/{n}"), "x".into(), None)
        .unwrap();
    sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_does_not_echo_as_it_must_is_refused() {
    let rig = Rig::new();
    let cases: [(&[_], &str); 3] = [
        (&PROPER[..1], "nosniff"),
        (&PROPER[1..], "text/plain"),
        (
            &[("content-type", "text/html"), PROPER[1]],
            "not echoed as text/plain",
        ),
    ];
    for (headers, wanted) in cases {
        let (deliver, _) = receiver(headers, 0);
        let error = rig.dropbox.register_webhook(url(), deliver).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let deaf: Deliver = Arc::new(|_| async { Ok(Response::new(Bytes::new())) }.boxed());
    let error = rig.dropbox.register_webhook(url(), deaf).await.unwrap_err();
    assert!(error.to_string().contains("not echoed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn every_change_rings_and_those_that_follow_closely_ring_once() {
    let rig = Rig::new();
    let (deliver, notices) = receiver(&PROPER, 0);
    rig.dropbox.register_webhook(url(), deliver).await.unwrap();
    // People's, and the app's own.
    rig.dropbox.put_file("/a", "x".into(), None).unwrap();
    rig.dropbox.put_file("/b", "x".into(), None).unwrap();
    sleep(Duration::from_millis(60)).await;
    assert_eq!(count(&notices), 1);
    rig.rpc("files/delete_v2", json!({"path": "/a"})).await.ok();
    sleep(Duration::from_millis(60)).await;
    assert_eq!(count(&notices), 2);
    // What is no change does not.
    rig.dropbox.recase("/b", "B").unwrap();
    rig.rpc("files/list_folder", json!({"path": ""})).await.ok();
    sleep(Duration::from_secs(5)).await;
    let notices = notices.lock().unwrap();
    assert_eq!(notices.len(), 2);
    let body: Value = serde_json::from_slice(notices[0].body()).unwrap();
    assert_eq!(
        body["list_folder"]["accounts"],
        json!([rig.dropbox.account_id()])
    );
    assert_eq!(notices[0].headers()["x-dropbox-signature"].len(), 64);
}

#[tokio::test(start_paused = true)]
async fn notices_are_lost_doubled_and_late_as_the_profile_has_it() {
    let rig = faulty(
        "route=webhook,nth=1,do=lost;route=webhook,nth=2,do=twice;route=webhook,nth=3,do=late:5000",
    );
    let (deliver, notices) = receiver(&PROPER, 0);
    rig.dropbox.register_webhook(url(), deliver).await.unwrap();
    let mut seen = Vec::new();
    for n in 0..4 {
        change(&rig, n).await;
        seen.push(count(&notices));
    }
    assert_eq!(seen, [0, 2, 2, 3]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(count(&notices), 4);
    assert_eq!(rig.dropbox.faults_fired(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_notices_is_lost_and_the_same_ones_with_the_same_seed() {
    let mut counts = Vec::new();
    for _ in 0..2 {
        let rig = faulty("p=0.3,do=lost;p=1,times=1,do=500");
        let (deliver, notices) = receiver(&PROPER, 0);
        rig.dropbox.register_webhook(url(), deliver).await.unwrap();
        for n in 0..40 {
            change(&rig, n).await;
        }
        counts.push(count(&notices));
        // A rule for calls does not touch notices, and one for notices no calls.
        let list = json!({"path": ""});
        let answer = rig.rpc("files/list_folder", list.clone()).await;
        assert_eq!(answer.status, 500);
        rig.rpc("files/list_folder", list).await.ok();
    }
    assert_eq!(counts[0], counts[1]);
    assert!((20..40).contains(&counts[0]), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_did_not_arrive_is_sent_again() {
    let rig = Rig::new();
    let (deliver, notices) = receiver(&PROPER, 2);
    rig.dropbox.register_webhook(url(), deliver).await.unwrap();
    change(&rig, 0).await;
    assert_eq!(count(&notices), 0);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(count(&notices), 1);
}
