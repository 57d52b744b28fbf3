//! What this process knows of commits whose answer may be lost, and of what others of its commits made.
//!
//! A mark in a correlation field tells for sure which asset is whose. Where a tenant has no such field, an asset
//! is recognised by what it looks like, and two contents may look alike: then it helps to remember when an upload
//! was asked for, which checksum its bytes have, and which assets other commits were answered with. A process that
//! crashed has none of that, and proves an asset by reading it back.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use windlass_core::Correlation;

use crate::wire;

/// How many commits without an answer are remembered, those under way included. Each was retried and looked for
/// long before so many others failed; what is forgotten is proved by reading it back.
const OPEN_MAX: usize = 1024;

/// How many answered commits are remembered: some minutes of the fastest tenant, longer than any index lags.
const MADE_MAX: usize = 8192;

/// How far the clock that dates assets may be behind the one that dates answers.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(5);

/// A commit that is prepared, was sent, or failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    /// When its upload was asked for, by the tenant's clock where it told.
    pub(crate) asked: Option<Timestamp>,
    /// What the tenant's checksum of its bytes must be, where its kind is known.
    pub(crate) checksum: Option<String>,
}

impl Attempt {
    /// Whether a version can be of this commit, by its date.
    pub(crate) fn may_have_made(&self, version: &wire::Version) -> bool {
        match (self.asked, version.creation.date) {
            (Some(asked), Some(made)) => made.duration_since(asked) >= -CLOCK_SLACK,
            _ => true,
        }
    }

    /// Whether a version has these bytes, where that can be told without reading it.
    pub(crate) fn has_bytes(&self, version: &wire::Version) -> Option<bool> {
        let (ours, theirs) = (self.checksum.as_ref()?, version.file_checksum.as_ref()?);
        Some(ours == theirs)
    }
}

/// The commits of one endpoint. Bounded: the oldest are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Not answered, the oldest first.
    open: VecDeque<(Correlation, Attempt)>,
    /// Assets by the commit that made them.
    made: VecDeque<(i64, Correlation)>,
}

impl Attempts {
    /// An upload was asked for. Of several for one commit the first one counts: what it made may turn up late.
    pub(crate) fn asked(&self, correlation: &Correlation, given: Option<Timestamp>) {
        self.state().change(correlation, |attempt| {
            attempt.asked = attempt.asked.or(given);
        });
    }

    /// A commit is about to be sent, of bytes with this checksum.
    pub(crate) fn sent(&self, correlation: &Correlation, checksum: Option<&String>) {
        self.state().change(correlation, |attempt| {
            attempt.checksum = checksum.cloned().or(attempt.checksum.take());
        });
    }

    /// It was answered with this asset. A refusal is no reason to forget: what was sent before may turn up.
    pub(crate) fn made(&self, correlation: &Correlation, asset: i64) {
        let mut state = self.state();
        state.open.retain(|(known, _)| known != correlation);
        if state.made.len() >= MADE_MAX {
            state.made.pop_front();
        }
        state.made.push_back((asset, correlation.clone()));
    }

    /// What is known of a commit that was not answered.
    pub(crate) fn of(&self, correlation: &Correlation) -> Option<Attempt> {
        let state = self.state();
        let mut open = state.open.iter();
        let found = open.find(|(known, _)| known == correlation);
        found.map(|(_, attempt)| attempt.clone())
    }

    /// Whether an asset was made by a commit of something else.
    pub(crate) fn is_anothers(&self, asset: i64, correlation: &Correlation) -> bool {
        let state = self.state();
        let mut made = state.made.iter().rev();
        made.any(|(known, by)| *known == asset && by != correlation)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in there panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn change(&mut self, correlation: &Correlation, change: impl FnOnce(&mut Attempt)) {
        let mut open = self.open.iter_mut();
        if let Some((_, attempt)) = open.find(|(known, _)| known == correlation) {
            return change(attempt);
        }
        let mut attempt = Attempt::default();
        change(&mut attempt);
        if self.open.len() >= OPEN_MAX {
            self.open.pop_front();
        }
        self.open.push_back((correlation.clone(), attempt));
    }
}
