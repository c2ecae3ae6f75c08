//! Fresh ids for events that give neither an id nor a timestamp.
//!
//! BLAKE3 keyed with 256 random bits of the process over a count: no two draws of a process are
//! equal, and those of two processes are with negligible probability.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// See the module doc.
#[derive(Debug)]
pub(crate) struct RandomIds {
    key: [u8; 32],
    drawn: AtomicU64,
}

impl RandomIds {
    /// Draws the key from the operating system, by way of the keys that it gives each hash map;
    /// `salt` (the time) tells processes apart that were forked from one image.
    pub(crate) fn new(salt: i64) -> Self {
        let mut hasher = blake3::Hasher::new();
        for draw in 0..4_u64 {
            hasher.update(&RandomState::new().hash_one(draw).to_le_bytes());
        }
        hasher.update(&std::process::id().to_le_bytes());
        hasher.update(&salt.to_le_bytes());
        Self { key: *hasher.finalize().as_bytes(), drawn: AtomicU64::new(0) }
    }

    pub(crate) fn draw(&self) -> [u8; 16] {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        let hash = blake3::keyed_hash(&self.key, &count.to_le_bytes());
        let mut bits = [0; 16];
        bits.copy_from_slice(&hash.as_bytes()[..16]);
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::RandomIds;

    #[test]
    fn draws_differ_within_and_between_sources() {
        let (a, b) = (RandomIds::new(0), RandomIds::new(0));
        let mut drawn = [a.draw(), a.draw(), b.draw(), b.draw()];
        drawn.sort_unstable();
        assert!(drawn.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
