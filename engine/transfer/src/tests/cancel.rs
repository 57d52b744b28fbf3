//! Stopping: by the token or by dropping the future, at every await, with nothing left behind.

use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_core::{Kind, UploadOrder};

use super::support::{
    FakeSink, FakeSource, MIB, Pace, ReadFault, SinkFault, content, engine, request, rest, sheet,
};
use crate::Phase;

/// Polls a transfer that hashes in its own task `polls` times, a millisecond apart, and drops it. True
/// if it was done by then.
async fn poll_and_drop(source: &FakeSource, sink: &FakeSink, polls: usize) -> bool {
    let engine = engine(3, 3, 0);
    let request = request(source);
    let cancel = CancellationToken::new();
    let mut done = false;
    {
        let mut transfer = Box::pin(engine.transfer(source, sink, &request, &cancel));
        for _ in 0..polls {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(outcome) = transfer.as_mut().poll(&mut context) {
                outcome.unwrap();
                done = true;
                break;
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    }
    sink.look(|state| assert_eq!((state.sessions, state.appending), (0, 0)));
    assert!(engine.gauges().at_rest(), "{:?}", engine.gauges());
    done
}

#[tokio::test(start_paused = true)]
async fn dropped_after_any_number_of_polls_a_transfer_leaves_nothing_behind() {
    for order in [UploadOrder::InOrder, UploadOrder::Any] {
        let bytes = content(20 * 1024 + 5);
        let mut polls = 0;
        loop {
            let mut source = FakeSource::new(bytes.clone());
            source.pace.millis = vec![2, 0, 3, 1];
            let mut sheet = sheet();
            sheet.upload_order = order;
            sheet.chunk_bytes_max = 1024;
            let pace = Pace {
                millis: vec![1, 2, 0],
                ..Pace::default()
            };
            let sink = FakeSink::new(sheet, pace, None);
            let done = poll_and_drop(&source, &sink, polls).await;
            sink.look(|state| assert_eq!(state.placed.len(), usize::from(done)));
            if done {
                break;
            }
            polls += 1;
            assert!(polls < 10_000, "the transfer never ends");
        }
        assert!(polls > 20, "the paces were meant to make it wait");
    }
}

#[tokio::test]
async fn dropped_while_threads_hash_everything_comes_back() {
    for polls in 1..12 {
        let mut source = FakeSource::new(content(13 * MIB));
        source.pace.yields = vec![1, 0, 2];
        let sink = FakeSink::plain();
        let engine = engine(3, 3, 2);
        let request = request(&source);
        let cancel = CancellationToken::new();
        {
            let mut transfer = Box::pin(engine.transfer(&source, &sink, &request, &cancel));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if transfer.as_mut().poll(&mut context).is_ready() {
                    break;
                }
            }
        }
        rest(&engine).await;
        assert_eq!(request.progress.snapshot().phase, Phase::Ended);
    }
}

/// Cancels a transfer that hangs, and asserts that this ends it at once.
async fn cancel_hanging(source: FakeSource, sink: FakeSink) {
    let engine = engine(2, 2, 1);
    let request = request(&source);
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let transfer = engine.transfer(&source, &sink, &request, &cancel);
    let stopper = async move {
        tokio::time::sleep(Duration::from_millis(60)).await;
        stop.cancel();
    };
    let both = async { tokio::join!(transfer, stopper).0 };
    let outcome = tokio::time::timeout(Duration::from_secs(20), both).await;
    let error = outcome.expect("cancelling ends it").unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    sink.look(|state| {
        assert_eq!((state.sessions, state.appending, state.commits), (0, 0, 0));
    });
    rest(&engine).await;
}

#[tokio::test]
async fn cancelling_stops_a_hanging_read_and_a_hanging_append() {
    for n in 0..3 {
        let hanging = FakeSource::new(content(11 * MIB)).with_fault(ReadFault::Hangs(n));
        cancel_hanging(hanging, FakeSink::plain()).await;
        let sink = FakeSink::faulty(SinkFault::AppendHangs(n));
        cancel_hanging(FakeSource::new(content(11 * MIB)), sink).await;
    }
}

#[tokio::test]
async fn cancelling_a_transfer_that_waits_to_be_let_in_leaves_the_queue() {
    let engine = engine(1, 1, 0);
    let hanging = FakeSource::new(content(4 * MIB)).with_fault(ReadFault::Hangs(0));
    let (first_sink, second_sink) = (FakeSink::plain(), FakeSink::plain());
    let second_source = FakeSource::new(content(4 * MIB));
    let (first_request, second_request) = (request(&hanging), request(&second_source));
    let (first_cancel, second_cancel) = (CancellationToken::new(), CancellationToken::new());
    let first = engine.transfer(&hanging, &first_sink, &first_request, &first_cancel);
    let second = engine.transfer(
        &second_source,
        &second_sink,
        &second_request,
        &second_cancel,
    );
    let script = async {
        tokio::task::yield_now().await;
        let gauges = engine.gauges();
        assert_eq!((gauges.transfers, gauges.budget_waiting), (2, 1));
        assert_eq!(second_request.progress.snapshot().phase, Phase::Queued);
        second_cancel.cancel();
        // `join!` begins each round with another branch: after two rounds all have seen it.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let gauges = engine.gauges();
        assert_eq!((gauges.transfers, gauges.budget_waiting), (1, 0));
        first_cancel.cancel();
    };
    let (first, second, ()) = tokio::join!(first, second, script);
    assert_eq!(first.unwrap_err().kind(), Kind::Cancelled);
    assert_eq!(second.unwrap_err().kind(), Kind::Cancelled);
    assert!(engine.gauges().at_rest());
    second_sink.look(|state| assert_eq!(state.begun, 0));
}

#[tokio::test]
async fn cancelled_before_it_starts_nothing_is_asked_of_anyone() {
    let source = FakeSource::new(content(100));
    let sink = FakeSink::plain();
    let engine = engine(1, 1, 0);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let request = request(&source);
    let outcome = engine.transfer(&source, &sink, &request, &cancel).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Cancelled);
    sink.look(|state| assert_eq!(state.begun, 0));
    assert_eq!(source.reads.into_inner(), 0);
}
