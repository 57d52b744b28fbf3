//! Small files together: what they cost, and what becomes of each when calls fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use windlass_core::{
    AssetPath, Blake3, Chunk, ContentHash, Correlation, Destination, Digests, Draft, Endpoint,
    Evidence, Kind, Placed, Result, Sink,
};

use super::cloud::{Cloud, Mishap, connect_to, connect_with};
use crate::DropboxEndpoint;

const START_BATCH: &str = "upload_session/start_batch";
const START: &str = "upload_session/start";
const APPEND_BATCH: &str = "upload_session/append_batch";
const FINISH_BATCH: &str = "upload_session/finish_batch_v2";
const UPLOAD: &str = "upload";

pub(super) fn at(path: &str) -> Destination {
    let path = AssetPath::new(path);
    Destination::New {
        draft: Draft {
            name: path.name().to_owned(),
            file_name: path.name().to_owned(),
            collection: path.parent(),
            asset_type: None,
            fields: Vec::new(),
            availability: None,
            handing: None,
            yields: BTreeSet::new(),
        },
    }
}

pub(super) fn mark() -> Correlation {
    Correlation::derive("flow", "source", "asset", "rev")
}

pub(super) fn digests(bytes: &[u8]) -> Digests {
    Digests {
        size: bytes.len() as u64,
        blake3: Blake3::of(bytes),
        content_hash: Some(ContentHash::of(bytes)),
    }
}

/// Places one file as a transfer does.
async fn place(
    dropbox: &DropboxEndpoint,
    path: &str,
    bytes: &Bytes,
    of: &Digests,
) -> Result<Placed> {
    let session = dropbox.begin(&at(path), of.size, &mark()).await?;
    if !bytes.is_empty() {
        session.append(Chunk::new(0, bytes.clone())).await?;
    }
    session.commit(of).await
}

/// Places so many files at once; each has bytes of its own.
async fn place_many(dropbox: &DropboxEndpoint, count: usize) -> Vec<Result<Placed>> {
    let files = (0..count).map(|n| async move {
        let bytes = Bytes::from(format!("content of file {n}"));
        place(dropbox, &format!("/Out/{n}.txt"), &bytes, &digests(&bytes)).await
    });
    join_all(files).await
}

fn all_placed(results: &[Result<Placed>]) {
    for (n, result) in results.iter().enumerate() {
        let placed = result
            .as_ref()
            .unwrap_or_else(|error| panic!("{n}: {error:?}"));
        assert_eq!(placed.evidence, Evidence::E2);
        let wanted = ContentHash::of(format!("content of file {n}").as_bytes());
        assert_eq!(placed.content_hash, Some(wanted), "{n} is itself");
    }
}

fn at_rest(dropbox: &DropboxEndpoint) {
    assert_eq!(
        (dropbox.in_flight(), dropbox.waiting_to_be_packed()),
        (0, 0)
    );
    assert_eq!(dropbox.held_back(), None);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_files_of_100_kib_cost_at_most_80_calls() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_to(&cloud).await;
    let together = dropbox.capabilities().together.unwrap();
    let bytes = Bytes::from(vec![7; 100 << 10]);
    let of = digests(&bytes);
    let gate = tokio::sync::Semaphore::new(together.at_once);
    let files = (0..10_000).map(|n| {
        let (dropbox, gate, bytes, of) = (&dropbox, &gate, &bytes, &of);
        async move {
            let _place = gate.acquire().await.unwrap();
            // Reading takes a moment, and not the same for all.
            tokio::time::sleep(Duration::from_micros(n * 7919 % 5000)).await;
            place(dropbox, &format!("/Out/{n}.bin"), bytes, of).await
        }
    });
    let placed = join_all(files).await;
    assert!(
        placed.iter().all(Result::is_ok),
        "{:?}",
        placed.iter().find(|p| p.is_err())
    );
    assert_eq!(cloud.files(), 10_000);
    let calls = cloud.calls_in_all();
    assert!(
        calls <= 80,
        "{calls} calls: {:?}",
        cloud.state.lock().unwrap().calls
    );
    assert_eq!(cloud.again(), 0);
    let longest = cloud.state.lock().unwrap().longest_header;
    assert!((40 << 10..=48 << 10).contains(&longest), "{longest}");
    at_rest(&dropbox);
}

#[tokio::test(start_paused = true)]
async fn files_together_share_start_append_and_finish() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_to(&cloud).await;
    all_placed(&place_many(&dropbox, 50).await);
    assert_eq!(cloud.calls_in_all(), 3);
    assert_eq!(cloud.calls(START_BATCH), 1);
    at_rest(&dropbox);
}

#[tokio::test(start_paused = true)]
async fn an_empty_file_travels_with_the_others() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_to(&cloud).await;
    let (empty, full) = (Bytes::new(), Bytes::from_static(b"full"));
    let (of_empty, of_full) = (digests(b""), digests(b"full"));
    let (first, second) = tokio::join!(
        place(&dropbox, "/Out/empty", &empty, &of_empty),
        place(&dropbox, "/Out/full", &full, &of_full),
    );
    assert_eq!((first.unwrap().size, second.unwrap().size), (0, 4));
    assert_eq!(cloud.calls_in_all(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_lost_before_or_after_the_service_acted_loses_and_doubles_nothing() {
    let routes = [START_BATCH, APPEND_BATCH, FINISH_BATCH];
    for route in routes {
        for mishap in [
            Mishap::LostBefore,
            Mishap::LostAfter,
            Mishap::Says(503, String::new()),
        ] {
            let cloud = Arc::new(Cloud::new());
            cloud.mishap(route, 1, mishap.clone());
            let dropbox = connect_to(&cloud).await;
            all_placed(&place_many(&dropbox, 20).await);
            assert_eq!(cloud.files(), 20, "{route} {mishap:?}");
            assert_eq!(cloud.again(), 0, "{route} {mishap:?}");
            at_rest(&dropbox);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_finish_is_looked_at_and_not_repeated() {
    let cloud = Arc::new(Cloud::new());
    cloud.mishap(FINISH_BATCH, 1, Mishap::LostAfter);
    let dropbox = connect_to(&cloud).await;
    all_placed(&place_many(&dropbox, 20).await);
    assert_eq!(
        (cloud.calls(FINISH_BATCH), cloud.calls("get_metadata")),
        (1, 20)
    );
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_refused_travels_alone_and_the_others_do_not() {
    for reason in ["not_found", "too_large", "gravity_reversed"] {
        let cloud = Arc::new(Cloud::new());
        cloud.mishap(APPEND_BATCH, 1, Mishap::Entry(3, json!({ ".tag": reason })));
        let dropbox = connect_to(&cloud).await;
        all_placed(&place_many(&dropbox, 10).await);
        assert_eq!(cloud.calls(UPLOAD), 1, "{reason}");
        assert_eq!(cloud.calls(APPEND_BATCH), 1, "{reason}");
        assert_eq!(cloud.state.lock().unwrap().finished, [9]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_batch_is_sent_again_as_it_was() {
    for reason in ["content_hash_mismatch", "length_mismatch"] {
        let cloud = Arc::new(Cloud::new());
        let error = json!({"error":{".tag":reason},"error_summary":"…/"}).to_string();
        cloud.mishap(APPEND_BATCH, 1, Mishap::Says(409, error));
        let dropbox = connect_to(&cloud).await;
        all_placed(&place_many(&dropbox, 10).await);
        assert_eq!((cloud.calls(APPEND_BATCH), cloud.calls(UPLOAD)), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_without_append_batch_is_noticed_once() {
    let cloud = Arc::new(Cloud {
        knows_batches: false,
        ..Cloud::new()
    });
    let dropbox = connect_to(&cloud).await;
    all_placed(&place_many(&dropbox, 10).await);
    assert_eq!((cloud.calls(APPEND_BATCH), cloud.calls(START)), (1, 10));
    assert_eq!(cloud.calls(FINISH_BATCH), 1, "commits are still shared");
    let more = Bytes::from_static(b"more");
    let of = digests(b"more");
    let again = (0..5).map(|n| {
        let (dropbox, more, of) = (&dropbox, &more, &of);
        async move {
            place(dropbox, &format!("/More/{n}"), more, of)
                .await
                .unwrap()
        }
    });
    join_all(again).await;
    assert_eq!((cloud.calls(APPEND_BATCH), cloud.calls(START)), (1, 15));
    at_rest(&dropbox);
}

#[tokio::test(start_paused = true)]
async fn a_plain_text_refusal_of_an_unknown_route_is_understood() {
    let cloud = Arc::new(Cloud::new());
    let text = "Unknown API function \"files/upload_session/append_batch\"".to_owned();
    cloud.mishap(APPEND_BATCH, 1, Mishap::Says(400, text));
    let dropbox = connect_to(&cloud).await;
    all_placed(&place_many(&dropbox, 10).await);
    assert_eq!((cloud.calls(APPEND_BATCH), cloud.calls(START)), (1, 10));
}

#[tokio::test(start_paused = true)]
async fn a_header_that_is_too_large_is_halved_and_remembered() {
    let cloud = Arc::new(Cloud {
        header_bytes_max: 16 << 10,
        ..Cloud::new()
    });
    let dropbox = connect_to(&cloud).await;
    all_placed(&place_many(&dropbox, 300).await);
    let refused = cloud.calls(APPEND_BATCH) - cloud.state.lock().unwrap().appended.len();
    assert!((1..=4).contains(&refused), "{refused} calls were too large");
    let before = cloud.calls(APPEND_BATCH);
    let express = dropbox.express.as_ref().unwrap();
    assert!(
        express.header_bytes() <= 16 << 10,
        "{}",
        express.header_bytes()
    );
    let more = (0..300).map(|n| {
        let dropbox = &dropbox;
        async move {
            let bytes = Bytes::from(format!("content of file {n}"));
            place(dropbox, &format!("/More/{n}"), &bytes, &digests(&bytes)).await
        }
    });
    all_placed(&join_all(more).await);
    let acted = cloud.state.lock().unwrap().appended.len();
    assert_eq!(
        cloud.calls(APPEND_BATCH) - before,
        acted - (before - refused),
        "none was too large again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_way_that_cuts_large_headers_is_learned() {
    let cloud = Arc::new(Cloud::new());
    for nth in 1..=6 {
        cloud.mishap(APPEND_BATCH, nth, Mishap::LostBefore);
    }
    let dropbox = connect_to(&cloud).await;
    all_placed(&place_many(&dropbox, 300).await);
    assert_eq!(cloud.state.lock().unwrap().appended, [150, 150]);
    assert!(dropbox.express.as_ref().unwrap().header_bytes() < 32 << 10);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_at_its_bytes() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_with(&cloud, |options| options.batch_bytes = 4 << 20).await;
    let bytes = Bytes::from(vec![1; 1 << 20]);
    let of = digests(&bytes);
    let files = (0..8).map(|n| {
        let (dropbox, bytes, of) = (&dropbox, &bytes, &of);
        async move {
            place(dropbox, &format!("/Out/{n}"), bytes, of)
                .await
                .unwrap()
        }
    });
    join_all(files).await;
    assert_eq!(cloud.state.lock().unwrap().appended, [4, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_is_here_does_not_wait_long_for_what_is_late() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_to(&cloud).await;
    let late = dropbox.begin(&at("/Out/late"), 4, &mark()).await.unwrap();
    let began = tokio::time::Instant::now();
    all_placed(&place_many(&dropbox, 3).await);
    // Three calls of 80 ms, and the two waits for more.
    assert!(
        began.elapsed() < Duration::from_millis(400),
        "{:?}",
        began.elapsed()
    );
    late.append(Chunk::new(0, Bytes::from_static(b"late")))
        .await
        .unwrap();
    late.commit(&digests(b"late")).await.unwrap();
    at_rest(&dropbox);
}

#[tokio::test(start_paused = true)]
async fn without_the_express_lane_every_file_travels_alone() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_with(&cloud, |options| options.express = false).await;
    assert_eq!(dropbox.capabilities().together, None);
    all_placed(&place_many(&dropbox, 5).await);
    assert_eq!((cloud.calls(UPLOAD), cloud.calls_in_all()), (5, 5));
}

/// rclone stalled for ever after a commit error, with an empty error text: rclone #7025.
#[tokio::test(start_paused = true)]
async fn after_a_whole_call_fails_everybody_hears_why_and_the_next_batch_goes() {
    for route in [START_BATCH, APPEND_BATCH, FINISH_BATCH] {
        let cloud = Arc::new(Cloud::new());
        let full = json!({"error":{".tag":"invalid_account_type","invalid_account_type":{".tag":"feature"}},
            "error_summary":"…/"});
        cloud.mishap(route, 1, Mishap::Says(403, full.to_string()));
        let dropbox = connect_to(&cloud).await;
        for result in place_many(&dropbox, 10).await {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), Kind::Capacity);
            assert!(error.to_string().contains("for this month"), "{error}");
            assert!(error.hint().is_some());
        }
        at_rest(&dropbox);
        all_placed(&place_many(&dropbox, 10).await);
        at_rest(&dropbox);
    }
}

/// rclone's batcher deadlocked in its commit (4a4aca4da) and hung at exit with batches off (50f053cad).
#[tokio::test(start_paused = true)]
async fn sessions_that_are_dropped_at_any_point_keep_nobody_waiting() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_to(&cloud).await;
    for patience in [0, 1, 30, 90, 130, 200, 250, 300] {
        let files = (0..12).map(|n| {
            let dropbox = &dropbox;
            async move {
                let bytes = Bytes::from(format!("{patience} {n}"));
                let path = format!("/Out/{patience}/{n}");
                let of = digests(&bytes);
                let placed = place(dropbox, &path, &bytes, &of);
                match n % 3 {
                    0 => tokio::time::timeout(Duration::from_millis(patience), placed)
                        .await
                        .ok(),
                    _ => Some(placed.await),
                }
            }
        });
        let placed = tokio::time::timeout(Duration::from_secs(5), join_all(files)).await;
        let placed = placed.expect("nobody waits for those who left");
        for (n, placed) in placed.into_iter().enumerate().filter(|(n, _)| n % 3 > 0) {
            placed
                .unwrap()
                .unwrap_or_else(|error| panic!("{patience} {n}: {error}"));
        }
        assert_eq!(dropbox.waiting_to_be_packed(), 0);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    at_rest(&dropbox);
}

#[tokio::test(start_paused = true)]
async fn a_content_that_is_withdrawn_before_it_was_sent_is_not_sent() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_to(&cloud).await;
    let late = dropbox.begin(&at("/Out/late"), 4, &mark()).await.unwrap();
    let left = dropbox.begin(&at("/Out/left"), 4, &mark()).await.unwrap();
    let handed = left.append(Chunk::new(0, Bytes::from_static(b"left")));
    assert!(
        tokio::time::timeout(Duration::from_millis(5), handed)
            .await
            .is_err()
    );
    assert_eq!(dropbox.waiting_to_be_packed(), 0, "taken back at once");
    drop((left, late));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cloud.calls_in_all(), 0);
    at_rest(&dropbox);
}

/// rclone's asynchronous batches lost their last entries: 75c417ad9.
#[tokio::test(start_paused = true)]
async fn the_last_few_of_many_are_placed_too() {
    for count in [1, 2, 3, 339, 340, 341, 1001] {
        let cloud = Arc::new(Cloud::new());
        let dropbox = connect_to(&cloud).await;
        all_placed(&place_many(&dropbox, count).await);
        assert_eq!(cloud.files(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn two_of_one_path_never_share_a_batch_and_the_second_is_told() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_to(&cloud).await;
    let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    let other = Bytes::from_static(b"other");
    let (of_one, of_two, of_other) = (digests(&one), digests(&two), digests(&other));
    let (first, second, third) = tokio::join!(
        place(&dropbox, "/Out/Same.txt", &one, &of_one),
        place(&dropbox, "/out/same.TXT", &two, &of_two),
        place(&dropbox, "/Out/other.txt", &other, &of_other),
    );
    third.unwrap();
    let there = cloud.state.lock().unwrap().files["/out/same.txt"].1;
    let (placed, refused) = match (first, second) {
        (Ok(placed), Err(refused)) | (Err(refused), Ok(placed)) => (placed, refused),
        both => panic!("one of them: {both:?}"),
    };
    assert_eq!(
        placed.content_hash,
        Some(there),
        "whose bytes are there was told so"
    );
    assert_eq!(refused.kind(), Kind::Conflict);
}

/// rclone did not report which files a batch refused: rclone #5008.
#[tokio::test(start_paused = true)]
async fn each_file_of_a_batch_gets_its_own_verdict() {
    let cloud = Arc::new(Cloud::new());
    let full = json!({".tag":"path","path":{".tag":"insufficient_space"}});
    cloud.mishap(FINISH_BATCH, 1, Mishap::Entry(4, full));
    let dropbox = connect_to(&cloud).await;
    let placed = place_many(&dropbox, 10).await;
    for (n, placed) in placed.iter().enumerate() {
        match n {
            4 => {
                let error = placed.as_ref().unwrap_err();
                assert_eq!(error.kind(), Kind::Capacity);
                assert!(error.to_string().contains("/Out/4.txt"), "{error}");
            }
            _ => assert!(placed.is_ok(), "{n}: {placed:?}"),
        }
    }
}
