//! What another attempt need not do again, and how files are cut.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;
use windlass_core::memory::{MemoryEndpoint, Operation};
use windlass_core::{
    AssetPath, Blake3, ByteSize, Capabilities, ContentHash, Correlation, Destination, Digests,
    Draft, Endpoint, Error, Journal, Kind, Part, Ranges, Result, Status, Unfinished,
};

use super::support::{FakeSource, MIB, Pace, content};
use crate::{Engine, EngineOptions, TransferRequest, Transferred};

/// A journal as a ledger keeps it, over attempts.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) Mutex<Kept>);

#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) unfinished: Unfinished,
    pub(super) jots: u64,
    /// No more is written down, as when the process ends here.
    pub(super) dead: bool,
    /// Another attempt has the step.
    pub(super) superseded: bool,
}

impl Kept {
    fn check(&self) -> Result<()> {
        match self.superseded {
            true => Err(Error::new(Kind::Conflict, "another attempt has the step")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Journal for Notes {
    fn take_unfinished(&self) -> Unfinished {
        self.0.lock().unwrap().unfinished.clone()
    }

    async fn opened(&self, session: &str) -> Result<()> {
        let mut kept = self.0.lock().unwrap();
        kept.check()?;
        kept.unfinished.session = Some(session.to_owned());
        kept.unfinished.parts.clear();
        Ok(())
    }

    fn acknowledged(&self, part: Part) -> Result<()> {
        let mut kept = self.0.lock().unwrap();
        kept.jots += 1;
        kept.check()?;
        if !kept.dead {
            kept.unfinished.parts.push(part);
            kept.unfinished.parts.sort_by_key(|part| part.offset);
        }
        Ok(())
    }

    async fn intend(&self, digests: &Digests) -> Result<()> {
        let mut kept = self.0.lock().unwrap();
        kept.check()?;
        kept.unfinished.intent = Some(*digests);
        Ok(())
    }

    async fn restarted(&self) -> Result<()> {
        self.0.lock().unwrap().unfinished = Unfinished::default();
        Ok(())
    }
}

pub(super) fn sink(name: &str) -> MemoryEndpoint {
    let sheet = Capabilities {
        wants_chunk_hash: true,
        chunk_multiple: 4 << 20,
        chunk_bytes_max: 148 << 20,
        ..Endpoint::capabilities(&MemoryEndpoint::new("x")).clone()
    };
    MemoryEndpoint::with_capabilities(name, sheet)
}

pub(super) fn engine(window_chunks: u64) -> Engine {
    Engine::new(EngineOptions {
        budget: ByteSize::mib(64),
        chunk: ByteSize::mib(4),
        chunk_max: ByteSize::mib(4),
        window: ByteSize::mib(4 * window_chunks),
        hash_threads: 0,
        ..EngineOptions::default()
    })
    .unwrap()
}

pub(super) struct Case {
    pub(super) source: MemoryEndpoint,
    pub(super) sink: MemoryEndpoint,
    pub(super) notes: Arc<Notes>,
    pub(super) request: TransferRequest,
    pub(super) bytes: Vec<u8>,
}

impl Case {
    pub(super) fn new(size: usize) -> Case {
        let bytes = content(size);
        let source = MemoryEndpoint::new("nas");
        let asset = source.put("/In/film.mov", bytes.clone()).unwrap();
        let notes = Arc::new(Notes::default());
        let request = TransferRequest {
            correlation: Correlation::derive("flow", "nas", "id", asset.revision.as_str()),
            asset,
            destination: Destination::New {
                draft: Draft {
                    name: "film".into(),
                    file_name: "film.mov".into(),
                    collection: AssetPath::new("/Out"),
                    asset_type: None,
                    fields: Vec::new(),
                    availability: None,
                    handing: None,
                    yields: BTreeSet::new(),
                },
            },
            want_content_hash: true,
            progress: Arc::default(),
            journal: Some(Arc::clone(&notes) as Arc<dyn Journal>),
            gate: None,
        };
        Case {
            source,
            sink: sink("studio"),
            notes,
            request,
            bytes,
        }
    }

    pub(super) async fn attempt(&self, engine: &Engine) -> Result<Transferred> {
        let cancel = CancellationToken::new();
        let outcome = engine
            .transfer(&self.source, &self.sink, &self.request, &cancel)
            .await;
        engine.trim();
        assert!(engine.gauges().at_rest(), "{:?}", engine.gauges());
        outcome
    }

    pub(super) fn check(&self, done: &Transferred) {
        let expected = Digests {
            size: self.bytes.len() as u64,
            blake3: Blake3::of(&self.bytes),
            content_hash: Some(ContentHash::of(&self.bytes)),
        };
        assert_eq!(done.digests, expected);
        let assets = self.sink.assets();
        assert_eq!(assets.len(), 1);
        assert_eq!(self.sink.bytes(&assets[0].id).unwrap(), self.bytes);
    }

    pub(super) fn acknowledged(&self) -> Ranges {
        let kept = self.notes.0.lock().unwrap();
        let parts = kept.unfinished.parts.iter();
        parts
            .map(|part| part.offset..part.offset + part.length)
            .collect()
    }
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_was_and_does_not_begin_at_zero() {
    let case = Case::new(23 * MIB + 5);
    let engine = engine(1);
    // Whether a call failed once or in vain for as long as calls are tried: the step is tried again.
    for status in [Status::Temporary, Status::Persistent, Status::Temporary] {
        let broken = Error::new(Kind::Unavailable, "the connection broke").with_status(status);
        case.sink.inject_error(Operation::AppendAnswer, broken);
    }
    let mut sent = 0;
    let done = loop {
        match case.attempt(&engine).await {
            Ok(done) => break done,
            Err(error) => assert_eq!(error.kind(), Kind::Unavailable),
        }
        sent += 1;
    };
    assert_eq!(sent, 3);
    case.check(&done);
    assert_eq!(case.sink.open_sessions(), 0, "nothing is left behind");
    // Three parts were sent whose answers were lost; the sink knew of them when it was asked.
    assert_eq!(case.sink.calls(Operation::Append), 6);
    assert_eq!(
        done.bytes_moved + done.bytes_resumed,
        case.bytes.len() as u64
    );
}

#[tokio::test]
async fn what_was_acknowledged_is_neither_read_nor_sent_again_after_a_crash() {
    for polls in [2, 5, 9, 14, 20] {
        let mut case = Case::new(40 * MIB);
        let engine = engine(4);
        let source = FakeSource {
            pace: Pace {
                yields: vec![6, 3, 11, 25],
                ..Pace::default()
            },
            ..FakeSource::new(case.bytes.clone())
        };
        case.request.asset = source.asset.clone();
        let cancel = CancellationToken::new();
        let mut transfer = Box::pin(engine.transfer(&source, &case.sink, &case.request, &cancel));
        for _ in 0..polls {
            let pending = std::future::poll_fn(|context| {
                std::task::Poll::Ready(transfer.as_mut().poll(context).is_pending())
            });
            assert!(pending.await, "it ended before the crash");
        }
        // The process ends while reads and appends are under way.
        drop(transfer);
        assert!(engine.gauges().at_rest());
        let acknowledged = case.acknowledged().bytes();
        assert_eq!(acknowledged, case.sink.calls(Operation::Append) * (4 << 20));
        let reads = source.reads.load(std::sync::atomic::Ordering::Relaxed);
        let done = engine
            .transfer(&source, &case.sink, &case.request, &cancel)
            .await
            .unwrap();
        case.check(&done);
        assert_eq!(done.bytes_resumed, acknowledged);
        assert_eq!(
            case.sink.calls(Operation::Append),
            10,
            "each part was sent once"
        );
        let reads = source.reads.load(std::sync::atomic::Ordering::Relaxed) - reads;
        assert_eq!(reads as u64 * (4 << 20), (40 << 20) - acknowledged);
    }
}

#[tokio::test]
async fn a_session_that_the_sink_no_longer_has_is_begun_anew() {
    let case = Case::new(12 * MIB);
    let engine = engine(1);
    case.sink.inject(Operation::AppendAnswer, Kind::Unavailable);
    case.attempt(&engine).await.unwrap_err();
    case.sink.expire_sessions();
    let done = case.attempt(&engine).await.unwrap();
    case.check(&done);
    assert_eq!(done.bytes_resumed, 0);
}

#[tokio::test]
async fn what_the_sink_has_and_nobody_noted_is_read_for_its_digest_and_not_sent() {
    let case = Case::new(16 * MIB);
    let engine = engine(1);
    case.notes.0.lock().unwrap().dead = true;
    case.sink.inject(Operation::Commit, Kind::Unavailable);
    case.attempt(&engine).await.unwrap_err();
    let appends = case.sink.calls(Operation::Append);
    let done = case.attempt(&engine).await.unwrap();
    case.check(&done);
    assert_eq!(case.sink.calls(Operation::Append), appends);
    assert_eq!(done.bytes_resumed, 16 << 20);
    assert_eq!(done.bytes_moved, 0);
}

#[tokio::test]
async fn damaged_notes_cost_bytes_and_nothing_else() {
    for damage in [&[][..], &[9; 33], &[1; 20], &[1; 33]] {
        let case = Case::new(16 * MIB);
        let engine = engine(1);
        case.sink.inject(Operation::Commit, Kind::Unavailable);
        case.attempt(&engine).await.unwrap_err();
        for part in &mut case.notes.0.lock().unwrap().unfinished.parts {
            part.digest = bytes::Bytes::from_static(damage);
        }
        let done = case.attempt(&engine).await.unwrap();
        case.check(&done);
    }
    let case = Case::new(16 * MIB);
    case.notes.0.lock().unwrap().unfinished.session = Some("not ours".into());
    case.check(&case.attempt(&engine(1)).await.unwrap());
}

#[tokio::test]
async fn a_commit_whose_outcome_nobody_learned_is_adopted_without_reading_a_byte() {
    let case = Case::new(9 * MIB);
    let engine = engine(2);
    case.sink.inject(Operation::CommitAnswer, Kind::Ambiguous);
    case.sink.inject(Operation::Find, Kind::Unavailable);
    let lost = case.attempt(&engine).await.unwrap_err();
    assert_eq!(lost.kind(), Kind::Ambiguous);
    let (reads, appends) = (
        case.source.calls(Operation::Read),
        case.sink.calls(Operation::Append),
    );
    let done = case.attempt(&engine).await.unwrap();
    case.check(&done);
    assert!(done.adopted);
    assert_eq!(done.bytes_moved, 0);
    assert_eq!(case.source.calls(Operation::Read), reads);
    assert_eq!(case.sink.calls(Operation::Append), appends);
}

#[tokio::test]
async fn an_intent_that_came_to_nothing_is_carried_out_from_what_is_there() {
    let case = Case::new(9 * MIB);
    let engine = engine(2);
    case.sink.inject(Operation::Commit, Kind::Unavailable);
    case.attempt(&engine).await.unwrap_err();
    let appends = case.sink.calls(Operation::Append);
    let done = case.attempt(&engine).await.unwrap();
    case.check(&done);
    assert!(!done.adopted);
    assert_eq!(case.sink.calls(Operation::Append), appends);
}

#[tokio::test]
async fn a_disagreement_forgets_the_session_and_begins_again_once() {
    let case = Case::new(9 * MIB);
    case.sink.inject(Operation::Commit, Kind::Integrity);
    let done = case.attempt(&engine(2)).await.unwrap();
    assert_eq!(done.restarts, 1);
    case.check(&done);
}

#[tokio::test]
async fn a_source_without_ranges_is_read_once_from_front_to_back() {
    let mut case = Case::new(21 * MIB + 9);
    let sheet = Capabilities {
        range_reads: false,
        ..Endpoint::capabilities(&case.source).clone()
    };
    let source = MemoryEndpoint::with_capabilities("nas", sheet);
    case.request.asset = source.put("/In/film.mov", case.bytes.clone()).unwrap();
    case.source = source;
    let done = case.attempt(&engine(4)).await.unwrap();
    case.check(&done);
    assert_eq!(case.source.calls(Operation::Open), 1);
    assert_eq!(case.source.calls(Operation::Read), 6);
    assert_eq!(case.source.calls(Operation::Stat), 0);
}

#[tokio::test]
async fn a_source_that_ends_early_is_never_committed() {
    for what in [
        windlass_core::memory::Disturbance::Shrink,
        windlass_core::memory::Disturbance::Vanish,
        windlass_core::memory::Disturbance::Grow,
    ] {
        let case = Case::new(12 * MIB);
        case.source.disturb(&case.request.asset.id, 2, what);
        let error = case.attempt(&engine(1)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::SourceChanged);
        assert_eq!(case.sink.assets(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_move_is_given_up_with_the_reason_and_goes_on_later() {
    let hangs = FakeSource {
        fault: Some(super::support::ReadFault::HangsFrom(1)),
        ..FakeSource::new(content(12 * MIB))
    };
    let sink = super::support::FakeSink::new(super::support::sheet(), Pace::default(), None);
    let error = super::support::run(&engine(1), &hangs, &sink)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.is_temporary());
    assert_eq!(
        error.message(),
        "nothing moved for 120 s while the source sent bytes 4194304..8388608"
    );
}

fn layout_of(options: &EngineOptions, size: u64) -> u64 {
    let engine = Engine::new(options.clone()).unwrap();
    let source = MemoryEndpoint::new("nas");
    let mut asset = source.put("/film.mov", b"x".to_vec()).unwrap();
    asset.size = size;
    let request = TransferRequest {
        asset,
        ..Case::new(1).request
    };
    let sink = sink("studio");
    let job = crate::transfer::Job::new(engine.shared(), &source, &sink, &request).unwrap();
    job.layout.chunk_bytes()
}

#[test]
fn larger_files_are_cut_into_larger_chunks_and_small_ones_keep_connections_busy() {
    let options = EngineOptions {
        budget: ByteSize::mib(2048),
        window: ByteSize::mib(1024),
        hash_threads: 0,
        ..EngineOptions::default()
    };
    let mib = |size: u64| layout_of(&options, size << 20) >> 20;
    assert_eq!(mib(100), 8);
    assert_eq!(mib(1 << 10), 8);
    assert_eq!(mib(2 << 10), 16);
    assert_eq!(mib(8 << 10), 64);
    assert_eq!(mib(1 << 20), 64, "not above what was allowed");
    let saving = EngineOptions {
        saves_calls: true,
        chunk_max: ByteSize::mib(128),
        ..options.clone()
    };
    assert_eq!(layout_of(&saving, 300 << 20) >> 20, 128);
    let many = EngineOptions {
        parts_in_flight: 128,
        ..options.clone()
    };
    assert_eq!(layout_of(&many, 16 << 30) >> 20, 8, "128 of them");
    // The table of `cut`.
    let quarter = EngineOptions {
        window: ByteSize::mib(256),
        ..options.clone()
    };
    for (size, chunk) in [(100, 8), (1 << 10, 8), (2 << 10, 16), (16 << 10, 16)] {
        assert_eq!(layout_of(&quarter, size << 20) >> 20, chunk, "{size} MiB");
    }
    let narrow = EngineOptions {
        window: ByteSize::mib(128),
        ..options
    };
    assert_eq!(
        layout_of(&narrow, 16 << 30) >> 20,
        8,
        "16 of them fit in the window"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_there_the_digests_are_those_of_the_bytes(
        size in (5 * MIB)..(30 * MIB),
        window in 1_u64..6,
        faults in prop::collection::vec((0_usize..4, 0_usize..6), 0..6),
        forgets in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let case = Case::new(size);
            let engine = engine(window);
            for (what, _) in &faults {
                let operation = [
                    Operation::Append,
                    Operation::AppendAnswer,
                    Operation::Commit,
                    Operation::Read,
                ][*what];
                case.sink.inject(operation, Kind::Unavailable);
                case.source.inject(operation, Kind::Unavailable);
            }
            case.notes.0.lock().unwrap().dead = forgets;
            let mut tries = 0;
            let done = loop {
                tries += 1;
                assert!(tries < 40);
                match case.attempt(&engine).await {
                    Ok(done) => break done,
                    Err(error) => assert!(error.is_temporary(), "{error:?}"),
                }
            };
            case.check(&done);
            if !forgets {
                let jotted = case.notes.0.lock().unwrap().jots;
                assert!(jotted <= (size as u64).div_ceil(4 << 20) + 1, "a part is noted once");
            }
        });
    }
}
