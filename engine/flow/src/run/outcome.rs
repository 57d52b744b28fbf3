//! How an attempt's error becomes the outcome of its step. Nowhere else.
//!
//! Tries are for failures. What a service only put off is none, however often it does. A credential that no
//! longer works or a full sink is everybody's trouble and ends the run. A call whose own tries ran out is one
//! failure of its step, which waits longer than a call does. An attempt that brought its file forward begins the
//! count anew, since the next one begins where it ended. What is for a person is held, with the reason.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_core::{Error, Kind, NewHold, Outcome, Status, StepId};

use super::step::Attempt;
use super::{RunOptions, Runner};
use crate::plan::Work;

/// The wait before a step is tried again that a service put off without saying for how long.
const LIMITED_WAIT: Duration = Duration::from_secs(30);

/// How many steps' failures are remembered. Beyond that the oldest is forgotten and has its tries anew: so many
/// steps fail at the same time only while a service is down.
const REMEMBERED_MAX: usize = 100_000;

/// How much of a first failure's sentence is remembered, in characters.
const FIRST_CHARS_MAX: usize = 200;

/// How a step failed in this shift so far.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    first: Option<Box<str>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Judge {
    flow: String,
    source: String,
    tries: u32,
    retry_after: Duration,
    /// Failed tries of steps in this shift. The attempt number also grows when a run is stopped and
    /// goes on, which must not bring a healthy step nearer to its end.
    failures: BTreeMap<StepId, Failures>,
    fatal: Option<Error>,
}

impl Judge {
    pub(super) fn new(runner: &Runner) -> Self {
        let RunOptions {
            tries, retry_after, ..
        } = runner.options;
        Judge {
            flow: runner.flow.clone(),
            source: runner.source.name().to_owned(),
            tries,
            retry_after,
            failures: BTreeMap::new(),
            fatal: None,
        }
    }

    /// The first error that makes going on pointless, once.
    pub(super) fn take_fatal(&mut self) -> Option<Error> {
        self.fatal.take()
    }

    /// A step is over: its failures are history.
    pub(super) fn forget(&mut self, step: StepId) {
        self.failures.remove(&step);
    }

    /// What becomes of a step whose attempt failed.
    pub(super) fn outcome_of(&mut self, error: Error, attempt: &Attempt) -> Outcome {
        let kind = error.kind();
        tracing::debug!(step = attempt.step.0, %kind, "{}", error.chain());
        match kind {
            Kind::Cancelled => again(&error, Duration::ZERO),
            // A credential that was renewed meanwhile is temporary: trying again is all it takes.
            Kind::Unauthenticated | Kind::Capacity if !error.is_temporary() => {
                let outcome = again(&error, Duration::ZERO);
                self.fatal.get_or_insert(error);
                outcome
            }
            Kind::Limited => again(&error, error.retry_after().unwrap_or(LIMITED_WAIT)),
            _ => self.failed(error, attempt),
        }
    }

    fn failed(&mut self, error: Error, attempt: &Attempt) -> Outcome {
        let (count, first) = self.count(&error, attempt);
        let may_pass = may_pass(&error);
        if may_pass && count < self.tries {
            let doubled = self.retry_after * 2_u32.saturating_pow(count.min(8) - 1);
            return again(&error, error.retry_after().unwrap_or(doubled));
        }
        self.forget(attempt.step);
        let error = match (may_pass, first) {
            (true, Some(first)) => error
                .with_context("tries", count)
                .with_context("the first failed with", first),
            (true, None) => error.with_context("tries", count),
            (false, _) => error,
        };
        match error.kind() {
            Kind::Restricted | Kind::InvalidInput | Kind::SourceChanged | Kind::Conflict => {
                self.held(&error, &attempt.work)
            }
            // Rights change by themselves: the next plan decides afresh.
            Kind::Blocked => Outcome::Held {
                reason: error.message().to_owned(),
                hold: None,
            },
            kind => Outcome::Failed {
                kind,
                message: error.chain(),
                hint: error.hint().map(str::to_owned),
            },
        }
    }

    /// Counts a failure. Answers how many there are now, and what the first one said where this one says
    /// something else.
    fn count(&mut self, error: &Error, attempt: &Attempt) -> (u32, Option<Box<str>>) {
        let failures = self.failures.entry(attempt.step).or_default();
        if attempt.journal.moved_on() {
            *failures = Failures::default();
        }
        failures.count += 1;
        let message = error.message();
        let said: Box<str> = message.chars().take(FIRST_CHARS_MAX).collect();
        let first = failures.first.get_or_insert_with(|| said.clone());
        let told = (failures.count, (*first != said).then(|| first.clone()));
        if self.failures.len() > REMEMBERED_MAX {
            self.failures.pop_first();
        }
        told
    }

    /// For a person, and grouped in reports: without request ids and paths.
    fn held(&self, error: &Error, work: &Work) -> Outcome {
        let message = error.message();
        let reason = match error.hint() {
            Some(hint) => format!("{message}; {hint}"),
            None => message.to_owned(),
        };
        // What was only temporary is decided afresh by the next plan.
        // What changed is another revision then, or is there again as it was: either is no person's business.
        let hold = match may_pass(error) || error.kind() == Kind::SourceChanged {
            true => None,
            false => self.hold(work).map(Box::new),
        };
        Outcome::Held { reason, hold }
    }

    /// What later plans are told: not again, unless the asset or what it shall become changes.
    fn hold(&self, work: &Work) -> Option<NewHold> {
        let asset = work.asset();
        let draft_digest = work
            .draft()
            .digest()
            .inspect_err(|error| tracing::warn!("the next run tries it again: {}", error.chain()))
            .ok()?;
        Some(NewHold {
            flow: self.flow.clone(),
            source: self.source.clone(),
            source_asset: asset.id.clone(),
            source_revision: asset.revision.clone(),
            draft_digest,
        })
    }
}

/// Whether it may be otherwise later: also where a call has tried in vain for as long as a call does.
pub(super) fn may_pass(error: &Error) -> bool {
    error.status() != Status::Permanent
}

fn again(error: &Error, after: Duration) -> Outcome {
    Outcome::Retry {
        after,
        message: error.chain(),
    }
}
