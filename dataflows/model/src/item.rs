//! The dense number of an item, and the view of all item rows at an epoch's start.
//!
//! The owner shard numbers its items by first sight and never re-uses a number;
//! the engine keeps the rows flat and shows them through [`ItemRows`].

/// Dense number of an item: its logical shard (upper 8 bits) and its number within the shard (lower 24).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ItemRef(pub u32);

/// Bits that hold the number within the shard.
const NUMBER_BITS: u32 = 24;

impl ItemRef {
    /// Joins shard and number; `None` when the shard already holds 2²⁴ items.
    pub fn new(shard: u8, number: u32) -> Option<Self> {
        (number < 1 << NUMBER_BITS).then(|| Self(u32::from(shard) << NUMBER_BITS | number))
    }

    /// The logical shard that owns the item.
    pub fn shard(self) -> u8 {
        (self.0 >> NUMBER_BITS) as u8
    }

    /// The number within the shard, in order of first sight.
    pub fn number(self) -> u32 {
        self.0 & ((1 << NUMBER_BITS) - 1)
    }
}

/// All item rows as of the epoch's start. Every slice returned is `dim` long.
pub trait ItemRows {
    /// How many numbers are given out, tombstones included: the range of [`ItemRows::nth`].
    fn count(&self) -> u64;
    /// The item at place `k < count()` in shard-then-number order.
    fn nth(&self, k: u64) -> ItemRef;
    /// The item's own vector; `None` for an item that is deleted or younger than the epoch's start.
    fn vector(&self, item: ItemRef) -> Option<&[f32]>;
    /// The item's context vector: what having consumed it adds to a user's representation.
    fn context(&self, item: ItemRef) -> Option<&[f32]>;
}

#[cfg(test)]
mod tests {
    use super::ItemRef;

    #[test]
    fn a_reference_keeps_shard_and_number() {
        let item = ItemRef::new(200, 70_000).expect("70,000 fits 24 bits");
        assert_eq!((item.shard(), item.number()), (200, 70_000));
        assert_eq!(ItemRef::new(0, 1 << 24), None, "a full shard is refused, not wrapped");
    }
}
