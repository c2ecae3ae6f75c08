//! Hyper-parameters of the factor model, one set for all data.

/// Hyper-parameters; `default` is for throughput, [`FactorsConfig::quality`] for evaluation.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FactorsConfig {
    /// Length of every vector; a multiple of 16.
    pub dim: usize,
    /// Uniformly drawn items per positive event.
    pub negatives: usize,
    /// How many of the user's last items enter the representation.
    pub horizon: usize,
    /// Weight of the k-th last item is `mix·fast^k + (1-mix)·slow^k`, divided by nothing.
    pub fast: f32,
    /// See `fast`.
    pub slow: f32,
    /// See `fast`.
    pub mix: f32,
    /// Step size of user vectors.
    pub user_rate: f32,
    /// Step size of item vectors.
    pub item_rate: f32,
    /// Step size of context vectors.
    pub context_rate: f32,
    /// Shrinkage of a row per step, times the step.
    pub decay: f32,
    /// What each step keeps of a row's accumulator: below 1 the optimiser forgets.
    pub accumulator_keep: f32,
    /// Largest length of an item or context vector.
    pub norm_cap: f32,
    /// Root mean square of a fresh item vector's entries.
    pub initial_scale: f32,
    /// Past events learned again after each event.
    pub replays: usize,
}

impl Default for FactorsConfig {
    fn default() -> Self {
        Self {
            dim: 128,
            negatives: 6,
            horizon: 5,
            fast: 0.7,
            slow: 0.9,
            mix: 0.5,
            user_rate: 0.05,
            item_rate: 0.05,
            context_rate: 0.05,
            decay: 0.0,
            accumulator_keep: 1.0,
            norm_cap: 8.0,
            initial_scale: 0.02,
            replays: 0,
        }
    }
}

impl FactorsConfig {
    /// For evaluation: more negatives, a longer horizon, replayed events.
    pub fn quality() -> Self {
        Self { dim: 64, negatives: 40, horizon: 10, replays: 5, ..Self::default() }
    }

    /// Weights of the last items, newest first.
    pub fn context_weights(&self) -> impl Iterator<Item = f32> {
        let (fast, slow) = (self.fast, self.slow);
        let mut parts = (self.mix, 1.0 - self.mix);
        (0..self.horizon).map(move |_| {
            let weight = parts.0 + parts.1;
            parts = (parts.0 * fast, parts.1 * slow);
            weight
        })
    }
}
