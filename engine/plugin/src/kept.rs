//! Answers that may be asked for again, in bounded memory. A plugin is deterministic, so an answer belongs to
//! the digest of its input for as long as plugin and configuration are the same, which is as long as
//! the plugin is loaded.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use windlass_core::Blake3;

/// Bytes of an entry besides its answer: key, place in the queue, and what a map costs.
const ENTRY_BYTES: usize = 200;

/// Answers by the digest of their input.
pub(crate) struct Kept<T> {
    bytes_max: usize,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    by_input: HashMap<Blake3, Entry<T>>,
    /// In the order in which they came, the oldest first.
    order: VecDeque<Blake3>,
    bytes: usize,
}

struct Entry<T> {
    answer: T,
    bytes: usize,
    /// For which moment it was given, and until when it stands.
    at: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl<T: Clone + Serialize> Kept<T> {
    /// Keeps answers of about so many bytes; of none if that is 0.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Kept {
            bytes_max,
            entries: Mutex::new(Entries {
                by_input: HashMap::new(),
                order: VecDeque::new(),
                bytes: 0,
            }),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.bytes_max > 0
    }

    /// The answer for an input about a moment, if one is kept that stands then.
    pub(crate) fn get(&self, input: &Blake3, moment: Option<Timestamp>) -> Option<T> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.by_input.get(input)?;
        let stands = match (entry.at, moment) {
            (Some(at), Some(now)) => at <= now && entry.until.is_none_or(|until| now < until),
            _ => true,
        };
        stands.then(|| entry.answer.clone())
    }

    /// Keeps an answer, and lets the oldest ones go for it.
    pub(crate) fn put(
        &self,
        input: Blake3,
        answer: &T,
        at: Option<Timestamp>,
        until: Option<Timestamp>,
    ) {
        let bytes = ENTRY_BYTES + written_bytes(answer);
        if bytes > self.bytes_max {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry {
            answer: answer.clone(),
            bytes,
            at,
            until,
        };
        match entries.by_input.insert(input, entry) {
            Some(before) => entries.bytes -= before.bytes,
            None => entries.order.push_back(input),
        }
        entries.bytes += bytes;
        while entries.bytes > self.bytes_max {
            let Some(oldest) = entries.order.pop_front() else {
                break;
            };
            if let Some(gone) = entries.by_input.remove(&oldest) {
                entries.bytes -= gone.bytes;
            }
        }
    }
}

/// How long a value is as JSON: near enough to what it holds.
fn written_bytes<T: Serialize>(value: &T) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        // What cannot be measured is not kept.
        Err(_) => usize::MAX - ENTRY_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Blake3 {
        Blake3::of(&[number])
    }

    #[test]
    fn the_oldest_answers_go_first_and_large_ones_are_not_kept() {
        let kept = Kept::new(3 * (ENTRY_BYTES + 10));
        for number in 0..5 {
            kept.put(key(number), &"x".repeat(8), None, None);
        }
        let found: Vec<bool> = (0..5).map(|n| kept.get(&key(n), None).is_some()).collect();
        assert_eq!(found, [false, false, true, true, true]);
        kept.put(key(9), &"x".repeat(1_000), None, None);
        assert_eq!(kept.get(&key(9), None), None);
        assert!(kept.get(&key(4), None).is_some(), "nothing went for it");
    }

    #[test]
    fn an_answer_about_a_moment_stands_from_then_until_its_end() {
        let kept = Kept::new(10_000);
        let at = |second| Timestamp::from_second(second).ok();
        kept.put(key(1), &"yes", at(100), at(200));
        let found = |second| kept.get(&key(1), at(second)).is_some();
        assert_eq!([99, 100, 199, 200].map(found), [false, true, true, false]);
        kept.put(key(1), &"no", at(200), None);
        assert_eq!(kept.get(&key(1), at(500)), Some("no"));
    }
}
