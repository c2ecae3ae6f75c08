//! Where the deltas of an epoch lie on `deltas.v1`: key, logical shard, partition and rank; and the
//! digests that hold an epoch together.
//!
//! Key = `kind/id`, where the id of a user is percent-encoded (RFC 3986: all but letters, digits,
//! `-._~`), that of an item is its number as 8 hexadecimal digits, and the gate has none.
//! Partition = logical shard mod P. The shard of an item is in its number, that of a user in the
//! hash of the id, and what is the only one of its kind is in shard 0.

use std::fmt::Write;

use super::canonical::write_canonical;
use super::{Delta, DeltaKey, EpochDeltas};
use crate::id::IdHash;
use crate::lineage::Epoch;
use crate::record::{Digest, DigestBuilder};
use crate::time::TimestampMs;

/// Canonical bytes are hashed in pieces of about this size.
const HASHED_AT_ONCE: usize = 64 << 10;

impl Delta {
    /// The logical shard that the delta's key belongs to.
    #[must_use]
    pub fn shard(&self) -> u8 {
        match self.order_key().1 {
            DeltaKey::Only => 0,
            DeltaKey::Item(item) => item.shard(),
            DeltaKey::User(user) => IdHash::of(user).shard(),
        }
    }

    /// The partition of a topic of `partitions` that the delta belongs to.
    #[must_use]
    pub fn partition(&self, partitions: u32) -> u32 {
        u32::from(self.shard()) % partitions
    }

    /// The record key of the module doc.
    #[must_use]
    pub fn topic_key(&self) -> String {
        let (kind, (_, key)) = (self.kind_name(), self.order_key());
        match key {
            DeltaKey::Only => kind.to_owned(),
            DeltaKey::Item(item) => format!("{kind}/{:08x}", item.0),
            DeltaKey::User(user) => format!("{kind}/{}", percent_encoded(user)),
        }
    }
}

impl EpochDeltas {
    /// Whether the chain follows from `previous` and from what the epoch changed.
    #[must_use]
    pub fn follows(&self, previous: Digest) -> bool {
        chain_after(previous, self.epoch, self.logical_time, &self.deltas) == self.chain
    }

    /// Rows by partition; the place of a row in its list is its seq.
    #[must_use]
    pub fn by_partition(&self, partitions: u32) -> Vec<Vec<&Delta>> {
        let mut all = vec![Vec::new(); partitions as usize];
        for delta in &self.deltas {
            all[delta.partition(partitions) as usize].push(delta);
        }
        all
    }
}

/// The chain hash of an epoch: BLAKE3 of the chain before it, its number, its logical time and its
/// canonical rows in order.
#[must_use]
pub fn chain_after(
    previous: Digest,
    epoch: Epoch,
    logical_time: TimestampMs,
    deltas: &[Delta],
) -> Digest {
    let mut hasher = chain_head(previous, epoch, logical_time);
    hash_rows(&mut hasher, deltas.iter(), |_, _| {});
    hasher.finish()
}

/// BLAKE3 of the canonical rows of a partition in the order of seq.
#[must_use]
pub fn rows_digest<'a>(rows: impl Iterator<Item = &'a Delta>) -> Digest {
    let mut hasher = DigestBuilder::default();
    hash_rows(&mut hasher, rows, |_, _| {});
    hasher.finish()
}

/// What the chain hash of an epoch begins with.
pub(super) fn chain_head(
    previous: Digest,
    epoch: Epoch,
    logical_time: TimestampMs,
) -> DigestBuilder {
    let mut hasher = DigestBuilder::default();
    hasher.update(&previous.0);
    hasher.update(&epoch.0.to_le_bytes());
    hasher.update(&logical_time.0.to_le_bytes());
    hasher
}

/// Hashes the canonical rows; `each` sees every one with its bytes.
pub(super) fn hash_rows<'a>(
    hasher: &mut DigestBuilder,
    rows: impl Iterator<Item = &'a Delta>,
    mut each: impl FnMut(&'a Delta, &[u8]),
) {
    let mut bytes = Vec::new();
    for row in rows {
        let start = bytes.len();
        write_canonical(row, &mut bytes);
        each(row, &bytes[start..]);
        if bytes.len() >= HASHED_AT_ONCE {
            hasher.update(&bytes);
            bytes.clear();
        }
    }
    hasher.update(&bytes);
}

fn percent_encoded(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => write!(text, "%{byte:02X}").expect("writing to a string succeeds"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::id::{ItemRef, UserId};

    #[test]
    fn keys_and_shards() {
        let check = |delta: Delta, key: &str, shard: u8| {
            assert_eq!((delta.topic_key().as_str(), delta.shard()), (key, shard));
        };
        let user = |id: &str| {
            let user = UserId::new(id).expect("a valid id");
            Delta::UserVector { user, vector: None }
        };
        let vector: Arc<[f32]> = Arc::from([]);
        check(Delta::ItemVector { item: ItemRef(0x2a00_0007), vector }, "item_vector/2a000007", 42);
        check(Delta::Gate { values: Arc::from([]) }, "gate", 0);
        check(user("u42"), "user_vector/u42", IdHash::of("u42").shard());
        check(user("a/b ∂%"), "user_vector/a%2Fb%20%E2%88%82%25", IdHash::of("a/b ∂%").shard());
    }
}
