//! One item of one event in the read phase: tested, learned, and what it asks of items' owners.

use std::sync::Arc;

use eddyline_model::config::Signal;
use eddyline_model::covisit;
use eddyline_model::factors::Row;
use eddyline_model::factors::learn::{Example, Learner, learn};
use eddyline_model::factors::represent::represent;
use eddyline_model::item::ItemRows;
use eddyline_model::philox::{Draws, Purpose, RecordKey, topic_hash};
use eddyline_schemas::id::ItemRef;

use super::{Folds, ReadPhase, Reading};
use crate::bound::DecodedEvent;
use crate::graph::work::{LearnBatch, Line};
use crate::rank::Question;
use crate::state::reservoir::PastEvent;
use crate::state::users::UserShard;
use crate::view::ItemView;

/// A user about to take an item.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    pub(super) line: &'a Line,
    pub(super) item: ItemRef,
    pub(super) key: (u8, u32),
}

impl ReadPhase {
    /// Learns what the event says of the item.
    pub(super) fn learn_line(
        &mut self,
        reading: &Reading<'_>,
        into: &mut LearnBatch,
        shard: &mut UserShard,
        taken: Taken<'_>,
    ) {
        let event = &*taken.line.event;
        let config = Arc::clone(&self.context.config);
        let (positive, weight) = match config.events.signal(&event.event) {
            Signal::Positive(weight) => (true, weight),
            Signal::Negative(weight) => (false, weight),
            Signal::None => return,
        };
        let all_folds = self.context.folds != Folds::FactorsOnly;
        if positive && all_folds {
            self.count_touch(reading, taken);
            self.test(reading, into, shard, taken);
        }
        let changed = self.note_change(&mut shard.rows[taken.key.1 as usize], taken.key);
        changed.learned += 1;
        if changed.learned <= config.users.learned_per_epoch {
            changed.vector = true;
            self.step(reading, into, shard, (taken, positive, weight));
        }
        if positive {
            let row = &mut shard.rows[taken.key.1 as usize];
            if all_folds {
                let covisitation = &config.covisitation;
                into.pairs.extend(covisit::pairs(covisitation, &row.history, taken.item, weight));
                into.taken.push((taken.item, f64::from(weight)));
            }
            row.remember(&config.users, taken.item);
        }
    }

    fn count_touch(&mut self, reading: &Reading<'_>, taken: Taken<'_>) {
        let (shard, rank) = taken.key;
        let touch = (taken.item, rank);
        let edge = self.edge(reading);
        let mut preferences = self.context.tables.preferences[usize::from(shard)].lock();
        if preferences.touch(touch, taken.line.event.event_time, edge) {
            self.touches.push((touch, shard, 1));
        }
    }

    /// Test, then learn.
    fn test(
        &mut self,
        reading: &Reading<'_>,
        into: &mut LearnBatch,
        shard: &UserShard,
        taken: Taken<'_>,
    ) {
        let config = &self.context.config;
        let rank = taken.key.1 as usize;
        let row = &shard.rows[rank];
        let event = &*taken.line.event;
        if !is_sampled(config.quality.sample_one_in, reading.view.count(), event)
            || row.has_seen(taken.item)
        {
            return;
        }
        let dim = config.factors.dim;
        let vector = &shard.vectors[rank * dim..(rank + 1) * dim];
        represent(&config.factors, Some(vector), &row.history, &reading.view, &mut self.x);
        let question = Question {
            seq: taken.line.seq,
            x: &self.x,
            history: &row.history,
            history_length: row.history_length,
            seen: row.seen(),
            item: taken.item,
            time: event.event_time,
        };
        let gate = self.context.tables.gate.read();
        into.ranked.push(self.ranker.rank(config, &reading.view, &gate, &question));
    }

    fn step(
        &mut self,
        reading: &Reading<'_>,
        into: &mut LearnBatch,
        shard: &mut UserShard,
        (taken, positive, weight): (Taken<'_>, bool, f32),
    ) {
        let config = Arc::clone(&self.context.config);
        let key = record_key(config.seed, &taken.line.event, taken.line.line);
        let learner = Learner { config: &config.factors, rows: &reading.view };
        let at = taken.key.1 as usize;
        let UserShard { rows, vectors, accumulators, .. } = shard;
        let (recent, seen, item) = (rows[at].history.as_slice(), rows[at].seen(), taken.item);
        let example = Example { recent, seen, item, positive, weight };
        let mut draws = Draws::new(&key, Purpose::Negative);
        let row = user_row(vectors, accumulators, at, config.factors.dim);
        learn(&learner, row, &example, &mut draws, &mut into.outbox);
        if positive && config.factors.replays > 0 {
            self.replay(&learner, into, (shard, taken.key.0), key);
            let history = &shard.rows[at].history;
            let recent = history[..history.len().min(config.factors.horizon)].to_vec();
            let past = PastEvent { user: taken.key.1, recent, item: taken.item, weight };
            shard.reservoir.offer(past, Draws::new(&key, Purpose::Reservoir));
        }
    }

    fn replay(
        &mut self,
        learner: &Learner<'_, ItemView<'_>>,
        into: &mut LearnBatch,
        (shard, number): (&mut UserShard, u8),
        key: RecordKey,
    ) {
        let config = Arc::clone(&self.context.config);
        let mut which = Draws::new(&key, Purpose::Replay);
        let mut draws = Draws::new(&key, Purpose::ReplayNegative);
        for _ in 0..config.factors.replays {
            let Some(past) = shard.reservoir.draw(&mut which).cloned() else { return };
            let at = past.user as usize;
            self.note_change(&mut shard.rows[at], (number, past.user)).vector = true;
            let seen = shard.rows[at].seen().to_vec();
            let (recent, item, weight) =
                (past.recent.as_slice(), past.item, past.weight * config.factors.replay_weight);
            let example = Example { recent, seen: &seen, item, positive: true, weight };
            let row = user_row(&mut shard.vectors, &mut shard.accumulators, at, config.factors.dim);
            learn(learner, row, &example, &mut draws, &mut into.outbox);
        }
    }
}

fn user_row<'a>(
    vectors: &'a mut [f32],
    accumulators: &'a mut [f32],
    at: usize,
    dim: usize,
) -> Row<'a> {
    Row { vector: &mut vectors[at * dim..(at + 1) * dim], accumulator: &mut accumulators[at] }
}

/// Items up to which `quality.sample_one_in` holds as it stands.
const SAMPLED_ITEMS: u64 = 10_000;

fn is_sampled(one_in: u64, items: u64, event: &DecodedEvent) -> bool {
    let hash = event.dedupe.0.last_chunk::<8>().map_or(0, |tail| u64::from_le_bytes(*tail));
    match one_in {
        0 => false,
        1 => true,
        _ => hash.is_multiple_of(one_in * items.div_ceil(SAMPLED_ITEMS).max(1)),
    }
}

/// Draws are keyed by the record; the lines of one record count as records of their own.
fn record_key(seed: u64, event: &DecodedEvent, line: u16) -> RecordKey {
    RecordKey {
        seed: seed ^ (u64::from(line) << 48),
        topic_hash: topic_hash(event.at.topic.name()),
        partition: event.at.partition,
        offset: event.offset,
    }
}
