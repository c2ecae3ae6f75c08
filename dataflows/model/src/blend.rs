//! The experts' scores of one item and their blend: a pointwise function, the same when the
//! gate learns, when quality is measured and when serving ranks candidates (I1).

use crate::math::ln_f32;

/// What the experts say about one item, before the logarithm.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct RawScores {
    /// x·v.
    pub factors: f32,
    /// Normalised co-visitation score ([`crate::covisit::normalise`]).
    pub covisit: f32,
    /// Fast decayed count now.
    pub popular_short: f32,
    /// Slow decayed count now.
    pub popular_long: f32,
    /// Affinity of the item's content to the user, already on a logarithmic scale; 0 when unknown.
    pub content: f32,
}

/// Added before each logarithm: what an item that nobody took is worth.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlendConfig {
    /// For co-visitation.
    pub covisit_floor: f32,
    /// For the fast count.
    pub short_floor: f32,
    /// For the slow count.
    pub long_floor: f32,
}

impl Default for BlendConfig {
    fn default() -> Self {
        Self { covisit_floor: 1e-4, short_floor: 0.05, long_floor: 0.5 }
    }
}

/// Weights of the experts.
#[derive(Clone, Copy, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Of x·v.
    pub factors: f32,
    /// Of the logarithm of co-visitation.
    pub covisit: f32,
    /// Of the logarithm of the fast count.
    pub popular_short: f32,
    /// Of the logarithm of the slow count.
    pub popular_long: f32,
    /// Of content.
    pub content: f32,
}

/// The experts' scores on the common logarithmic scale.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LogScores {
    /// See [`RawScores`]; entries in the order of its fields.
    pub values: [f32; 5],
}

impl LogScores {
    /// Takes the logarithms once per item; many weights can then be tried.
    pub fn new(config: &BlendConfig, raw: &RawScores) -> Self {
        Self {
            values: [
                raw.factors,
                ln_f32(config.covisit_floor + raw.covisit),
                ln_f32(config.short_floor + raw.popular_short),
                ln_f32(config.long_floor + raw.popular_long),
                raw.content,
            ],
        }
    }

    /// The blended score: higher is better.
    pub fn blend(&self, weights: &Weights) -> f32 {
        let v = &self.values;
        (weights.factors * v[0] + weights.covisit * v[1])
            + (weights.popular_short * v[2] + weights.popular_long * v[3])
            + weights.content * v[4]
    }
}
