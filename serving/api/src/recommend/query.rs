//! One question, completed under the guard: who asks, what is known, what may not be answered.

use std::sync::Arc;

use eddyline_connect::features::UserDocument;
use eddyline_index::search::ItemIndex;
use eddyline_index::store::Slot;
use eddyline_model::blend::Weights;
use eddyline_schemas::id::{ItemRef, UserId};
use eddyline_schemas::lineage::Epoch;

use crate::contract::{Fallback, RecommendRequest};
use crate::recommend::expression::Expression;
use crate::recommend::taste::Taste;
use crate::state::tables::Tables;
use crate::state::{ServingConfig, ServingState};

/// The blend for who is not known at all: what is wanted now, and a little what always was.
const UNKNOWN: Weights =
    Weights { factors: 0.0, covisit: 0.0, popular_short: 1.0, popular_long: 0.3, content: 0.0 };

/// See the module doc.
pub struct Query<'a> {
    /// All of one epoch.
    pub tables: &'a Tables,
    /// The index to ask.
    pub index: &'a dyn ItemIndex,
    /// The configuration.
    pub config: &'a ServingConfig,
    /// What is known of who asks.
    pub taste: Taste,
    /// The blend of the experts.
    pub weights: Weights,
    /// Items the user touched, ascending; empty when they may be answered.
    pub seen: Arc<[ItemRef]>,
    /// Items the user disliked, ascending.
    pub disliked: Arc<[ItemRef]>,
    /// Items excluded by the request, its seeds included, ascending.
    pub excluded: Vec<Slot>,
    /// Must hold for every answered item.
    pub filter: Option<Expression>,
    /// Who asks, for draws.
    pub actor: Option<UserId>,
    /// Epoch of the user's document.
    pub user_epoch: Option<Epoch>,
    /// How the answer is degraded for want of knowledge.
    pub fallback: Option<Fallback>,
}

/// Who asks, as far as the feature store knows.
struct Caller {
    actor: Option<UserId>,
    document: Option<UserDocument>,
    /// Why there is no document.
    missing: &'static str,
}

impl<'a> Query<'a> {
    /// Completes `request` for `tables`, which are guarded.
    #[must_use]
    pub fn new(
        state: &'a ServingState,
        tables: &'a Tables,
        index: &'a dyn ItemIndex,
        (request, filter): (&RecommendRequest, Option<Expression>),
    ) -> Self {
        let caller = find_caller(state, tables, request);
        let find = |id| tables.items().find(id);
        let seeds: Vec<Slot> = request.seed_items.iter().filter_map(find).collect();
        let seed_items: Vec<ItemRef> =
            seeds.iter().map(|slot| tables.items().row(*slot).item).collect();
        let taste = Taste::new(tables, state.config(), caller.document.as_ref(), &seed_items);
        let mut excluded: Vec<Slot> = request.exclude_items.iter().filter_map(find).collect();
        excluded.extend(seeds);
        excluded.sort_unstable();
        let features = caller.document.as_ref().and_then(|document| document.features.as_ref());
        let seen =
            features.filter(|_| request.exclude_seen).map(|features| Arc::clone(&features.seen));
        let disliked = features.map(|features| Arc::clone(&features.disliked));
        let weights = if taste.is_known() { tables.weights(taste.history_length) } else { UNKNOWN };
        Self {
            tables,
            index,
            config: state.config(),
            weights,
            seen: seen.unwrap_or_default(),
            disliked: disliked.unwrap_or_default(),
            excluded,
            filter,
            fallback: fallback(&caller, &taste),
            user_epoch: caller.document.as_ref().map(|document| document.epoch),
            actor: caller.actor,
            taste,
        }
    }

    /// Whether a slot may be answered; what the filters say, in one question.
    #[must_use]
    pub fn allows(&self, slot: Slot) -> bool {
        let row = self.tables.items().row(slot);
        !row.deleted
            && self.excluded.binary_search(&slot).is_err()
            && self.seen.binary_search(&row.item).is_err()
            && self.disliked.binary_search(&row.item).is_err()
            && self.filter.as_ref().is_none_or(|filter| filter.matches(row.document.as_deref()))
    }
}

/// The document of the known user, else that of the anonymous one.
fn find_caller(state: &ServingState, tables: &Tables, request: &RecommendRequest) -> Caller {
    let names = [request.user_id.as_ref(), request.anonymous_id.as_ref()];
    let actor = names.iter().copied().flatten().next().cloned();
    let mut missing = if actor.is_some() { "unknown_user" } else { "no_user" };
    for name in names.into_iter().flatten() {
        match state.users().get(name) {
            Ok(Some(document)) if Some(document.lineage) == tables.progress().lineage => {
                return Caller { actor, document: Some(document), missing };
            }
            Ok(Some(_)) => missing = "user_of_other_lineage",
            Ok(None) => {}
            Err(_) => missing = "feature_store_unavailable",
        }
    }
    Caller { actor, document: None, missing }
}

/// A user without a document is answered from the seeds, else from what is popular; so is one
/// whose document says nothing yet.
fn fallback(caller: &Caller, taste: &Taste) -> Option<Fallback> {
    let tier = if taste.is_known() { "session" } else { "popular" };
    match &caller.document {
        None => Some(Fallback { tier, reason: caller.missing }),
        Some(_) if !taste.is_known() => Some(Fallback { tier, reason: "no_history" }),
        Some(_) => None,
    }
}
