//! Identifiers as producers write them, and the hash that places them.
//!
//! An id is printable UTF-8 of at most [`MAX_ID_BYTES`] bytes without control characters, `{`,
//! `}`, leading or trailing white space. A value of one of these types has passed that test; no
//! code downstream checks again. Cloning is a reference count.
//!
//! [`IdHash`] is the first half of BLAKE3(id). Its first byte is the *logical shard*: state and
//! sums are partitioned by it, never by worker, so it must never change.

use std::fmt;
use std::sync::Arc;

/// Longest id in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 128;

/// Number of logical shards; the shard of an id is the first byte of its BLAKE3 hash.
pub const SHARDS: usize = 256;

/// Why a string is not an id. The message is shown to producers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The empty string.
    #[error("an id must not be empty")]
    Empty,
    /// More than [`MAX_ID_BYTES`] bytes.
    #[error("an id must be at most {MAX_ID_BYTES} bytes, got {0}")]
    TooLong(usize),
    /// Leading or trailing white space.
    #[error("an id must not begin or end with white space")]
    Padded,
    /// A control character, `{` or `}`.
    #[error("an id must not hold {0:?}")]
    Forbidden(char),
}

/// Checks `text` against the rule of the module doc.
pub fn check_id(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(InvalidId::TooLong(text.len()));
    }
    // Almost every id is graphic ASCII, which one pass over its bytes settles.
    if text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}')) {
        return Ok(());
    }
    if text.trim().len() != text.len() {
        return Err(InvalidId::Padded);
    }
    let forbidden = |c: &char| c.is_control() || matches!(c, '{' | '}');
    match text.chars().find(forbidden) {
        Some(c) => Err(InvalidId::Forbidden(c)),
        None => Ok(()),
    }
}

/// The first 128 bits of BLAKE3 of an id's UTF-8 bytes.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct IdHash(pub [u8; 16]);

impl IdHash {
    /// Hashes the bytes of an id.
    #[must_use]
    pub fn of(id: &str) -> Self {
        let hash = blake3::hash(id.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_bytes()[..16]);
        Self(first)
    }

    /// The logical shard that owns the id.
    #[must_use]
    pub fn shard(self) -> u8 {
        self.0[0]
    }
}

impl fmt::Debug for IdHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and wraps `text`.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                check_id(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as the producer wrote it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The hash that places the id in a logical shard.
            #[must_use]
            pub fn hash(&self) -> IdHash {
                IdHash::of(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(from)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// A user, known (`user_id`) or not (`anonymous_id`): both live in one space of ids.
    UserId
);
id_type!(
    /// An item of the catalogue.
    ItemId
);
id_type!(
    /// A visit, as the producer counts visits.
    SessionId
);
id_type!(
    /// The dedupe key of an event within its topic.
    EventId
);
id_type!(
    /// An answer of the recommender, for attribution.
    RecommendationId
);

/// Dense number of an item: logical shard in the high 8 bits, rank within the shard in the low
/// 24. The owner shard numbers its items by first (epoch, seq); a number is never used again.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct ItemRef(pub u32);

impl ItemRef {
    /// Most items that one logical shard can number.
    pub const MAX_PER_SHARD: u32 = 1 << 24;

    /// Joins shard and rank; `rank` must be below [`Self::MAX_PER_SHARD`].
    #[must_use]
    pub fn new(shard: u8, rank: u32) -> Self {
        debug_assert!(rank < Self::MAX_PER_SHARD, "a shard numbers at most 2^24 items");
        Self((u32::from(shard) << 24) | rank)
    }

    /// The logical shard that owns the item.
    #[must_use]
    pub fn shard(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// The item's rank by age within its shard.
    #[must_use]
    pub fn rank(self) -> u32 {
        self.0 & (Self::MAX_PER_SHARD - 1)
    }
}

impl fmt::Debug for ItemRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.shard(), self.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_for_ids() {
        let check = |text: &str, want: Result<(), InvalidId>| assert_eq!(check_id(text), want);
        check("u42", Ok(()));
        check("Élan 7/∂", Ok(()));
        check(&"x".repeat(128), Ok(()));
        check(&"x".repeat(129), Err(InvalidId::TooLong(129)));
        check("", Err(InvalidId::Empty));
        check(" a", Err(InvalidId::Padded));
        check("a{b", Err(InvalidId::Forbidden('{')));
        check("a\u{7}b", Err(InvalidId::Forbidden('\u{7}')));
    }

    #[test]
    fn item_ref_keeps_shard_and_rank() {
        let item = ItemRef::new(0xfe, 0x00ab_cdef);
        assert_eq!((item.shard(), item.rank()), (0xfe, 0x00ab_cdef));
    }

    #[test]
    fn shards_are_fixed_forever() {
        // BLAKE3 of "item-1" and of "u42": a change here re-assigns every row of every store.
        assert_eq!(IdHash::of("").0[..4], [0xaf, 0x13, 0x49, 0xb9]);
    }
}
