//! What went wrong elsewhere, and does not here.
//!
//! | where | what happened | held by |
//! |---|---|---|
//! | rclone#1806 | any error restarted a 40 GB upload at 0 | `resume::a_broken_transfer_goes_on_where_it_was_and_does_not_begin_at_zero`, `stall::a_read_that_hangs_is_made_again_and_the_step_goes_on` |
//! | rclone#1483 | two seconds at full speed, ten idle | here |
//! | rclone#9704 | a source that ended early was committed, or appended empty chunks for ever | here |
//! | rclone 3a8e52de7 | a file that grew while it was read never ended | here |
//! | rclone#9685 | 48 MiB of buffer for a tiny file | `memory::a_buffer_is_as_large_as_its_file` |
//! | rclone#9686 | one more, empty, append for every small file | here |
//! | rclone#9688, e0701daea | cancelling stopped no request, and cancelled ones were retried | `stall::cancelling_stops_requests_and_cancelled_calls_are_not_made_again` |
//! | rclone#5491, maestral#1116 | 0 B/s for hours | `stall::nothing_stands_still_for_hours_what_hangs_ends_with_its_name` |
//! | rclone d975196cf | bytes that had arrived were sent again | `resume::what_the_sink_has_and_nobody_noted_is_read_for_its_digest_and_not_sent` |

use std::sync::atomic::Ordering;

use tokio::time::Instant;
use windlass_core::{Asset, Kind, Revision, UploadOrder};

use super::support::{FakeSink, FakeSource, MIB, Pace, ReadFault, content, engine, run, sheet};

#[tokio::test(start_paused = true)]
async fn reading_and_sending_overlap_instead_of_taking_turns() {
    for (order, streams) in [
        (UploadOrder::InOrder, false),
        (UploadOrder::Any, false),
        (UploadOrder::InOrder, true),
        (UploadOrder::Any, true),
    ] {
        for wants_chunk_hash in [false, true] {
            let mut source = FakeSource::new(content(32 * MIB));
            source.pace.millis = vec![100];
            source.sheet.range_reads = !streams;
            let mut sheet = sheet();
            sheet.upload_order = order;
            sheet.wants_chunk_hash = wants_chunk_hash;
            let pace = Pace {
                millis: vec![100],
                ..Pace::default()
            };
            let sink = FakeSink::new(sheet, pace, None);
            let began = Instant::now();
            // One chunk is read while another is sent.
            run(&engine(2, 2, 0), &source, &sink).await.unwrap();
            // By turns: 8 × 200 ms, and 200 ms for begin and commit.
            let took = began.elapsed().as_millis();
            assert!(
                took <= 1100 + 100,
                "{order:?}, streams {streams}: {took} ms"
            );
        }
    }
}

fn now(asset: &Asset, size: u64) -> Asset {
    Asset {
        revision: Revision::new("r2"),
        size,
        ..asset.clone()
    }
}

#[tokio::test]
async fn a_source_that_ends_early_is_never_committed_and_no_empty_chunk_is_sent() {
    for streams in [false, true] {
        for changed in [false, true] {
            let mut source = FakeSource::new(content(13 * MIB)).with_fault(ReadFault::Short(3));
            source.sheet.range_reads = !streams;
            if changed {
                source.now = Some(now(&source.asset, source.asset.size - 1));
            }
            let sink = FakeSink::plain();
            let outcome = run(&engine(2, 2, 0), &source, &sink).await;
            // The fake session refuses an empty chunk by itself.
            match (changed, streams) {
                (true, _) => {
                    let error = outcome.unwrap_err();
                    assert_eq!(error.kind(), Kind::SourceChanged);
                    assert!(error.message().contains("shrank"), "{error}");
                }
                // Only the first read was short: the second try has everything.
                (false, false) => assert_eq!(outcome.unwrap().restarts, 1),
                (false, true) => {
                    assert_eq!(outcome.unwrap_err().kind(), Kind::Integrity);
                    assert_eq!(source.opens.load(Ordering::Relaxed), 2, "tried twice");
                }
            }
            let committed = usize::from(!changed && !streams);
            sink.look(|state| assert_eq!(state.commits, committed));
        }
    }
}

#[tokio::test]
async fn a_file_that_grows_while_it_is_read_ends_as_grown_and_is_not_read_for_ever() {
    for streams in [false, true] {
        let mut source = FakeSource::new(content(9 * MIB)).with_fault(ReadFault::Long(2));
        source.sheet.range_reads = !streams;
        source.now = Some(now(&source.asset, source.asset.size + 1));
        let sink = FakeSink::plain();
        let error = run(&engine(2, 2, 0), &source, &sink).await.unwrap_err();
        assert_eq!(error.kind(), Kind::SourceChanged);
        assert!(error.message().contains("grew"), "{error}");
        let asked = source.reads.load(Ordering::Relaxed) + source.opens.load(Ordering::Relaxed);
        assert!(asked <= 3);
        sink.look(|state| assert_eq!((state.begun, state.commits), (1, 0)));
    }
}

#[tokio::test]
async fn a_small_file_costs_one_read_one_begin_one_append_and_one_commit() {
    for (size, appends) in [
        (0, 0),
        (1, 1),
        (100 << 10, 1),
        (4 * MIB, 1),
        (4 * MIB + 1, 2),
    ] {
        for streams in [false, true] {
            let mut source = FakeSource::new(content(size));
            source.sheet.range_reads = !streams;
            let sink = FakeSink::plain();
            run(&engine(2, 2, 0), &source, &sink).await.unwrap();
            let whole = size <= 4 * MIB;
            let reads = source.reads.load(Ordering::Relaxed);
            assert_eq!(reads, if streams && !whole { 0 } else { appends });
            sink.look(|state| {
                assert_eq!((state.begun, state.appends, state.commits), (1, appends, 1));
                assert_eq!((state.finds, state.aborts), (0, 0));
            });
        }
    }
}
