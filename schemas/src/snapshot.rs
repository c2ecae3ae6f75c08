//! Snapshots: all state at the end of an epoch, as objects.
//!
//! A snapshot is one *manifest* and a few *parts*. A part holds the *sections* of some logical
//! shards; a section is the canonical bytes of all state of one shard, so equal state gives equal
//! sections whatever wrote them. All integers are little-endian, floats are their bits.
//!
//! ```text
//! part     := "EDYPART" 2:u8 | count:u16 | entry × count | digest:32 | section × count
//! entry    := shard:u8 | length:u64 | BLAKE3(section):32            ascending by shard
//! digest   := BLAKE3 of all that is before it: with the entries it vouches for the whole part
//!
//! section  := dedupe | items | users | preferences
//! list(x)  := count:u32 | x × count          text := length:u32 | UTF-8
//! maybe(x) := 0:u8 | 1:u8 x                  items are u32 (shard << 24 | rank), times i64 ms
//! dedupe   := list(topic:text partition:u32 hour:i64 list(id:16))   by hour, partition; ids sorted
//! items    := list(id:text epoch:u64 seq:u32 deleted:u8 maybe(document) decayed decayed events:u64
//!             list(target:u32 weight:f32) total:f32 exponent:i64)   by rank
//!             | v:f32 × dim × n | c:f32 × dim × n | f32 × n (v's optimiser) | f32 × n (c's)
//! decayed  := mantissa:f64 exponent:i64      short half-life, then long
//! document := maybe(title:text) list(category:text) maybe(brand:text) list(tag:text)
//!             maybe(price:f64) maybe(currency:text) maybe(in_stock:u8) list(key:text value:text)
//! users    := list(id:text erased:u8 list(view) list(history) length:u64 list(seen, oldest first)
//!             list(disliked) list(search:text) maybe(session) list(key:text value:text)
//!             updated:i64 told)                                     by rank
//!             | p:f32 × dim × n | f32 × n (optimiser) | offered:u64
//!             list(user:u32 list(item) item:u32 weight:f32)         reservoir, by place
//! told     := epoch:u64 vector:u8 maybe(low:f64 high:f64)
//! session  := maybe(id:text) start:i64 last:i64 views:u32 maybe(category:text)
//! preferences := list(hour:i64 list(item:u32 user:u32 count:i64))   sorted
//!             | list(user:u32 list(facet:u8 name:text count:i64))   sorted
//!
//! manifest := "EDYSNAP" version:u8 | BLAKE3(body):32 | body         eddyline.v1.SnapshotManifest
//! ```
//!
//! Version 1 of a part had no *told*, what the last documents of a user said and other rows no longer
//! do: the epoch, whether there was a vector, the range of prices at that time. It is not read.
//!
//! What can be derived from a section is not in it: ranks by id, members of categories, the sorted
//! set of seen items, both inputs of the preference join.

use std::collections::{BTreeMap, BTreeSet};

use crate::binding::BindingFold;
use crate::delta::PipelineCounts;
use crate::lineage::{Epoch, Lineage};
use crate::record::{Digest, Offset};
use crate::time::TimestampMs;
use crate::topic::TopicPartition;

/// All that a snapshot consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotManifest {
    /// Whose history.
    pub lineage: Lineage,
    /// As of the end of which epoch.
    pub epoch: Epoch,
    /// See [`crate::lineage::ALGORITHM_VERSION`].
    pub algorithm_version: u32,
    /// Hash of the `[core]` table.
    pub core_config: Digest,
    /// Of the state that the parts hold.
    pub state_digest: Digest,
    /// The chain over all deltas up to the epoch.
    pub delta_digest: Digest,
    /// Logical time of the epoch.
    pub logical_time: TimestampMs,
    /// Sums since epoch 0.
    pub counts: PipelineCounts,
    /// What the gate learned.
    pub gate: SnapshotGate,
    /// By their first shard.
    pub parts: Vec<SnapshotPart>,
    /// Where the log is read on.
    pub position: LogPosition,
}

/// What the gate learned, as plain numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotGate {
    /// By bucket, then blend.
    pub gains: Vec<f64>,
    /// By bucket.
    pub examples: Vec<f64>,
}

/// A part, as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// Epoch of the snapshot that first wrote it.
    pub epoch: Epoch,
    /// See the module doc.
    pub digest: Digest,
    /// Of the whole object, in bytes.
    pub size: u64,
    /// Ascending.
    pub shards: Vec<u8>,
}

/// How to read on after a snapshot's epoch: the state of the accepting fold right after that
/// epoch's binding, and what the intake remembers of each partition by then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// The accepting fold.
    pub fold: BindingFold,
    /// The next offset of the bindings topic to read.
    pub next_binding: Offset,
    /// Exactly the partitions that the fold has bound.
    pub partitions: BTreeMap<TopicPartition, PartitionPosition>,
    /// Records that controls said to pass over and that are not bound yet.
    pub skipped: BTreeSet<(TopicPartition, Offset)>,
}

/// What the intake remembers of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionPosition {
    /// Identity of the topic, to notice that it was deleted and made again.
    pub topic_id: [u8; 16],
    /// Greatest event time among the valid records *bound* so far; `None` before the first.
    pub clock: Option<TimestampMs>,
}
