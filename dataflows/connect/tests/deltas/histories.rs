//! Random histories: epochs of random deltas, sorted and chained as a dataflow makes them.

use std::sync::Arc;

use eddyline_connect::log::Append;
use eddyline_schemas::delta::canonical::write_canonical;
use eddyline_schemas::delta::placement::chain_after;
use eddyline_schemas::delta::{Delta, EpochDeltas, PipelineCounts};
use eddyline_schemas::features::{
    CovisitationList, DecayedSum, ItemPopularity, UserFeatures, UserPreferences,
};
use eddyline_schemas::id::{ItemId, ItemRef, UserId};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::{Digest, Record};
use eddyline_schemas::time::TimestampMs;

/// Numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Any finite number, subnormal ones and −0 included.
    fn float(&mut self) -> f32 {
        let drawn = f32::from_bits(self.next() as u32);
        if drawn.is_finite() { drawn } else { -0.0 }
    }

    fn row(&mut self) -> Arc<[f32]> {
        (0..self.below(9)).map(|_| self.float()).collect()
    }

    fn item(&mut self) -> ItemRef {
        ItemRef::new(self.next() as u8, self.below(3) as u32)
    }

    fn user(&mut self) -> UserId {
        UserId::new(&format!("u/{}", self.below(60))).expect("a valid id")
    }

    fn sum(&mut self) -> DecayedSum {
        DecayedSum { mantissa: f64::from(self.float()), exponent: self.next() as i64 }
    }

    fn refs(&mut self, most: usize) -> Vec<ItemRef> {
        (0..self.below(most)).map(|_| self.item()).collect()
    }

    fn delta(&mut self) -> Delta {
        let (item, user) = (self.item(), self.user());
        match self.below(9) {
            0 => Delta::Item {
                item,
                id: ItemId::new(&format!("i{}", item.0)).expect("a valid id"),
                document: None,
                first_seen: (Epoch(self.next() >> 40), self.next() as u32),
                deleted: self.below(2) == 0,
            },
            1 => Delta::ItemVector { item, vector: self.row() },
            2 => Delta::ItemContext { item, context: self.row() },
            3 => {
                let (short, long, events) = (self.sum(), self.sum(), self.next());
                Delta::Popularity { item, popularity: ItemPopularity { short, long, events } }
            }
            4 => {
                let neighbours = self.refs(5).into_iter().map(|item| (item, self.float()));
                let neighbours = neighbours.collect();
                let (total, exponent) = (self.float(), self.next() as i64);
                let list = Arc::new(CovisitationList { neighbours, total, exponent });
                Delta::Covisitation { item, list }
            }
            5 => {
                let vector = (self.below(4) > 0).then(|| self.row());
                Delta::UserVector { user, vector }
            }
            6 => {
                let seen = Arc::from(self.refs(40));
                let features = UserFeatures { seen, ..UserFeatures::default() };
                let features = (self.below(4) > 0).then(|| Arc::new(features));
                Delta::UserFeatures { user, features }
            }
            7 => {
                let categories = vec![(Arc::from("Shoes"), self.next() as i64)];
                let preferences = UserPreferences { categories, brands: Vec::new() };
                Delta::UserPreferences { user, preferences: Arc::new(preferences) }
            }
            _ => Delta::Gate { values: [f64::from(self.float())].into() },
        }
    }
}

pub(crate) fn lineage() -> Lineage {
    Lineage::root(Digest::of(b"published"))
}

/// So many epochs from 1 on, of up to `most` deltas each; every third or so is idle.
pub(crate) fn history(seed: u64, epochs: u64, most: usize) -> Vec<EpochDeltas> {
    let mut draws = Draws(seed);
    let mut chain = Digest::default();
    let mut all = Vec::new();
    for number in 1..=epochs {
        let count = if draws.below(3) == 0 { 0 } else { draws.below(most + 1) };
        let mut deltas: Vec<Delta> = (0..count).map(|_| draws.delta()).collect();
        deltas.sort_by(Delta::cmp_key);
        deltas.dedup_by(|a, b| a.cmp_key(b).is_eq());
        let (epoch, logical_time) = (Epoch(number), TimestampMs(draws.next() as i64 >> 20));
        chain = chain_after(chain, epoch, logical_time, &deltas);
        let counts = PipelineCounts { accepted: number, applied: number, ..Default::default() };
        let lineage = lineage();
        all.push(EpochDeltas { lineage, epoch, logical_time, deltas, chain, counts });
    }
    all
}

/// The same history under another name.
pub(crate) fn of_lineage(mut epoch: EpochDeltas, name: &[u8]) -> EpochDeltas {
    epoch.lineage = Lineage::root(Digest::of(name));
    epoch
}

/// Equal, and equal to the bit.
pub(crate) fn assert_same(got: &[EpochDeltas], want: &[EpochDeltas]) {
    let numbers =
        |epochs: &[EpochDeltas]| -> Vec<u64> { epochs.iter().map(|epoch| epoch.epoch.0).collect() };
    assert_eq!(numbers(got), numbers(want));
    for (got, want) in got.iter().zip(want) {
        assert!(got == want, "epoch {} differs", want.epoch);
    }
    let bytes = |epochs: &[EpochDeltas]| {
        let mut bytes = Vec::new();
        let rows = epochs.iter().flat_map(|epoch| &epoch.deltas);
        rows.for_each(|row| write_canonical(row, &mut bytes));
        bytes
    };
    assert!(bytes(got) == bytes(want), "equal but for bits");
}

/// A batch as a reader finds it.
pub(crate) fn record_of(append: &Append) -> Record {
    Record {
        append_time: TimestampMs(1),
        key: append.key.clone(),
        value: append.value.clone(),
        headers: append.headers.clone(),
        erased: None,
    }
}
