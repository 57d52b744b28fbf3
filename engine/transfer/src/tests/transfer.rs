//! Every byte arrives once, in the order the sink wants, with the digests of the whole.

use std::sync::atomic::Ordering;

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;
use windlass_core::{Blake3, ContentHash, Endpoint, UploadOrder};

use super::support::{FakeSink, FakeSource, MIB, Pace, content, engine, request, rest, run, sheet};
use crate::{Phase, Transferred};

fn assert_arrived(source: &FakeSource, sink: &FakeSink, done: &Transferred) {
    assert!(sink.only_content() == source.content, "the bytes differ");
    assert_eq!(done.digests.size, source.content.len() as u64);
    assert_eq!(done.digests.blake3, Blake3::of(&source.content));
    let spoken = source.asset.content_hash.is_some() || sink.capabilities().states_content_hash;
    assert_eq!(
        done.digests.content_hash,
        spoken.then(|| ContentHash::of(&source.content))
    );
    assert_eq!(done.bytes_moved, source.content.len() as u64);
    assert_eq!((done.restarts, done.adopted), (0, false));
    sink.look(|state| assert_eq!((state.commits, state.finds, state.aborts), (1, 0, 0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Small chunks come from the sink's sheet; the delays make reads and appends end in any order.
    #[test]
    fn any_size_chunk_window_and_order_arrives_whole(
        len in prop_oneof![0usize..5_000, 0usize..300_000],
        power in 10u32..17,
        extra in 0u64..1000,
        any in any::<bool>(),
        spoken in any::<bool>(),
        reads in prop::collection::vec(0u64..50, 1..12),
        appends in prop::collection::vec(0u64..50, 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let mut sheet = sheet();
        sheet.chunk_bytes_max = (1 << power) + extra;
        sheet.chunk_multiple = 1 << 10;
        if any {
            sheet.upload_order = UploadOrder::Any;
        }
        let mut source = FakeSource::new(content(len));
        source.pace.millis = reads;
        if !spoken {
            source.asset.content_hash = None;
            sheet.states_content_hash = false;
        }
        let pace = Pace { millis: appends, ..Pace::default() };
        let sink = FakeSink::new(sheet, pace, None);
        runtime.block_on(async {
            let done = run(&engine(1, 1, 0), &source, &sink).await.unwrap();
            assert_arrived(&source, &sink, &done);
        });
    }
}

proptest! {
    // Each case hashes up to 20 MiB.
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The same with whole blocks in chunks, hash threads, and windows of a few chunks.
    #[test]
    fn any_order_of_large_chunks_arrives_whole(
        len in (0usize..20, -1isize..2).prop_map(|(mib, off)| (mib * MIB).saturating_add_signed(off)),
        window in 1u64..5,
        spare in 0u64..3,
        threads in 0usize..3,
        any in any::<bool>(),
        reads in prop::collection::vec(0usize..8, 1..6),
        appends in prop::collection::vec(0usize..8, 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut sheet = sheet();
        sheet.chunk_multiple = 4 << 20;
        if any {
            sheet.upload_order = UploadOrder::Any;
        }
        let mut source = FakeSource::new(content(len));
        source.pace.yields = reads;
        let pace = Pace { yields: appends, ..Pace::default() };
        let sink = FakeSink::new(sheet, pace, None);
        runtime.block_on(async {
            let done = run(&engine(window + spare, window, threads), &source, &sink).await.unwrap();
            assert_arrived(&source, &sink, &done);
        });
    }
}

#[tokio::test]
async fn an_empty_asset_is_committed_without_a_read_or_an_append() {
    let source = FakeSource::new(Vec::new());
    let sink = FakeSink::plain();
    let done = run(&engine(1, 1, 1), &source, &sink).await.unwrap();
    assert_arrived(&source, &sink, &done);
    assert_eq!(source.reads.load(Ordering::Relaxed), 0);
    sink.look(|state| assert_eq!(state.appends, 0));
}

#[tokio::test(start_paused = true)]
async fn reads_fill_the_window_and_no_more() {
    let mut source = FakeSource::new(content(16 * MIB));
    source.pace.millis = vec![10];
    let sink = FakeSink::plain();
    let engine = engine(8, 2, 0);
    let began = tokio::time::Instant::now();
    let request = request(&source);
    let cancel = CancellationToken::new();
    let mut transfer = Box::pin(engine.transfer(&source, &sink, &request, &cancel));
    let mut reads_max = 0;
    let mut memory_max = 0;
    loop {
        tokio::select! {
            biased;
            done = &mut transfer => {
                done.unwrap();
                break;
            }
            () = tokio::time::sleep(std::time::Duration::from_millis(1)) => {}
        };
        reads_max = reads_max.max(engine.gauges().reads);
        memory_max = memory_max.max(engine.gauges().budget_used_bytes);
    }
    assert_eq!(reads_max, 2);
    // Two of them and the transfer's own, which is one of the two.
    assert_eq!(memory_max, 8 * MIB as u64);
    // Four chunks, two at a time.
    assert_eq!(began.elapsed().as_millis(), 20);
}

#[tokio::test(start_paused = true)]
async fn opening_the_session_and_the_first_reads_overlap() {
    let mut source = FakeSource::new(content(100));
    source.pace.millis = vec![80];
    let pace = Pace {
        millis: vec![80],
        ..Pace::default()
    };
    let sink = FakeSink::new(sheet(), pace, None);
    let began = tokio::time::Instant::now();
    run(&engine(1, 1, 0), &source, &sink).await.unwrap();
    // Begin and read together, then append, then commit.
    assert_eq!(began.elapsed().as_millis(), 240);
}

#[tokio::test(start_paused = true)]
async fn appends_go_one_at_a_time_in_order_and_together_where_order_does_not_matter() {
    for (order, at_once) in [(UploadOrder::InOrder, 1), (UploadOrder::Any, 4)] {
        let source = FakeSource::new(content(16 * MIB));
        let pace = Pace {
            millis: vec![50],
            ..Pace::default()
        };
        let mut sheet = sheet();
        sheet.upload_order = order;
        let sink = FakeSink::new(sheet, pace, None);
        run(&engine(4, 4, 0), &source, &sink).await.unwrap();
        sink.look(|state| assert_eq!(state.appending_max, at_once));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_read_does_not_hold_the_others_up_where_order_does_not_matter() {
    // The first read takes a second, all others 10 ms.
    let mut source = FakeSource::new(content(64 * 1024));
    source.pace.millis = vec![10; 64];
    source.pace.millis[0] = 1000;
    let mut sheet = sheet();
    sheet.upload_order = UploadOrder::Any;
    sheet.chunk_bytes_max = 1024;
    sheet.states_content_hash = false;
    source.asset.content_hash = None;
    let sink = FakeSink::new(sheet, Pace::default(), None);
    let began = tokio::time::Instant::now();
    let done = run(&engine(1, 1, 0), &source, &sink).await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 1000);
    assert_eq!(done.digests.blake3, Blake3::of(&source.content));
    assert_eq!(done.digests.content_hash, None);
}

#[tokio::test]
async fn the_content_hash_is_computed_where_somebody_speaks_it() {
    for (listed, stated, wanted) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (false, false, true),
    ] {
        let mut source = FakeSource::new(content(5000));
        if !listed {
            source.asset.content_hash = None;
        }
        let mut sheet = sheet();
        sheet.states_content_hash = stated;
        let sink = FakeSink::new(sheet, Pace::default(), None);
        let mut request = request(&source);
        request.want_content_hash = wanted;
        let done = engine(1, 1, 0)
            .transfer(&source, &sink, &request, &CancellationToken::new())
            .await
            .unwrap();
        let spoken = listed || stated || wanted;
        assert_eq!(
            done.digests.content_hash,
            spoken.then(|| ContentHash::of(&source.content))
        );
    }
}

#[tokio::test]
async fn progress_counts_the_bytes_and_ends_ended() {
    let source = FakeSource::new(content(9 * MIB));
    let sink = FakeSink::plain();
    let request = request(&source);
    let engine = engine(2, 2, 1);
    assert_eq!(request.progress.snapshot().phase, Phase::Queued);
    engine
        .transfer(&source, &sink, &request, &CancellationToken::new())
        .await
        .unwrap();
    let seen = request.progress.snapshot();
    let size = 9 * MIB as u64;
    assert_eq!(
        (seen.bytes_total, seen.bytes_fetched, seen.bytes_pushed),
        (size, size, size)
    );
    assert_eq!((seen.restarts, seen.phase), (0, Phase::Ended));
    let gauges = engine.gauges();
    assert_eq!((gauges.bytes_fetched, gauges.bytes_pushed), (size, size));
}

#[tokio::test]
async fn digesting_reads_everything_once_and_holds_nothing_afterwards() {
    let mut source = FakeSource::new(content(9 * MIB + 1));
    source.pace.yields = vec![3, 0, 1];
    let engine = engine(3, 2, 2);
    let cancel = CancellationToken::new();
    let digests = engine
        .digest(&source, &source.asset, &cancel)
        .await
        .unwrap();
    assert_eq!(digests.size, source.asset.size);
    assert_eq!(digests.blake3, Blake3::of(&source.content));
    assert_eq!(digests.content_hash, source.asset.content_hash);
    assert_eq!(source.reads.load(Ordering::Relaxed), 3);
    rest(&engine).await;
}
