//! What is asked of an index and how its answer is ordered.
//!
//! Hits come by falling score; of equal scores the lower slot, which is the older item, comes
//! first. A score that is not a number never enters an answer.

use std::cmp::Ordering;

use crate::store::{Slot, VectorStore};

/// A question to an index.
pub struct Query<'a> {
    /// Inner products are taken with this vector, of the store's dimension.
    pub vector: &'a [f32],
    /// Most hits.
    pub k: usize,
    /// Slots that may be answered, beside being live.
    pub keep: &'a dyn Fn(Slot) -> bool,
}

/// A found slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Which.
    pub slot: Slot,
    /// Inner product of the query and the live row.
    pub score: f32,
}

impl Hit {
    /// The order of answers: `Less` comes first.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.slot.cmp(&other.slot))
    }
}

/// A structure over a [`VectorStore`].
pub trait ItemIndex: Send + Sync {
    /// What it is, for metrics.
    fn name(&self) -> &'static str;

    /// At most `k` live, kept slots in the order of [`Hit::order`]. Scores are exact.
    fn search(&self, store: &VectorStore, query: &Query<'_>) -> Vec<Hit>;
}

/// The best `k` of a stream of hits.
#[derive(Debug)]
pub struct TopK {
    k: usize,
    hits: Vec<Hit>,
    /// The k-th best so far: what does not come before it cannot enter.
    floor: Option<Hit>,
}

impl TopK {
    /// Keeps the best `k`.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { k, hits: Vec::with_capacity(2 * k), floor: None }
    }

    /// Whether `hit` may still enter; cheap, so that costlier tests come after it.
    #[must_use]
    pub fn admits(&self, hit: &Hit) -> bool {
        !hit.score.is_nan() && self.floor.is_none_or(|floor| hit.order(&floor) == Ordering::Less)
    }

    /// Enters a hit that [`TopK::admits`].
    pub fn enter(&mut self, hit: Hit) {
        self.hits.push(hit);
        if self.hits.len() >= 2 * self.k.max(1) {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.k == 0 {
            self.hits.clear();
        } else if self.hits.len() > self.k {
            self.hits.select_nth_unstable_by(self.k - 1, Hit::order);
            self.hits.truncate(self.k);
            self.floor = self.hits.last().copied();
        }
    }

    /// The best, in order.
    #[must_use]
    pub fn finish(mut self) -> Vec<Hit> {
        self.shrink();
        self.hits.sort_unstable_by(Hit::order);
        self.hits
    }
}

/// Share of the oracle's `wanted` that `got` holds; 1 when nothing was wanted.
#[must_use]
pub fn recall(wanted: &[Hit], got: &[Hit]) -> f32 {
    let found: std::collections::BTreeSet<Slot> = got.iter().map(|hit| hit.slot).collect();
    let hits = wanted.iter().filter(|hit| found.contains(&hit.slot)).count();
    if wanted.is_empty() { 1.0 } else { hits as f32 / wanted.len() as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_k_are_those_of_a_full_sort() {
        // A fixed, scrambled sequence with many ties.
        let all: Vec<Hit> = (0..500u32)
            .map(|k| Hit { slot: Slot(k * 277 % 500), score: (k * 31 % 40) as f32 })
            .collect();
        let mut sorted = all.clone();
        sorted.sort_by(Hit::order);
        for k in [0, 1, 7, 499, 500, 900] {
            let mut top = TopK::new(k);
            for hit in &all {
                if top.admits(hit) {
                    top.enter(*hit);
                }
            }
            assert_eq!(top.finish(), sorted[..k.min(500)], "k = {k}");
        }
    }

    #[test]
    fn what_is_not_a_number_never_enters() {
        let top = TopK::new(3);
        assert!(!top.admits(&Hit { slot: Slot(0), score: f32::NAN }));
    }
}
