//! Event ids seen a short while ago, for the advisory `duplicates` of an ingest answer.
//!
//! Exact dedupe is the dataflow's. This memory is bounded: two generations of hashed ids, the
//! older dropped whole when the newer is full, so at least `capacity` and at most twice as many
//! ids are remembered. It is forgotten with the process.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use eddyline_schemas::event::Event;
use parking_lot::Mutex;

/// The bounded memory of the module doc.
#[derive(Debug)]
pub(crate) struct RecentIds {
    hasher: RandomState,
    capacity: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    newer: HashSet<u64>,
    older: HashSet<u64>,
}

impl RecentIds {
    /// Remembers at least the `capacity` newest ids.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            capacity: capacity.max(1),
            generations: Mutex::default(),
        }
    }

    /// The key of an event's id within its topic.
    pub(crate) fn key(&self, event: &Event) -> u64 {
        self.hasher.hash_one((event.event_type.topic().name(), event.event_id.as_str()))
    }

    /// Remembers `keys`; how many were known.
    pub(crate) fn note(&self, keys: &[u64]) -> usize {
        let mut generations = self.generations.lock();
        keys.iter().filter(|key| !generations.insert(**key, self.capacity)).count()
    }
}

impl Generations {
    fn insert(&mut self, key: u64, capacity: usize) -> bool {
        if self.newer.len() >= capacity {
            self.older = std::mem::take(&mut self.newer);
        }
        let fresh_in_newer = self.newer.insert(key);
        fresh_in_newer && !self.older.contains(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_known_and_the_oldest_forgotten() {
        let recent = RecentIds::new(4);
        assert_eq!(recent.note(&[1, 2, 3, 1]), 1);
        assert_eq!(recent.note(&[4, 5, 6]), 0);
        assert_eq!(recent.note(&[3, 4]), 2, "the older generation still counts");
        assert_eq!(recent.note(&[10, 11, 12, 13, 14, 15, 16, 17, 18]), 0);
        assert_eq!(recent.note(&[1]), 0, "two generations later it is forgotten");
    }
}
