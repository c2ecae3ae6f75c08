//! The recommender: answers over [`ServingState`], each under one read guard at one epoch (I6).
//!
//! candidates (collaborative, co-visitation, content, popular, trending, new) → merge → drop what
//! may not be answered → the blend of the experts → places by score, variety and exploration →
//! reasons. Synchronous; the only clock is the one that bounds the sources and reports staleness.
//! At the same epoch the same request has the same items, but for what an index misses and what a
//! late request skips; `retrieval=exact` does neither.

pub mod content;
pub mod describe;
pub mod explain;
pub mod expression;
pub mod lists;
pub mod query;
pub mod slate;
pub mod stages;
pub mod taste;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use eddyline_index::exact::ExactScan;
use eddyline_index::search::ItemIndex;
use eddyline_index::store::Slot;
use eddyline_pipeline::account::{Account, StageCount};
use eddyline_pipeline::executor::{Budget, Outcome, Stages, run};
use eddyline_pipeline::stage::{Filter, Pick, Source};
use eddyline_schemas::id::{ItemId, RecommendationId, UserId};

use crate::contract::{
    Fallback, ItemList, ItemView, MAX_RESULTS, PopularityWindow, RecommendError, RecommendRequest,
    RecommendResponse, RecommendedItem, Retrieval, StageTime, Trace, UserFeaturesDocument,
};
use crate::recommend::explain::explain;
use crate::recommend::expression::Expression;
use crate::recommend::query::Query;
use crate::recommend::stages::{Blend, DropIf, Proposal, ProposeBy, Slate, SourceKind};
use crate::state::ServingState;
use crate::state::tables::Tables;

/// Most seeds and attribute names of one request.
const MAX_LISTED: usize = 100;
/// Most excluded items of one request.
const MAX_EXCLUDED: usize = 10_000;

/// Answers questions over the serving state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recommender {
    state: Arc<ServingState>,
    answers: Arc<AtomicU64>,
    /// Tells this process's answers from others'.
    nonce: u64,
}

impl Recommender {
    /// A recommender over `state`.
    #[must_use]
    pub fn new(state: Arc<ServingState>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&std::process::id().to_le_bytes());
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        hasher.update(&since.as_nanos().to_le_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self { state, answers: Arc::default(), nonce: u64::from_le_bytes(first) }
    }

    /// One that counts on in the same row of answers, over another state.
    #[must_use]
    pub fn of(&self, state: Arc<ServingState>) -> Self {
        Self { state, ..self.clone() }
    }

    /// The state that it answers from.
    #[must_use]
    pub fn state(&self) -> &Arc<ServingState> {
        &self.state
    }

    /// Personalised recommendations.
    pub fn recommend(
        &self,
        request: &RecommendRequest,
    ) -> Result<RecommendResponse, RecommendError> {
        check(request)?;
        let filter = request.filter.as_deref().map(Expression::parse).transpose()?;
        let begun = Instant::now();
        let installed = self.state.installed();
        let tables = self.state.tables();
        let index: &dyn ItemIndex = match request.retrieval {
            Retrieval::Auto => installed.index(),
            Retrieval::Exact => &ExactScan,
        };
        let query = Query::new(&self.state, &tables, index, (request, filter));
        let outcome = run_stages(&query, request, begun);
        Ok(self.respond(&query, request, &outcome))
    }

    fn respond(
        &self,
        query: &Query<'_>,
        request: &RecommendRequest,
        outcome: &Outcome<Proposal>,
    ) -> RecommendResponse {
        let picks = outcome.picks.iter().enumerate();
        let skipped = !outcome.account.skipped.is_empty();
        let late = skipped.then_some(Fallback { tier: "partial", reason: "sources_past_deadline" });
        RecommendResponse {
            recommendation_id: self.next_id(),
            items: picks
                .map(|(at, pick)| recommended(query, request, outcome, (at, pick)))
                .collect(),
            experiment: None,
            model: describe::model(query.tables, query.user_epoch),
            fallback: query.fallback.or(late),
            next_page_token: None,
            request_id: String::new(),
            trace: request.returns.trace.then(|| trace(&outcome.account)),
            timings: timings(&outcome.account),
        }
    }

    fn next_id(&self) -> RecommendationId {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        RecommendationId::new(&format!("r-{:016x}-{number}", self.nonce))
            .expect("hexadecimal digits are an id")
    }

    /// Items like `item`.
    pub fn similar(&self, item: &ItemId, k: usize) -> Result<ItemList, RecommendError> {
        check_count("/k", k)?;
        let installed = self.state.installed();
        let tables = self.state.tables();
        let slot = find(&tables, item)?;
        Ok(lists::similar(&tables, installed.index(), self.state.config(), (slot, k)))
    }

    /// What is popular now, overall or in `category`.
    pub fn popular(
        &self,
        window: PopularityWindow,
        category: Option<&str>,
        k: usize,
    ) -> Result<ItemList, RecommendError> {
        check_count("/k", k)?;
        Ok(lists::popular(&self.state.tables(), self.state.config(), (window, category), k))
    }

    /// The newest items, newest first.
    pub fn new_items(&self, k: usize) -> Result<ItemList, RecommendError> {
        check_count("/k", k)?;
        Ok(lists::newest(&self.state.tables(), k))
    }

    /// What is known of a user.
    pub fn user_features(&self, user: &UserId) -> Result<UserFeaturesDocument, RecommendError> {
        let tables = self.state.tables();
        // A store that cannot answer knows nothing for now.
        let document = self.state.users().get(user).ok().flatten();
        let document = document.filter(|found| Some(found.lineage) == tables.progress().lineage);
        let document = document.ok_or_else(|| RecommendError::UnknownUser(user.clone()))?;
        Ok(describe::user(&tables, self.state.config(), user, &document))
    }

    /// What the feature store beside this process holds of a user, as of the epoch that the
    /// document names; where it cannot be used, what this process knows, labelled.
    pub fn stored_features(&self, user: &UserId) -> Result<UserFeaturesDocument, RecommendError> {
        let Some(store) = self.state.store() else { return self.user_features(user) };
        // Before the guard: the writer must not wait for a server.
        let read = store.get(user);
        let reason = match read {
            Ok(None) => return Err(RecommendError::UnknownUser(user.clone())),
            Ok(Some(document)) => {
                let tables = self.state.tables();
                if Some(document.lineage) == tables.progress().lineage {
                    return Ok(describe::user(&tables, self.state.config(), user, &document));
                }
                "feature_store_other_lineage"
            }
            Err(error) => error.reason(),
        };
        let fallback = Some(Fallback { tier: "in_process", reason });
        Ok(UserFeaturesDocument { fallback, ..self.user_features(user)? })
    }

    /// An item of the catalogue.
    pub fn item(&self, item: &ItemId) -> Result<ItemView, RecommendError> {
        let tables = self.state.tables();
        let slot = find(&tables, item)?;
        Ok(describe::item(&tables, slot))
    }
}

fn find(tables: &Tables, item: &ItemId) -> Result<Slot, RecommendError> {
    let slot = tables.items().find(item).filter(|slot| !tables.items().row(*slot).deleted);
    slot.ok_or_else(|| RecommendError::UnknownItem(item.clone()))
}

fn check_count(pointer: &'static str, count: usize) -> Result<(), RecommendError> {
    if (1..=MAX_RESULTS).contains(&count) {
        return Ok(());
    }
    let detail = format!("must be between 1 and {MAX_RESULTS}, got {count}");
    Err(RecommendError::Invalid { pointer, detail })
}

fn check_most(pointer: &'static str, count: usize, most: usize) -> Result<(), RecommendError> {
    if count <= most {
        return Ok(());
    }
    let detail = format!("must hold at most {most}, got {count}");
    Err(RecommendError::Invalid { pointer, detail })
}

fn check(request: &RecommendRequest) -> Result<(), RecommendError> {
    check_count("/num_results", request.num_results)?;
    check_count("/diversity/max_per_category", request.diversity.max_per_category)?;
    check_most("/seed_items", request.seed_items.len(), MAX_LISTED)?;
    check_most("/exclude_items", request.exclude_items.len(), MAX_EXCLUDED)?;
    check_most("/return/attributes", request.returns.attributes.len(), MAX_LISTED)?;
    let exploration = request.diversity.exploration;
    if (0.0..=1.0).contains(&exploration) {
        return Ok(());
    }
    let detail = format!("must be between 0 and 1, got {exploration}");
    Err(RecommendError::Invalid { pointer: "/diversity/exploration", detail })
}

fn run_stages(query: &Query<'_>, request: &RecommendRequest, begun: Instant) -> Outcome<Proposal> {
    let sources = SourceKind::ALL.map(ProposeBy);
    let sources = sources.each_ref().map(|source| source as &dyn Source<Query<'_>, Proposal>);
    let filters = DropIf::ALL.each_ref().map(|filter| filter as &dyn Filter<Query<'_>, Proposal>);
    let selector = Slate { places: request.num_results, diversity: request.diversity };
    let stages = Stages {
        sources: &sources,
        filters: &filters,
        hydrators: &[],
        scorers: &[&Blend],
        selector: &selector,
    };
    let elapsed = || begun.elapsed();
    let sources = match request.retrieval {
        Retrieval::Auto => query.config.source_budget,
        // Asked for where answers must be equal, so no clock may change them.
        Retrieval::Exact => Duration::MAX,
    };
    run(&stages, query, &Budget { elapsed: &elapsed, sources })
}

fn recommended(
    query: &Query<'_>,
    request: &RecommendRequest,
    outcome: &Outcome<Proposal>,
    (at, pick): (usize, &Pick),
) -> RecommendedItem {
    let proposal = &outcome.pool[pick.at];
    let row = query.tables.items().row(proposal.slot);
    let explained = request.returns.explanations;
    RecommendedItem {
        item_id: row.id.clone(),
        rank: at as u32 + 1,
        score: outcome.scores[pick.at],
        sources: proposal.sources.names(),
        propensity: pick.propensity,
        explanations: if explained { explain(query, proposal) } else { Vec::new() },
        attributes: describe::asked_attributes(row, &request.returns.attributes),
    }
}

fn trace(account: &Account) -> Trace {
    let counts = |stages: &[StageCount]| stages.iter().map(|one| (one.stage, one.count)).collect();
    Trace {
        sources: counts(&account.proposed),
        filters: counts(&account.dropped),
        skipped: account.skipped.clone(),
        scored: account.scored,
    }
}

fn timings(account: &Account) -> Vec<StageTime> {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let one = |lap: &eddyline_pipeline::account::StageTime| StageTime {
        stage: lap.stage,
        micros: micros(lap.time),
    };
    account.times.iter().map(one).collect()
}
