//! What hangs: made again once, given up with its name, and told apart from what somebody explains.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_core::{ByteSize, Kind, UploadOrder};

use super::support::{
    FakeSink, FakeSource, MIB, Pace, ReadFault, SinkFault, content, engine, held_back, request,
    rest, run, sheet,
};
use crate::{Engine, EngineOptions, Phase};

const SIZE: usize = 12 * MIB;

fn surviving(fault: Option<SinkFault>, order: UploadOrder) -> FakeSink {
    let mut sheet = sheet();
    sheet.resumes = true;
    sheet.upload_order = order;
    FakeSink::new(sheet, Pace::default(), fault)
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_is_made_again_and_the_step_goes_on() {
    let source = FakeSource::new(content(SIZE)).with_fault(ReadFault::Hangs(1));
    let sink = FakeSink::plain();
    let began = Instant::now();
    let done = run(&engine(2, 2, 0), &source, &sink).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 60, "half of its patience");
    assert_eq!((done.restarts, done.bytes_moved), (0, SIZE as u64));
    assert_eq!(source.reads.load(Ordering::Relaxed), 4);
    assert_eq!(sink.only_content(), source.content);
}

#[tokio::test(start_paused = true)]
async fn an_append_that_hangs_is_made_again_only_where_sessions_survive() {
    for order in [UploadOrder::InOrder, UploadOrder::Any] {
        let source = FakeSource::new(content(SIZE));
        let sink = surviving(Some(SinkFault::AppendHangs(1)), order);
        let began = Instant::now();
        run(&engine(2, 2, 0), &source, &sink).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 60);
        sink.look(|state| assert_eq!((state.begun, state.appends), (1, 4)));
        assert_eq!(sink.only_content(), source.content);
    }
    let source = FakeSource::new(content(SIZE));
    let sink = FakeSink::faulty(SinkFault::AppendHangs(1));
    let began = Instant::now();
    let error = run(&engine(2, 2, 0), &source, &sink).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 120);
    assert_eq!(error.kind(), Kind::Unavailable);
    sink.look(|state| assert_eq!((state.appends, state.aborts, state.commits), (2, 1, 0)));
}

/// rclone#5491: "0 B/s for hours"; maestral#1116: stuck until somebody restarts it.
#[tokio::test(start_paused = true)]
async fn nothing_stands_still_for_hours_what_hangs_ends_with_its_name() {
    let source = FakeSource::new(content(SIZE));
    let sink = surviving(Some(SinkFault::AppendHangsFrom(1)), UploadOrder::Any);
    let began = Instant::now();
    let error = run(&engine(2, 2, 0), &source, &sink).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 120);
    assert!(error.is_temporary());
    assert_eq!(
        error.message(),
        "nothing moved for 120 s while the sink took bytes 4194304..8388608"
    );
    sink.look(|state| assert!(state.appends <= 5, "each hanging call is repeated once"));

    let sink = FakeSink::faulty(SinkFault::BeginHangs);
    let error = run(&engine(2, 2, 0), &source, &sink).await.unwrap_err();
    assert_eq!(
        error.message(),
        "nothing moved for 120 s while the sink opened an upload session"
    );

    let mut stream = FakeSource::new(content(SIZE)).with_fault(ReadFault::HangsFrom(2));
    stream.sheet.range_reads = false;
    let sink = FakeSink::plain();
    let error = run(&engine(2, 2, 0), &stream, &sink).await.unwrap_err();
    assert_eq!(
        error.message(),
        "nothing moved for 120 s while the source sent bytes 8388608..12582912"
    );
    assert_eq!(stream.opens.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_an_endpoint_explains_is_neither_a_hang_nor_a_stall() {
    let slow = || Pace {
        millis: vec![1, 600_000, 1],
        ..Pace::default()
    };
    let source = FakeSource::new(content(SIZE));
    let mut resuming = sheet();
    resuming.resumes = true;
    let sink = FakeSink::new(resuming.clone(), slow(), None);
    sink.hold_back(Some("the service asked for 600 s more"));
    run(&engine(2, 2, 0), &source, &sink).await.unwrap();
    sink.look(|state| assert_eq!(state.appends, 3));

    let sink = FakeSink::new(resuming, slow(), None);
    let mut source = FakeSource::new(content(SIZE));
    source.pace = slow();
    *source.held_back.lock().unwrap() = Some(held_back("the source asked for 600 s more"));
    sink.hold_back(Some("so did the sink"));
    run(&engine(2, 2, 0), &source, &sink).await.unwrap();
    assert_eq!(source.reads.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_thin_line_is_slow_and_not_stalled() {
    let engine = |stall_after| {
        Engine::new(EngineOptions {
            budget: ByteSize::mib(16),
            chunk: ByteSize::mib(4),
            chunk_max: ByteSize::mib(4),
            window: ByteSize::mib(8),
            stall_after: Duration::from_secs(stall_after),
            hash_threads: 0,
            ..EngineOptions::default()
        })
        .unwrap()
    };
    // Two reads of 4 MiB at 2 MiB/s together: four seconds in which nothing ends.
    let mut source = FakeSource::new(content(16 * MIB));
    source.pace.millis = vec![3900];
    run(&engine(1), &source, &FakeSink::plain()).await.unwrap();
    assert_eq!(source.reads.load(Ordering::Relaxed), 4, "none was repeated");

    source.pace.millis = vec![20_000];
    let error = run(&engine(1), &source, &FakeSink::plain()).await;
    let message = error.unwrap_err().message().to_owned();
    assert_eq!(
        message,
        "nothing moved for 8 s while the source sent bytes 0..4194304"
    );
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_does_not_come_is_looked_for_not_repeated() {
    let source = FakeSource::new(content(100));
    let sink = FakeSink::faulty(SinkFault::CommitAnswerHangs);
    let began = Instant::now();
    let done = run(&engine(2, 2, 0), &source, &sink).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 120);
    assert!(done.adopted);
    sink.look(|state| assert_eq!((state.commits, state.finds), (1, 1)));

    let sink = FakeSink::faulty(SinkFault::CommitHangs);
    let error = run(&engine(2, 2, 0), &source, &sink).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous, "the caller looks again");
    assert!(error.is_temporary());
    assert_eq!(
        error.message(),
        "nothing moved for 120 s while the sink made the content visible"
    );
    sink.look(|state| assert_eq!((state.commits, state.finds), (0, 1)));
}

/// rclone#9688, e0701daea: cancelled requests went on, and were retried.
#[tokio::test(start_paused = true)]
async fn cancelling_stops_requests_and_cancelled_calls_are_not_made_again() {
    for (read, append) in [
        (Some(ReadFault::HangsFrom(1)), None),
        (None, Some(SinkFault::AppendHangsFrom(1))),
    ] {
        let mut source = FakeSource::new(content(SIZE));
        source.fault = read;
        let sink = surviving(append, UploadOrder::Any);
        let engine = engine(2, 2, 0);
        let (request, cancel) = (request(&source), CancellationToken::new());
        let stop = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            cancel.cancel();
        };
        let began = Instant::now();
        let (outcome, ()) = tokio::join!(engine.transfer(&source, &sink, &request, &cancel), stop);
        assert_eq!(outcome.unwrap_err().kind(), Kind::Cancelled);
        assert_eq!(began.elapsed().as_secs(), 5, "a deadline is kept");
        let calls = (
            source.reads.load(Ordering::Relaxed),
            sink.look(|state| state.appends),
        );
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(source.reads.load(Ordering::Relaxed), calls.0);
        sink.look(|state| {
            assert_eq!(state.appends, calls.1);
            assert_eq!((state.sessions, state.appending), (0, 0));
        });
        rest(&engine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn progress_says_since_when_nothing_moves_and_why() {
    let mut source = FakeSource::new(content(SIZE));
    source.pace.millis = vec![10, 30_000, 10];
    let pace = Pace {
        millis: vec![10, 10, 50_000],
        ..Pace::default()
    };
    let sink = FakeSink::new(sheet(), pace, None);
    let engine = engine(2, 2, 0);
    let (request, cancel) = (request(&source), CancellationToken::new());
    let progress = &request.progress;
    assert_eq!(progress.snapshot().last_moved, None);
    let began = Instant::now();
    let look = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let seen = progress.snapshot();
        assert_eq!(seen.phase, Phase::Reading);
        assert!(seen.last_moved.unwrap() < began + Duration::from_secs(1));
        assert_eq!(
            progress.why(&source, &sink),
            "waits for the source to send bytes"
        );
        *source.held_back.lock().unwrap() = Some(held_back("the source asked for 10 s more"));
        assert_eq!(
            progress.why(&source, &sink),
            "the source asked for 10 s more"
        );
        tokio::time::sleep(Duration::from_secs(20)).await;
        sink.hold_back(Some("the sink asked for 42 s more"));
        let seen = progress.snapshot();
        assert_eq!(seen.phase, Phase::Pushing);
        assert!(seen.last_moved.unwrap() >= began + Duration::from_secs(30));
        assert_eq!(progress.why(&source, &sink), "the sink asked for 42 s more");
    };
    let (done, ()) = tokio::join!(engine.transfer(&source, &sink, &request, &cancel), look);
    done.unwrap();
    assert_eq!(progress.why(&source, &sink), "waits for nothing");
}
