//! What is known of a user and of an item's standing: the documents that serving reads.
//!
//! They are values, absolute as of one epoch. Lists are newest or greatest first. Items are named
//! by [`ItemRef`]; a reader resolves it with the item rows of the same epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{ItemRef, SessionId};
use crate::time::TimestampMs;

/// Features of one user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserFeatures {
    /// Items viewed last, newest first, each once: at most 20.
    pub recent_views: Vec<ItemRef>,
    /// Items consumed last (positive events), newest first: what the user's representation and
    /// co-visitation start from.
    pub history: Vec<ItemRef>,
    /// Number of positive events so far; the blend depends on it.
    pub history_length: u64,
    /// Items not to recommend again, ascending: the 10,000 that were first touched last.
    pub seen: Arc<[ItemRef]>,
    /// Items the user disliked, ascending: at most 1,000, the newest.
    pub disliked: Arc<[ItemRef]>,
    /// Newest first, at most 5.
    pub recent_searches: Vec<String>,
    /// The current visit.
    pub session: Option<SessionContext>,
    /// Of the last profile event: `age_group`, `gender`, `location`, …
    pub demographics: BTreeMap<String, String>,
    /// Smallest and greatest price among the five newest recent views.
    pub price_range: Option<(f64, f64)>,
    /// Event time of the last event folded in.
    pub last_updated: TimestampMs,
    /// Event time after which the document no longer counts.
    pub expires_at: TimestampMs,
}

/// The current visit of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionContext {
    /// As the producer named it, if it did.
    pub session_id: Option<SessionId>,
    /// Event time of the first event of the visit.
    pub session_start: TimestampMs,
    /// Event time of the last one.
    pub last_event: TimestampMs,
    /// Views in this visit.
    pub page_views_in_session: u32,
    /// Main category of the last item touched.
    pub current_category: Option<Arc<str>>,
}

/// A user's preferences over 7 days of event time, greatest first, ties by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPreferences {
    /// (category, events on items of it).
    pub categories: Vec<(Arc<str>, i64)>,
    /// (brand, events on items of it).
    pub brands: Vec<(Arc<str>, i64)>,
}

/// A decayed sum in forward form: Σ w·2^(t/h) = mantissa · 2^exponent, t from the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DecayedSum {
    /// In units of 2^exponent.
    pub mantissa: f64,
    /// Whole half-lives since the Unix epoch.
    pub exponent: i64,
}

/// How much an item is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ItemPopularity {
    /// Half-life of a day: trending.
    pub short: DecayedSum,
    /// Half-life of a month.
    pub long: DecayedSum,
    /// Positive events, undecayed.
    pub events: u64,
}

/// Items consumed after an item, weights in units of 2^exponent (forward decay, as
/// [`DecayedSum`]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CovisitationList {
    /// Neighbour and decayed weight, in the order in which the fold came to keep them.
    pub neighbours: Vec<(ItemRef, f32)>,
    /// All weight that ever left this item, neighbours since dropped included.
    pub total: f32,
    /// Whole half-lives since the Unix epoch.
    pub exponent: i64,
}
