//! The read phase: one event at the owner of its user.

use super::Row;
use super::apply::apply_user;
use super::config::FactorsConfig;
use super::outbox::{ContextUpdate, ItemUpdate, Outbox, Target};
use super::represent::represent;
use crate::item::{ItemRef, ItemRows};
use crate::kernel::{add_scaled, dot, read_soon};
use crate::math::{exp_f32, ln_f32};
use crate::philox::Draws;

/// What is learned: also the whole of what a replayed past event must carry.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Example<'a> {
    /// The user's positive items before the event, newest first; only the first `horizon` are read.
    pub recent: &'a [ItemRef],
    /// Items the user has consumed, as far as they are kept, in ascending order. They are no
    /// candidates of a recommendation, so they are never drawn against the true item: without
    /// this a user's favourites push each other down (-.007 HR@10 on ml-100k).
    pub seen: &'a [ItemRef],
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
    draw(learner, example, draws, &mut outbox.drawn);
    let x = outbox.push_zero();
    represent(config, Some(user.vector), example.recent, learner.rows, outbox.vector_mut(x));
    let first = outbox.items.len();
    score_items(learner, example, (outbox, x));
    let drawn = (outbox.scores.len() - 1).max(1);
    let stands = config.correction * ln_f32(learner.rows.count().max(1) as f32 / drawn as f32);
    set_rests(&mut outbox.items[first..], &outbox.scores, stands);
    outbox.items[first].target.label = f32::from(u8::from(example.positive));
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
    apply_user(config, user, outbox.vector(gradient));
}

/// Draws the items that stand for all others, and has their rows and the event's item's loaded
/// while the representation is made.
fn draw<R: ItemRows + ?Sized>(
    learner: &Learner<'_, R>,
    example: &Example<'_>,
    draws: &mut Draws,
    drawn: &mut Vec<ItemRef>,
) {
    let rows = learner.rows;
    rows.vector(example.item).into_iter().for_each(read_soon);
    let count = rows.count();
    drawn.clear();
    for _ in 0..u64::try_from(learner.config.negatives).unwrap_or(u64::MAX).min(count) {
        let item = rows.nth(draws.below(count));
        if item == example.item || example.seen.binary_search(&item).is_ok() {
            continue;
        }
        let Some(vector) = rows.vector(item) else { continue };
        read_soon(vector);
        drawn.push(item);
    }
}

/// Pushes an update and its score for the event's item, then for the drawn ones.
fn score_items<R: ItemRows + ?Sized>(
    learner: &Learner<'_, R>,
    example: &Example<'_>,
    (outbox, x): (&mut Outbox, u32),
) {
    outbox.scores.clear();
    let target = Target { label: 0.0, log_rest: 0.0, weight: example.weight };
    let own = learner.rows.vector(example.item).map_or(0.0, |vector| dot(vector, outbox.vector(x)));
    outbox.scores.push(own);
    outbox.items.push(ItemUpdate { item: example.item, x, target });
    for at in 0..outbox.drawn.len() {
        let item = outbox.drawn[at];
        let Some(vector) = learner.rows.vector(item) else { continue };
        let score = dot(vector, outbox.vector(x));
        outbox.scores.push(score);
        outbox.items.push(ItemUpdate { item, x, target });
    }
}

/// Sets each update's `log_rest`: the logarithm of the others' summed exponentials, where a drawn
/// item counts e^stands times, for the many that were not drawn.
fn set_rests(updates: &mut [ItemUpdate], scores: &[f32], stands: f32) {
    let lift = |k: usize| if k == 0 { scores[0] } else { scores[k] + stands };
    let top = (0..scores.len()).fold(f32::NEG_INFINITY, |top, k| top.max(lift(k)));
    let total = (0..scores.len()).fold(0.0, |sum, k| sum + exp_f32(lift(k) - top));
    for (k, update) in updates.iter_mut().enumerate() {
        // When one item holds nearly everything the difference cancels: it is bounded from below.
        let rest = (total - exp_f32(lift(k) - top)).max(1e-6);
        update.target.log_rest = top + ln_f32(rest) - (lift(k) - scores[k]);
    }
}

/// Sums residual · v into the gradient by x.
fn ascend<R: ItemRows + ?Sized>(
    learner: &Learner<'_, R>,
    (outbox, gradient): (&mut Outbox, u32),
    first: usize,
) {
    for at in first..outbox.items.len() {
        let ItemUpdate { item, target, .. } = outbox.items[at];
        let Some(vector) = learner.rows.vector(item) else { continue };
        let residual = target.residual(outbox.scores[at - first]);
        add_scaled(outbox.vector_mut(gradient), residual, vector);
    }
}
