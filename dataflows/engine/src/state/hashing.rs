//! A hasher for keys that are hashes already.

use std::hash::{BuildHasherDefault, Hasher};

/// Takes 8 bytes of an [`eddyline_schemas::id::IdHash`] as they are. Bytes 0 to 7 would repeat the
/// shard in every key of a shard's map, so the last 8 are taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk::<8>() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

/// Builds [`IdHasher`]s. Iteration over such a map has no defined order: never fold over one.
pub type IdBuildHasher = BuildHasherDefault<IdHasher>;
