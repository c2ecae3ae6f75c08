//! Why an item is in an answer: shares of what its score came from, in words.
//!
//! An item of the user's history is a reason by its share of x·v (its context vector against the
//! item's vector) and of the co-visitation sum, each weighted as the blend weights the expert.
//! Other reasons have fixed weights; the shown weights are shares of all reasons found.

use eddyline_index::store::Slot;
use eddyline_model::kernel::dot;
use eddyline_schemas::id::ItemRef;

use crate::contract::{Explanation, ReasonKind};
use crate::recommend::query::Query;
use crate::recommend::stages::{Proposal, SourceKind};
use crate::state::items::ItemRow;
use crate::state::tables::Tables;

/// Most reasons of one item.
const MOST: usize = 3;
/// Weight of a preferred category at full strength.
const CATEGORY: f32 = 0.3;
/// Weights of being trending, popular, new.
const TRENDING: f32 = 0.2;
const POPULAR: f32 = 0.1;
const NEW: f32 = 0.15;

/// The reasons for a proposal, the heaviest first.
#[must_use]
pub fn explain(query: &Query<'_>, proposal: &Proposal) -> Vec<Explanation> {
    let row = query.tables.items().row(proposal.slot);
    let mut reasons: Vec<Explanation> = Vec::new();
    reasons.extend(by_history(query, proposal.slot));
    reasons.extend(by_category(query, row));
    let listed = [
        (SourceKind::Trending, ReasonKind::Trending, TRENDING, "Trending now"),
        (SourceKind::Popular, ReasonKind::Popular, POPULAR, "Popular"),
        (SourceKind::New, ReasonKind::New, NEW, "New"),
    ];
    for (source, kind, weight, text) in listed {
        if proposal.sources.has(source) {
            reasons.push(reason(kind, text.to_owned(), weight));
        }
    }
    if reasons.is_empty() {
        // Proposed by the user's taste as a whole: no single item stands out.
        let text = "Liked by people with similar taste".to_owned();
        reasons.push(reason(ReasonKind::SimilarTaste, text, 1.0));
    }
    reasons.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    reasons.truncate(MOST);
    let total: f32 = reasons.iter().map(|reason| reason.weight).sum();
    reasons.iter_mut().for_each(|reason| reason.weight /= total);
    reasons
}

fn reason(kind: ReasonKind, text: String, weight: f32) -> Explanation {
    Explanation { kind, item_id: None, category: None, text, weight }
}

/// The item of the history that contributed most.
fn by_history(query: &Query<'_>, slot: Slot) -> Option<Explanation> {
    let (item, weight) = strongest(&contributions(query, slot))?;
    let row = query.tables.items().row(query.tables.items().slot(item)?);
    let viewed = query.taste.viewed.contains(&item);
    let (kind, verb) = if viewed {
        (ReasonKind::BecauseViewed, "viewed")
    } else {
        (ReasonKind::BecauseConsumed, "liked")
    };
    let title = row.document.as_ref().and_then(|document| document.title.as_deref());
    let text = format!("Because you {verb} {}", title.unwrap_or(row.id.as_str()));
    Some(Explanation { item_id: Some(row.id.clone()), ..reason(kind, text, weight) })
}

/// The newest of the greatest positive contributions.
fn strongest(contributions: &[(ItemRef, f32)]) -> Option<(ItemRef, f32)> {
    let mut best: Option<(ItemRef, f32)> = None;
    for (item, weight) in contributions {
        if *weight > best.map_or(0.0, |(_, best)| best) {
            best = Some((*item, *weight));
        }
    }
    best
}

/// What each item of the history contributes to the score of `slot`, as shares.
fn contributions(query: &Query<'_>, slot: Slot) -> Vec<(ItemRef, f32)> {
    let taste = &query.taste;
    let factors = positive_shares(factor_parts(query, slot), &taste.x, query.tables, slot);
    let covisits = covisit_parts(query, slot);
    let covisit_total = taste.covisit(slot);
    let experts = query.weights.factors.max(0.0) + query.weights.covisit.max(0.0);
    let share = |weight: f32| if experts > 0.0 { weight.max(0.0) / experts } else { 0.5 };
    let (by_factors, by_covisit) = (share(query.weights.factors), share(query.weights.covisit));
    let sum = |(k, item): (usize, &ItemRef)| {
        let factor = factors.get(k).copied().unwrap_or(0.0);
        let covisit = covisits.get(k).copied().unwrap_or(0.0);
        let covisit = if covisit_total > 0.0 { covisit / covisit_total } else { 0.0 };
        (*item, by_factors * factor + by_covisit * covisit)
    };
    taste.recent.iter().enumerate().map(sum).collect()
}

/// w_k·(c_k·v) of each item of the history within the horizon.
fn factor_parts(query: &Query<'_>, slot: Slot) -> Vec<f32> {
    let (tables, factors) = (query.tables, &query.config.core.factors);
    let vector = tables.vectors().row(slot);
    let weighted = query.taste.recent.iter().zip(factors.context_weights());
    let part = |(item, weight): (&ItemRef, f32)| {
        let context = tables.items().slot(*item).map(|slot| tables.contexts().row(slot));
        context.map_or(0.0, |context| weight * dot(context, vector))
    };
    weighted.map(part).collect()
}

/// Shares of the positive parts; the user's own vector is a part too, that no item names.
fn positive_shares(parts: Vec<f32>, x: &[f32], tables: &Tables, slot: Slot) -> Vec<f32> {
    let own = dot(x, tables.vectors().row(slot)) - parts.iter().sum::<f32>();
    let positive: f32 = parts.iter().chain([&own]).map(|part| part.max(0.0)).sum();
    if positive <= 0.0 {
        return vec![0.0; parts.len()];
    }
    parts.into_iter().map(|part| part.max(0.0) / positive).collect()
}

/// The part of each item of the history in the co-visitation sum of `slot`.
fn covisit_parts(query: &Query<'_>, slot: Slot) -> Vec<f32> {
    let core = &query.config.core.covisitation;
    let (tables, target) = (query.tables, query.tables.items().row(slot).item);
    let now = tables.progress().logical_time.0;
    let part = |(k, item): (usize, &ItemRef)| {
        let source = tables.items().slot(*item)?;
        let list = tables.items().row(source).covisited.as_ref()?;
        let entry = list.entries().iter().find(|entry| entry.target == target)?;
        Some(list.scale(core, k, now) * entry.weight)
    };
    let window = query.taste.recent.iter().take(core.window).enumerate();
    window.map(|place| part(place).unwrap_or(0.0)).collect()
}

fn by_category(query: &Query<'_>, row: &ItemRow) -> Option<Explanation> {
    let main = row.main?;
    let strength = query.taste.profile.strength(main);
    if strength <= 0.0 {
        return None;
    }
    let category = query.tables.labels().get(main).text.to_string();
    let text = format!("You often look at {category}");
    let made = reason(ReasonKind::CategoryPreference, text, CATEGORY * strength);
    Some(Explanation { category: Some(category), ..made })
}
