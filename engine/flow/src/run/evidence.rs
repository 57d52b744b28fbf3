//! Evidence: how strongly it is proved that the sink holds the right bytes.
//!
//! Up to E2 a sink proves by itself, at the commit; that is always taken. E3 is ours: what was placed is read
//! back, at the revision that the commit named, and hashed. Where the wanted level is not reached, the one
//! that was is recorded, and the run says so once.

use std::sync::atomic::Ordering;

use windlass_core::{
    Asset, Destination, Digests, Error, Evidence, Finding, Kind, Placed, Readable, Result, Status,
};
use windlass_transfer::Transferred;

use super::activity::Doing;
use super::outcome::may_pass;
use super::step::{Attempt, StepRunner};
use crate::observe::Event;

/// What came of looking at the evidence.
#[derive(Debug)]
pub(super) enum ReadBack {
    /// Nothing disagrees, proved as strongly as this.
    Reached(Evidence),
    /// The sink gives back other bytes than it was given.
    Differs(Error),
}

impl StepRunner {
    /// Proves as much as is wanted of what was placed.
    ///
    /// Errors: those of reading that may not happen again. The attempt is repeated then, and finds
    /// what it placed.
    pub(super) async fn read_back(
        &self,
        attempt: &Attempt,
        destination: &Destination,
        done: &Transferred,
    ) -> Result<ReadBack> {
        let reached = done.placed.evidence;
        if reached >= self.evidence {
            return Ok(ReadBack::Reached(reached));
        }
        if self.evidence < Evidence::E3 {
            self.find(reached, "is all that it proves of itself");
            return Ok(ReadBack::Reached(reached));
        }
        let Some(reader) = &self.sink_reader else {
            self.find(
                reached,
                "cannot be exceeded, since it is not read from here",
            );
            return Ok(ReadBack::Reached(reached));
        };
        attempt.activity.begin(Doing::ReadingBack);
        let there = as_source_asset(destination, &done.placed);
        let read = self
            .engine
            .digest(reader.as_ref(), &there, &self.never)
            .await;
        match read {
            Ok(read) => Ok(match differs(&done.digests, &read, &done.placed) {
                None => ReadBack::Reached(Evidence::E3),
                Some(error) => ReadBack::Differs(error),
            }),
            Err(error) => self.unread(error, done),
        }
    }

    /// What a failure to read back means.
    fn unread(&self, error: Error, done: &Transferred) -> Result<ReadBack> {
        let error = error.with_context("while", "reading back what was placed");
        match error.kind() {
            // Too few or too many bytes, twice.
            Kind::Integrity => {
                let ours = done.digests.blake3;
                Ok(ReadBack::Differs(
                    error.with_context("BLAKE3 of what was handed over", ours),
                ))
            }
            // Just placed and not there yet: some services need a moment.
            Kind::NotFound => Err(error.with_status(Status::Temporary)),
            Kind::SourceChanged if is_gone(&error) => Err(error.with_status(Status::Temporary)),
            // Somebody has replaced it since.
            Kind::SourceChanged => {
                self.find(
                    done.placed.evidence,
                    "is all, since people change what was placed",
                );
                Ok(ReadBack::Reached(done.placed.evidence))
            }
            _ if may_pass(&error) => Err(error),
            Kind::Cancelled | Kind::Unauthenticated => Err(error),
            _ => {
                tracing::warn!(error = %error.chain(), "what was placed cannot be read back");
                self.find(
                    done.placed.evidence,
                    "is all, since it does not let us read back",
                );
                Ok(ReadBack::Reached(done.placed.evidence))
            }
        }
    }

    /// Takes away what is not right. Answers the disagreement, to be told if it happens again.
    ///
    /// Errors: the disagreement and what is left behind, where taking away failed; temporary where that was,
    /// and the next attempt comes to the same point.
    pub(super) async fn undo(
        &self,
        attempt: &Attempt,
        placed: &Placed,
        wrong: Error,
    ) -> Result<Error> {
        attempt.activity.begin(Doing::Undoing);
        match self.sink.remove(placed).await {
            Ok(()) => Ok(wrong.with_context("undone", "what was placed was removed again")),
            Err(failure) => {
                let status = failure.status();
                Err(wrong
                    .with_status(status)
                    .with_context("left behind", &placed.asset)
                    .with_context("removing it failed", failure))
            }
        }
    }

    /// Tells once a run that less is proved than was wanted.
    fn find(&self, reached: Evidence, why: &str) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let finding = Finding {
            subject: self.sink.name().to_owned(),
            message: format!(
                "evidence {:?} is wanted; {reached:?} {why}, and is recorded so",
                self.evidence
            ),
        };
        self.observer.observe(Event::Found { finding: &finding });
    }
}

/// What was placed, as something to read.
fn as_source_asset(destination: &Destination, placed: &Placed) -> Asset {
    let draft = destination.draft();
    Asset {
        id: placed.asset.clone(),
        path: draft.collection.join(&draft.file_name),
        revision: placed.revision.clone(),
        size: placed.size,
        modified: None,
        // What the sink states is not what counts here.
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    }
}

/// Whether nothing is there any more, as opposed to something else.
fn is_gone(error: &Error) -> bool {
    let mut context = error.context().iter();
    context.any(|(name, value)| *name == "change" && value == "vanished")
}

fn differs(ours: &Digests, read: &Digests, placed: &Placed) -> Option<Error> {
    if ours.blake3 == read.blake3 && ours.size == read.size {
        return None;
    }
    Some(
        Error::new(
            Kind::Integrity,
            format!(
                "the sink gives back other bytes than it was given: BLAKE3 {} instead of {}",
                read.blake3, ours.blake3
            ),
        )
        .with_context("placed", &placed.asset),
    )
}
