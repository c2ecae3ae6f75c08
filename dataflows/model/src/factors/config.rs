//! Hyper-parameters of the factor model, one set for all data.

/// Hyper-parameters; `default` is for throughput, [`FactorsConfig::quality`] for evaluation.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FactorsConfig {
    /// Length of every vector; a multiple of 16.
    pub dim: usize,
    /// Uniformly drawn items per positive event.
    pub negatives: usize,
    /// Power of (items / drawn) by which a drawn item stands for the others in the softmax.
    pub correction: f32,
    /// How many of the user's last items enter the representation.
    pub horizon: usize,
    /// The k-th last item weighs `1 / (1 + slope·k)`: steep at first, with a long tail.
    pub slope: f32,
    /// Step size of user vectors.
    pub user_rate: f32,
    /// Step size of item vectors.
    pub item_rate: f32,
    /// Step size of context vectors.
    pub context_rate: f32,
    /// Pull towards zero, as a part of each step's gradient: `decay · rate · vector`.
    pub decay: f32,
    /// What each step keeps of a row's accumulator: below 1 the optimiser forgets.
    pub accumulator_keep: f32,
    /// Largest length of an item or context vector.
    pub norm_cap: f32,
    /// Root mean square of a fresh item vector's entries.
    pub initial_scale: f32,
    /// Past events learned again after each event.
    pub replays: usize,
    /// Weight of a replayed event beside a fresh one.
    pub replay_weight: f32,
}

impl Default for FactorsConfig {
    fn default() -> Self {
        Self {
            dim: 128,
            negatives: 4,
            correction: 1.0,
            horizon: 5,
            slope: 1.0,
            user_rate: 0.1,
            item_rate: 0.07,
            context_rate: 0.1,
            decay: 0.03,
            accumulator_keep: 0.9999,
            norm_cap: 8.0,
            initial_scale: 0.1,
            replays: 0,
            replay_weight: 0.2,
        }
    }
}

impl FactorsConfig {
    /// For evaluation: more negatives, a longer horizon, replayed events.
    pub fn quality() -> Self {
        Self {
            dim: 64,
            negatives: 40,
            correction: 0.5,
            horizon: 20,
            user_rate: 0.2,
            item_rate: 0.1,
            context_rate: 0.2,
            accumulator_keep: 1.0,
            replays: 4,
            ..Self::default()
        }
    }

    /// Weights of the last items, newest first.
    pub fn context_weights(&self) -> impl Iterator<Item = f32> + use<> {
        let slope = self.slope;
        (0..self.horizon).map(move |k| 1.0 / (1.0 + slope * k as f32))
    }
}
