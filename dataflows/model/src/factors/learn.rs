//! The read phase: one event at the owner of its user.

use super::Row;
use super::apply::step;
use super::config::FactorsConfig;
use super::outbox::{ContextUpdate, ItemUpdate, Outbox, Target};
use super::represent::represent;
use crate::item::{ItemRef, ItemRows};
use crate::kernel::{add_scaled, dot};
use crate::math::{exp_f32, ln_f32, sigmoid_f32};
use crate::philox::Draws;

/// What is learned: also the whole of what a replayed past event must carry.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Example<'a> {
    /// The user's positive items before the event, newest first; only the first `horizon` are read.
    pub recent: &'a [ItemRef],
    /// The event's item.
    pub item: ItemRef,
    /// True for a liked item; false for a dislike, a skip, a low rating.
    pub positive: bool,
    /// Weight of the event's type, finite and at least 0.
    pub weight: f32,
}

/// The read phase's view: configuration and item rows as of the epoch's start.
#[derive(Debug)]
pub struct Learner<'a, R: ?Sized> {
    /// Hyper-parameters.
    pub config: &'a FactorsConfig,
    /// Item rows as of the epoch's start.
    pub rows: &'a R,
}

/// Learns one event: moves `user` at once and appends messages for the items' owners to `outbox`.
///
/// Every item's residual is label - probability, the probability within a softmax over the true item and the
/// drawn ones. A negative event draws too, for the normaliser, but moves only its own item down.
pub fn learn<R: ItemRows + ?Sized>(
    learner: &Learner<'_, R>,
    user: Row<'_>,
    example: &Example<'_>,
    draws: &mut Draws,
    outbox: &mut Outbox,
) {
    let config = learner.config;
    let x = outbox.push_zero();
    represent(config, Some(user.vector), example.recent, learner.rows, outbox.vector_mut(x));
    let first = outbox.items.len();
    score_items(learner, example, draws, (outbox, x));
    set_rests(&mut outbox.items[first..], example);
    if !example.positive {
        outbox.items.truncate(first + 1);
    }
    let gradient = outbox.push_zero();
    ascend(learner, (outbox, gradient), first);
    for (&item, weight) in example.recent.iter().zip(config.context_weights()) {
        if learner.rows.context(item).is_some() {
            outbox.contexts.push(ContextUpdate { item, gradient, weight });
        }
    }
    step(config, config.user_rate, user, outbox.vector(gradient), 1.0);
}

/// Pushes the event's item and the drawn ones; `log_rest` holds the bare score for the moment.
fn score_items<R: ItemRows + ?Sized>(
    learner: &Learner<'_, R>,
    example: &Example<'_>,
    draws: &mut Draws,
    (outbox, x): (&mut Outbox, u32),
) {
    let count = learner.rows.count();
    let score = |outbox: &Outbox, item| learner.rows.vector(item).map(|vector| dot(vector, outbox.vector(x)));
    let own = score(outbox, example.item).unwrap_or(0.0);
    outbox.items.push(ItemUpdate { item: example.item, x, target: Target { label: 1.0, log_rest: own, weight: example.weight } });
    for _ in 0..learner.config.negatives.min(usize::try_from(count).unwrap_or(usize::MAX)) {
        let item = learner.rows.nth(draws.below(count));
        let Some(bare) = score(outbox, item).filter(|_| item != example.item) else { continue };
        outbox.items.push(ItemUpdate { item, x, target: Target { label: 0.0, log_rest: bare, weight: example.weight } });
    }
}

/// Turns bare scores into the logarithm of the others' summed exponentials, and sets the label.
fn set_rests(updates: &mut [ItemUpdate], example: &Example<'_>) {
    let top = updates.iter().fold(f32::NEG_INFINITY, |top, update| top.max(update.target.log_rest));
    let total: f32 = updates.iter().fold(0.0, |sum, update| sum + exp_f32(update.target.log_rest - top));
    for update in updates.iter_mut() {
        let rest = total - exp_f32(update.target.log_rest - top);
        // When one item holds nearly everything the difference cancels: bound it from below.
        update.target.log_rest = top + ln_f32(rest.max(1e-6));
    }
    updates[0].target.label = f32::from(u8::from(example.positive));
}

/// Sums residual · v into the gradient by x.
fn ascend<R: ItemRows + ?Sized>(learner: &Learner<'_, R>, (outbox, gradient): (&mut Outbox, u32), first: usize) {
    for at in first..outbox.items.len() {
        let ItemUpdate { item, x, target } = outbox.items[at];
        let Some(vector) = learner.rows.vector(item) else { continue };
        let residual = target.weight * (target.label - sigmoid_f32(dot(vector, outbox.vector(x)) - target.log_rest));
        add_scaled(outbox.vector_mut(gradient), residual, vector);
    }
}
