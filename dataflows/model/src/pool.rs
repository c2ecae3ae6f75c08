//! Many candidates under many blends: the full scan behind quality measurement and the gate.
//!
//! One column per expert, so that logarithms and blends vectorise; scores have the bits of
//! [`LogScores::blend`]. A candidate whose score is not a number never beats the true item.

use crate::blend::{BlendConfig, LogScores, RawScores, Weights};
use crate::math::ln_f32;

/// Candidates whose columns stay in the first cache while every blend is tried.
const BLOCK: usize = 512;

/// The candidates of one event; reused from event to event.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Pool {
    columns: [Vec<f32>; 5],
    /// 1 where the candidate is older than the true item and so wins a tie.
    older: Vec<u32>,
}

impl Pool {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.columns.iter_mut().for_each(Vec::clear);
        self.older.clear();
    }

    /// Adds one candidate (not the true item, not what the user has consumed).
    pub fn push(&mut self, raw: &RawScores, older: bool) {
        let values = [raw.factors, raw.covisit, raw.popular_short, raw.popular_long, raw.content];
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value);
        }
        self.older.push(u32::from(older));
    }

    /// How many candidates it holds.
    pub fn len(&self) -> usize {
        self.older.len()
    }

    /// True when it holds none.
    pub fn is_empty(&self) -> bool {
        self.older.is_empty()
    }

    /// Turns the raw scores into logarithms; once, after the last push.
    pub fn take_logs(&mut self, config: &BlendConfig) {
        let floors = [config.covisit_floor, config.short_floor, config.long_floor];
        for (column, floor) in self.columns[1..4].iter_mut().zip(floors) {
            for value in column {
                *value = ln_f32(floor + *value);
            }
        }
    }

    /// The blended score of every candidate, in the order of pushing.
    pub fn scores(&self, weights: &Weights, out: &mut Vec<f32>) {
        out.clear();
        out.resize(self.len(), 0.0);
        self.blend(weights, 0, out);
    }

    /// Rank of the true item under each blend; `None` where its own score is not a number.
    pub fn ranks(&self, blends: &[Weights], own: &LogScores) -> Vec<Option<u64>> {
        let mut beaten = vec![0u64; blends.len()];
        let mut scores = [0.0f32; BLOCK];
        for from in (0..self.len()).step_by(BLOCK) {
            let to = (from + BLOCK).min(self.len());
            for (weights, count) in blends.iter().zip(&mut beaten) {
                let block = &mut scores[..to - from];
                self.blend(weights, from, block);
                *count += u64::from(beat(block, &self.older[from..to], own.blend(weights)));
            }
        }
        let known = blends.iter().map(|weights| !own.blend(weights).is_nan());
        beaten.into_iter().zip(known).map(|(count, known)| known.then_some(count)).collect()
    }

    /// Blended scores of the candidates from `from` on, as many as `out` is long.
    fn blend(&self, weights: &Weights, from: usize, out: &mut [f32]) {
        let to = from + out.len();
        let [factors, covisit, short, long, content] =
            self.columns.each_ref().map(|column| &column[from..to]);
        for (k, score) in out.iter_mut().enumerate() {
            *score = (weights.factors * factors[k] + weights.covisit * covisit[k])
                + (weights.popular_short * short[k] + weights.popular_long * long[k])
                + weights.content * content[k];
        }
    }
}

/// How many of the scores beat `own`: higher, or equal and older.
fn beat(scores: &[f32], older: &[u32], own: f32) -> u32 {
    let mut count = 0;
    for (&score, &older) in scores.iter().zip(older) {
        count += u32::from(score > own) | (u32::from(score == own) & older);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::Pool;
    use crate::blend::{BlendConfig, LogScores, RawScores, Weights};
    use crate::metrics::rank_of;
    use crate::philox::{Draws, Purpose, RecordKey};

    fn random(draws: &mut Draws) -> RawScores {
        // Coarse values, so that ties happen.
        let mut next = || draws.below(4) as f32;
        RawScores {
            factors: next(),
            covisit: next(),
            popular_short: next(),
            popular_long: next(),
            content: next(),
        }
    }

    #[test]
    fn ranks_equal_the_pointwise_definition() {
        let config = BlendConfig::default();
        let mut draws = Draws::new(
            &RecordKey { seed: 3, topic_hash: 1, partition: 0, offset: 0 },
            Purpose::Initial,
        );
        let candidates: Vec<(RawScores, bool)> =
            (0..1_300).map(|k| (random(&mut draws), k % 3 == 0)).collect();
        let mut pool = Pool::default();
        for (raw, older) in &candidates {
            pool.push(raw, *older);
        }
        pool.take_logs(&config);
        let own = LogScores::new(&config, &random(&mut draws));
        let blends = [
            Weights { factors: 1.0, ..Weights::default() },
            Weights {
                factors: 0.5,
                covisit: 1.0,
                popular_short: 0.3,
                popular_long: -0.2,
                content: 0.1,
            },
        ];
        for (weights, rank) in blends.iter().zip(pool.ranks(&blends, &own)) {
            let pointwise = candidates
                .iter()
                .map(|(raw, older)| (LogScores::new(&config, raw).blend(weights), *older));
            assert_eq!(rank, rank_of(own.blend(weights), pointwise), "{weights:?}");
        }
    }

    #[test]
    fn an_item_without_a_number_has_no_rank() {
        let mut pool = Pool::default();
        pool.push(&RawScores::default(), true);
        pool.push(&RawScores { factors: f32::NAN, ..RawScores::default() }, true);
        pool.take_logs(&BlendConfig::default());
        let weights = [Weights { factors: 1.0, ..Weights::default() }];
        let mut own = LogScores::default();
        assert_eq!(pool.ranks(&weights, &own), [Some(1)], "a candidate that is NaN beats nobody");
        own.values[0] = f32::NAN;
        assert_eq!(pool.ranks(&weights, &own), [None]);
    }
}
