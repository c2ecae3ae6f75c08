//! Topics, partitions, and which partition a key belongs to.

use std::fmt;

/// The three input topics and the ones Eddyline writes. The namespace of a deployment is a prefix
/// that the log adapter adds; it is never part of state, seeds or digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// What users do: view, click, purchase, search, profile, merge, erase, …
    UserEvents,
    /// What users say of answers: impression, rate, like, dislike, skip.
    Feedback,
    /// The catalogue: upsert and delete.
    ItemEvents,
    /// Which offsets make up an epoch: one partition, appended to by the sequencer alone.
    Bindings,
    /// What each epoch changed, for serving replicas: see [`crate::delta::record`].
    Deltas,
    /// What a live dataflow has made of each epoch, in one hash: see [`crate::delta::digest`]. One
    /// partition.
    Digests,
}

impl Topic {
    /// All topics, in the order of their names.
    pub const ALL: [Self; 6] = [
        Self::Bindings,
        Self::Deltas,
        Self::Digests,
        Self::Feedback,
        Self::ItemEvents,
        Self::UserEvents,
    ];

    /// The topics that producers write, in the order of their names.
    pub const INPUTS: [Self; 3] = [Self::Feedback, Self::ItemEvents, Self::UserEvents];

    /// The name without namespace.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserEvents => "user_events",
            Self::Feedback => "feedback",
            Self::ItemEvents => "item_events",
            Self::Bindings => "bindings",
            Self::Deltas => "deltas.v1",
            Self::Digests => "digests",
        }
    }

    /// The topic called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A partition of a topic. Orders by topic *name*, then number, as `seq` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Topic,
    /// From 0.
    pub partition: u32,
}

impl Ord for TopicPartition {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.topic.name(), self.partition).cmp(&(other.topic.name(), other.partition))
    }
}

impl PartialOrd for TopicPartition {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The partition of `key` among `partitions`, as Kafka's default partitioner chooses it:
/// (murmur2(key) with the sign bit cleared) mod partitions.
#[must_use]
pub fn partition_for(key: &[u8], partitions: u32) -> u32 {
    debug_assert!(partitions > 0, "a topic has at least one partition");
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// MurmurHash2 (A. Appleby) with the seed and the byte order that Kafka uses.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut blocks = data.chunks_exact(4);
    for block in &mut blocks {
        let mut k = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = blocks.remainder();
    for (at, byte) in rest.iter().enumerate().rev() {
        hash ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that Apache Kafka's own `UtilsTest.testMurmur2` fixes.
    #[test]
    fn murmur2_agrees_with_kafka() {
        let check = |text: &str, want: i32| assert_eq!(murmur2(text.as_bytes()) as i32, want);
        check("21", -973_932_308);
        check("foobar", -790_332_482);
        check("a-little-bit-long-string", -985_981_536);
        check("a-little-bit-longer-string", -1_486_304_829);
        check("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
    }

    #[test]
    fn names_round_trip_and_order_by_name() {
        for topic in Topic::ALL {
            assert_eq!(Topic::from_name(topic.name()), Some(topic));
        }
        assert!(Topic::ALL.is_sorted_by_key(|topic| topic.name()));
        assert!(Topic::INPUTS.is_sorted_by_key(|topic| topic.name()));
    }
}
