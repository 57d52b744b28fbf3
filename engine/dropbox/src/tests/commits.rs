//! Commits: locks that are waited for, answers that are lost, entries that spoil a batch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use windlass_core::{AssetPath, Chunk, Endpoint, Kind, Placed, Result, Sink, Status};

use super::cloud::{Cloud, Mishap, connect_to, connect_with};
use super::express::{at, digests, mark};
use super::sessions::resume;
use crate::DropboxEndpoint;

const FINISH: &str = "upload_session/finish";
const FINISH_BATCH: &str = "upload_session/finish_batch_v2";
const METADATA: &str = "get_metadata";

fn locked() -> serde_json::Value {
    json!({".tag":"path","path":{".tag":"too_many_write_operations"}})
}

fn not_there() -> Mishap {
    let error = json!({"error":{".tag":"path","path":{".tag":"not_found"}},"error_summary":"…/"});
    Mishap::Says(409, error.to_string())
}

async fn place(dropbox: &DropboxEndpoint, path: String) -> Result<Placed> {
    let session = dropbox.begin(&at(&path), 4, &mark()).await?;
    session
        .append(Chunk::new(0, Bytes::from_static(b"abcd")))
        .await?;
    session.commit(&digests(b"abcd")).await
}

async fn place_many(dropbox: &DropboxEndpoint, folder: &str, count: usize) -> Vec<Result<Placed>> {
    join_all((0..count).map(|n| place(dropbox, format!("{folder}/{n}")))).await
}

#[tokio::test(start_paused = true)]
async fn entries_that_met_a_lock_go_with_a_later_batch() {
    let cloud = Arc::new(Cloud::new());
    cloud.mishap(FINISH_BATCH, 1, Mishap::Entries(locked()));
    cloud.mishap(FINISH_BATCH, 2, Mishap::Entry(3, locked()));
    let dropbox = connect_to(&cloud).await;
    let placed = place_many(&dropbox, "/Out", 10).await;
    assert!(placed.iter().all(Result::is_ok), "{placed:?}");
    assert_eq!(cloud.state.lock().unwrap().finished, [10, 10]);
    assert_eq!(cloud.calls(FINISH), 1, "the one that was left went alone");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_a_lock_refused_is_not_split() {
    let cloud = Arc::new(Cloud::new());
    let busy = json!({"error_summary":"too_many_write_operations/..",
        "error":{"reason":{".tag":"too_many_write_operations"}}});
    for nth in 1..=10 {
        cloud.mishap(FINISH_BATCH, nth, Mishap::Says(429, busy.to_string()));
    }
    let dropbox = connect_to(&cloud).await;
    let placed = place_many(&dropbox, "/Out", 10).await;
    assert!(placed.iter().all(Result::is_ok), "{placed:?}");
    assert_eq!(cloud.state.lock().unwrap().finished, [10]);
    assert_eq!(cloud.calls(FINISH_BATCH), 11);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_a_reason_to_wait_and_says_so_until_patience_ends() {
    let cloud = Arc::new(Cloud::new());
    for nth in 1..=200 {
        cloud.mishap(FINISH_BATCH, nth, Mishap::Entries(locked()));
    }
    let dropbox = connect_to(&cloud).await;
    let began = tokio::time::Instant::now();
    let (placed, held) = tokio::join!(place_many(&dropbox, "/Out", 5), async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        dropbox.held_back()
    });
    let held = held.expect("it waits");
    assert!(held.why.contains("others write"), "{held:?}");
    assert!(held.left.unwrap() <= Duration::from_secs(30));
    for error in placed.into_iter().map(Result::unwrap_err) {
        assert_eq!(
            (error.kind(), error.status()),
            (Kind::Limited, Status::Persistent)
        );
    }
    assert!(began.elapsed() >= Duration::from_secs(600));
    assert_eq!(dropbox.held_back(), None, "nothing waits any more");
}

/// rclone #2158: all parts were there, `finish` answered 503 for a day, then `not_found`.
#[tokio::test(start_paused = true)]
async fn a_finish_that_fails_for_hours_is_looked_at_until_the_file_shows() {
    let cloud = Arc::new(Cloud::new());
    cloud.mishap(FINISH, 1, Mishap::LostAfter);
    for nth in 2..=100 {
        cloud.mishap(FINISH, nth, Mishap::Says(503, String::new()));
        cloud.mishap(METADATA, nth - 1, not_there());
    }
    let patient = |options: &mut crate::DropboxOptions| {
        options.commit_patience = Duration::from_secs(30 * 60 * 60);
        options.express = false;
    };
    let dropbox = connect_with(&cloud, patient).await;
    let bytes = Bytes::from(vec![7; 5 << 20]);
    let session = dropbox
        .begin(&at("/Out/a"), 5 << 20, &mark())
        .await
        .unwrap();
    session.append(Chunk::new(0, bytes.clone())).await.unwrap();
    let of = digests(&bytes);
    let (placed, held) = tokio::join!(session.commit(&of), async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        dropbox.held_back()
    });
    let held = held.expect("it waits, and has not stalled");
    assert!(held.why.contains("answer to a commit was lost"), "{held:?}");
    let placed = placed.unwrap();
    assert_eq!(placed.size, 5 << 20);
    assert_eq!(cloud.files(), 1);
    assert_eq!(cloud.again(), 0, "the session kept the bytes");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_stays_unknown_is_ambiguous_and_its_session_can_be_resumed() {
    let cloud = Arc::new(Cloud::new());
    for nth in 1..=200 {
        cloud.mishap(FINISH, nth, Mishap::LostBefore);
    }
    let brief = |options: &mut crate::DropboxOptions| {
        options.commit_patience = Duration::from_secs(60);
    };
    let dropbox = connect_with(&cloud, brief).await;
    let bytes = Bytes::from(vec![7; 5 << 20]);
    let session = dropbox
        .begin(&at("/Out/a"), 5 << 20, &mark())
        .await
        .unwrap();
    session.append(Chunk::new(0, bytes.clone())).await.unwrap();
    let checkpoint = session.checkpoint().unwrap();
    let error = session.commit(&digests(&bytes)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous);
    assert!(error.to_string().contains("/Out/a"), "{error}");
    let tried = cloud.calls(FINISH);
    assert!((3..=12).contains(&tried), "{tried}");
    let resumed = resume(&dropbox, &at("/Out/a"), 5 << 20, &checkpoint, &[]).await;
    let session = resumed.unwrap();
    assert_eq!(session.acknowledged(), [0..5 << 20]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_seen_is_not_written_to_again_before_it_can() {
    let cloud = Arc::new(Cloud::new());
    cloud.mishap(FINISH_BATCH, 1, Mishap::LostAfter);
    for nth in 1..=40 {
        cloud.mishap(METADATA, nth, Mishap::Says(500, String::new()));
    }
    let dropbox = connect_to(&cloud).await;
    let placed = place_many(&dropbox, "/Out", 4).await;
    assert!(placed.iter().all(Result::is_ok), "{placed:?}");
    assert_eq!(cloud.calls(FINISH_BATCH) + cloud.calls(FINISH), 1);
}

#[tokio::test(start_paused = true)]
async fn one_malformed_entry_does_not_refuse_the_others() {
    let cloud = Arc::new(Cloud::new());
    let text = "Error in call to API function \"files/upload_session/finish_batch:2\": \
                request body: entries[2].commit.path: bad";
    // The whole, the half that holds it, and the entry itself.
    cloud.mishap(FINISH_BATCH, 1, Mishap::Says(400, text.to_owned()));
    cloud.mishap(FINISH_BATCH, 2, Mishap::Says(400, text.to_owned()));
    cloud.mishap(FINISH, 1, Mishap::Says(400, text.to_owned()));
    let dropbox = connect_to(&cloud).await;
    let placed = place_many(&dropbox, "/Out", 8).await;
    let refused: Vec<_> = placed.iter().filter_map(|p| p.as_ref().err()).collect();
    assert_eq!(refused.len() + cloud.files(), 8);
    assert!(refused.len() <= 1, "{refused:?}");
    assert!(
        refused
            .iter()
            .all(|error| error.kind() == Kind::InvalidInput)
    );
}

#[tokio::test(start_paused = true)]
async fn a_close_that_went_missing_is_made_up_for() {
    let cloud = Arc::new(Cloud::new());
    // The entry landed, but without its close.
    let open = json!({".tag":"lookup_failed","lookup_failed":{".tag":"not_closed"}});
    cloud.mishap(FINISH_BATCH, 1, Mishap::Entry(1, open));
    let dropbox = connect_to(&cloud).await;
    let placed = place_many(&dropbox, "/Out", 4).await;
    assert!(placed.iter().all(Result::is_ok), "{placed:?}");
    assert_eq!(cloud.calls("upload_session/append_v2"), 1);
}

#[tokio::test(start_paused = true)]
async fn namespaces_do_not_wait_for_each_other() {
    let cloud = Arc::new(Cloud {
        namespaces: 2,
        ..Cloud::new()
    });
    let folders = |options: &mut crate::DropboxOptions| {
        options.namespaces = vec![AssetPath::new("/Team A"), AssetPath::new("/Team A/Deep")];
    };
    let dropbox = connect_with(&cloud, folders).await;
    let of = |path| dropbox.namespace_of(&AssetPath::new(path)).to_string();
    assert_eq!(of("/team a/x.tif"), "/team a");
    assert_eq!(of("/Team A/deep/x.tif"), "/team a/deep");
    assert_eq!(of("/Team AB/x.tif"), "");
    let (one, two) = tokio::join!(
        place_many(&dropbox, "/Team A", 3),
        place_many(&dropbox, "/Out", 3)
    );
    assert!(one.iter().chain(&two).all(Result::is_ok));
    assert_eq!(cloud.state.lock().unwrap().finished, [3, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_given_up_before_it_was_sent_is_not_sent() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_to(&cloud).await;
    let session = |path: &'static str| {
        let dropbox = &dropbox;
        async move {
            let session = dropbox.begin(&at(path), 4, &mark()).await.unwrap();
            session
                .append(Chunk::new(0, Bytes::from_static(b"abcd")))
                .await
                .unwrap();
            session
        }
    };
    let (one, two, three) = tokio::join!(session("/Out/1"), session("/Out/2"), session("/Out/3"));
    // The first is under way, so the second waits for its turn.
    let of = digests(b"abcd");
    let (first, second) = tokio::join!(one.commit(&of), async {
        tokio::time::sleep(Duration::from_millis(110)).await;
        tokio::time::timeout(Duration::from_millis(20), two.commit(&of)).await
    });
    first.unwrap();
    assert!(second.is_err(), "it was still waiting");
    three.commit(&of).await.unwrap();
    assert_eq!(cloud.files(), 2);
    assert_eq!(dropbox.in_flight(), 0);
}
