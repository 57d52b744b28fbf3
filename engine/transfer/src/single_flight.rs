//! Single flight: two transfers of one content at once, and the second waits for the first.
//!
//! The caller names the content by a key of its own (a digest and a sink, say), takes a turn before it
//! transfers, and, where the turn had to be waited for, looks again whether there is still anything to
//! transfer. A turn that is dropped, by success, failure or cancellation, lets the next one go, in the
//! order in which they asked.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The contents that are in flight, by key. Clones share them.
#[derive(Debug)]
pub struct SingleFlight<K: Ord> {
    flights: Arc<Mutex<BTreeMap<K, Flight>>>,
}

#[derive(Debug)]
struct Flight {
    turn: Arc<Semaphore>,
    // Who has the turn or waits for it. The entry goes with the last one.
    members: usize,
}

/// The right to transfer a content, until it is dropped.
#[derive(Debug)]
pub struct Turn<K: Ord + Clone> {
    waited: bool,
    // Given back before the membership (fields drop in order), so that a member finds it free.
    _permit: OwnedSemaphorePermit,
    _member: Member<K>,
}

#[derive(Debug)]
struct Member<K: Ord + Clone> {
    flights: Arc<Mutex<BTreeMap<K, Flight>>>,
    key: K,
}

impl<K: Ord> Default for SingleFlight<K> {
    fn default() -> Self {
        SingleFlight {
            flights: Arc::default(),
        }
    }
}

impl<K: Ord> Clone for SingleFlight<K> {
    fn clone(&self) -> Self {
        SingleFlight {
            flights: Arc::clone(&self.flights),
        }
    }
}

impl<K: Ord + Clone + Debug> SingleFlight<K> {
    /// Nothing in flight.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until nobody else has a turn at this content. Cancel by dropping the future.
    pub async fn turn(&self, key: K) -> Turn<K> {
        let (member, turn, waited) = self.join(key);
        // Acquiring fails on a closed semaphore only, and nothing here closes one.
        let permit = turn
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        Turn {
            waited,
            _permit: permit,
            _member: member,
        }
    }

    /// Number of contents in flight; 0 at rest.
    pub fn len(&self) -> usize {
        lock(&self.flights).len()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn join(&self, key: K) -> (Member<K>, Arc<Semaphore>, bool) {
        let mut flights = lock(&self.flights);
        let flight = flights.entry(key.clone()).or_insert_with(|| Flight {
            turn: Arc::new(Semaphore::new(1)),
            members: 0,
        });
        let waited = flight.members > 0;
        flight.members += 1;
        let turn = Arc::clone(&flight.turn);
        drop(flights);
        let member = Member {
            flights: Arc::clone(&self.flights),
            key,
        };
        (member, turn, waited)
    }
}

impl<K: Ord + Clone> Turn<K> {
    /// Whether somebody else was at this content when the turn was asked for: look again what is left
    /// to do.
    pub fn waited(&self) -> bool {
        self.waited
    }
}

impl<K: Ord + Clone> Drop for Member<K> {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get_mut(&self.key) {
            flight.members -= 1;
            if flight.members == 0 {
                flights.remove(&self.key);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only a comparison of keys could panic in there, and then nothing was changed yet.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
