//! Ranking quality at 10: hit rate, NDCG, MRR, coverage.
//!
//! A rank counts the items that beat the true one, from 0. Ties go to the older item; a score
//! that is not a number, and an item never seen before, are misses.

use crate::item::ItemRef;
use crate::math::log2_f64;
use std::collections::BTreeSet;

/// Length of the list that is judged.
pub const TOP: usize = 10;

/// 1 / log2(rank + 2) within the top 10, else 0.
pub fn discounted_gain(rank: Option<u64>) -> f64 {
    match rank {
        Some(rank) if rank < TOP as u64 => 1.0 / log2_f64((rank + 2) as f64),
        _ => 0.0,
    }
}

/// Rank of the true item among candidates given as (score, is older than the true item).
/// `None` when its own score is not a number; candidates whose score is not a number never beat it.
pub fn rank_of(own: f32, candidates: impl Iterator<Item = (f32, bool)>) -> Option<u64> {
    if own.is_nan() {
        return None;
    }
    Some(candidates.filter(|&(score, older)| score > own || (score == own && older)).count() as u64)
}

/// Sums over judged events.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RankMetrics {
    events: u64,
    hits: u64,
    gain: f64,
    reciprocal: f64,
    shown: BTreeSet<ItemRef>,
}

impl RankMetrics {
    /// Counts one event; `None` is a miss.
    pub fn observe(&mut self, rank: Option<u64>) {
        self.events += 1;
        if let Some(rank) = rank.filter(|&rank| rank < TOP as u64) {
            self.hits += 1;
            self.gain += discounted_gain(Some(rank));
            self.reciprocal += 1.0 / (rank + 1) as f64;
        }
    }

    /// Notes the items that were shown, for coverage.
    pub fn show(&mut self, top: &[ItemRef]) {
        self.shown.extend(top.iter().take(TOP));
    }

    /// Judged events.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// HR@10, which equals recall@10 with one true item.
    pub fn hit_rate(&self) -> f64 {
        self.hits as f64 / self.events.max(1) as f64
    }

    /// NDCG@10.
    pub fn ndcg(&self) -> f64 {
        self.gain / self.events.max(1) as f64
    }

    /// MRR@10.
    pub fn mrr(&self) -> f64 {
        self.reciprocal / self.events.max(1) as f64
    }

    /// Share of `catalogue` items that were shown at least once.
    pub fn coverage(&self, catalogue: u64) -> f64 {
        self.shown.len() as f64 / catalogue.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{RankMetrics, discounted_gain, rank_of};
    use crate::item::ItemRef;

    #[test]
    fn ranks_count_who_beats_the_true_item() {
        let candidates = [(3.0, false), (1.0, true), (1.0, false), (f32::NAN, true), (0.5, true)];
        assert_eq!(
            rank_of(1.0, candidates.into_iter()),
            Some(2),
            "one higher, one equal and older"
        );
        assert_eq!(rank_of(f32::NAN, candidates.into_iter()), None);
        assert_eq!(rank_of(9.0, candidates.into_iter()), Some(0));
    }

    #[test]
    fn sums_follow_their_definitions() {
        let mut metrics = RankMetrics::default();
        for rank in [Some(0), Some(2), Some(10), None] {
            metrics.observe(rank);
        }
        assert_eq!((metrics.events(), metrics.hit_rate()), (4, 0.5));
        assert!((metrics.ndcg() - 1.5 / 4.0).abs() < 1e-12, "1 and 1 / log2(4)");
        assert!((metrics.mrr() - (1.0 + 1.0 / 3.0) / 4.0).abs() < 1e-12);
        metrics.show(&[ItemRef(1), ItemRef(2)]);
        metrics.show(&[ItemRef(2)]);
        assert_eq!(metrics.coverage(4), 0.5);
        assert_eq!(discounted_gain(Some(10)), 0.0);
    }
}
