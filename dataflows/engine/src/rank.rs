//! Test-then-learn: the rank of an event's item among all items, before the event is learned.
//!
//! Candidates are all items that exist and that the user has had nothing to do with. Ties go to
//! the older item; an item without a row and a score that is not a number are misses. The scores
//! are those that serving gives (I1).

use eddyline_model::blend::{LogScores, RawScores, Weights};
use eddyline_model::config::CoreConfig;
use eddyline_model::covisit;
use eddyline_model::gate::{GateExample, GateState, bucket};
use eddyline_model::kernel::dot_rows;
use eddyline_model::metrics::TOP;
use eddyline_schemas::id::ItemRef;
use eddyline_schemas::time::TimestampMs;

use crate::state::items::item_ref;
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

/// Scratch space for ranking, one number an item.
#[derive(Debug, Default)]
pub struct Ranker {
    dots: Vec<f32>,
    covisit: Vec<f32>,
    scores: [Vec<f32>; 5],
    candidates: Vec<bool>,
    blended: Vec<f32>,
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
        self.fill_candidates(view, question);
        self.fill_dots(view, question.x);
        self.fill_covisit(config, view, question);
        self.fill_scores(config, view, question.time);
        let bucket = bucket(question.history_length);
        let own = view.place(question.item).filter(|&place| self.candidates[place]);
        let whole = gate.weights(&config.gate, bucket);
        let judged = [whole, EXPERTS[0], EXPERTS[1], EXPERTS[2]].map(|weights| {
            self.blend(&weights);
            (self.rank_of(view, own), self.best(view))
        });
        let ranks = config.gate.blends.iter().map(|weights| {
            self.blend(weights);
            self.rank_of(view, own)
        });
        let example = GateExample { bucket, ranks: ranks.collect() };
        let event = RankedEvent {
            seq: question.seq,
            ranks: [judged[0].0, judged[1].0, judged[2].0, judged[3].0],
            top: judged.map(|judged| judged.1),
            is_warm: question.history_length > 0,
            is_new_item: view.row(question.item).is_none_or(|row| row.events == 0),
        };
        (event, example)
    }

    fn fill_candidates(&mut self, view: &ItemView<'_>, question: &Question<'_>) {
        self.candidates.clear();
        for (_, shard) in view.shards() {
            self.candidates.extend_from_slice(&shard.live);
        }
        for place in question.seen.iter().filter_map(|&item| view.place(item)) {
            self.candidates[place] = false;
        }
    }

    fn fill_dots(&mut self, view: &ItemView<'_>, x: &[f32]) {
        self.dots.resize(self.candidates.len(), 0.0);
        for (start, shard) in view.shards() {
            dot_rows(&shard.vectors, x, &mut self.dots[start..start + shard.rows.len()]);
        }
    }

    fn fill_covisit(&mut self, config: &CoreConfig, view: &ItemView<'_>, question: &Question<'_>) {
        self.covisit.clear();
        self.covisit.resize(self.candidates.len(), 0.0);
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

    fn fill_scores(&mut self, config: &CoreConfig, view: &ItemView<'_>, time: TimestampMs) {
        self.scores.iter_mut().for_each(Vec::clear);
        for (start, shard) in view.shards() {
            for (rank, row) in shard.rows.iter().enumerate() {
                let place = start + rank;
                let (short, long) = row.popularity.values_at(&config.popularity, time.0);
                let raw = RawScores {
                    factors: self.dots[place],
                    covisit: covisit::normalise(&config.covisitation, self.covisit[place], long),
                    popular_short: short,
                    popular_long: long,
                    content: 0.0,
                };
                let scores = LogScores::new(&config.blend, &raw).values;
                self.scores.iter_mut().zip(scores).for_each(|(list, score)| list.push(score));
            }
        }
    }

    fn blend(&mut self, weights: &Weights) {
        self.blended.clear();
        let [a, b, c, d, e] = &self.scores;
        let scores = a.iter().zip(b).zip(c).zip(d).zip(e);
        self.blended.extend(scores.map(|((((&a, &b), &c), &d), &e)| {
            LogScores { values: [a, b, c, d, e] }.blend(weights)
        }));
    }

    fn rank_of(&self, view: &ItemView<'_>, own: Option<usize>) -> Option<u64> {
        let own = own?;
        let score = self.blended[own];
        if score.is_nan() {
            return None;
        }
        let mut better = 0;
        for (place, &other) in self.blended.iter().enumerate() {
            let beats = other > score || (other == score && is_older(view, place, own));
            better += u64::from(beats && self.candidates[place]);
        }
        Some(better)
    }

    fn best(&self, view: &ItemView<'_>) -> Vec<ItemRef> {
        let mut best: Vec<usize> = Vec::with_capacity(TOP + 1);
        let beats = |a: usize, b: usize| {
            let (of_a, of_b) = (self.blended[a], self.blended[b]);
            of_a > of_b || (of_a == of_b && is_older(view, a, b))
        };
        for (place, score) in self.blended.iter().enumerate() {
            if !self.candidates[place] || score.is_nan() {
                continue;
            }
            if best.len() == TOP && !beats(place, best[TOP - 1]) {
                continue;
            }
            let at = best.partition_point(|&kept| beats(kept, place));
            best.insert(at, place);
            best.truncate(TOP);
        }
        best.into_iter().map(|place| item_at(view, place)).collect()
    }
}

fn item_at(view: &ItemView<'_>, place: usize) -> ItemRef {
    eddyline_model::item::ItemRows::nth(view, place as u64)
}

fn is_older(view: &ItemView<'_>, a: usize, b: usize) -> bool {
    let age = |place| {
        let item = item_at(view, place);
        view.row(item)
            .map(|row| (row.first_seen, item_ref(usize::from(item.shard()), item.rank() as usize)))
    };
    age(a) < age(b)
}
