//! The budget: everyone's memory for bytes in flight, in bytes.
//!
//! A transfer is let in when one chunk's worth is free, and owns that chunk until it ends. Whatever
//! more it uses is granted chunk by chunk while some is free, and goes back to everyone as soon as the
//! chunk is done, so whoever waits is next. Waiters are served in the order they came.
//!
//! **Why it cannot deadlock.** A transfer that is let in asks for memory for its chunks in the order
//! of their index, one at a time. Take its lowest chunk that is not done. Either that chunk has memory:
//! then it is read, hashed and, as nothing before it is missing, pushed, without waiting for anyone's
//! memory. Or it has none: then nothing after it has any either and all before it are done, so the
//! transfer's own chunk is unused, and [`Account::grant`] hands it out at once, without the queue. So
//! every transfer that was let in can always take its next step and ends at some time. A transfer that
//! was not yet let in holds nothing that anyone waits for. Two things are asked of others: a sink lets
//! go of a chunk without first being given another one, and nobody waits for a grant in the very code
//! that must run for a grant to come free. The transfer's loop keeps that: its wait for memory is one
//! of several events, beside those that give memory back.

use std::sync::Arc;

use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::gauge::Gauge;

/// The largest piece that can be asked for at once: 1 GiB. The semaphore counts a request in 32 bits.
pub(crate) const GRANT_BYTES_MAX: u64 = 1 << 30;

/// Everyone's memory.
#[derive(Debug)]
pub(crate) struct Budget {
    total_bytes: u64,
    // One permit a byte. Tokio's semaphore is fair and gives back what a dropped waiter had gathered.
    free: Arc<Semaphore>,
    waiting: Gauge,
}

impl Budget {
    /// A budget of `total_bytes`, at most what the semaphore can count (2^61 on 64-bit machines).
    pub(crate) fn new(total_bytes: u64) -> Arc<Self> {
        let total_bytes = total_bytes.min(Semaphore::MAX_PERMITS as u64);
        Arc::new(Budget {
            total_bytes,
            free: Arc::new(Semaphore::new(total_bytes as usize)),
            waiting: Gauge::default(),
        })
    }

    /// All there is.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// What is granted, including what a waiter at the head of the queue has gathered so far.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.total_bytes - self.free.available_permits() as u64
    }

    /// How many wait for memory.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.level()
    }

    /// Lets a transfer in whose chunks are at most `chunk_bytes`, once that much is free.
    ///
    /// Cancel safe; a dropped wait loses its place in the queue.
    pub(crate) async fn admit(self: &Arc<Self>, chunk_bytes: u64) -> Account {
        let permit = self.take(chunk_bytes).await;
        Account {
            budget: Arc::clone(self),
            own: Arc::new(Own {
                turn: Arc::new(Semaphore::new(1)),
                _permit: permit,
            }),
        }
    }

    async fn take(&self, bytes: u64) -> OwnedSemaphorePermit {
        debug_assert!(bytes <= GRANT_BYTES_MAX.min(self.total_bytes));
        let _waiting = self.waiting.enter();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        acquire(Arc::clone(&self.free), bytes).await
    }
}

async fn acquire(semaphore: Arc<Semaphore>, permits: u32) -> OwnedSemaphorePermit {
    // Acquiring fails on a closed semaphore only, and nothing here closes one.
    semaphore
        .acquire_many_owned(permits)
        .await
        .expect("the semaphore is never closed")
}

/// One transfer's right to memory. Its own chunk is given back when the account and the last grant
/// that uses it are gone.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    own: Arc<Own>,
}

/// The chunk that a transfer owns unconditionally.
#[derive(Debug)]
struct Own {
    // One permit: who has it may use the chunk.
    turn: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
}

/// Memory for one chunk, until it is dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    // The turn at the transfer's own chunk, or bytes of everyone's. Given back first (fields drop in
    // order), so that the transfer's next chunk finds its own free.
    _permit: OwnedSemaphorePermit,
    // Keeps the own chunk paid for while bytes are in it, even after the transfer is gone.
    _own: Option<Arc<Own>>,
}

impl Account {
    /// Memory for `bytes`, at most the chunk that the account was opened for: its own chunk if that is
    /// unused, else from everyone's, whichever comes first.
    ///
    /// Cancel safe; a dropped wait loses its place in the queue.
    pub(crate) fn grant(&self, bytes: u64) -> impl Future<Output = Grant> + Send + use<> {
        let budget = Arc::clone(&self.budget);
        let own = Arc::clone(&self.own);
        async move {
            let turn = acquire(Arc::clone(&own.turn), 1);
            // Biased: the own chunk costs nobody anything, so it goes first.
            select! {
                biased;
                turn = turn => Grant { _permit: turn, _own: Some(own) },
                permit = budget.take(bytes) => Grant { _permit: permit, _own: None },
            }
        }
    }
}
