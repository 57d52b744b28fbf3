//! How a daemon and its flows stand, for people: a line for the daemon, a block for each flow with what there is to say.

use jiff::{SignedDuration, Timestamp};
use windlass_console::{Backlog, FlowStatus, Progress, Stage, Status};
use windlass_core::ByteSize;
use windlass_flow::daemon::{Doing, LastPass, Pass, Rate, Standing, Trigger, Upcoming};

use super::{files, lines, steps, table, waiting};
use crate::flows::sync::kept_under;

/// The daemon, its flows, and what waits for people in both ways of a flow.
pub(crate) fn daemon(url: &str, status: &Status, flows: &[&FlowStatus], now: Timestamp) -> String {
    let Status { version, since, .. } = status;
    let for_ = span(now.duration_since(*since));
    let mut text = format!("daemon at {url}, windlass {version}, up for {for_}\n");
    text.push_str(&ready(status));
    text.push('\n');
    for flow in flows {
        text.push('\n');
        text.push_str(&one(flow, now));
    }
    for (flow, conflicts) in conflicts(flows) {
        text.push_str(&format!("\n{}\n", waiting(flow, conflicts)));
    }
    text.push('\n');
    text
}

/// Whether it is ready; why a flow has not passed is told with the flow.
fn ready(status: &Status) -> String {
    if status.draining {
        return "it ends: no pass begins any more".to_owned();
    }
    let flows = status.flows.iter();
    let unsettled: Vec<&str> = flows
        .filter(|flow| !flow.standing.settled)
        .map(|flow| flow.standing.flow.as_str())
        .collect();
    match (status.ready, unsettled.as_slice()) {
        (true, _) => "ready".to_owned(),
        (false, []) => format!("not ready: {}", status.reasons.join("; ")),
        (false, flows) => format!("not ready: no pass yet of {}", flows.join(", ")),
    }
}

/// Flows with conflicts, once for both ways.
fn conflicts<'a>(flows: &[&'a FlowStatus]) -> Vec<(&'a str, u64)> {
    let mut found: Vec<(&str, u64)> = Vec::new();
    for flow in flows {
        let name = kept_under(&flow.standing.flow);
        let count = flow.conflicts.unwrap_or(0);
        match found.iter_mut().find(|(known, _)| *known == name) {
            // Each way counted when its own last pass ended, and passes put right what they can.
            Some((_, known)) => *known = count.min(*known),
            None => found.push((name, count)),
        }
    }
    found.retain(|(_, count)| *count > 0);
    found
}

fn one(flow: &FlowStatus, now: Timestamp) -> String {
    let standing = &flow.standing;
    let mut rows = table(&[], &[]);
    let mut row = |what: &str, text: String| {
        rows.add_row(vec![format!("  {what}"), text]);
    };
    let is_again = standing.next_is == Some(Upcoming::Again);
    if let Some(why) = standing.trigger.filter(|_| !is_again).map(trigger) {
        row("because", why.to_owned());
    }
    for (nth, line) in flow.progress.iter().flat_map(progress).enumerate() {
        row(if nth == 0 { "so far" } else { "" }, line);
    }
    if let Some(next) = standing.next {
        row("next", upcoming(next, standing.next_is, now));
    }
    if let Some(window) = window(standing, now) {
        row("window", window);
    }
    if let Some(last) = &standing.last {
        row("last", ended(last, now));
        if last.failed > 0 {
            let failed = steps(last.failed);
            row(
                "",
                format!(
                    "{failed} failed: `windlass report --flow {}`",
                    standing.flow
                ),
            );
        }
        if let Some(error) = &last.error {
            row("", error.clone());
        }
    }
    row("complete", complete(standing.complete_as_of, now));
    for (what, text) in flow.backlog.iter().flat_map(backlog) {
        row(what, text);
    }
    format!(
        "{}: {}\n{}",
        standing.flow,
        headline(standing),
        lines(&rows)
    )
}

/// What it does, without what other lines have.
fn headline(standing: &Standing) -> String {
    match (standing.doing, standing.pass, standing.next_is) {
        (Doing::Running, Some(Pass::Full), _) => "a full pass runs".to_owned(),
        (Doing::Running, Some(Pass::Sweep), _) => "a sweep runs".to_owned(),
        (Doing::Stopping, _, _) => "a pass is asked to end".to_owned(),
        (Doing::Waiting, _, Some(Upcoming::Again)) if standing.failures == 1 => {
            "waits, because the last pass failed".to_owned()
        }
        (Doing::Waiting, _, Some(Upcoming::Again)) => {
            format!(
                "waits, because the last {} passes failed",
                standing.failures
            )
        }
        (Doing::Waiting, _, Some(Upcoming::Window)) => "waits for a window".to_owned(),
        _ => standing.why.clone(),
    }
}

fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Start => "the daemon began, or the flow is new",
        Trigger::Ring => "something may have changed",
        Trigger::Poll => "it was time to look, where nobody rings",
        Trigger::Schedule => "its schedule says so",
        Trigger::Interval => "enough time went by",
        Trigger::Due => "something ends or becomes ready",
        Trigger::Again => "the last pass did not come to its end",
    }
}

fn upcoming(at: Timestamp, what: Option<Upcoming>, now: Timestamp) -> String {
    let what = match what {
        Some(Upcoming::Schedule) => ": its schedule says so",
        Some(Upcoming::Due) => ": something ends or becomes ready",
        Some(Upcoming::Full) => ": everything is looked at again",
        Some(Upcoming::Sweep) => ": what may not be seen is taken back",
        Some(Upcoming::Look) => ": looks for changes",
        Some(Upcoming::Again) => ": tries again",
        Some(Upcoming::Window) => ": another window holds",
        None => "",
    };
    format!("{}{what}", moment(at, now))
}

fn window(standing: &Standing, now: Timestamp) -> Option<String> {
    let rate = match standing.rate {
        Rate::Unlimited => "not limited".to_owned(),
        Rate::AtMost(rate) => format!("at most {}/s", ByteSize(rate)),
        Rate::Off => "closed".to_owned(),
    };
    match standing.rate_until {
        Some(until) => Some(format!("{rate}; another one {}", moment(until, now))),
        None if standing.rate == Rate::Unlimited => None,
        None => Some(rate),
    }
}

fn ended(last: &LastPass, now: Timestamp) -> String {
    let pass = match last.pass {
        Pass::Full => "full pass",
        Pass::Sweep => "sweep",
    };
    let how = match (last.done, &last.error) {
        (true, _) => "done",
        (false, Some(_)) => "failed",
        (false, None) => "stopped",
    };
    let took = span(last.ended.duration_since(last.began));
    format!("{}: {pass}, {took}, {how}", moment(last.ended, now))
}

fn complete(as_of: Option<Timestamp>, now: Timestamp) -> String {
    match as_of {
        Some(as_of) => format!("as of {}", moment(as_of, now)),
        None => "not yet: no full pass has come to its end".to_owned(),
    }
}

/// How far a pass is, a line for each thing to say.
fn progress(progress: &Progress) -> Vec<String> {
    let Progress { files: seen, .. } = progress;
    let mut told = vec![match progress.stage {
        Stage::Beginning => "it has only begun".to_owned(),
        Stage::Listing => format!("lists: {}", files(*seen)),
        Stage::Deciding => format!("decides: {}", files(*seen)),
        Stage::Sealing => format!("reads back what it seals: {}", files(*seen)),
        Stage::Working => {
            let (there, bytes) = (ByteSize(progress.bytes_there), ByteSize(progress.bytes));
            let Progress { steps_ended, .. } = progress;
            format!(
                "{steps_ended} of {}, {there} of {bytes}",
                steps(progress.steps)
            )
        }
    }];
    if progress.bytes_per_second > 0 {
        let left = progress.seconds_left.map(|left| {
            let left = SignedDuration::from_secs(i64::try_from(left).unwrap_or(i64::MAX));
            format!(", about {} left", span(left))
        });
        let pace = ByteSize(progress.bytes_per_second);
        told.push(format!("{pace}/s{}", left.unwrap_or_default()));
    }
    told.extend(progress.why.clone());
    told
}

/// What could not be placed, with the reasons.
fn backlog(backlog: &Backlog) -> Vec<(&'static str, String)> {
    let mut told = Vec::new();
    if backlog.held > 0 {
        told.push(("held back", files(backlog.held)));
    }
    let reasons = backlog.reasons.iter();
    told.extend(reasons.map(|held| ("", format!("{}: {}", held.files, held.reason))));
    if backlog.arriving > 0 {
        told.push((
            "arriving",
            format!("{}, taken once complete", files(backlog.arriving)),
        ));
    }
    told
}

/// A moment, and how far away it is: `2026-11-29 21:40:00Z, in 12 min`.
fn moment(at: Timestamp, now: Timestamp) -> String {
    let away = now.duration_since(at);
    let said = at.strftime("%Y-%m-%d %H:%M:%SZ");
    match away.is_negative() {
        _ if away.abs() < SignedDuration::from_secs(1) => format!("{said}, now"),
        true => format!("{said}, in {}", span(away.abs())),
        false => format!("{said}, {} ago", span(away)),
    }
}

/// A span in the largest unit of which there are at least two.
fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs();
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
