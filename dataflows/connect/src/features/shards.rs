//! How a feature store cuts its users into shards, and how far each shard is.
//!
//! A Redis key lives in the slot CRC16(hash tag) mod 16384, and a script may touch keys of one slot
//! only. With the user's id as hash tag (`user:{u42}:features`), all keys of a user share a slot,
//! and a watermark that a script can check together with them has to be in the same slot: so Redis
//! has 16,384 shards. That is also the unit in which a cluster moves, replicates and loses data.

use std::fmt;

use eddyline_schemas::id::{SHARDS, UserId};
use eddyline_schemas::lineage::{Epoch, Lineage};

/// Slots of a Redis cluster.
pub(super) const REDIS_SLOTS: usize = 16_384;

/// The number of a shard, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreShard(pub u16);

impl fmt::Display for StoreShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

/// Which shard a user is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// By the first byte of the id's hash.
    Logical,
    /// By the slot of Redis that the id hashes to.
    RedisSlot,
}

impl Placement {
    /// Number of shards.
    #[must_use]
    pub fn shards(self) -> usize {
        match self {
            Self::Logical => SHARDS,
            Self::RedisSlot => REDIS_SLOTS,
        }
    }

    /// The shard of `user`.
    #[must_use]
    pub fn shard(self, user: &UserId) -> StoreShard {
        match self {
            Self::Logical => StoreShard(u16::from(user.hash().shard())),
            Self::RedisSlot => redis_slot(user.as_str().as_bytes()),
        }
    }
}

/// How far each shard of a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermarks {
    placement: Placement,
    lineage: Option<Lineage>,
    epochs: Vec<Option<Epoch>>,
}

impl Watermarks {
    /// `epochs` by shard.
    #[must_use]
    pub fn new(placement: Placement, lineage: Option<Lineage>, epochs: Vec<Option<Epoch>>) -> Self {
        debug_assert_eq!(epochs.len(), placement.shards(), "one watermark a shard");
        Self { placement, lineage, epochs }
    }

    /// How users are placed.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Whose history the store holds; `None` of an empty one.
    #[must_use]
    pub fn lineage(&self) -> Option<Lineage> {
        self.lineage
    }

    /// The watermark of `shard`; `None` if nothing was ever written or all is lost.
    #[must_use]
    pub fn of(&self, shard: StoreShard) -> Option<Epoch> {
        self.epochs[usize::from(shard.0)]
    }

    /// The watermark of the shard that is furthest. Beyond the last bound epoch, the store belongs
    /// to another log.
    #[must_use]
    pub fn greatest(&self) -> Option<Epoch> {
        self.epochs.iter().copied().flatten().max()
    }

    /// Shards that are not yet at `epoch`, ascending.
    #[must_use]
    pub fn shards_behind(&self, epoch: Epoch) -> Vec<StoreShard> {
        let behind = |(_, reached): &(u16, &Option<Epoch>)| **reached < Some(epoch);
        (0..).zip(&self.epochs).filter(behind).map(|(shard, _)| StoreShard(shard)).collect()
    }
}

/// The slot that Redis computes from a hash tag.
#[must_use]
pub(super) fn redis_slot(tag: &[u8]) -> StoreShard {
    StoreShard(crc16(tag) % REDIS_SLOTS as u16)
}

/// CRC16-CCITT (XModem), as the specification of Redis Cluster fixes it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)])
}

const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let (mut crc, mut bit) = ((at as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// `CLUSTER KEYSLOT` of a real server.
    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(redis_slot(b"123456789"), StoreShard(12_739));
        assert_eq!(redis_slot(b""), StoreShard(0));
    }

    #[test]
    fn shards_behind_an_epoch() {
        let mut epochs = vec![Some(Epoch(4)); SHARDS];
        (epochs[3], epochs[7]) = (None, Some(Epoch(5)));
        let marks = Watermarks::new(Placement::Logical, None, epochs);
        assert_eq!(marks.shards_behind(Epoch(4)), [StoreShard(3)]);
        assert_eq!(marks.shards_behind(Epoch(5)).len(), SHARDS - 1);
        assert_eq!(marks.greatest(), Some(Epoch(5)));
    }
}
