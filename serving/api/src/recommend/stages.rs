//! The stages of the recommender: who proposes, who drops, and the blend that scores.

use eddyline_index::search::Query as IndexQuery;
use eddyline_index::store::Slot;
use eddyline_model::blend::{LogScores, RawScores, Weights};
use eddyline_model::covisit::normalise;
use eddyline_model::kernel::dot;
use eddyline_pipeline::stage::{Additions, Candidate, Filter, Pick, Scorer, Selector, Source};

use crate::contract::Diversity;
use crate::recommend::query::Query;
use crate::recommend::slate::{DrawKey, Policy, Scored, slate};
use crate::state::items::ItemRow;

/// Candidates by x from the index.
const COLLABORATIVE: usize = 500;
/// Neighbours of the last items.
const CO_VISITATION: usize = 200;
/// Items that carry preferred labels.
const CONTENT: usize = 150;
/// Labels that propose.
const CONTENT_LABELS: usize = 12;
/// Of each popularity list.
const POPULAR: usize = 150;
const _: () = assert!(POPULAR <= crate::state::standing::ALWAYS, "lists may be no longer");
/// New arrivals.
const NEW: usize = 50;
/// Newest items looked at to find those; bounds the time that a strict filter takes.
const NEW_LOOKED_AT: usize = 50_000;

/// A place among the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the published interface's")]
pub enum SourceKind {
    Collaborative,
    CoVisitation,
    Content,
    Popular,
    Trending,
    New,
}

impl SourceKind {
    /// All, in the order in which they run and are named.
    pub const ALL: [Self; 6] = [
        Self::Collaborative,
        Self::CoVisitation,
        Self::Content,
        Self::Popular,
        Self::Trending,
        Self::New,
    ];

    /// The name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Collaborative => "collaborative",
            Self::CoVisitation => "co_visitation",
            Self::Content => "content",
            Self::Popular => "popular",
            Self::Trending => "trending",
            Self::New => "new",
        }
    }
}

/// A set of sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources(u8);

impl Sources {
    /// Whether it holds `kind`.
    #[must_use]
    pub fn has(self, kind: SourceKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Names, in order.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        SourceKind::ALL.iter().filter(|kind| self.has(**kind)).map(|kind| kind.name()).collect()
    }
}

/// An item that was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Which.
    pub slot: Slot,
    /// By whom.
    pub sources: Sources,
}

impl Candidate for Proposal {
    type Key = Slot;

    fn key(&self) -> Slot {
        self.slot
    }

    fn absorb(&mut self, other: Self) {
        self.sources.0 |= other.sources.0;
    }
}

/// The sources, by kind.
#[derive(Clone, Copy, Debug)]
pub struct ProposeBy(pub SourceKind);

impl Source<Query<'_>, Proposal> for ProposeBy {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    /// All but those that may scan: a request that waited too long is still answered.
    fn is_essential(&self) -> bool {
        !matches!(self.0, SourceKind::Collaborative | SourceKind::New)
    }

    fn propose(&self, query: &Query<'_>, additions: &mut Additions<'_, Proposal>) {
        let slots = match self.0 {
            SourceKind::Collaborative => collaborative(query),
            SourceKind::CoVisitation => co_visitation(query),
            SourceKind::Content => content(query),
            SourceKind::Popular => query.tables.standing().long.slots().take(POPULAR).collect(),
            SourceKind::Trending => query.tables.standing().short.slots().take(POPULAR).collect(),
            SourceKind::New => newest(query),
        };
        let sources = Sources(1 << self.0 as u8);
        slots.into_iter().for_each(|slot| additions.add(Proposal { slot, sources }));
    }
}

fn collaborative(query: &Query<'_>) -> Vec<Slot> {
    if !query.taste.is_represented {
        return Vec::new();
    }
    let keep = |slot| query.allows(slot);
    let ask = IndexQuery { vector: &query.taste.x, k: COLLABORATIVE, keep: &keep };
    query.index.search(query.tables.vectors(), &ask).iter().map(|hit| hit.slot).collect()
}

fn co_visitation(query: &Query<'_>) -> Vec<Slot> {
    let mut sums = query.taste.covisited.clone();
    sums.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    sums.iter().take(CO_VISITATION).map(|(slot, _)| *slot).collect()
}

/// Of each strong label its most popular items and its newest ones, shared out evenly.
fn content(query: &Query<'_>) -> Vec<Slot> {
    let mut strongest = query.taste.profile.strongest();
    strongest.truncate(CONTENT_LABELS);
    let share = CONTENT / strongest.len().max(1);
    let mut slots = Vec::with_capacity(CONTENT);
    for label in strongest {
        let label = query.tables.labels().get(label);
        slots.extend(label.standing.short.slots().take(share / 2));
        slots.extend(label.slots.iter().rev().take(share - share / 2).map(Slot));
    }
    slots.sort_unstable();
    slots.dedup();
    slots
}

fn newest(query: &Query<'_>) -> Vec<Slot> {
    let looked_at = query.tables.newest().take(NEW_LOOKED_AT);
    looked_at.filter(|slot| query.allows(*slot)).take(NEW).collect()
}

/// The filters, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropIf {
    /// Taken out of the catalogue.
    Deleted,
    /// Excluded by the request, or one of its seeds.
    Excluded,
    /// Touched before.
    Seen,
    /// Disliked.
    Disliked,
    /// Does not fit the request's expression.
    Unfit,
}

impl DropIf {
    /// All, the cheap ones first.
    pub const ALL: [Self; 5] =
        [Self::Deleted, Self::Excluded, Self::Seen, Self::Disliked, Self::Unfit];
}

impl Filter<Query<'_>, Proposal> for DropIf {
    fn name(&self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Excluded => "excluded",
            Self::Seen => "seen",
            Self::Disliked => "disliked",
            Self::Unfit => "filter",
        }
    }

    fn keep(&self, query: &Query<'_>, candidate: &Proposal) -> bool {
        let row = query.tables.items().row(candidate.slot);
        match self {
            Self::Deleted => !row.deleted,
            Self::Excluded => query.excluded.binary_search(&candidate.slot).is_err(),
            Self::Seen => query.seen.binary_search(&row.item).is_err(),
            Self::Disliked => query.disliked.binary_search(&row.item).is_err(),
            Self::Unfit => {
                let filter = query.filter.as_ref();
                filter.is_none_or(|filter| filter.matches(row.document.as_deref()))
            }
        }
    }
}

/// The experts and their blend, as in learning.
#[derive(Clone, Copy, Debug)]
pub struct Blend;

impl Scorer<Query<'_>, Proposal> for Blend {
    fn name(&self) -> &'static str {
        "score"
    }

    fn score(&self, query: &Query<'_>, pool: &[Proposal], scores: &mut [f32]) {
        for (score, candidate) in scores.iter_mut().zip(pool) {
            let row = query.tables.items().row(candidate.slot);
            let raw = raw_scores(query, candidate.slot, row);
            let content = content_weight(query, row, candidate.sources.has(SourceKind::New));
            let weights = Weights { content, ..query.weights };
            *score = LogScores::new(&query.config.core.blend, &raw).blend(&weights);
        }
    }
}

fn raw_scores(query: &Query<'_>, slot: Slot, row: &ItemRow) -> RawScores {
    let core = &query.config.core;
    let now = query.tables.progress().logical_time.0;
    let (popular_short, popular_long) = row.popularity.values_at(&core.popularity, now);
    let taste = &query.taste;
    RawScores {
        factors: dot(&taste.x, query.tables.vectors().row(slot)),
        covisit: normalise(&core.covisitation, taste.covisit(slot), popular_long),
        popular_short,
        popular_long,
        content: taste.profile.affinity(&row.labels),
    }
}

/// The gate's weight, and a prior that fades as the item gets events of its own. It is greater for
/// new arrivals, which lose that when newer ones arrive: an item that nobody wants sinks.
fn content_weight(query: &Query<'_>, row: &ItemRow, is_new: bool) -> f32 {
    let config = query.config;
    let prior = if is_new { config.content_prior_new } else { config.content_prior };
    let half = config.content_prior_events;
    query.weights.content + prior * half / (half + row.events as f32)
}

/// Positive events up to which an answer keeps places for what is related to them.
const SHORT_HISTORY: u64 = 5;
/// Of so many places one is then related.
const RELATED_EVERY: usize = 3;

/// Fills the places of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Slate {
    /// Places.
    pub places: usize,
    /// How varied.
    pub diversity: Diversity,
}

impl Selector<Query<'_>, Proposal> for Slate {
    fn name(&self) -> &'static str {
        "select"
    }

    fn select(&self, query: &Query<'_>, pool: &[Proposal], scores: &[f32]) -> Vec<Pick> {
        let user = query.actor.as_ref().map_or("", |actor| actor.as_str());
        let epoch = query.tables.progress().epoch.0;
        let is_short = (1..=SHORT_HISTORY).contains(&query.taste.history_length);
        let policy = Policy {
            places: self.places,
            related_every: is_short.then_some(RELATED_EVERY),
            max_per_category: self.diversity.max_per_category,
            exploration: self.diversity.exploration,
            key: DrawKey::new(query.config.core.seed, user, epoch),
        };
        let scored = |(at, (candidate, score)): (usize, (&Proposal, &f32))| {
            let row = query.tables.items().row(candidate.slot);
            let taste = &query.taste;
            let related = is_short
                && (taste.covisit(candidate.slot) > 0.0
                    || taste.profile.affinity(&row.labels) > 0.0);
            let fresh = candidate.sources.has(SourceKind::New);
            Scored { at, score: *score, category: row.main, fresh, related }
        };
        slate(pool.iter().zip(scores).enumerate().map(scored).collect(), &policy)
    }
}
