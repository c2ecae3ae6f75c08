//! The apply phase: steps of item and context vectors at their owner, in sequence order.

use super::Row;
use super::config::FactorsConfig;
use super::outbox::Target;
use crate::kernel::{add_scaled, cap_norm, dot, scale, squared_norm};
use crate::math::sigmoid_f32;

/// The first so many contributions to a context row count per row and epoch, in sequence order.
pub const CONTEXT_CONTRIBUTIONS: usize = 16;

/// One step of an item's vector, with the residual of the row as it is now.
pub fn apply_item(config: &FactorsConfig, row: Row<'_>, x: &[f32], target: &Target) {
    let residual = target.weight * (target.label - sigmoid_f32(dot(row.vector, x) - target.log_rest));
    step(config, config.item_rate, row, x, residual);
}

/// One step of a context vector along `weight · gradient`.
pub fn apply_context(config: &FactorsConfig, row: Row<'_>, gradient: &[f32], weight: f32) {
    step(config, config.context_rate, row, gradient, weight);
}

/// Adagrad with one accumulator per row: ascends along `factor · direction`.
/// A step that is not finite is not taken, so NaN and infinities never enter a row.
pub(super) fn step(config: &FactorsConfig, rate: f32, row: Row<'_>, direction: &[f32], factor: f32) {
    let mean_square = factor * factor * squared_norm(direction) / direction.len() as f32;
    let accumulator = *row.accumulator * config.accumulator_keep + mean_square;
    if !accumulator.is_finite() || accumulator <= 0.0 {
        return;
    }
    let length = rate / (accumulator.sqrt() + 1e-6);
    *row.accumulator = accumulator;
    if config.decay > 0.0 {
        scale(row.vector, 1.0 - length.min(1.0) * config.decay);
    }
    add_scaled(row.vector, length * factor, direction);
    cap_norm(row.vector, config.norm_cap);
}
