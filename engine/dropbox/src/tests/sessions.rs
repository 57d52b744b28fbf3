//! Large files: concurrent chunks, the close that goes last, losses, and going on after a crash.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use windlass_core::digest::BLOCK_BYTES;
use windlass_core::{
    AssetId, Chunk, Clock, ContentHash, Destination, Endpoint, Evidence, Kind, Sink, UploadOrder,
    UploadSession,
};

use super::cloud::{Cloud, Mishap, connect_to, connect_with};
use super::express::{at, digests, mark};
use crate::DropboxEndpoint;

const START: &str = "upload_session/start";
const APPEND: &str = "upload_session/append_v2";
const FINISH: &str = "upload_session/finish";
const BLOCK: u64 = BLOCK_BYTES as u64;

/// So many blocks and a rest, all different.
fn content(blocks: usize, rest: usize) -> Bytes {
    let mut bytes = vec![0; blocks * BLOCK_BYTES + rest];
    for (index, block) in bytes.chunks_mut(BLOCK_BYTES).enumerate() {
        block.fill(index as u8 + 1);
    }
    Bytes::from(bytes)
}

/// The content in blocks, with the hash that a data plane gives along.
fn chunks(bytes: &Bytes) -> Vec<Chunk> {
    let starts = (0..bytes.len()).step_by(BLOCK_BYTES);
    let chunk = |start: usize| {
        let bytes = bytes.slice(start..bytes.len().min(start + BLOCK_BYTES));
        Chunk {
            content_hash: Some(ContentHash::of(&bytes)),
            ..Chunk::new(start as u64, bytes)
        }
    };
    starts.map(chunk).collect()
}

async fn begin(cloud: &Arc<Cloud>, path: &str, bytes: &Bytes) -> Box<dyn UploadSession> {
    let dropbox = connect_to(cloud).await;
    let size = bytes.len() as u64;
    dropbox.begin(&at(path), size, &mark()).await.unwrap()
}

/// Sends chunks at once, in this order.
async fn send(session: &dyn UploadSession, chunks: Vec<Chunk>) -> windlass_core::Result<()> {
    let sent = join_all(chunks.into_iter().map(|chunk| session.append(chunk))).await;
    sent.into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn chunks_travel_in_any_order_at_once_and_the_last_one_closes() {
    for rest in [0, 5] {
        let cloud = Arc::new(Cloud::new());
        let bytes = content(5, rest);
        let session = begin(&cloud, "/Out/a.mov", &bytes).await;
        let began = tokio::time::Instant::now();
        let mut reversed = chunks(&bytes);
        reversed.reverse();
        // The cloud panics where the close comes before all others.
        send(&*session, reversed).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(200), "two rounds");
        assert_eq!(session.acknowledged(), [0..bytes.len() as u64]);
        let placed = session.commit(&digests(&bytes)).await.unwrap();
        assert_eq!(placed.evidence, Evidence::E2);
        assert_eq!(cloud.calls(APPEND), bytes.len().div_ceil(BLOCK_BYTES));
        assert_eq!(cloud.again(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_sheet_says_how_chunks_are_wanted() {
    let dropbox = connect_to(&Arc::new(Cloud::new())).await;
    let sheet = dropbox.capabilities();
    assert_eq!(sheet.upload_order, UploadOrder::Any);
    assert_eq!(
        (sheet.chunk_multiple, sheet.chunk_bytes_max),
        (BLOCK, 37 * BLOCK)
    );
    assert!(sheet.wants_chunk_hash && sheet.resumes);
}

#[tokio::test(start_paused = true)]
async fn a_call_lost_before_or_after_the_service_acted_costs_one_call_and_no_file() {
    let routes = [
        (START, 1),
        (APPEND, 1),
        (APPEND, 3),
        (APPEND, 4),
        (FINISH, 1),
    ];
    for (route, nth) in routes {
        for mishap in [
            Mishap::LostBefore,
            Mishap::LostAfter,
            Mishap::Says(500, "<html>".to_owned()),
        ] {
            let cloud = Arc::new(Cloud::new());
            cloud.mishap(route, nth, mishap.clone());
            let bytes = content(3, 1);
            let session = begin(&cloud, "/Out/a.mov", &bytes).await;
            send(&*session, chunks(&bytes)).await.unwrap();
            let placed = session.commit(&digests(&bytes)).await.unwrap();
            assert_eq!(placed.evidence, Evidence::E2, "{route} {nth} {mishap:?}");
            assert_eq!(cloud.again(), 0, "{route} {nth} {mishap:?}");
            let calls = cloud.calls(route);
            assert!(calls <= 5, "{route} {nth} {mishap:?}: {calls}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_cannot_be_sent_keeps_the_closing_one_from_waiting_for_ever() {
    let cloud = Arc::new(Cloud::new());
    let error = json!({"error":{".tag":"too_large"},"error_summary":"too_large/"});
    cloud.mishap(APPEND, 1, Mishap::Says(409, error.to_string()));
    let bytes = content(2, 1);
    let session = begin(&cloud, "/Out/a.mov", &bytes).await;
    let mut parts = chunks(&bytes).into_iter();
    let (first, second, last) = (parts.next(), parts.next(), parts.next());
    let (first, second, last) = tokio::join!(
        session.append(first.unwrap()),
        session.append(second.unwrap()),
        session.append(last.clone().unwrap()),
    );
    let failed = [first, second].into_iter().filter_map(Result::err);
    let kinds: Vec<_> = failed.map(|error| error.kind()).collect();
    assert_eq!(kinds, [Kind::InvalidInput]);
    let held = last.unwrap_err();
    assert_eq!(held.kind(), Kind::Unavailable);
    assert!(held.is_temporary());
    // What failed can be sent again, and then the close goes.
    let missing = chunks(&bytes).into_iter().filter(|chunk| {
        let end = chunk.range().end;
        let has = session.acknowledged();
        !has.iter()
            .any(|range| range.start <= chunk.offset && end <= range.end)
    });
    send(&*session, missing.collect()).await.unwrap();
    session.commit(&digests(&bytes)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_the_upload_is_refused_here() {
    let cloud = Arc::new(Cloud::new());
    let bytes = content(2, 1);
    let session = begin(&cloud, "/Out/a.mov", &bytes).await;
    for (offset, length) in [(1, BLOCK_BYTES), (0, 5), (2 * BLOCK, 2), (0, 0)] {
        let chunk = Chunk::new(offset, Bytes::from(vec![0; length]));
        let error = session.append(chunk).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{offset}+{length}");
    }
    let first = chunks(&bytes).remove(0);
    session.append(first.clone()).await.unwrap();
    let again = session.append(first).await.unwrap_err();
    assert_eq!(again.kind(), Kind::InvalidInput, "it is acknowledged");
    let error = session.commit(&digests(&bytes)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
}

#[tokio::test(start_paused = true)]
async fn sessions_for_many_large_files_are_started_together() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_to(&cloud).await;
    for n in 0..20 {
        let destination = at(&format!("/Out/{n}"));
        dropbox
            .begin(&destination, 9 * BLOCK, &mark())
            .await
            .unwrap();
    }
    // 1, 2, 4, 8, 16: twice as many each time.
    assert_eq!((cloud.calls(START), cloud.calls_in_all()), (1, 5));
}

/// Goes on with a session as a later process does.
pub(super) async fn resume(
    dropbox: &DropboxEndpoint,
    destination: &Destination,
    size: u64,
    words: &str,
    acknowledged: &[Range<u64>],
) -> Option<Box<dyn UploadSession>> {
    let mark = mark();
    let resumed = dropbox.resume(destination, size, &mark, words, acknowledged);
    resumed.await.unwrap()
}

/// A clock that a test sets.
#[derive(Debug)]
struct Set(Mutex<Timestamp>);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_no_acknowledged_byte_is_sent_again() {
    let cloud = Arc::new(Cloud::new());
    let bytes = content(6, 7);
    let first = begin(&cloud, "/Out/a.mov", &bytes).await;
    let all = chunks(&bytes);
    send(&*first, vec![all[1].clone(), all[4].clone()])
        .await
        .unwrap();
    let (checkpoint, acknowledged) = (first.checkpoint().unwrap(), first.acknowledged());
    drop(first);

    let dropbox = connect_to(&cloud).await;
    let size = bytes.len() as u64;
    let resumed = resume(
        &dropbox,
        &at("/Out/a.mov"),
        size,
        &checkpoint,
        &acknowledged,
    )
    .await;
    let session = resumed.expect("it is there");
    assert_eq!(
        session.acknowledged(),
        [BLOCK..2 * BLOCK, 4 * BLOCK..5 * BLOCK]
    );
    assert_eq!(session.checkpoint(), Some(checkpoint));
    let rest = all
        .into_iter()
        .enumerate()
        .filter(|(n, _)| ![1, 4].contains(n));
    send(&*session, rest.map(|(_, chunk)| chunk).collect())
        .await
        .unwrap();
    session.commit(&digests(&bytes)).await.unwrap();
    assert_eq!(cloud.again(), 0);
    assert_eq!(cloud.files(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_closed_before_the_crash_has_everything() {
    let cloud = Arc::new(Cloud::new());
    let bytes = content(2, 1);
    let size = bytes.len() as u64;
    let first = begin(&cloud, "/Out/a.mov", &bytes).await;
    send(&*first, chunks(&bytes)).await.unwrap();
    let checkpoint = first.checkpoint().unwrap();
    let dropbox = connect_to(&cloud).await;
    // The last acknowledgements were not written down.
    let resumed = resume(&dropbox, &at("/Out/a.mov"), size, &checkpoint, &[0..BLOCK]).await;
    let session = resumed.unwrap();
    assert_eq!(session.acknowledged(), [0..size]);
    session.commit(&digests(&bytes)).await.unwrap();
    assert_eq!(cloud.again(), 0);
    // Finished: it is no longer there.
    let resumed = resume(&dropbox, &at("/Out/a.mov"), size, &checkpoint, &[0..size]).await;
    assert!(resumed.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_sequential_session_is_asked_where_it_stands() {
    let cloud = Arc::new(Cloud::new());
    let bytes = content(3, 1);
    let size = bytes.len() as u64;
    let in_order = || connect_with(&cloud, |options| options.concurrent_sessions = false);
    let first = in_order()
        .await
        .begin(&at("/Out/a.mov"), size, &mark())
        .await
        .unwrap();
    let all = chunks(&bytes);
    first.append(all[0].clone()).await.unwrap();
    first.append(all[1].clone()).await.unwrap();
    let checkpoint = first.checkpoint().unwrap();
    // Only the first acknowledgement was written down; the endpoint's own way does not matter.
    let dropbox = connect_to(&cloud).await;
    let resumed = resume(&dropbox, &at("/Out/a.mov"), size, &checkpoint, &[0..BLOCK]).await;
    let session = resumed.unwrap();
    assert_eq!(session.acknowledged(), [0..2 * BLOCK]);
    session.append(all[2].clone()).await.unwrap();
    session.append(all[3].clone()).await.unwrap();
    session.commit(&digests(&bytes)).await.unwrap();
    assert_eq!(cloud.again(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_old_a_foreign_and_a_misplaced_session_are_not_gone_on_with() {
    let cloud = Arc::new(Cloud::new());
    let bytes = content(2, 1);
    let size = bytes.len() as u64;
    let start: Timestamp = "2026-03-01T08:00:00Z".parse().unwrap();
    let clock = Arc::new(Set(Mutex::new(start)));
    let shared: Arc<dyn Clock> = Arc::<Set>::clone(&clock);
    let dropbox = connect_with(&cloud, |options| options.clock = shared).await;
    let session = dropbox.begin(&at("/Out/a"), size, &mark()).await.unwrap();
    let checkpoint = session.checkpoint().unwrap();
    let calls = cloud.calls_in_all();
    let version = Destination::Version {
        asset: AssetId::new("id:a"),
        draft: at("/Out/a").draft().clone(),
        replaces: None,
    };
    for (destination, words) in [
        (at("/Out/a"), "another sink's words"),
        (version, checkpoint.as_str()),
    ] {
        let resumed = resume(&dropbox, &destination, size, words, &[]).await;
        assert!(resumed.is_none());
    }
    *clock.0.lock().unwrap() = start + SignedDuration::from_hours(24 * 6);
    let resumed = resume(&dropbox, &at("/Out/a"), size, &checkpoint, &[]).await;
    assert!(resumed.is_some(), "six days are fine");
    *clock.0.lock().unwrap() = start + SignedDuration::from_hours(24 * 7 - 10);
    let resumed = resume(&dropbox, &at("/Out/a"), size, &checkpoint, &[]).await;
    assert!(resumed.is_none(), "it may end at any time");
    assert_eq!(cloud.calls_in_all(), calls + 1);
    // More than the file has: it was another file.
    *clock.0.lock().unwrap() = start;
    let resumed = resume(&dropbox, &at("/Out/a"), BLOCK, &checkpoint, &[0..2 * BLOCK]).await;
    assert!(resumed.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_small_file_that_was_packed_before_the_crash_is_only_committed() {
    let cloud = Arc::new(Cloud::new());
    let dropbox = connect_to(&cloud).await;
    let bytes = Bytes::from_static(b"small");
    let (one, two) = (at("/Out/one"), at("/Out/two"));
    let first = dropbox.begin(&one, 5, &mark()).await.unwrap();
    let second = dropbox.begin(&two, 5, &mark()).await.unwrap();
    let sent = tokio::join!(
        first.append(Chunk::new(0, bytes.clone())),
        second.append(Chunk::new(0, bytes.clone())),
    );
    assert!(sent.0.is_ok() && sent.1.is_ok());
    assert_eq!(first.acknowledged(), [0..5]);
    let checkpoint = first.checkpoint().unwrap();
    drop((first, second));
    let dropbox = connect_to(&cloud).await;
    let resumed = dropbox.resume(&one, 5, &mark(), &checkpoint, &[0..5]).await;
    let session = resumed.unwrap().unwrap();
    assert_eq!(session.acknowledged(), [0..5]);
    session.commit(&digests(b"small")).await.unwrap();
    assert_eq!((cloud.files(), cloud.again()), (1, 0));
}
