//! Philox4x32-10: random numbers without state, keyed by the record that asks for them.
//!
//! J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, *Parallel random numbers: as easy
//! as 1, 2, 3*, SC 2011. A draw is a pure function of (seed, topic name, partition, offset,
//! purpose, number of the draw): not of the lineage, the worker or the order of work.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One block: ten rounds over a 128-bit counter under a 64-bit key.
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let first = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let second = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
    }
    counter
}

/// What a draw is for: different purposes of one record never share numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Negative items of an event.
    Negative = 1,
    /// Which past events are replayed after an event.
    Replay = 2,
    /// Negative items of a replayed event.
    ReplayNegative = 3,
    /// Whether, and where, an event enters the reservoir.
    Reservoir = 4,
    /// Whether an event is sampled for the gate.
    GateSample = 5,
    /// First values of a row.
    Initial = 6,
}

/// The record that draws.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordKey {
    /// `core.seed`.
    pub seed: u64,
    /// [`topic_hash`] of the topic's name without prefix.
    pub topic_hash: u64,
    /// Partition of the topic.
    pub partition: u32,
    /// Offset within the partition.
    pub offset: u64,
}

/// FNV-1a of a topic's name, computed once per topic.
pub fn topic_hash(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// The numbered draws of one record for one purpose, four words a block.
#[derive(Clone, Debug)]
pub struct Draws {
    key: [u32; 2],
    offset: u64,
    block: [u32; 4],
    drawn: u32,
}

impl Draws {
    /// Draw number 0 comes next.
    pub fn new(record: &RecordKey, purpose: Purpose) -> Self {
        // 64 + 32 + 64 + 8 + 32 bits exceed the counter: seed, topic, partition and purpose become the key.
        let stream = philox4x32(
            [
                record.topic_hash as u32,
                (record.topic_hash >> 32) as u32,
                record.partition,
                purpose as u32,
            ],
            [record.seed as u32, (record.seed >> 32) as u32],
        );
        Self { key: [stream[0], stream[1]], offset: record.offset, block: [0; 4], drawn: 0 }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        let lane = (self.drawn % 4) as usize;
        if lane == 0 {
            self.block = philox4x32(
                [self.offset as u32, (self.offset >> 32) as u32, self.drawn / 4, 0],
                self.key,
            );
        }
        self.drawn = self.drawn.wrapping_add(1);
        self.block[lane]
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    /// A uniform number in `0..n`; 0 when `n` is 0. Multiply-shift with Lemire's rejection
    /// (ACM TOMACS 29(1), 2019), so no residue is favoured.
    pub fn below(&mut self, n: u64) -> u64 {
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            let low = product as u64;
            if low >= n || low >= n.wrapping_neg().checked_rem(n).unwrap_or(0) {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniform number in `[0, 1)`, a multiple of 2⁻²⁴.
    pub fn unit_f32(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 / 16_777_216.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Draws, Purpose, RecordKey, philox4x32};

    const RECORD: RecordKey = RecordKey { seed: 7, topic_hash: 11, partition: 2, offset: 1 << 40 };

    #[test]
    fn known_answers_of_random123() {
        let zero = philox4x32([0; 4], [0; 2]);
        assert_eq!(zero, [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]);
        let ones = philox4x32([u32::MAX; 4], [u32::MAX; 2]);
        assert_eq!(ones, [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]);
        let counter = [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344];
        let digits_of_pi = philox4x32(counter, [0xA409_3822, 0x299F_31D0]);
        assert_eq!(digits_of_pi, [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1]);
    }

    #[test]
    fn every_part_of_the_key_changes_the_draws() {
        let first = |record: &RecordKey, purpose| Draws::new(record, purpose).next_u64();
        let base = first(&RECORD, Purpose::Negative);
        assert_eq!(base, first(&RECORD, Purpose::Negative), "the same record draws the same");
        let others = [
            first(&RECORD, Purpose::Replay),
            first(&RecordKey { seed: 8, ..RECORD }, Purpose::Negative),
            first(&RecordKey { topic_hash: 12, ..RECORD }, Purpose::Negative),
            first(&RecordKey { partition: 3, ..RECORD }, Purpose::Negative),
            first(&RecordKey { offset: 1, ..RECORD }, Purpose::Negative),
        ];
        assert!(others.iter().all(|&other| other != base));
    }

    #[test]
    fn below_is_uniform_and_in_range() {
        let mut draws = Draws::new(&RECORD, Purpose::Negative);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[draws.below(7) as usize] += 1;
        }
        // 10,000 expected each; five standard deviations are 463.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 463), "{counts:?}");
        assert_eq!((draws.below(0), draws.below(1)), (0, 0));
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&draws.unit_f32())));
    }
}
