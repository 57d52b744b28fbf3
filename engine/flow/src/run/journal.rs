//! The journal of one step's attempt, kept in the ledger.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use windlass_core::{
    Digests, Error, Journal, Kind, LeasedStep, Ledger, Note, Noted, Part, Result, StepId,
    Unfinished,
};

/// Writes down what one attempt of a step does. Notes of many steps that are written at the same time share
/// the ledger's commits.
#[derive(Debug)]
pub(super) struct StepJournal {
    ledger: Arc<dyn Ledger>,
    step: StepId,
    attempt: u32,
    unfinished: Mutex<Unfinished>,
}

impl StepJournal {
    /// The journal of a leased step, with what earlier attempts left.
    pub(super) fn new(ledger: Arc<dyn Ledger>, step: &LeasedStep, unfinished: Unfinished) -> Self {
        StepJournal {
            ledger,
            step: step.id,
            attempt: step.attempt,
            unfinished: Mutex::new(unfinished),
        }
    }

    fn note(&self, what: Noted) -> Note {
        Note {
            step: self.step,
            attempt: self.attempt,
            what,
        }
    }

    async fn write(&self, what: Noted) -> Result<()> {
        let accepted = self.ledger.note(&[self.note(what)]).await?;
        match accepted.as_slice() {
            [true] => Ok(()),
            _ => Err(Error::new(
                Kind::Cancelled,
                "another attempt has taken the step, so this one ends",
            )),
        }
    }
}

#[async_trait]
impl Journal for StepJournal {
    fn take_unfinished(&self) -> Unfinished {
        let mut unfinished = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut unfinished)
    }

    async fn opened(&self, session: &str) -> Result<()> {
        self.write(Noted::Session(session.to_owned())).await
    }

    fn acknowledged(&self, part: Part) -> Result<()> {
        self.ledger.jot(&self.note(Noted::Part(part)))
    }

    async fn intend(&self, digests: &Digests) -> Result<()> {
        self.write(Noted::Intent(*digests)).await
    }

    async fn restarted(&self) -> Result<()> {
        self.write(Noted::Restart).await
    }
}
