//! The gate: which blend of experts to trust, learned online per length of history.
//!
//! A fixed grid of blends plays side by side. For a sampled event the rank of the true item under
//! every blend is known; the gate keeps an exponentially forgotten gain per blend and bucket, and the
//! leader is served (follow the leader, Kalai & Vempala 2005). A bucket borrows from the sum over all
//! buckets until it has seen enough of its own. One owner; examples arrive in sequence order after
//! the epoch, weights are read as of the epoch's start.

use crate::blend::Weights;
use crate::metrics::discounted_gain;

/// Buckets of history length: 0, 1-2, 3-5, 6-10, 11-20, 21-50, more.
pub const BUCKETS: usize = 7;

/// The bucket of a user with so many positive events before this one.
pub fn bucket(history: u64) -> usize {
    [1, 3, 6, 11, 21, 51].partition_point(|&from| from <= history)
}

/// How the gate learns.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// The blends that compete.
    pub blends: Vec<Weights>,
    /// Examples after which an example's gain has halved.
    pub half_life: f64,
    /// The average over all buckets counts in each bucket like so many examples of its own.
    pub borrow: f64,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self { blends: default_blends(), half_life: 10_000.0, borrow: 300.0 }
    }
}

/// Every ratio of factors to co-visitation, each with several amounts of popularity; the first, a
/// cautious middle, is served before anything was learned.
fn default_blends() -> Vec<Weights> {
    let mut blends =
        vec![Weights { factors: 0.5, covisit: 1.0, popular_short: 0.25, ..Weights::default() }];
    for (factors, covisit) in
        [(1.0, 0.0), (1.0, 0.5), (0.7, 0.7), (0.5, 1.0), (0.25, 1.0), (0.0, 1.0)]
    {
        for popular_short in [0.0, 0.05, 0.15, 0.4, 1.0, 3.0] {
            for popular_long in [-0.2, 0.0, 0.2] {
                blends.push(Weights {
                    factors,
                    covisit,
                    popular_short,
                    popular_long,
                    content: 0.0,
                });
            }
        }
    }
    blends.push(Weights { popular_short: 1.0, ..Weights::default() });
    blends
}

/// One sampled event: the true item's rank under each blend of the grid, in its order; `None` is a miss.
#[derive(Clone, PartialEq, Debug)]
pub struct GateExample {
    /// [`bucket`] of the user's history before the event.
    pub bucket: usize,
    /// Ranks by blend.
    pub ranks: Vec<Option<u64>>,
}

/// Learned state of the gate: forgotten gains, plain numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct GateState {
    /// Gains by bucket then blend.
    gains: Vec<f64>,
    /// Forgotten number of examples by bucket.
    examples: [f64; BUCKETS],
    /// The leader by bucket.
    leaders: [u32; BUCKETS],
}

impl GateState {
    /// The state before any example: the first blend of the grid leads everywhere.
    pub fn new(config: &GateConfig) -> Self {
        Self {
            gains: vec![0.0; BUCKETS * config.blends.len()],
            examples: [0.0; BUCKETS],
            leaders: [0; BUCKETS],
        }
    }

    /// Learns one example; one with another number of ranks than blends is ignored.
    pub fn observe(&mut self, config: &GateConfig, example: &GateExample) {
        let blends = config.blends.len();
        if example.ranks.len() != blends || example.bucket >= BUCKETS {
            return;
        }
        let keep = crate::math::exp2_f64(-1.0 / config.half_life);
        self.examples[example.bucket] = self.examples[example.bucket] * keep + 1.0;
        let own = &mut self.gains[example.bucket * blends..(example.bucket + 1) * blends];
        for (gain, &rank) in own.iter_mut().zip(&example.ranks) {
            *gain = *gain * keep + discounted_gain(rank);
        }
        self.elect(config);
    }

    fn elect(&mut self, config: &GateConfig) {
        let blends = config.blends.len();
        let all: f64 = self.examples.iter().fold(0.0, |sum, n| sum + n);
        for at in 0..BUCKETS {
            let share = config.borrow / all.max(1.0);
            let mut best = (f64::NEG_INFINITY, 0);
            for blend in 0..blends {
                let sum = (0..BUCKETS).fold(0.0, |sum, b| sum + self.gains[b * blends + blend]);
                let value = self.gains[at * blends + blend] + share * sum;
                if value > best.0 {
                    best = (value, blend as u32);
                }
            }
            self.leaders[at] = best.1;
        }
    }

    /// The weights to serve for a bucket.
    pub fn weights(&self, config: &GateConfig, bucket: usize) -> Weights {
        config.blends[self.leaders[bucket.min(BUCKETS - 1)] as usize]
    }

    /// Appends the bits of the state, little-endian.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        for value in self.gains.iter().chain(&self.examples) {
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        for leader in self.leaders {
            out.extend_from_slice(&leader.to_le_bytes());
        }
    }

    /// The state as plain numbers: (gains by bucket then blend, examples by bucket).
    pub fn parts(&self) -> (&[f64], &[f64; BUCKETS]) {
        (&self.gains, &self.examples)
    }

    /// The state from its plain numbers; `None` when they do not fit the configuration.
    pub fn from_parts(
        config: &GateConfig,
        gains: Vec<f64>,
        examples: [f64; BUCKETS],
    ) -> Option<Self> {
        if gains.len() != BUCKETS * config.blends.len() {
            return None;
        }
        let mut state = Self { gains, examples, leaders: [0; BUCKETS] };
        state.elect(config);
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, GateConfig, GateExample, GateState, bucket};
    use crate::philox::{Draws, Purpose, RecordKey};

    /// Blend `good` hits three times in four, the others once in four.
    fn example(config: &GateConfig, bucket: usize, good: usize, draws: &mut Draws) -> GateExample {
        let hit = |blend: usize, draw: u64| (draw < 1) != (blend == good);
        let ranks =
            (0..config.blends.len()).map(|blend| hit(blend, draws.below(4)).then_some(3)).collect();
        GateExample { bucket, ranks }
    }

    fn draws() -> Draws {
        Draws::new(
            &RecordKey { seed: 5, topic_hash: 0, partition: 0, offset: 0 },
            Purpose::GateSample,
        )
    }

    #[test]
    fn each_bucket_finds_its_blend_and_follows_a_change() {
        let config = GateConfig { half_life: 200.0, ..GateConfig::default() };
        let (mut state, mut draws) = (GateState::new(&config), draws());
        for (first, second) in [(3, 40), (60, 7)] {
            for _ in 0..1_500 {
                state.observe(&config, &example(&config, 2, first, &mut draws));
                state.observe(&config, &example(&config, 5, second, &mut draws));
            }
            assert_eq!(state.weights(&config, 2), config.blends[first]);
            assert_eq!(state.weights(&config, 5), config.blends[second]);
        }
    }

    #[test]
    fn a_bucket_without_examples_borrows_from_the_others() {
        let config = GateConfig::default();
        let (mut state, mut draws) = (GateState::new(&config), draws());
        assert_eq!(state.weights(&config, 0), config.blends[0], "before anything was learned");
        for _ in 0..500 {
            state.observe(&config, &example(&config, 1, 9, &mut draws));
        }
        assert_eq!(state.weights(&config, 6), config.blends[9]);
    }

    #[test]
    fn plain_numbers_restore_the_state() {
        let config = GateConfig::default();
        let (mut state, mut draws) = (GateState::new(&config), draws());
        state.observe(&config, &example(&config, 1, 9, &mut draws));
        let (gains, examples) = state.parts();
        let restored = GateState::from_parts(&config, gains.to_vec(), *examples);
        assert_eq!(restored, Some(state.clone()));
        assert_eq!(GateState::from_parts(&config, vec![0.0], [0.0; BUCKETS]), None);
        let before = state.clone();
        state.observe(&config, &GateExample { bucket: 1, ranks: vec![None] });
        assert_eq!(state, before, "an example for another grid is ignored");
    }

    #[test]
    fn buckets_grow_with_history() {
        let got: Vec<usize> = [0, 1, 2, 3, 10, 11, 50, 51, 9_999].into_iter().map(bucket).collect();
        assert_eq!(got, [0, 1, 1, 2, 3, 4, 5, 6, 6]);
    }
}
