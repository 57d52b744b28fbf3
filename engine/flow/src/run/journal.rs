//! What the attempts of a shift note in the ledger, written for many at once.
//!
//! A note is durable when its call returns, and durability is what costs: one commit of the ledger carries a
//! thousand notes as cheaply as one. So whoever has something to note puts it on the [`Notebook`]'s pile and
//! asks for the pen. The first to get it lets everybody who is ready add theirs, writes the pile in one call and
//! hands the answers out; who comes meanwhile is the next pile. There is no task and no clock in it: on a paused
//! clock the same attempts make the same calls.
//!
//! What is dropped while it waits is not written. Who is dropped while it writes leaves the pile to the next:
//! noting the same thing twice changes nothing.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::select;
use tokio::sync::oneshot;
use windlass_core::{
    Digests, Error, Journal, Kind, Ledger, Note, Noted, Part, Result, Status, StepId, Unfinished,
};

/// How many notes go in one call: bounds the text that a ledger makes of them.
const NOTES_A_CALL: usize = 1_000;

/// Where the attempts of one shift write their notes.
#[derive(Debug)]
pub(super) struct Notebook {
    ledger: Arc<dyn Ledger>,
    /// One entry an attempt at most: bounded by the steps that run.
    pile: Mutex<VecDeque<Entry>>,
    pen: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Entry {
    note: Note,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug)]
enum Answer {
    Kept,
    /// Another attempt has the step.
    Stale,
    Failed(Arc<Error>),
}

impl Notebook {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Notebook {
            ledger,
            pile: Mutex::default(),
            pen: tokio::sync::Mutex::default(),
        }
    }

    /// Writes a note; durable when it returns. Cancel safe, as the module says.
    async fn write(&self, note: Note) -> Result<Answer> {
        let (sender, mut answer) = oneshot::channel();
        let entry = Entry {
            note,
            answer: sender,
        };
        lock(&self.pile).push_back(entry);
        // Biased: who has its answer needs no pen.
        let _pen = select! {
            biased;
            told = &mut answer => return told.map_err(|_| lost()),
            pen = self.pen.lock() => pen,
        };
        // Lets everybody else who is ready add theirs.
        tokio::task::yield_now().await;
        loop {
            match answer.try_recv() {
                Ok(told) => return Ok(told),
                Err(oneshot::error::TryRecvError::Empty) => self.write_pile().await,
                Err(oneshot::error::TryRecvError::Closed) => return Err(lost()),
            }
        }
    }

    async fn write_pile(&self) {
        let mut page = self.page();
        let notes: Vec<Note> = page
            .entries
            .iter()
            .map(|entry| entry.note.clone())
            .collect();
        let outcome = self.ledger.note(&notes).await.map_err(Arc::new);
        for (at, entry) in page.entries.drain(..).enumerate() {
            let answer = match &outcome {
                Err(error) => Answer::Failed(Arc::clone(error)),
                Ok(accepted) if accepted.get(at) == Some(&true) => Answer::Kept,
                Ok(_) => Answer::Stale,
            };
            // Who does not listen any more was dropped, and its attempt with it.
            entry.answer.send(answer).ok();
        }
    }

    fn page(&self) -> Page<'_> {
        let mut pile = lock(&self.pile);
        pile.retain(|entry| !entry.answer.is_closed());
        let count = pile.len().min(NOTES_A_CALL);
        Page {
            notebook: self,
            entries: pile.drain(..count).collect(),
        }
    }
}

/// What is being written; goes back onto the pile when its writer is dropped.
struct Page<'a> {
    notebook: &'a Notebook,
    entries: Vec<Entry>,
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let mut pile = lock(&self.notebook.pile);
        for entry in self.entries.drain(..).rev() {
            pile.push_front(entry);
        }
    }
}

/// The journal of one attempt at one step.
#[derive(Debug)]
pub(super) struct StepJournal {
    notebook: Arc<Notebook>,
    step: StepId,
    attempt: u32,
    unfinished: Mutex<Unfinished>,
    parts: AtomicU64,
    stale: AtomicBool,
}

impl StepJournal {
    /// The journal of a leased step, with what earlier attempts left.
    pub(super) fn new(
        notebook: Arc<Notebook>,
        step: StepId,
        attempt: u32,
        unfinished: Unfinished,
    ) -> Self {
        StepJournal {
            notebook,
            step,
            attempt,
            unfinished: Mutex::new(unfinished),
            parts: AtomicU64::new(0),
            stale: AtomicBool::new(false),
        }
    }

    /// Whether a note was refused because another attempt has the step: whatever becomes of this one is
    /// nobody's outcome.
    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// Whether this attempt brought the step forward: the next one begins behind where this one did.
    pub(super) fn moved_on(&self) -> bool {
        self.parts.load(Ordering::Relaxed) > 0
    }

    async fn note(&self, what: Noted) -> Result<()> {
        match self.notebook.write(self.sign(what)).await? {
            Answer::Kept => Ok(()),
            Answer::Stale => {
                self.stale.store(true, Ordering::Relaxed);
                Err(stale())
            }
            Answer::Failed(error) => Err(copy_of(&error)),
        }
    }

    fn sign(&self, what: Noted) -> Note {
        Note {
            step: self.step,
            attempt: self.attempt,
            what,
        }
    }
}

#[async_trait]
impl Journal for StepJournal {
    fn take_unfinished(&self) -> Unfinished {
        std::mem::take(&mut lock(&self.unfinished))
    }

    async fn opened(&self, session: &str) -> Result<()> {
        self.note(Noted::Session(session.to_owned())).await
    }

    fn acknowledged(&self, part: Part) -> Result<()> {
        self.notebook.ledger.jot(&self.sign(Noted::Part(part)))?;
        self.parts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn intend(&self, digests: &Digests) -> Result<()> {
        self.note(Noted::Intent(*digests)).await
    }

    async fn restarted(&self) -> Result<()> {
        self.note(Noted::Restart).await
    }
}

fn stale() -> Error {
    Error::new(
        Kind::Conflict,
        "another attempt has the step by now, so this one ends",
    )
}

fn lost() -> Error {
    Error::new(Kind::Unexpected, "a note was neither written nor refused")
}

/// One failed call is the answer to many.
#[derive(Debug)]
struct SharedError(Arc<Error>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.chain())
    }
}

impl std::error::Error for SharedError {}

fn copy_of(error: &Arc<Error>) -> Error {
    let status: Status = error.status();
    let mut copy = Error::new(error.kind(), "a transfer's progress could not be noted")
        .with_status(status)
        .with_source(SharedError(Arc::clone(error)));
    if let Some(hint) = error.hint() {
        copy = copy.with_hint(hint);
    }
    copy
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in there panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
