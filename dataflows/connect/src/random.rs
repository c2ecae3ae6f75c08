//! Random bytes for identities: topic ids.

use std::hash::{BuildHasher, RandomState};

/// 128 bits from the operating system, by way of the keys it gives each hash map.
#[must_use]
pub fn bytes() -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for salt in 0..4_u64 {
        hasher.update(&RandomState::new().hash_one(salt).to_le_bytes());
    }
    // Keys of one thread are counted up from one random draw; the time tells processes apart that
    // were forked from one image.
    hasher.update(&std::process::id().to_le_bytes());
    hasher.update(&crate::clock::Clock::now(&crate::clock::SystemClock).0.to_le_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_draws_differ() {
        assert_ne!(super::bytes(), super::bytes());
    }
}
