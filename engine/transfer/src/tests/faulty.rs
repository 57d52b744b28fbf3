//! Sources and sinks that misbehave: nothing wrong is ever committed, nothing right is done twice.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use windlass_core::{Asset, ContentHash, Error, Kind, Revision, UploadOrder};

use super::support::{
    FakeSink, FakeSource, MIB, Pace, ReadFault, SinkFault, content, engine, rest, run, sheet,
};

const SIZE: usize = 9 * MIB;

async fn failure(source: &FakeSource, sink: &FakeSink) -> Error {
    run(&engine(2, 2, 1), source, sink).await.unwrap_err()
}

fn nothing_was_committed(sink: &FakeSink) {
    sink.look(|state| {
        assert_eq!(state.commits, 0);
        assert!(state.placed.is_empty());
        assert_eq!(state.aborts, state.begun, "every session is given up");
    });
}

fn change(error: &Error) -> Option<&str> {
    let mut context = error.context().iter();
    context
        .find(|(name, _)| *name == "change")
        .map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn an_answer_of_the_wrong_length_is_not_committed_but_read_again() {
    for fault in [ReadFault::Short(1), ReadFault::Long(1)] {
        let source = FakeSource::new(content(SIZE)).with_fault(fault);
        let sink = FakeSink::plain();
        let done = run(&engine(2, 2, 1), &source, &sink).await.unwrap();
        assert_eq!(done.restarts, 1);
        assert!(done.bytes_moved >= SIZE as u64);
        assert_eq!(sink.only_content(), source.content);
        sink.look(|state| assert_eq!((state.begun, state.aborts, state.commits), (2, 1, 1)));
    }
}

#[tokio::test]
async fn a_truncated_source_is_told_apart_as_shrank_and_never_committed() {
    let shrunk = |asset: &Asset| Asset {
        revision: Revision::new("r2"),
        size: asset.size - 1,
        ..asset.clone()
    };
    let grown = |asset: &Asset| Asset {
        revision: Revision::new("r2"),
        size: asset.size + 1,
        ..asset.clone()
    };
    let changed = |asset: &Asset| Asset {
        revision: Revision::new("r2"),
        ..asset.clone()
    };
    for fault in [
        ReadFault::Short(2),
        ReadFault::Fails(1, Kind::SourceChanged),
        ReadFault::Fails(0, Kind::NotFound),
        ReadFault::FlipsAlways,
    ] {
        for word in ["shrank", "grew", "changed", "vanished"] {
            let mut source = FakeSource::new(content(SIZE)).with_fault(fault);
            source.now = match word {
                "shrank" => Some(shrunk(&source.asset)),
                "grew" => Some(grown(&source.asset)),
                "changed" => Some(changed(&source.asset)),
                _ => None,
            };
            let sink = FakeSink::plain();
            let error = failure(&source, &sink).await;
            assert_eq!(error.kind(), Kind::SourceChanged, "{error:?}");
            assert_eq!(change(&error), Some(word));
            assert!(error.message().contains(word), "{error}");
            nothing_was_committed(&sink);
            sink.look(|state| assert!(state.begun <= 1, "a changed source is not read again"));
        }
    }
}

#[tokio::test]
async fn an_error_midway_is_passed_on_as_it_is_and_never_committed() {
    for kind in [Kind::Unavailable, Kind::Restricted, Kind::SourceChanged] {
        for order in [UploadOrder::InOrder, UploadOrder::Any] {
            let source = FakeSource::new(content(SIZE)).with_fault(ReadFault::Fails(2, kind));
            let mut sheet = sheet();
            sheet.upload_order = order;
            let sink = FakeSink::new(sheet, Pace::default(), None);
            let error = failure(&source, &sink).await;
            assert_eq!(error.kind(), kind);
            assert_eq!(error.message(), "the fake source was told to fail");
            nothing_was_committed(&sink);
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_restarts_the_file_once_and_then_it_is_right() {
    let source = FakeSource::new(content(SIZE)).with_fault(ReadFault::Flips(1));
    let sink = FakeSink::plain();
    let done = run(&engine(2, 2, 1), &source, &sink).await.unwrap();
    assert_eq!((done.restarts, done.bytes_moved), (1, 2 * SIZE as u64));
    assert_eq!(sink.only_content(), source.content);
}

#[tokio::test]
async fn bytes_that_never_agree_fail_with_both_digests_after_one_restart() {
    let source = FakeSource::new(content(5000)).with_fault(ReadFault::FlipsAlways);
    let sink = FakeSink::plain();
    let error = failure(&source, &sink).await;
    assert_eq!(error.kind(), Kind::Integrity);
    let mut flipped = source.content.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for digest in [ContentHash::of(&source.content), ContentHash::of(&flipped)] {
        assert!(error.message().contains(&digest.to_hex()), "{error}");
    }
    nothing_was_committed(&sink);
    sink.look(|state| assert_eq!(state.begun, 2));
}

#[tokio::test]
async fn a_panic_in_the_source_leaves_nothing_held() {
    let source = FakeSource::new(content(SIZE)).with_fault(ReadFault::Panics(1));
    let sink = FakeSink::plain();
    let engine = engine(2, 2, 1);
    let outcome = AssertUnwindSafe(run(&engine, &source, &sink))
        .catch_unwind()
        .await;
    assert!(outcome.is_err());
    rest(&engine).await;
    sink.look(|state| assert_eq!((state.sessions, state.commits), (0, 0)));
}

#[tokio::test]
async fn a_sink_that_refuses_to_begin_or_to_take_bytes_is_not_committed() {
    let source = FakeSource::new(content(SIZE));
    let sink = FakeSink::faulty(SinkFault::BeginFails);
    assert_eq!(failure(&source, &sink).await.kind(), Kind::Denied);
    nothing_was_committed(&sink);

    for order in [UploadOrder::InOrder, UploadOrder::Any] {
        let mut sheet = sheet();
        sheet.upload_order = order;
        let sink = FakeSink::new(sheet, Pace::default(), Some(SinkFault::AppendFails(1)));
        assert_eq!(failure(&source, &sink).await.kind(), Kind::Unavailable);
        nothing_was_committed(&sink);
    }
}

#[tokio::test]
async fn a_refused_commit_is_passed_on_and_not_repeated() {
    let source = FakeSource::new(content(100));
    let sink = FakeSink::faulty(SinkFault::Refuses);
    let error = failure(&source, &sink).await;
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(error.message().contains("client"));
    sink.look(|state| assert_eq!((state.begun, state.commits, state.finds), (1, 1, 0)));
}

#[tokio::test]
async fn a_lost_commit_answer_is_adopted_not_repeated() {
    let source = FakeSource::new(content(SIZE));
    let sink = FakeSink::faulty(SinkFault::AnswerLost);
    let done = run(&engine(2, 2, 1), &source, &sink).await.unwrap();
    assert!(done.adopted);
    assert_eq!(done.restarts, 0);
    assert_eq!(sink.only_content(), source.content);
    sink.look(|state| assert_eq!((state.begun, state.commits, state.finds), (1, 1, 1)));
}

#[tokio::test]
async fn a_commit_that_did_not_happen_stays_ambiguous_for_the_caller_to_repeat() {
    for fault in [SinkFault::RequestLost, SinkFault::LookingFails] {
        let source = FakeSource::new(content(100));
        let sink = FakeSink::faulty(fault);
        let error = failure(&source, &sink).await;
        assert_eq!(error.kind(), Kind::Ambiguous);
        assert!(error.is_temporary());
        sink.look(|state| assert_eq!((state.begun, state.commits, state.finds), (1, 1, 1)));
    }
}

#[tokio::test]
async fn other_bytes_under_our_mark_are_neither_adopted_nor_removed() {
    let source = FakeSource::new(content(100));
    let sink = FakeSink::faulty(SinkFault::FindsOtherBytes);
    let error = failure(&source, &sink).await;
    assert_eq!(error.kind(), Kind::Conflict);
    sink.look(|state| assert_eq!((state.begun, state.removed), (1, 0)));
}

#[tokio::test]
async fn what_the_sink_holds_wrongly_is_removed_and_sent_again_once() {
    let source = FakeSource::new(content(100));
    let sink = FakeSink::faulty(SinkFault::StatesOtherHash { times: 1 });
    let done = run(&engine(2, 2, 0), &source, &sink).await.unwrap();
    assert_eq!(done.restarts, 1);
    assert_eq!(sink.only_content(), source.content);
    sink.look(|state| assert_eq!((state.removed, state.commits), (1, 2)));

    for (fault, removed) in [
        (SinkFault::StatesOtherHash { times: 9 }, 2),
        (SinkFault::StatesOtherSize, 2),
        (SinkFault::Disagrees { times: 9 }, 0),
    ] {
        let sink = FakeSink::faulty(fault);
        let error = failure(&source, &sink).await;
        assert_eq!(error.kind(), Kind::Integrity);
        sink.look(|state| {
            assert_eq!((state.commits, state.removed), (2, removed));
            assert!(state.placed.is_empty());
        });
    }
}

#[tokio::test]
async fn both_digests_are_named_when_the_sink_disagrees() {
    let source = FakeSource::new(content(100));
    let sink = FakeSink::faulty(SinkFault::StatesOtherHash { times: 9 });
    let error = failure(&source, &sink).await;
    for digest in [ContentHash::of(&source.content), ContentHash([7; 32])] {
        assert!(error.message().contains(&digest.to_hex()), "{error}");
    }
}
