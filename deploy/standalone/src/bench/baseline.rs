//! What the dataflow is measured against: a plain sequential loop of the same factor model and the
//! same update, one event after the other, nothing else: no log, no parsing, no other folds.

use std::time::{Duration, Instant};

use eddyline_model::config::{CoreConfig, EventWeights};
use eddyline_model::factors::Row;
use eddyline_model::factors::apply::{apply_context, apply_item};
use eddyline_model::factors::config::FactorsConfig;
use eddyline_model::factors::initial::initial_item_vector;
use eddyline_model::factors::learn::{Example, Learner, learn};
use eddyline_model::factors::outbox::Outbox;
use eddyline_model::item::ItemRows;
use eddyline_model::philox::{Draws, Purpose, RecordKey};
use eddyline_schemas::id::ItemRef;

use super::stream::{Stream, StreamShape};

/// One event of the stream as the learner sees it.
#[derive(Clone, Copy)]
struct Taken {
    user: u32,
    item: u32,
    weight: f32,
}

/// Learns the first `events` events of the stream; what is timed is the loop alone.
#[must_use]
pub(crate) fn run(core: &CoreConfig, shape: &StreamShape, events: u64) -> f64 {
    let mut stream = Stream::new(shape);
    let taken: Vec<Taken> = (0..events).filter_map(|_| take(&mut stream, &core.events)).collect();
    let mut loop_state = Sequential::new(core, shape);
    let started = Instant::now();
    for (offset, one) in taken.iter().enumerate() {
        loop_state.learn(core, *one, offset as u64);
    }
    rate(taken.len(), started.elapsed())
}

fn rate(events: usize, elapsed: Duration) -> f64 {
    events as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// Events that teach nothing are passed over before the clock runs.
fn take(stream: &mut Stream, weights: &EventWeights) -> Option<Taken> {
    let draw = stream.draw();
    let weight = match draw.event_type {
        "view" => weights.view,
        "click" => weights.click,
        "add_to_cart" => weights.add_to_cart,
        "purchase" => weights.purchase,
        "dwell" => weights.dwell,
        _ => return None,
    };
    Some(Taken { user: draw.user as u32, item: draw.item as u32, weight })
}

/// Rows of all users and items, flat.
struct Sequential {
    items: Items,
    users: Vec<f32>,
    user_accumulators: Vec<f32>,
    recent: Vec<Vec<ItemRef>>,
    seen: Vec<Vec<ItemRef>>,
    outbox: Outbox,
}

struct Items {
    dim: usize,
    vectors: Vec<f32>,
    vector_accumulators: Vec<f32>,
    contexts: Vec<f32>,
    context_accumulators: Vec<f32>,
}

impl ItemRows for Items {
    fn count(&self) -> u64 {
        self.vector_accumulators.len() as u64
    }

    fn nth(&self, k: u64) -> ItemRef {
        ItemRef(k as u32)
    }

    fn vector(&self, item: ItemRef) -> Option<&[f32]> {
        self.vectors.get(item.0 as usize * self.dim..(item.0 as usize + 1) * self.dim)
    }

    fn context(&self, item: ItemRef) -> Option<&[f32]> {
        self.contexts.get(item.0 as usize * self.dim..(item.0 as usize + 1) * self.dim)
    }
}

fn row<'a>(vectors: &'a mut [f32], accumulators: &'a mut [f32], at: usize, dim: usize) -> Row<'a> {
    Row { vector: &mut vectors[at * dim..(at + 1) * dim], accumulator: &mut accumulators[at] }
}

/// Zeroes in memory that is there already: `vec![0.0; n]` leaves the page faults to the timed loop,
/// which would flatter whatever is compared with it.
fn touched(numbers: usize) -> Vec<f32> {
    let mut zeroes = Vec::with_capacity(numbers);
    zeroes.resize(numbers, f32::MIN_POSITIVE);
    zeroes.fill(0.0);
    zeroes
}

impl Sequential {
    fn new(core: &CoreConfig, shape: &StreamShape) -> Self {
        let dim = core.factors.dim;
        let mut vectors = vec![0.0; shape.items * dim];
        for (number, vector) in vectors.chunks_exact_mut(dim).enumerate() {
            initial_item_vector(&core.factors, core.seed, number as u64, None, vector);
        }
        Self {
            items: Items {
                dim,
                vectors,
                vector_accumulators: vec![0.0; shape.items],
                contexts: touched(shape.items * dim),
                context_accumulators: vec![0.0; shape.items],
            },
            users: touched(shape.users * dim),
            user_accumulators: vec![0.0; shape.users],
            recent: vec![Vec::new(); shape.users],
            seen: vec![Vec::new(); shape.users],
            outbox: Outbox::new(dim),
        }
    }

    fn learn(&mut self, core: &CoreConfig, taken: Taken, offset: u64) {
        let config = &core.factors;
        let (user, item) = (taken.user as usize, ItemRef(taken.item));
        let key = RecordKey { seed: core.seed, topic_hash: 1, partition: 0, offset };
        let mut draws = Draws::new(&key, Purpose::Negative);
        let (recent, seen) = (&self.recent[user], &self.seen[user]);
        let example = Example { recent, seen, item, positive: true, weight: taken.weight };
        let learner = Learner { config, rows: &self.items };
        let row = row(&mut self.users, &mut self.user_accumulators, user, config.dim);
        learn(&learner, row, &example, &mut draws, &mut self.outbox);
        self.apply(config);
        remember(&mut self.recent[user], item, config.horizon);
        if let Err(at) = self.seen[user].binary_search(&item) {
            self.seen[user].insert(at, item);
        }
    }

    fn apply(&mut self, config: &FactorsConfig) {
        let Items { dim, vectors, vector_accumulators, contexts, context_accumulators } =
            &mut self.items;
        for update in &self.outbox.items {
            let row = row(vectors, vector_accumulators, update.item.0 as usize, *dim);
            apply_item(config, row, self.outbox.vector(update.x), &update.target);
        }
        for update in &self.outbox.contexts {
            let row = row(contexts, context_accumulators, update.item.0 as usize, *dim);
            apply_context(config, row, self.outbox.vector(update.gradient), update.weight);
        }
        self.outbox.clear();
    }
}

fn remember(recent: &mut Vec<ItemRef>, item: ItemRef, horizon: usize) {
    recent.retain(|&other| other != item);
    recent.insert(0, item);
    recent.truncate(horizon);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_learns_and_stays_finite() {
        let shape = StreamShape { users: 50, items: 40, user_skew: 1.0, item_skew: 1.0, seed: 3 };
        let core = CoreConfig::default();
        assert!(run(&core, &shape, 500) > 0.0);
        let mut stream = Stream::new(&shape);
        let mut sequential = Sequential::new(&core, &shape);
        let before = sequential.items.vectors.clone();
        for offset in 0..500 {
            if let Some(taken) = take(&mut stream, &core.events) {
                sequential.learn(&core, taken, offset);
            }
        }
        assert_ne!(before, sequential.items.vectors);
        assert!(sequential.users.iter().chain(&sequential.items.vectors).all(|v| v.is_finite()));
    }
}
