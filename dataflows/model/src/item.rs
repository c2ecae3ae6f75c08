//! The dense number of an item, and the view of all item rows at an epoch's start.
//!
//! The owner shard numbers its items by first sight and never re-uses a number;
//! the engine keeps the rows flat and shows them through [`ItemRows`].

pub use eddyline_schemas::id::ItemRef;

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
