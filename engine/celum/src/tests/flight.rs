//! How many calls are under way at once, how little of a content is in memory, and what waiting is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, poll};
use tokio::task::JoinSet;
use windlass_core::{Chunk, Correlation, Endpoint, Secret, Sink};
use windlass_http::Body;

use super::model::{Line, Model};
use super::{ROOT, Tenant, digests, mark, new_asset, profile};
use crate::body::body;
use crate::{CelumEndpoint, CelumOptions, CelumProfile, UploadMode};

const CONTENT: &[u8] = b"all the bytes of a picture";

async fn connect(model: &Arc<Model>, profile: CelumProfile) -> Arc<CelumEndpoint> {
    let key = Secret::new("key-1".to_owned());
    let options = CelumOptions::new("dam", ROOT.parse().unwrap(), key, profile);
    CelumEndpoint::connect(Arc::new(Line(Arc::clone(model))), options)
        .await
        .unwrap()
}

/// Places so many assets at once; how long that took.
async fn place(endpoint: &Arc<CelumEndpoint>, assets: usize) -> Duration {
    let begun = tokio::time::Instant::now();
    let mut uploads = JoinSet::new();
    for number in 0..assets {
        let endpoint = Arc::clone(endpoint);
        uploads.spawn(async move {
            let mark = Correlation::derive("ingest", "studio", &number.to_string(), "1");
            let size = CONTENT.len() as u64;
            let session = endpoint.begin(&new_asset(), size, &mark).await.unwrap();
            let chunk = Chunk::new(0, Bytes::from_static(CONTENT));
            session.append(chunk).await.unwrap();
            session.commit(&digests(CONTENT)).await.unwrap()
        });
    }
    uploads.join_all().await;
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn three_hundred_uploads_at_once_are_never_three_hundred_calls_at_once() {
    let model = Arc::new(Model {
        latency: Duration::from_millis(80),
        ..Model::default()
    });
    let endpoint = connect(&model, profile()).await;
    let sheet = endpoint.capabilities();
    let together = sheet.together.unwrap();
    assert_eq!((together.at_once, together.bytes_max), (16, 4 << 20));
    place(&endpoint, 300).await;
    assert_eq!(model.assets().len(), 300);
    for kind in ["POST assets", "POST upload", "POST an upload URL"] {
        let most = model.most(kind);
        assert!((2..=8).contains(&most), "{kind}: {most} at once");
    }
    assert_eq!(endpoint.held_back(), None, "nothing waits any more");
}

#[tokio::test(start_paused = true)]
async fn a_profile_bounds_what_is_under_way() {
    let model = Arc::new(Model {
        latency: Duration::from_millis(80),
        ..Model::default()
    });
    let narrow = CelumProfile {
        api_calls: 3,
        transfers: 1,
        ..profile()
    };
    let endpoint = connect(&model, narrow).await;
    place(&endpoint, 60).await;
    assert_eq!(model.most("POST an upload URL"), 1);
    assert!(model.most("POST assets") <= 3);
    assert!(model.most("POST upload") <= 3);
}

#[tokio::test(start_paused = true)]
async fn small_assets_side_by_side_are_several_times_faster_than_one_by_one() {
    let slow = || {
        Arc::new(Model {
            latency: Duration::from_millis(80),
            ..Model::default()
        })
    };
    let model = slow();
    let endpoint = connect(&model, profile()).await;
    place(&endpoint, 1).await;
    let one = place(&endpoint, 1).await;
    let model = slow();
    let endpoint = connect(&model, profile()).await;
    place(&endpoint, 100).await;
    let all = place(&endpoint, 100).await;
    assert_eq!(one, Duration::from_millis(240), "three calls");
    assert!(all * 5 < one * 100, "{all:?} for 100, {one:?} for one");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_waits_for_its_turn_is_held_back_and_says_so() {
    let model = Arc::new(Model {
        latency: Duration::from_secs(500),
        ..Model::default()
    });
    let narrow = CelumProfile {
        transfers: 1,
        ..profile()
    };
    let endpoint = connect(&model, narrow).await;
    let working = {
        let endpoint = Arc::clone(&endpoint);
        tokio::spawn(async move { place(&endpoint, 2).await })
    };
    // Both have their handle, and one of them the only place.
    tokio::time::sleep(Duration::from_secs(750)).await;
    let held = endpoint.held_back().unwrap();
    assert_eq!(held.left, None);
    assert!(held.why.contains("dam has 1 uploads under way"), "{held:?}");
    working.await.unwrap();
    assert_eq!(endpoint.held_back(), None);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_tenant_asked_for_is_said_with_its_length() {
    let tenant = Tenant::new();
    let limited = super::Act::Answer {
        status: 429,
        headers: vec![("retry-after", "42".to_owned())],
        body: Bytes::new(),
    };
    let ticket = serde_json::json!({"url": "https://up.example/9f", "handle": "h"});
    tenant.on("POST upload", [limited, super::ok(ticket)]);
    let endpoint = super::connect(&tenant, profile()).await;
    assert_eq!(endpoint.held_back(), None);
    let session = endpoint.begin(&new_asset(), 26, &mark()).await.unwrap();
    let working = tokio::spawn(async move {
        let chunk = Chunk::new(0, Bytes::from_static(CONTENT));
        session.append(chunk).await
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let held = endpoint.held_back().unwrap();
    assert_eq!(held.why, "dam asked for 40 s more");
    assert_eq!(held.left, Some(Duration::from_secs(40)));
    working.await.unwrap().unwrap();
}

/// Bytes that say when nobody holds them any more.
struct Counted {
    bytes: Vec<u8>,
    held: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_chunk_is_taken_whole_in_pieces_and_let_go_of_without_waiting_for_the_next() {
    let held = Arc::new(AtomicUsize::new(0));
    let chunk = |length: usize| {
        held.fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Counted {
            bytes: vec![7; length],
            held: Arc::clone(&held),
        })
    };
    let (feed, parts) = body(UploadMode::PostRaw, "a.tif", 1_000_010);
    let Body::Stream { length, mut stream } = parts.body else {
        panic!("it is a stream");
    };
    assert_eq!(length, 1_000_010);
    let first = chunk(1_000_000);
    let starts_at = first.as_ptr();
    let mut handing = Box::pin(feed.hand_over(first));
    assert!(poll!(&mut handing).is_pending());
    let mut sizes = Vec::new();
    for number in 0..4 {
        assert!(poll!(&mut handing).is_pending(), "it is not taken yet");
        let piece = stream.next().await.unwrap().unwrap();
        if number == 0 {
            assert_eq!(piece.as_ptr(), starts_at, "it is no copy");
        }
        sizes.push(piece.len());
    }
    assert_eq!(sizes, [262_144, 262_144, 262_144, 213_568]);
    assert!(handing.as_mut().await);
    drop(handing);
    assert_eq!(held.load(Ordering::Relaxed), 0, "nobody holds it any more");
    let (taken, piece) = tokio::join!(feed.hand_over(chunk(10)), stream.next());
    assert!(taken && piece.unwrap().unwrap().len() == 10);
    drop(feed);
    assert!(stream.next().await.is_none(), "it is complete");
}

#[tokio::test]
async fn a_content_that_is_given_up_does_not_look_complete() {
    let (feed, parts) = body(UploadMode::PostRaw, "a.tif", 20);
    let Body::Stream { mut stream, .. } = parts.body else {
        panic!("it is a stream");
    };
    let (taken, piece) = tokio::join!(
        feed.hand_over(Bytes::from_static(b"0123456789")),
        stream.next()
    );
    assert!(taken && piece.unwrap().is_ok());
    drop(feed);
    assert!(stream.next().await.unwrap().is_err());
    let (feed, parts) = body(UploadMode::PostRaw, "a.tif", 20);
    drop(parts);
    let taken = feed.hand_over(Bytes::from_static(b"0123456789")).await;
    assert!(!taken, "the request is gone");
}
