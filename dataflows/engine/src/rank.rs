//! Test-then-learn: the rank of an event's item among all items, before the event is learned.
//!
//! Candidates are all items that exist and that the user has had nothing to do with. Ties go to
//! the older item; an item without a row and a score that is not a number are misses. The scores
//! are those that serving gives (I1).

use eddyline_model::blend::{LogScores, RawScores, Weights};
use eddyline_model::config::CoreConfig;
use eddyline_model::covisit;
use eddyline_model::gate::{GateExample, GateState, bucket};
use eddyline_model::item::ItemRows;
use eddyline_model::kernel::dot_rows;
use eddyline_model::metrics::TOP;
use eddyline_model::pool::Pool;
use eddyline_schemas::id::ItemRef;
use eddyline_schemas::time::TimestampMs;

use crate::state::items::{ItemRow, item_ref};
use crate::view::ItemView;

/// Whose ranks are reported: the blend that is served, then its experts alone.
pub const MODELS: [&str; 4] = ["whole", "factors", "covisitation", "popularity"];

const EXPERTS: [Weights; 3] = [
    Weights { factors: 1.0, covisit: 0.0, popular_short: 0.0, popular_long: 0.0, content: 0.0 },
    Weights { factors: 0.0, covisit: 1.0, popular_short: 0.0, popular_long: 0.0, content: 0.0 },
    Weights { factors: 0.0, covisit: 0.0, popular_short: 1.0, popular_long: 0.0, content: 0.0 },
];

/// One tested event, in the order of [`MODELS`]. Ranks count from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedEvent {
    /// Rank of the event in its epoch.
    pub seq: u32,
    /// Rank of the true item; `None` is a miss.
    pub ranks: [Option<u64>; 4],
    /// The ten best.
    pub top: [Vec<ItemRef>; 4],
    /// The user had a positive event before.
    pub is_warm: bool,
    /// Nobody had a positive event with the item before.
    pub is_new_item: bool,
}

/// A user about to take an item.
#[derive(Debug)]
pub struct Question<'a> {
    /// See [`RankedEvent::seq`].
    pub seq: u32,
    /// The user's representation.
    pub x: &'a [f32],
    /// The user's items, newest first.
    pub history: &'a [ItemRef],
    /// Positive events of the user so far.
    pub history_length: u64,
    /// Not candidates.
    pub seen: &'a [ItemRef],
    /// The true item.
    pub item: ItemRef,
    /// Event time.
    pub time: TimestampMs,
}

/// Scratch space for ranking, reused from event to event.
#[derive(Debug, Default)]
pub struct Ranker {
    /// x·v by place.
    dots: Vec<f32>,
    /// Co-visitation by place.
    covisit: Vec<f32>,
    /// By place: already taken by the user.
    seen: Vec<bool>,
    pool: Pool,
    /// The items of the pool, in its order.
    items: Vec<ItemRef>,
    scores: Vec<f32>,
}

impl Ranker {
    /// Ranks the true item under the blend that `gate` trusts, each expert and each blend of the
    /// gate's grid.
    pub fn rank(
        &mut self,
        config: &CoreConfig,
        view: &ItemView<'_>,
        gate: &GateState,
        question: &Question<'_>,
    ) -> (RankedEvent, GateExample) {
        self.fill_columns(config, view, question);
        let own = self.fill_pool(config, view, question);
        let bucket = bucket(question.history_length);
        let whole = gate.weights(&config.gate, bucket);
        let judged = [whole, EXPERTS[0], EXPERTS[1], EXPERTS[2]];
        let ranks = self.ranks(&judged, own);
        let top = std::array::from_fn(|at| {
            self.best(view, &judged[at], ranks[at].map(|rank| (rank, question.item)))
        });
        let example = GateExample { bucket, ranks: self.ranks(&config.gate.blends, own) };
        let event = RankedEvent {
            seq: question.seq,
            ranks: [ranks[0], ranks[1], ranks[2], ranks[3]],
            top,
            is_warm: question.history_length > 0,
            is_new_item: view.row(question.item).is_none_or(|row| row.events == 0),
        };
        (event, example)
    }

    fn ranks(&self, blends: &[Weights], own: Option<LogScores>) -> Vec<Option<u64>> {
        match own {
            Some(own) => self.pool.ranks(blends, &own),
            None => vec![None; blends.len()],
        }
    }

    fn fill_columns(&mut self, config: &CoreConfig, view: &ItemView<'_>, question: &Question<'_>) {
        let items = view.count() as usize;
        self.dots.resize(items, 0.0);
        for (start, shard) in view.shards() {
            dot_rows(&shard.vectors, question.x, &mut self.dots[start..start + shard.rows.len()]);
        }
        self.seen.clear();
        self.seen.resize(items, false);
        for place in question.seen.iter().filter_map(|&item| view.place(item)) {
            self.seen[place] = true;
        }
        self.covisit.clear();
        self.covisit.resize(items, 0.0);
        let sources = question.history.iter().take(config.covisitation.window).enumerate();
        for (k, list) in sources.filter_map(|(k, &item)| Some((k, &view.row(item)?.covisitation))) {
            let scale = list.scale(&config.covisitation, k, question.time.0);
            for entry in list.entries() {
                if let Some(place) = view.place(entry.target) {
                    self.covisit[place] += entry.weight * scale;
                }
            }
        }
    }

    /// Fills the pool with every candidate but the true item, and gives that one's scores.
    fn fill_pool(
        &mut self,
        config: &CoreConfig,
        view: &ItemView<'_>,
        question: &Question<'_>,
    ) -> Option<LogScores> {
        self.pool.clear();
        self.items.clear();
        let own_age = view.row(question.item).map(|row| (row.first_seen, question.item));
        let mut own = None;
        for (number, (start, shard)) in view.shards().enumerate() {
            for (rank, row) in shard.rows.iter().enumerate() {
                let place = start + rank;
                if row.deleted || self.seen[place] {
                    continue;
                }
                let item = item_ref(number, rank);
                let raw = self.raw(config, row, place, question.time);
                if item == question.item {
                    own = Some(LogScores::new(&config.blend, &raw));
                } else {
                    self.pool.push(&raw, Some((row.first_seen, item)) < own_age);
                    self.items.push(item);
                }
            }
        }
        self.pool.take_logs(&config.blend);
        own
    }

    fn raw(
        &self,
        config: &CoreConfig,
        row: &ItemRow,
        place: usize,
        time: TimestampMs,
    ) -> RawScores {
        let (short, long) = row.popularity.values_at(&config.popularity, time.0);
        let covisit = self.covisit[place];
        RawScores {
            factors: self.dots[place],
            covisit: covisit::normalise(&config.covisitation, covisit, long),
            popular_short: short,
            popular_long: long,
            content: 0.0,
        }
    }

    /// The ten best of the pool, with the true item put in at its rank.
    fn best(
        &mut self,
        view: &ItemView<'_>,
        weights: &Weights,
        own: Option<(u64, ItemRef)>,
    ) -> Vec<ItemRef> {
        self.pool.scores(weights, &mut self.scores);
        let (items, scores) = (&self.items, &self.scores);
        let age = |at: usize| view.row(items[at]).map(|row| (row.first_seen, items[at]));
        let beats = |a: usize, b: usize| {
            scores[a] > scores[b] || (scores[a] == scores[b] && age(a) < age(b))
        };
        let mut best: Vec<usize> = Vec::with_capacity(TOP + 1);
        for (at, score) in scores.iter().enumerate() {
            let is_out = best.len() == TOP && !beats(at, best[TOP - 1]);
            if is_out || score.is_nan() {
                continue;
            }
            best.insert(best.partition_point(|&kept| beats(kept, at)), at);
            best.truncate(TOP);
        }
        let mut best: Vec<ItemRef> = best.into_iter().map(|at| items[at]).collect();
        if let Some((rank, item)) = own.filter(|(rank, _)| *rank <= best.len() as u64) {
            best.insert(rank as usize, item);
            best.truncate(TOP);
        }
        best
    }
}
