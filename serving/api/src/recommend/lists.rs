//! Lists that are about items alone: similar ones, popular ones, new ones.

use std::collections::BTreeMap;

use eddyline_index::search::{ItemIndex, Query as IndexQuery};
use eddyline_index::store::Slot;
use eddyline_model::covisit::normalise;
use eddyline_model::kernel::{dot, squared_norm};

use crate::contract::{Fallback, ItemList, ListedItem, PopularityWindow};
use crate::recommend::content::overlap;
use crate::recommend::describe;
use crate::recommend::stages::SourceKind;
use crate::state::ServingConfig;
use crate::state::labels::LabelKind;
use crate::state::tables::Tables;

/// Neighbours of v that are looked at for a similar list, at least.
const FACTOR_NEIGHBOURS: usize = 200;
/// Items of each shared label that are looked at.
const PER_LABEL: usize = 60;
/// Positive events at which an item's vector is trusted half.
const TRUSTED_EVENTS: f32 = 5.0;
/// What sharing all labels is worth, beside a cosine of 1.
const CONTENT_WEIGHT: f32 = 0.5;

/// A listed slot: (slot, score, sources).
type Listed = (Slot, f32, Vec<&'static str>);

/// How alike two items are, by kind of evidence, each 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
struct Likeness {
    factors: f32,
    co_visitation: f32,
    content: f32,
}

impl Likeness {
    fn score(self) -> f32 {
        self.factors + self.co_visitation + CONTENT_WEIGHT * self.content
    }

    fn sources(self) -> Vec<&'static str> {
        let parts = [
            (SourceKind::Collaborative, self.factors),
            (SourceKind::CoVisitation, self.co_visitation),
            (SourceKind::Content, self.content),
        ];
        parts.iter().filter(|(_, part)| *part > 0.0).map(|(kind, _)| kind.name()).collect()
    }
}

/// Items like the one at `slot`: cosine of learned vectors, items that follow it, shared labels. An
/// item that nobody touched has only its labels, and the answer says so.
#[must_use]
pub fn similar(
    tables: &Tables,
    index: &dyn ItemIndex,
    config: &ServingConfig,
    (slot, k): (Slot, usize),
) -> ItemList {
    let mut found: BTreeMap<Slot, Likeness> = BTreeMap::new();
    for (other, share) in followers(tables, config, slot) {
        found.entry(other).or_default().co_visitation = share;
    }
    for other in neighbours(tables, index, slot, k).into_iter().chain(labelled(tables, slot)) {
        found.entry(other).or_default();
    }
    found.retain(|other, _| *other != slot && !tables.items().row(*other).deleted);
    let row = tables.items().row(slot);
    for (other, likeness) in &mut found {
        likeness.factors =
            cosine(tables, slot, *other) * trust(tables, slot) * trust(tables, *other);
        likeness.content = overlap(row, tables.items().row(*other));
    }
    let listed = found.into_iter().map(|(slot, like)| (slot, like.score(), like.sources()));
    let mut listed: Vec<Listed> = listed.filter(|(_, score, _)| *score > 0.0).collect();
    listed.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    listed.truncate(k);
    let untouched = row.events == 0;
    let fallback = untouched.then_some(Fallback { tier: "content", reason: "untouched_item" });
    list(tables, listed, fallback)
}

/// Items that follow `slot`, the strongest at 1.
fn followers(tables: &Tables, config: &ServingConfig, slot: Slot) -> Vec<(Slot, f32)> {
    let core = &config.core;
    let now = tables.progress().logical_time.0;
    let Some(covisited) = &tables.items().row(slot).covisited else { return Vec::new() };
    let score = |entry: &eddyline_model::covisit::Entry| {
        let target = tables.items().slot(entry.target)?;
        let (_, long) = tables.items().row(target).popularity.values_at(&core.popularity, now);
        let sum = covisited.scale(&core.covisitation, 0, now) * entry.weight;
        Some((target, normalise(&core.covisitation, sum, long)))
    };
    let mut scored: Vec<(Slot, f32)> = covisited.entries().iter().filter_map(score).collect();
    let greatest = scored.iter().fold(0.0f32, |greatest, (_, score)| greatest.max(*score));
    if greatest > 0.0 {
        scored.iter_mut().for_each(|(_, score)| *score /= greatest);
    }
    scored
}

fn neighbours(tables: &Tables, index: &dyn ItemIndex, slot: Slot, k: usize) -> Vec<Slot> {
    let keep = |other| other != slot;
    let vector = tables.vectors().row(slot);
    let ask = IndexQuery { vector, k: FACTOR_NEIGHBOURS.max(2 * k), keep: &keep };
    index.search(tables.vectors(), &ask).iter().map(|hit| hit.slot).collect()
}

/// The most popular and the newest items of each label.
fn labelled(tables: &Tables, slot: Slot) -> Vec<Slot> {
    let labels = tables.items().row(slot).labels.iter().map(|label| tables.labels().get(*label));
    let mut slots = Vec::new();
    for label in labels {
        slots.extend(label.standing.long.slots().take(PER_LABEL / 2));
        slots.extend(label.slots.iter().rev().take(PER_LABEL / 2).map(Slot));
    }
    slots
}

fn cosine(tables: &Tables, a: Slot, b: Slot) -> f32 {
    let (a, b) = (tables.vectors().row(a), tables.vectors().row(b));
    let lengths = (squared_norm(a) * squared_norm(b)).sqrt();
    if lengths > 0.0 { (dot(a, b) / lengths).clamp(0.0, 1.0) } else { 0.0 }
}

/// How far an item's vector is learned and not only drawn.
fn trust(tables: &Tables, slot: Slot) -> f32 {
    let events = tables.items().row(slot).events as f32;
    events / (events + TRUSTED_EVENTS)
}

/// What is popular, overall or in a category; an unknown category has nothing popular.
#[must_use]
pub fn popular(
    tables: &Tables,
    config: &ServingConfig,
    (window, category): (PopularityWindow, Option<&str>),
    k: usize,
) -> ItemList {
    let standing = match category {
        None => Some(tables.standing()),
        Some(text) => {
            let label = tables.labels().find(LabelKind::Category, text);
            label.map(|label| &tables.labels().get(label).standing)
        }
    };
    let now = tables.progress().logical_time.0;
    let counts = |slot| tables.items().row(slot).popularity.values_at(&config.core.popularity, now);
    let listed: Vec<Listed> = match (standing, window) {
        (None, _) => Vec::new(),
        (Some(standing), PopularityWindow::Day) => {
            let slots = standing.short.slots().take(k);
            slots.map(|slot| (slot, counts(slot).0, vec![SourceKind::Trending.name()])).collect()
        }
        (Some(standing), PopularityWindow::Month) => {
            let slots = standing.long.slots().take(k);
            slots.map(|slot| (slot, counts(slot).1, vec![SourceKind::Popular.name()])).collect()
        }
    };
    list(tables, listed, None)
}

/// The newest items, newest first; the score is 1 / rank.
#[must_use]
pub fn newest(tables: &Tables, k: usize) -> ItemList {
    let slots = tables.newest().take(k).enumerate();
    let listed =
        slots.map(|(at, slot)| (slot, 1.0 / (at + 1) as f32, vec![SourceKind::New.name()]));
    list(tables, listed.collect(), None)
}

fn list(tables: &Tables, listed: Vec<Listed>, fallback: Option<Fallback>) -> ItemList {
    let item = |(at, (slot, score, sources)): (usize, Listed)| {
        let row = tables.items().row(slot);
        let attributes = describe::attributes(row);
        ListedItem { item_id: row.id.clone(), rank: at as u32 + 1, score, sources, attributes }
    };
    let items = listed.into_iter().enumerate().map(item).collect();
    ItemList { items, model: describe::model(tables, None), fallback }
}
