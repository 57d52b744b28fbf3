//! A crash at any moment: what is known goes on, what is not is not believed, and nobody is got in the way of.

use std::future::Future;
use std::task::Poll;

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;
use windlass_core::memory::{MemoryEndpoint, Operation};
use windlass_core::{Blake3, Capabilities, ContentHash, Digests, Endpoint, Kind, UploadOrder};

use super::resume::{Case, engine, sink};
use super::support::{FakeSource, MIB, Pace};
use crate::{Engine, Transferred};

/// How an attempt is cut off.
#[derive(Clone, Debug)]
struct Crash {
    /// After so many polls.
    polls: usize,
    /// Of every so many jots one is lost, as in a power cut; 0 loses none.
    loses: usize,
    /// Whether the sink knows nothing any more.
    expires: bool,
}

fn crash() -> impl Strategy<Value = Crash> {
    (0_usize..60, 0_usize..4, prop::bool::weighted(0.1)).prop_map(|(polls, loses, expires)| Crash {
        polls,
        loses,
        expires,
    })
}

/// Polls a transfer so often and drops it, as a crash does. Its outcome if it was done by then.
async fn cut_off(
    engine: &Engine,
    source: &FakeSource,
    case: &Case,
    polls: usize,
) -> Option<Transferred> {
    let cancel = CancellationToken::new();
    let mut transfer = Box::pin(engine.transfer(source, &case.sink, &case.request, &cancel));
    let mut left = polls;
    std::future::poll_fn(|context| match transfer.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done.unwrap())),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

fn lose_jots(case: &Case, loses: usize) {
    let mut kept = case.notes.0.lock().unwrap();
    let mut number = 0;
    kept.unfinished.parts.retain(|_| {
        number += 1;
        loses == 0 || number % loses != 0
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Chunks from the sink's sheet, reads that end in any order, and crashes that lose notes.
    #[test]
    fn whenever_it_crashes_and_whatever_is_lost_the_digests_are_those_of_a_straight_transfer(
        len in 1_usize..200_000,
        power in 10_u32..16,
        in_order in any::<bool>(),
        streams in any::<bool>(),
        reads in prop::collection::vec(0_usize..9, 1..8),
        crashes in prop::collection::vec(crash(), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut case = Case::new(len);
        case.sink = MemoryEndpoint::with_capabilities("studio", Capabilities {
            upload_order: if in_order { UploadOrder::InOrder } else { UploadOrder::Any },
            chunk_bytes_max: 1 << power,
            chunk_multiple: 1 << 10,
            // Such small chunks have no block digests.
            states_content_hash: false,
            lists_content_hash: false,
            wants_chunk_hash: false,
            ..Endpoint::capabilities(&MemoryEndpoint::new("x")).clone()
        });
        let mut source = FakeSource::new(case.bytes.clone());
        source.pace = Pace { yields: reads, ..Pace::default() };
        source.sheet.range_reads = !streams;
        source.asset.content_hash = None;
        case.request.asset = source.asset.clone();
        case.request.want_content_hash = false;
        let engine = engine(1);
        runtime.block_on(async {
            let mut done = None;
            let mut expired = false;
            for crash in &crashes {
                done = cut_off(&engine, &source, &case, crash.polls).await;
                assert!(engine.gauges().at_rest(), "{:?}", engine.gauges());
                if done.is_some() {
                    break;
                }
                assert_eq!(case.sink.assets(), [], "nothing is visible before its commit");
                lose_jots(&case, crash.loses);
                if crash.expires {
                    case.sink.expire_sessions();
                    expired = true;
                }
            }
            let done = match done {
                Some(done) => done,
                None => cut_off(&engine, &source, &case, usize::MAX).await.unwrap(),
            };
            let straight = Digests {
                size: len as u64,
                blake3: Blake3::of(&case.bytes),
                content_hash: None,
            };
            assert_eq!(done.digests, straight);
            let placed = case.sink.assets();
            assert_eq!(placed.len(), 1);
            assert!(case.sink.bytes(&placed[0].id).unwrap() == case.bytes);
            // The sink here knows what it has; nothing of it was sent twice.
            let chunks = (len as u64).div_ceil(1 << power);
            if !expired && chunks > 1 {
                assert_eq!(case.sink.calls(Operation::Append), chunks);
            }
            assert!(engine.gauges().at_rest(), "{:?}", engine.gauges());
        });
    }
}

proptest! {
    // Each case hashes up to 28 MiB several times.
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// The same with blocks, content hashes of chunks, and windows of a few chunks.
    #[test]
    fn resumed_blocks_give_both_digests_of_a_straight_transfer(
        len in (5 * MIB)..(28 * MIB),
        window in 1_u64..6,
        reads in prop::collection::vec(0_usize..9, 1..8),
        crashes in prop::collection::vec(crash(), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut case = Case::new(len);
        let mut source = FakeSource::new(case.bytes.clone());
        source.pace = Pace { yields: reads, ..Pace::default() };
        case.request.asset = source.asset.clone();
        let engine = engine(window);
        runtime.block_on(async {
            let mut done = None;
            for crash in &crashes {
                done = cut_off(&engine, &source, &case, crash.polls / 4).await;
                if done.is_some() {
                    break;
                }
                lose_jots(&case, crash.loses);
            }
            let done = match done {
                Some(done) => done,
                None => cut_off(&engine, &source, &case, usize::MAX).await.unwrap(),
            };
            case.check(&done);
            assert_eq!(case.sink.calls(Operation::Append), (len as u64).div_ceil(4 << 20));
        });
    }
}

/// Leaves an attempt whose parts are all there and whose commit failed.
async fn all_there(case: &Case) {
    case.sink.inject(Operation::Commit, Kind::Unavailable);
    case.attempt(&engine(2)).await.unwrap_err();
    assert_eq!(case.acknowledged().bytes(), case.bytes.len() as u64);
}

#[tokio::test]
async fn a_session_of_other_bytes_is_never_gone_on_with() {
    // Another revision of the same size.
    let mut case = Case::new(12 * MIB);
    all_there(&case).await;
    case.bytes[5 * MIB] ^= 1;
    case.request.asset = case.source.put("/In/film.mov", case.bytes.clone()).unwrap();
    case.notes.0.lock().unwrap().unfinished.intent = None;
    let done = case.attempt(&engine(2)).await.unwrap();
    case.check(&done);
    assert_eq!((done.bytes_resumed, done.restarts), (0, 0));

    // The same revision, as the note says, but another size.
    let mut case = Case::new(12 * MIB);
    let revision = case.request.asset.revision.clone();
    all_there(&case).await;
    case.bytes.truncate(9 * MIB);
    let source = FakeSource::new(case.bytes.clone());
    case.request.asset = source.asset.clone();
    case.request.asset.revision = revision;
    let cancel = CancellationToken::new();
    let done = engine(2)
        .transfer(&source, &case.sink, &case.request, &cancel)
        .await
        .unwrap();
    case.check(&done);
    assert_eq!((done.bytes_resumed, done.restarts), (0, 0));
}

#[tokio::test]
async fn parts_whose_note_lies_are_found_out_and_sent_again_once() {
    let case = Case::new(12 * MIB);
    all_there(&case).await;
    let mut lie = case.notes.0.lock().unwrap().unfinished.parts[0]
        .digest
        .to_vec();
    lie[40] ^= 1;
    case.notes.0.lock().unwrap().unfinished.parts[0].digest = lie.into();
    case.notes.0.lock().unwrap().unfinished.intent = None;
    let done = case.attempt(&engine(2)).await.unwrap();
    case.check(&done);
    assert_eq!(done.restarts, 1, "the source states another content hash");
}

#[tokio::test]
async fn an_attempt_that_lost_its_step_stops_and_leaves_the_session_to_the_next() {
    let case = Case::new(16 * MIB);
    let engine = engine(1);
    case.sink.inject(Operation::AppendAnswer, Kind::Unavailable);
    case.attempt(&engine).await.unwrap_err();
    // This one learns in the middle that another one has the step.
    case.notes.0.lock().unwrap().superseded = true;
    let error = case.attempt(&engine).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(case.sink.assets(), []);
    assert_eq!(
        case.sink.open_sessions(),
        1,
        "the other one goes on with it"
    );
    case.notes.0.lock().unwrap().superseded = false;
    let done = case.attempt(&engine).await.unwrap();
    case.check(&done);
    assert_eq!(case.sink.calls(Operation::Append), 4);

    // A session that nobody else knows of is given up.
    let case = Case::new(16 * MIB);
    case.notes.0.lock().unwrap().superseded = true;
    let error = case.attempt(&engine).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(case.sink.open_sessions(), 0);
    assert_eq!(case.sink.calls(Operation::Append), 0);
}

#[tokio::test]
async fn without_an_intent_nobody_looks_and_with_one_the_look_comes_first() {
    let case = Case::new(9 * MIB);
    case.sink.inject(Operation::AppendAnswer, Kind::Unavailable);
    case.attempt(&engine(1)).await.unwrap_err();
    case.check(&case.attempt(&engine(1)).await.unwrap());
    assert_eq!(case.sink.calls(Operation::Find), 0);

    // An intent of other bytes is not adopted: what is there is not this content.
    let case = Case::new(9 * MIB);
    all_there(&case).await;
    {
        let mut kept = case.notes.0.lock().unwrap();
        let intent = kept.unfinished.intent.as_mut().unwrap();
        intent.content_hash = Some(ContentHash([7; 32]));
    }
    let done = case.attempt(&engine(1)).await.unwrap();
    assert_eq!(case.sink.calls(Operation::Find), 1);
    assert!(!done.adopted);
    case.check(&done);
}

#[tokio::test]
async fn a_second_disagreement_fails_with_both_digests_and_leaves_no_session() {
    let mut case = Case::new(9 * MIB);
    let stated = ContentHash([9; 32]);
    case.request.asset.content_hash = Some(stated);
    let error = case.attempt(&engine(2)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    for digest in [stated, ContentHash::of(&case.bytes)] {
        assert!(error.message().contains(&digest.to_hex()), "{error}");
    }
    assert_eq!(case.sink.calls(Operation::Begin), 2);
    assert_eq!(
        (case.sink.open_sessions(), case.sink.assets().len()),
        (0, 0)
    );
}

#[tokio::test]
async fn a_sink_that_takes_chunks_in_order_is_gone_on_with_at_its_first_gap() {
    let mut case = Case::new(21 * MIB);
    let sheet = Capabilities {
        upload_order: UploadOrder::InOrder,
        ..Endpoint::capabilities(&sink("studio")).clone()
    };
    case.sink = MemoryEndpoint::with_capabilities("studio", sheet);
    let engine = engine(3);
    case.sink.inject(Operation::AppendAnswer, Kind::Unavailable);
    case.attempt(&engine).await.unwrap_err();
    case.sink.inject(Operation::AppendAnswer, Kind::Unavailable);
    case.attempt(&engine).await.unwrap_err();
    let done = case.attempt(&engine).await.unwrap();
    case.check(&done);
    assert_eq!(done.bytes_resumed, 8 << 20);
    assert_eq!(case.sink.calls(Operation::Append), 6, "each chunk once");
}

#[tokio::test]
async fn the_engine_never_notes_a_session_that_cannot_be_gone_on_with() {
    let mut case = Case::new(9 * MIB);
    let sheet = Capabilities {
        resumes: false,
        ..Endpoint::capabilities(&sink("studio")).clone()
    };
    case.sink = MemoryEndpoint::with_capabilities("studio", sheet);
    case.sink.inject(Operation::Commit, Kind::Unavailable);
    case.attempt(&engine(2)).await.unwrap_err();
    {
        let kept = case.notes.0.lock().unwrap();
        assert_eq!((kept.unfinished.session.clone(), kept.jots), (None, 0));
        assert!(
            kept.unfinished.intent.is_some(),
            "but always what is to be committed"
        );
    }
    case.check(&case.attempt(&engine(2)).await.unwrap());
}
