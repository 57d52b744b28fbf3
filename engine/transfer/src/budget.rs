//! The budget: everyone's memory for bytes in flight, in bytes.
//!
//! A transfer is let in when one chunk's worth is free, and owns that chunk until it ends. Whatever
//! more it uses is granted chunk by chunk while some is free, and goes back to everyone as soon as the
//! chunk is done, so whoever waits is next. Waiters are served in the order they came.
//!
//! **Why neither small nor large contents starve.** Small contents are one request each and may be thousands, so
//! together they may use no more than half of everyone's memory; those beyond it wait in a line of their own, out of the way
//! of the large ones. A large transfer that waits to be let in is at the head of the queue until others end, which may
//! take as long as a file does; so an eighth of the memory is kept for small contents alone, and they take what comes
//! first, of that or of everyone's.
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
//! of several events, beside those that give memory back. The small contents' own line changes nothing: only
//! small contents wait in it, and those that are through it need nothing more than their one request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest piece that can be asked for at once: 1 GiB. The semaphore counts a request in 32 bits.
pub(crate) const GRANT_BYTES_MAX: u64 = 1 << 30;

/// Everyone's memory.
#[derive(Debug)]
pub(crate) struct Budget {
    total_bytes: u64,
    // One permit a byte. Tokio's semaphore is fair and gives back what a dropped waiter had gathered.
    free: Arc<Semaphore>,
    small_bytes_max: u64,
    // What small contents may use of it, one permit a byte.
    small: Arc<Semaphore>,
    // What is theirs alone.
    reserve: Arc<Semaphore>,
    reserve_bytes: u64,
    queue: Mutex<Queue>,
}

/// Who waits, in the order they came.
#[derive(Debug, Default)]
struct Queue {
    customers: u64,
    tickets: u64,
    waiting: BTreeMap<u64, Customer>,
}

/// A transfer as the budget knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Customer {
    number: u64,
    content_bytes: u64,
}

/// Who waits before a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// Transfers.
    pub(crate) files: usize,
    /// Those of them whose content is larger.
    pub(crate) larger: usize,
}

/// A place in the queue, until it is dropped.
struct Place<'a> {
    budget: &'a Budget,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.budget.queue().waiting.remove(&self.ticket);
    }
}

impl Budget {
    /// A budget of `total_bytes`, at most what the semaphore can count (2^61 on 64-bit machines). Contents
    /// up to `small_bytes_max` are small; others ask for at most `grant_bytes_max` at once.
    pub(crate) fn new(total_bytes: u64, small_bytes_max: u64, grant_bytes_max: u64) -> Arc<Self> {
        let total_bytes = total_bytes.min(Semaphore::MAX_PERMITS as u64);
        let reserve_bytes = (total_bytes / 8).min(total_bytes.saturating_sub(grant_bytes_max));
        let free_bytes = total_bytes - reserve_bytes;
        // Half, but at least one of them must fit.
        let small_bytes = (free_bytes / 2).max(small_bytes_max).min(free_bytes);
        Arc::new(Budget {
            total_bytes,
            free: Arc::new(Semaphore::new(free_bytes as usize)),
            small_bytes_max,
            small: Arc::new(Semaphore::new(small_bytes as usize)),
            reserve: Arc::new(Semaphore::new(reserve_bytes as usize)),
            reserve_bytes,
            queue: Mutex::default(),
        })
    }

    /// All there is.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// What is granted, including what a waiter at the head of the queue has gathered so far.
    pub(crate) fn used_bytes(&self) -> u64 {
        let free = self.free.available_permits() + self.reserve.available_permits();
        self.total_bytes - free as u64
    }

    /// How many wait for memory.
    pub(crate) fn waiting(&self) -> u64 {
        self.queue().waiting.len() as u64
    }

    /// A transfer of a content of `content_bytes` that will ask for memory.
    pub(crate) fn customer(&self, content_bytes: u64) -> Customer {
        let mut queue = self.queue();
        queue.customers += 1;
        Customer {
            number: queue.customers,
            content_bytes,
        }
    }

    /// Who waits before this transfer; `None` while it does not wait.
    pub(crate) fn ahead_of(&self, customer: Customer) -> Option<Ahead> {
        let queue = self.queue();
        let mut ahead = Ahead::default();
        for waiting in queue.waiting.values() {
            if *waiting == customer {
                return Some(ahead);
            }
            ahead.files += 1;
            ahead.larger += usize::from(waiting.content_bytes > customer.content_bytes);
        }
        None
    }

    /// Lets a transfer in whose chunks are at most `chunk_bytes`, once that much is free.
    ///
    /// Cancel safe; a dropped wait loses its place in the queue.
    pub(crate) async fn admit(self: &Arc<Self>, customer: Customer, chunk_bytes: u64) -> Account {
        let (permit, share) = match customer.content_bytes <= self.small_bytes_max {
            true => self.take_small(customer, chunk_bytes).await,
            false => (self.take(customer, chunk_bytes).await, None),
        };
        Account {
            budget: Arc::clone(self),
            customer,
            own: Arc::new(Own {
                turn: Arc::new(Semaphore::new(1)),
                _permit: permit,
                _share: share,
            }),
        }
    }

    async fn take(&self, customer: Customer, bytes: u64) -> OwnedSemaphorePermit {
        let permits = permits(bytes);
        if let Some(permit) = acquire_now(&self.free, permits) {
            return permit;
        }
        let _place = self.join(customer);
        acquire(Arc::clone(&self.free), permits).await
    }

    /// Memory for a small content, and what that is of its share in everyone's.
    async fn take_small(
        &self,
        customer: Customer,
        bytes: u64,
    ) -> (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>) {
        let permits = permits(bytes);
        if let Some(permit) = acquire_now(&self.reserve, permits) {
            return (permit, None);
        }
        if let Some(share) = acquire_now(&self.small, permits)
            && let Some(permit) = acquire_now(&self.free, permits)
        {
            return (permit, Some(share));
        }
        let _place = self.join(customer);
        let of_everyones = async {
            let share = acquire(Arc::clone(&self.small), permits).await;
            (acquire(Arc::clone(&self.free), permits).await, Some(share))
        };
        // Biased: what is theirs alone goes first. One that is larger must not gather it in vain.
        select! {
            biased;
            permit = acquire(Arc::clone(&self.reserve), permits), if bytes <= self.reserve_bytes =>
                (permit, None),
            both = of_everyones => both,
        }
    }

    fn join(&self, customer: Customer) -> Place<'_> {
        let mut queue = self.queue();
        queue.tickets += 1;
        let ticket = queue.tickets;
        queue.waiting.insert(ticket, customer);
        Place {
            budget: self,
            ticket,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in there panics between two changes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As the semaphore counts.
fn permits(bytes: u64) -> u32 {
    debug_assert!(bytes <= GRANT_BYTES_MAX);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Passes nobody by: what comes free goes to those who wait, so nothing is free while somebody does.
fn acquire_now(semaphore: &Arc<Semaphore>, permits: u32) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).try_acquire_many_owned(permits).ok()
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
    customer: Customer,
    own: Arc<Own>,
}

/// The chunk that a transfer owns unconditionally.
#[derive(Debug)]
struct Own {
    // One permit: who has it may use the chunk.
    turn: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
    // Of what small contents may use.
    _share: Option<OwnedSemaphorePermit>,
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
        let (own, customer) = (Arc::clone(&self.own), self.customer);
        async move {
            let turn = acquire(Arc::clone(&own.turn), 1);
            // Biased: the own chunk costs nobody anything, so it goes first.
            select! {
                biased;
                turn = turn => Grant { _permit: turn, _own: Some(own) },
                permit = budget.take(customer, bytes) => Grant { _permit: permit, _own: None },
            }
        }
    }
}
