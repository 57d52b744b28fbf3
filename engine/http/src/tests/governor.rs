//! The governor's rules one by one, and the lessons of other tools that concern this layer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep};
use windlass_core::{Kind, Status};

use super::{Act, Script, client_with, get, ok, options, status};
use crate::{
    Answer, Client, ClientOptions, Governor, GovernorOptions, GovernorState, LaneOptions, Priority,
    Repeat, Waiting,
};

const LIMIT: usize = 1 << 10;
const SECOND: Duration = Duration::from_secs(1);

/// A governor that lets `rate` calls/s go from the start, one by one, as if it had met a limit.
fn known(ceiling: f64) -> Governor {
    let state = GovernorState {
        ceiling,
        burst: Some(1.0),
        pause: 90.0,
    };
    let options = GovernorOptions {
        dip: 0.0,
        ..GovernorOptions::default()
    };
    Governor::with_state(options, &state)
}

pub(super) fn governed(script: &Arc<Script>, governor: &Governor) -> Client {
    client_with(
        script,
        ClientOptions {
            governor: Some(governor.clone()),
            ..options()
        },
    )
}

fn late(ms: u64, act: Act) -> Act {
    Act::Late(Duration::from_millis(ms), Box::new(act))
}

/// The client and the governor are as if nothing had ever happened.
pub(super) fn assert_at_rest(client: &Client) {
    let snapshot = client.governor().snapshot();
    assert_eq!(client.in_flight(), 0);
    assert_eq!((snapshot.in_flight, snapshot.waiting.total()), (0, 0));
}

/// When the lane was at full width, and when so many calls were done.
async fn widths_of(client: &Client, full: usize, calls: usize) -> (Duration, Duration) {
    let began = Instant::now();
    let seen = join_all((0..calls).map(|_| async {
        client
            .call_whole(get(Repeat::Idempotent), LIMIT)
            .await
            .unwrap();
        (client.width(), began.elapsed())
    }))
    .await;
    assert_eq!(client.governor().snapshot().rate, None);
    assert_at_rest(client);
    let (_, wide_at) = seen.iter().find(|(width, _)| *width == full).unwrap();
    (*wide_at, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn an_unlimited_path_is_at_full_width_within_ten_round_trips() {
    // Parts of a large file: a round trip and the time that their bytes take.
    let script = Script::new((0..500).map(|_| late(150, ok("done"))));
    let client = client_with(&script, options()).lane(16);
    let (wide_at, done_at) = widths_of(&client, 16, 500).await;
    assert!(wide_at <= Duration::from_millis(1_500), "{wide_at:?}");
    // At full width from the start it would be 32 round trips: 4.8 s.
    assert!(done_at <= Duration::from_millis(5_300), "{done_at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lane_doubles_each_round_trip_where_the_rate_allows() {
    let script = Script::new((0..500).map(|_| late(80, ok("done"))));
    let governor = Governor::new(GovernorOptions {
        first_burst: 1_000.0,
        ..GovernorOptions::default()
    });
    let client = governed(&script, &governor).lane(64);
    let (wide_at, _) = widths_of(&client, 64, 500).await;
    assert!(wide_at <= Duration::from_millis(80 * 5), "{wide_at:?}");
}

#[tokio::test(start_paused = true)]
async fn five_hundred_calls_at_the_pace_of_a_large_upload_are_hardly_held_up() {
    let script = Script::new((0..500).map(|_| ok("done")));
    let client = client_with(&script, options());
    let began = Instant::now();
    let calls = (0..500u64).map(|i| {
        let client = client.clone();
        async move {
            sleep(Duration::from_millis(i * 6)).await;
            client
                .call_whole(get(Repeat::Idempotent), LIMIT)
                .await
                .unwrap();
        }
    });
    join_all(calls).await;
    assert!(
        began.elapsed() < Duration::from_millis(3_050),
        "{:?}",
        began.elapsed()
    );
}

/// Completes after a time that depends on how many others are under way: a link that is full.
#[derive(Debug)]
struct Link {
    under_way: Mutex<u32>,
    widest: Mutex<u32>,
    saturates_at: u32,
}

#[async_trait::async_trait]
impl crate::Transport for Link {
    async fn send(&self, request: crate::Request) -> Result<crate::Response, crate::SendError> {
        drop(request);
        let now = {
            let mut under_way = self.under_way.lock().unwrap();
            *under_way += 1;
            let mut widest = self.widest.lock().unwrap();
            *widest = (*widest).max(*under_way);
            *under_way
        };
        let crowd = f64::from(now.max(self.saturates_at)) / f64::from(self.saturates_at);
        sleep(Duration::from_millis(50).mul_f64(crowd)).await;
        *self.under_way.lock().unwrap() -= 1;
        Ok(crate::Response {
            status: http::StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: futures_util::stream::empty().boxed(),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_stops_growing_where_more_calls_at_once_move_no_more() {
    let link = Arc::new(Link {
        under_way: Mutex::new(0),
        widest: Mutex::new(0),
        saturates_at: 8,
    });
    let network: Arc<dyn crate::Transport> = Arc::<Link>::clone(&link);
    let client = Client::new(
        network,
        Arc::new(super::Usual),
        Arc::new(crate::Anonymous),
        options(),
    )
    .lane(256);
    let calls = (0..2_000).map(|_| client.call_whole(get(Repeat::Idempotent), LIMIT));
    join_all(calls).await;
    let widest = *link.widest.lock().unwrap();
    assert!((8..=64).contains(&widest), "{widest}");
    // The doubling that gained nothing was taken back: calls that only queue make each other late.
    assert!((8..=12).contains(&client.width()), "{}", client.width());
}

#[tokio::test(start_paused = true)]
async fn a_lock_halves_its_lane_once_and_the_lane_recovers() {
    let busy = |_| late(50, status(423));
    let acts = (0..8)
        .map(busy)
        .chain((0..400).map(|_| late(50, ok("done"))));
    let script = Script::new(acts);
    let client = client_with(&script, options()).lane_with(&LaneOptions {
        start: 8,
        ..LaneOptions::new(8)
    });
    let calls = (0..400).map(|_| client.call_whole(get(Repeat::Idempotent), LIMIT));
    let all = join_all(calls);
    tokio::pin!(all);
    assert!(
        tokio::time::timeout(Duration::from_millis(500), &mut all)
            .await
            .is_err()
    );
    assert_eq!(
        client.width(),
        4,
        "eight refusals of one moment are one cut"
    );
    assert_eq!(client.governor().snapshot().limited, 0, "a lock is no rate");
    all.await;
    assert_eq!(client.width(), 8);
    assert_at_rest(&client);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_service_halves_the_lane() {
    let script = Script::new([status(503), ok("done")]);
    let client = client_with(&script, options()).lane_with(&LaneOptions {
        start: 8,
        ..LaneOptions::new(8)
    });
    client
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    assert_eq!(client.width(), 4);
}

/// Sends calls of all three priorities at once and tells the order in which they went.
async fn order_of(client: &Client, counts: [usize; 3]) -> Vec<Priority> {
    let order = Mutex::new(Vec::new());
    let mut calls = Vec::new();
    // The least urgent stands in line first.
    for (priority, count) in Priority::ALL.into_iter().zip(counts).rev() {
        for _ in 0..count {
            let (client, order) = (client.at(priority), &order);
            calls.push(async move {
                client
                    .call_whole(get(Repeat::Idempotent), LIMIT)
                    .await
                    .unwrap();
                order.lock().unwrap().push(priority);
            });
        }
    }
    join_all(calls).await;
    order.into_inner().unwrap()
}

fn positions(order: &[Priority], of: Priority) -> Vec<usize> {
    (0..order.len()).filter(|i| order[*i] == of).collect()
}

#[tokio::test(start_paused = true)]
async fn the_urgent_go_first_where_the_rate_is_scarce_and_bulk_trickles() {
    let script = Script::new((0..160).map(|_| ok("done")));
    let client = governed(&script, &known(10.0));
    let order = order_of(&client, [100, 30, 30]).await;
    let interactive = positions(&order, Priority::Interactive);
    let delta = positions(&order, Priority::Delta);
    let bulk = positions(&order, Priority::Bulk);
    // While the urgent wait, each of the others gets one in sixteen.
    assert!(*interactive.last().unwrap() <= 116, "{interactive:?}");
    let early = bulk.iter().filter(|i| **i < 96).count();
    assert!((5..=7).contains(&early), "{bulk:?}");
    assert!(delta.last() < bulk.last());
    assert_at_rest(&client);
}

#[tokio::test(start_paused = true)]
async fn the_urgent_go_first_where_places_are_scarce_and_bulk_trickles() {
    let script = Script::new((0..100).map(|_| late(10, ok("done"))));
    let client = client_with(&script, options()).lane(1);
    let order = order_of(&client, [64, 0, 36]).await;
    let bulk = positions(&order, Priority::Bulk);
    // The very first place was free.
    let early = bulk.iter().filter(|i| **i < 64).count();
    assert!((4..=5).contains(&early), "{bulk:?}");
}

#[tokio::test(start_paused = true)]
async fn lanes_do_not_take_each_others_places() {
    let script = Script::new((0..3).map(|_| late(1_000, ok("done"))));
    let client = client_with(&script, options());
    let (one, other) = (client.lane(1), client.lane(1));
    let began = Instant::now();
    tokio::join!(
        async {
            one.call_whole(get(Repeat::Idempotent), LIMIT)
                .await
                .unwrap()
        },
        async {
            other
                .call_whole(get(Repeat::Idempotent), LIMIT)
                .await
                .unwrap()
        },
    );
    assert!(began.elapsed() < Duration::from_millis(1_100));
}

#[tokio::test(start_paused = true)]
async fn two_clients_of_one_account_pause_together() {
    let governor = Governor::default();
    let limited = Act::Answer(429, vec![("retry-after", "30".to_owned())], "");
    let script = Script::new([limited, ok("a"), ok("b")]);
    let (one, other) = (governed(&script, &governor), governed(&script, &governor));
    let first = tokio::spawn(async move { one.call_whole(get(Repeat::Idempotent), LIMIT).await });
    sleep(SECOND).await;
    assert_eq!(other.paused_for(), SECOND * 29);
    other
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    first.await.unwrap().unwrap();
    assert!(script.gaps()[0] >= SECOND * 30);
}

#[tokio::test(start_paused = true)]
async fn a_sentence_says_why_calls_wait() {
    let limited = Act::Answer(429, vec![("retry-after", "43".to_owned())], "");
    let script = Script::new(
        [ok("done"), limited]
            .into_iter()
            .chain((0..3).map(|_| ok(""))),
    );
    let client = governed(&script, &known(0.5));
    assert_eq!(client.why_waiting(), None);
    client
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    assert_eq!(client.why_waiting(), None, "nobody waits");
    let second = client.call_whole(get(Repeat::Idempotent), LIMIT);
    tokio::pin!(second);
    assert!(tokio::time::timeout(SECOND, &mut second).await.is_err());
    assert_eq!(
        client.why_waiting().unwrap(),
        "the service is held to 0.5 calls/s"
    );
    assert!(tokio::time::timeout(SECOND * 2, &mut second).await.is_err());
    assert_eq!(
        client.why_waiting().unwrap(),
        "the service asked for 42 s more"
    );
    let snapshot = client.governor().snapshot();
    assert_eq!((snapshot.calls, snapshot.limited), (2, 1));
    assert_eq!(
        snapshot.waiting,
        Waiting {
            delta: 1,
            ..Waiting::default()
        }
    );
    assert!(snapshot.paused_for > SECOND * 41);
    second.await.unwrap();
    assert_at_rest(&client);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_gives_its_place_and_its_turn_to_the_next() {
    let script = Script::new((0..3).map(|_| late(1_000, ok("done"))));
    let client = client_with(&script, options()).lane(1);
    let call = || {
        let client = client.clone();
        async move { client.call_whole(get(Repeat::Idempotent), LIMIT).await }
    };
    let first = tokio::spawn(call());
    let dropped: Vec<_> = (0..5).map(|_| tokio::spawn(call())).collect();
    let last = tokio::spawn(call());
    sleep(Duration::from_millis(500)).await;
    assert_eq!(client.governor().snapshot().waiting.total(), 6);
    for call in &dropped {
        call.abort();
    }
    let began = Instant::now();
    first.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_millis(1_600));
    assert_eq!(script.sent(), 2);
    assert_at_rest(&client);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_between_grant_and_send_gives_both_back() {
    let script = Script::new([late(1_000, ok("one")), ok("two")]);
    let client = client_with(&script, options()).lane(1);
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.call_whole(get(Repeat::Idempotent), LIMIT).await }
    });
    sleep(Duration::from_millis(1)).await;
    let mut second = Box::pin(client.call_whole(get(Repeat::Idempotent), LIMIT));
    assert!(second.as_mut().now_or_never().is_none());
    first.await.unwrap().unwrap();
    // The place of the first went to the second, which never looked.
    assert_eq!(client.in_flight(), 1);
    drop(second);
    assert_eq!(client.governor().snapshot().calls, 1);
    assert_at_rest(&client);
    client
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_keeps_the_timer_may_leave() {
    let script = Script::new((0..3).map(|_| ok("done")));
    let client = governed(&script, &known(1.0));
    client
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    let spawn = || {
        let client = client.clone();
        tokio::spawn(async move { client.call_whole(get(Repeat::Idempotent), LIMIT).await })
    };
    let keeper = spawn();
    let other = spawn();
    sleep(Duration::from_millis(200)).await;
    keeper.abort();
    other.await.unwrap().unwrap();
    assert_at_rest(&client);
}

#[tokio::test(start_paused = true)]
async fn waits_are_given_up_in_line_when_a_new_pause_is_too_long() {
    let limited = Act::Answer(429, vec![("retry-after", "100".to_owned())], "");
    let script = Script::new([late(1_000, limited), ok("done")]);
    let client = client_with(
        &script,
        ClientOptions {
            concurrency: 1,
            patience: SECOND * 60,
            ..options()
        },
    );
    let began = Instant::now();
    let (first, second) = tokio::join!(
        client.call_whole(get(Repeat::Idempotent), LIMIT),
        client.call_whole(get(Repeat::Idempotent), LIMIT),
    );
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert_eq!(
            (error.kind(), error.status()),
            (Kind::Limited, Status::Persistent)
        );
    }
    assert!(
        began.elapsed() < SECOND * 2,
        "told at once, not after the pause"
    );
    assert_at_rest(&client);
}

// What it knows at the next start.

#[test]
fn learned_state_survives_as_json_and_nonsense_is_ignored() {
    let state = GovernorState {
        ceiling: 12.5,
        burst: Some(60.0),
        pause: 8.0,
    };
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(
        text,
        r#"{"ceiling_calls_per_second":12.5,"burst_calls":60.0,"pause_seconds":8.0}"#
    );
    let back: GovernorState = serde_json::from_str(&text).unwrap();
    let governor = Governor::with_state(GovernorOptions::default(), &back);
    assert_eq!(governor.state(), Some(state));
    let snapshot = governor.snapshot();
    assert_eq!(snapshot.ceiling, Some(12.5));
    assert!((11.0..12.5).contains(&snapshot.rate.unwrap()));
    assert_eq!(Governor::default().state(), None, "nothing was learnt");
    for ceiling in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
        let governor = Governor::with_state(
            GovernorOptions::default(),
            &GovernorState { ceiling, ..state },
        );
        assert_eq!(governor.state(), None, "{ceiling}");
    }
}

// Lessons of rclone, by its issue numbers, as far as they concern this layer.

/// #1788: told to wait 300 s, other tools burnt all their retries within seconds.
#[tokio::test(start_paused = true)]
async fn a_wait_of_300_s_is_waited_once_by_all_and_spends_no_tries() {
    let wait = || {
        late(
            50,
            Act::Answer(429, vec![("retry-after", "300".to_owned())], ""),
        )
    };
    let script = Script::new((0..8).map(|_| wait()).chain((0..50).map(|_| ok("done"))));
    let client = client_with(
        &script,
        ClientOptions {
            tries: 1,
            concurrency: 50,
            ..options()
        },
    );
    let calls = (0..50).map(|_| client.call_whole(get(Repeat::OnlyIfUnsent), LIMIT));
    for whole in join_all(calls).await {
        whole.unwrap();
    }
    let seen = script.seen.lock().unwrap();
    assert_eq!(seen.len(), 58);
    let limited_at = seen[7].at;
    assert!(
        seen[8..]
            .iter()
            .all(|seen| seen.at - limited_at >= SECOND * 300)
    );
}

/// #1807: retrying every second or two through limits, which count towards the limit.
#[tokio::test(start_paused = true)]
async fn after_a_limit_calls_resume_one_by_one_and_not_in_a_crowd() {
    let wait = || {
        late(
            50,
            Act::Answer(429, vec![("retry-after", "5".to_owned())], ""),
        )
    };
    let script = Script::new(
        (0..8)
            .map(|_| wait())
            .chain((0..40).map(|_| late(50, ok("")))),
    );
    let client = client_with(
        &script,
        ClientOptions {
            concurrency: 40,
            ..options()
        },
    );
    let calls = (0..40).map(|_| client.call_whole(get(Repeat::Idempotent), LIMIT));
    join_all(calls).await;
    let seen = script.seen.lock().unwrap();
    let resumed = seen[8].at;
    let at_once = seen[8..]
        .iter()
        .filter(|seen| seen.at - resumed < SECOND)
        .count();
    assert!(at_once <= 3, "{at_once} calls in the first second");
    assert_eq!(client.governor().snapshot().limited, 8);
}

/// #7025: a failure left waiters behind and its text was empty.
#[tokio::test(start_paused = true)]
async fn a_failed_call_releases_the_waiters_behind_it_and_says_why() {
    let script = Script::new([late(10, Act::Lost), ok("next")]);
    let client = client_with(
        &script,
        ClientOptions {
            concurrency: 1,
            ..options()
        },
    );
    let (failed, next) = tokio::join!(
        client.call_whole(get(Repeat::OnlyIfUnsent), LIMIT),
        client.call_whole(get(Repeat::OnlyIfUnsent), LIMIT),
    );
    let error = failed.unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous);
    let text = error.to_string();
    assert!(
        text.contains("connection reset") && text.contains("things/get"),
        "{text}"
    );
    next.unwrap();
    assert_at_rest(&client);
}

/// #9688, e0701daea: cancellation did not stop requests, and cancelled calls were retried.
#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_neither_sent_nor_sent_again() {
    for act in [
        Act::Lost,
        Act::Unsent,
        status(429),
        late(5_000, ok("too late")),
    ] {
        let script = Script::new([act]);
        let client = client_with(&script, options());
        let call = client.call_whole(get(Repeat::Idempotent), LIMIT);
        // The answer is here, or on its way; the next try is not due.
        assert!(
            tokio::time::timeout(Duration::from_nanos(1), call)
                .await
                .is_err()
        );
        sleep(SECOND * 600).await;
        assert_eq!(script.sent(), 1);
        assert_at_rest(&client);
    }
    let script = Script::new([]);
    let client = client_with(&script, options());
    client.governor().pause(SECOND * 60);
    let call = client.call_whole(get(Repeat::Idempotent), LIMIT);
    assert!(tokio::time::timeout(SECOND, call).await.is_err());
    sleep(SECOND * 600).await;
    assert_eq!(script.sent(), 0);
    assert_at_rest(&client);
}

/// As above, for a deadline that falls while an answer's body arrives.
#[tokio::test(start_paused = true)]
async fn a_dropped_body_gives_its_place_back() {
    let script = Script::new([ok("body")]);
    let client = client_with(&script, options());
    let Answer::Success(response) = client.call(get(Repeat::Idempotent)).await.unwrap() else {
        panic!("refused");
    };
    assert_eq!(client.governor().snapshot().in_flight, 1);
    drop(response);
    assert_at_rest(&client);
}
