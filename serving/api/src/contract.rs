//! What is asked of the recommender and what it answers: the JSON of the REST API as types.
//!
//! Members and names are the published interface: additive changes only. A type that is
//! deserialised refuses unknown members, so that a misspelt option is an error and not silence.
//! The HTTP layer fills `request_id`; everything else is computed here, at one epoch.

use std::collections::BTreeMap;

use eddyline_schemas::id::{ItemId, RecommendationId, SessionId, UserId};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::time::TimestampMs;

/// Most results of one request.
pub const MAX_RESULTS: usize = 500;
/// Results when the request does not say.
pub const DEFAULT_RESULTS: usize = 20;

/// A request for recommendations. `Default` is what an empty JSON object means.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecommendRequest {
    /// The known user.
    pub user_id: Option<UserId>,
    /// The user as an anonymous visitor; counts when `user_id` is absent or unknown.
    pub anonymous_id: Option<UserId>,
    /// The visit, for logging.
    pub session_id: Option<SessionId>,
    /// Where the answer is shown, such as `homepage`.
    pub context: Option<String>,
    /// How many, 1 to [`MAX_RESULTS`].
    pub num_results: usize,
    /// Items that count as just viewed, newest first.
    pub seed_items: Vec<ItemId>,
    /// Expression over attributes: `in_stock AND price < 100 AND category IN ('Gaming')`.
    pub filter: Option<String>,
    /// Items never to answer.
    pub exclude_items: Vec<ItemId>,
    /// Whether items the user already touched are left out.
    pub exclude_seen: bool,
    /// How varied.
    pub diversity: Diversity,
    /// What the answer should carry.
    #[serde(rename = "return")]
    pub returns: Returns,
    /// Read-your-writes; the HTTP layer waits before it asks.
    pub consistency: Option<Consistency>,
    /// How collaborative candidates are found.
    pub retrieval: Retrieval,
}

impl Default for RecommendRequest {
    fn default() -> Self {
        Self {
            user_id: None,
            anonymous_id: None,
            session_id: None,
            context: None,
            num_results: DEFAULT_RESULTS,
            seed_items: Vec::new(),
            filter: None,
            exclude_items: Vec::new(),
            exclude_seen: true,
            diversity: Diversity::default(),
            returns: Returns::default(),
            consistency: None,
            retrieval: Retrieval::default(),
        }
    }
}

/// How varied an answer is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Diversity {
    /// Most items of one main category; exceeded only when nothing else is left.
    pub max_per_category: usize,
    /// Share of the places given to items below the top, 0 to 1.
    pub exploration: f32,
}

impl Default for Diversity {
    fn default() -> Self {
        Self { max_per_category: 5, exploration: 0.1 }
    }
}

/// What an answer carries beside ids and scores.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Returns {
    /// Names of attributes to show, such as `title`; a name that an item lacks is left out.
    pub attributes: Vec<String>,
    /// Whether to say why.
    pub explanations: bool,
    /// Whether to add the stages' counts and times.
    pub trace: bool,
}

impl Default for Returns {
    fn default() -> Self {
        Self { attributes: Vec::new(), explanations: true, trace: false }
    }
}

/// Asks to see what an ingest answer acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// The `consistency_token` of an ingest answer.
    pub after: String,
    /// How long to wait for it.
    #[serde(default)]
    pub max_wait_ms: u64,
}

/// How collaborative candidates are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retrieval {
    /// By the index in force.
    #[default]
    Auto,
    /// By scanning all items: the same answer on every replica at the same epoch.
    Exact,
}

/// The answer to a [`RecommendRequest`].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RecommendResponse {
    /// Names this answer in feedback.
    pub recommendation_id: RecommendationId,
    /// Best first, ranks 1 to n.
    pub items: Vec<RecommendedItem>,
    /// The arm that answered; none runs yet.
    pub experiment: Option<ExperimentArm>,
    /// Which state answered.
    pub model: ModelInfo,
    /// How the answer was degraded, if it was.
    pub fallback: Option<Fallback>,
    /// Continues the list; pages are not offered yet, so always null.
    pub next_page_token: Option<String>,
    /// Filled by the HTTP layer.
    pub request_id: String,
    /// Counts and times of the stages, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Times of the stages, for the `Server-Timing` header.
    #[serde(skip)]
    pub timings: Vec<StageTime>,
}

/// One recommended item.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[expect(missing_docs, reason = "the members are the published interface's")]
pub struct RecommendedItem {
    pub item_id: ItemId,
    /// From 1.
    pub rank: u32,
    /// Blended score; only its order means something.
    pub score: f32,
    /// Which sources proposed it.
    pub sources: Vec<&'static str>,
    /// Probability that the policy showed this item at this place.
    pub propensity: f32,
    pub explanations: Vec<Explanation>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// Why an item was recommended.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Explanation {
    /// The kind of reason.
    pub kind: ReasonKind,
    /// The item that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<ItemId>,
    /// The category that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// For people.
    pub text: String,
    /// Share of the reasons given, 0 to 1.
    pub weight: f32,
}

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the published interface's")]
pub enum ReasonKind {
    BecauseViewed,
    BecauseConsumed,
    CategoryPreference,
    SimilarTaste,
    Trending,
    Popular,
    New,
}

/// The arm of an experiment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "the members are the published interface's")]
pub struct ExperimentArm {
    pub id: String,
    pub arm: String,
}

/// Which state answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ModelInfo {
    /// Null before the first epoch.
    pub lineage: Option<Lineage>,
    /// All scores are as of this epoch.
    pub epoch: Epoch,
    /// Epoch of the user's newest document; null for a user without one.
    pub user_epoch: Option<Epoch>,
    /// Milliseconds since that epoch was applied here.
    pub staleness_ms: u64,
}

/// How an answer was degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fallback {
    /// What answered instead.
    pub tier: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// What the stages did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Trace {
    /// Candidates offered by each source.
    pub sources: BTreeMap<&'static str, usize>,
    /// Candidates dropped by each filter.
    pub filters: BTreeMap<&'static str, usize>,
    /// Sources that were skipped because the deadline had passed.
    pub skipped: Vec<&'static str>,
    /// Distinct candidates scored.
    pub scored: usize,
}

/// Time of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StageTime {
    /// The stage.
    pub stage: &'static str,
    /// Its time.
    pub micros: u64,
}

/// Items with scores: the answer of similar, popular and new.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ItemList {
    /// Best first.
    pub items: Vec<ListedItem>,
    /// Which state answered.
    pub model: ModelInfo,
    /// How the answer was degraded, if it was.
    pub fallback: Option<Fallback>,
}

/// One item of a list.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[expect(missing_docs, reason = "the members are the published interface's")]
pub struct ListedItem {
    pub item_id: ItemId,
    /// From 1.
    pub rank: u32,
    pub score: f32,
    /// What proposed it.
    pub sources: Vec<&'static str>,
    /// The catalogue row; empty for an item known from events alone.
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// Time window of a popularity list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PopularityWindow {
    /// Half-life of a day: what is trending.
    #[default]
    #[serde(rename = "24h")]
    Day,
    /// Half-life of a month.
    #[serde(rename = "30d")]
    Month,
}

/// What is known of a user, items by id.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[expect(missing_docs, reason = "the members are the published interface's")]
pub struct UserFeaturesDocument {
    pub user_id: UserId,
    pub recent_views: Vec<ItemId>,
    pub recent_searches: Vec<String>,
    pub preferences: PreferencesDocument,
    pub demographics: BTreeMap<String, String>,
    pub session_context: Option<SessionDocument>,
    /// Event time in milliseconds.
    pub last_updated: TimestampMs,
    /// Positive events so far.
    pub history_length: u64,
    pub model: ModelInfo,
    /// Set when the feature store was asked for and could not be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// A user's preferences over 7 days.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[expect(missing_docs, reason = "the members are the published interface's")]
pub struct PreferencesDocument {
    pub categories: Vec<String>,
    pub price_range: Option<[f64; 2]>,
    pub brands: Vec<String>,
}

/// The current visit.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[expect(missing_docs, reason = "the members are the published interface's")]
pub struct SessionDocument {
    pub session_id: Option<SessionId>,
    pub current_category: Option<String>,
    /// Event time in milliseconds.
    pub session_start: TimestampMs,
    pub page_views_in_session: u32,
}

/// An item of the catalogue.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ItemView {
    /// Its id.
    pub item_id: ItemId,
    /// The catalogue row; empty for an item known from events alone.
    pub attributes: serde_json::Map<String, serde_json::Value>,
    /// Positive events on it so far.
    pub events: u64,
    /// Epoch in which it was first seen.
    pub first_seen_epoch: Epoch,
    /// Which state answered.
    pub model: ModelInfo,
}

/// Why there is no answer. All are the caller's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecommendError {
    /// A member of the request is out of its range. 422.
    #[error("{pointer} {detail}")]
    Invalid {
        /// JSON pointer of the member.
        pointer: &'static str,
        /// What it must be.
        detail: String,
    },
    /// The filter expression cannot be read. 422, pointer `/filter`.
    #[error("filter is not understood at character {at}: {detail}")]
    UnsupportedFilter {
        /// Where, from 0.
        at: usize,
        /// What was expected.
        detail: String,
    },
    /// No such item, or it was deleted. 404.
    #[error("there is no item {0}")]
    UnknownItem(ItemId),
    /// Nothing is known of the user. 404.
    #[error("there is no user {0}")]
    UnknownUser(UserId),
}
