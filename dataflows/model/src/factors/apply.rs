//! The apply phase: steps of item and context vectors at their owner, in sequence order.

use super::Row;
use super::config::FactorsConfig;
use super::outbox::Target;
use crate::kernel::{Products, products, scale_add};

/// The first so many contributions to a context row count per row and epoch, in sequence order.
pub const CONTEXT_CONTRIBUTIONS: usize = 16;

/// Added to the root of the accumulator: a row's first, tiny gradients do not make the largest steps.
const CALM: f32 = 1e-3;

/// One step of an item's vector, with the residual of the row as it is now.
pub fn apply_item(config: &FactorsConfig, mut row: Row<'_>, x: &[f32], target: &Target) {
    let products = products(row.vector, x);
    let factor = target.residual(products.cross);
    step(config, &mut row, &Ascent { rate: config.item_rate, direction: x, factor, products });
}

/// One step of a context vector along `weight · gradient`.
pub fn apply_context(config: &FactorsConfig, row: Row<'_>, gradient: &[f32], weight: f32) {
    ascend(config, config.context_rate, row, (gradient, weight));
}

/// One step of a user's vector along the gradient.
pub(super) fn apply_user(config: &FactorsConfig, row: Row<'_>, gradient: &[f32]) {
    ascend(config, config.user_rate, row, (gradient, 1.0));
}

fn ascend(config: &FactorsConfig, rate: f32, mut row: Row<'_>, (direction, factor): (&[f32], f32)) {
    let products = products(row.vector, direction);
    step(config, &mut row, &Ascent { rate, direction, factor, products });
}

/// A direction of ascent and its products with the row it moves.
struct Ascent<'a> {
    rate: f32,
    direction: &'a [f32],
    factor: f32,
    products: Products,
}

/// Adagrad with one accumulator per row: ascends along the gradient `factor · direction - shrink · vector`.
///
/// The squares of the gradient and of the moved row follow from three products, so the row is read
/// once and written once. If either is not finite the step is not taken: NaN and infinities never enter a row.
fn step(config: &FactorsConfig, row: &mut Row<'_>, ascent: &Ascent<'_>) {
    let &Ascent { rate, direction, factor, products } = ascent;
    let shrink = rate * config.decay;
    let gradient_square = products.combined(-shrink, factor);
    // Rounding may leave a square just below zero; `max` would also swallow a NaN, asked for below.
    let added = gradient_square.max(0.0) / direction.len() as f32;
    let accumulator = *row.accumulator * config.accumulator_keep + added;
    let length = rate / (accumulator.sqrt() + CALM);
    let (keep, add) = ((1.0 - length * shrink).max(0.0), length * factor);
    let square = products.combined(keep, add);
    if !(gradient_square.is_finite() && accumulator.is_finite() && square.is_finite()) {
        return;
    }
    *row.accumulator = accumulator;
    let cap = config.norm_cap;
    let fit = if square > cap * cap { cap / square.sqrt() } else { 1.0 };
    scale_add(row.vector, keep * fit, add * fit, direction);
}
