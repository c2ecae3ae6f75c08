//! The `[core]` table: every key that changes state, and no other.
//!
//! Its hash enters the lineage, so two deployments that differ in any key here have different
//! histories, and a changed port does not. Times are event time. Unknown keys are refused.

use std::collections::BTreeMap;

use eddyline_schemas::event::{Event, EventType};
use eddyline_schemas::lineage::{Epoch, Lineage, config_hash};
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use serde::{Deserialize, Serialize};

use crate::blend::BlendConfig;
use crate::covisit::CovisitConfig;
use crate::factors::config::FactorsConfig;
use crate::gate::GateConfig;
use crate::popularity::PopularityConfig;

/// Everything that changes state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoreConfig {
    /// Key of every random draw.
    pub seed: u64,
    /// A record is late when its event time is this far behind its partition's clock.
    pub late_allowance_hours: u32,
    /// Exact dedupe.
    pub dedupe: DedupeConfig,
    /// What each event type is worth.
    pub events: EventWeights,
    /// What is kept of a user.
    pub users: UserConfig,
    /// The factor model.
    pub factors: FactorsConfig,
    /// Items that follow items.
    pub covisitation: CovisitConfig,
    /// Decayed popularity.
    pub popularity: PopularityConfig,
    /// Scores of the experts on one scale.
    pub blend: BlendConfig,
    /// Which blend is trusted.
    pub gate: GateConfig,
    /// How many events are tested before they are learned.
    pub quality: QualityConfig,
    /// What its history leaves, unless it begins with the log. No key of the table: set by whoever
    /// folds a history that is no longer what it was.
    #[serde(skip)]
    pub descent: Option<Descent>,
}

/// What a lineage leaves, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descent {
    /// The lineage that it was until then.
    pub parent: Lineage,
    /// The first epoch that is not the parent's.
    pub first_epoch: Epoch,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            late_allowance_hours: 48,
            dedupe: DedupeConfig::default(),
            events: EventWeights::default(),
            users: UserConfig::default(),
            factors: FactorsConfig::default(),
            covisitation: CovisitConfig::default(),
            popularity: PopularityConfig::default(),
            blend: BlendConfig::default(),
            gate: GateConfig::default(),
            quality: QualityConfig::default(),
            descent: None,
        }
    }
}

impl CoreConfig {
    /// The profile for evaluation: more negatives, replayed events, every event tested.
    #[must_use]
    pub fn quality() -> Self {
        let quality = QualityConfig { sample_one_in: 1 };
        let (factors, covisitation) = (FactorsConfig::quality(), CovisitConfig::quality());
        Self { factors, covisitation, quality, ..Self::default() }
    }

    /// See [`Self::late_allowance_hours`], in milliseconds.
    #[must_use]
    pub fn late_allowance_ms(&self) -> i64 {
        i64::from(self.late_allowance_hours) * HOUR_MS
    }

    /// The history that this makes of a log.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        match self.descent {
            None => Lineage::root(self.hash()),
            Some(Descent { parent, first_epoch }) => {
                Lineage::child(self.hash(), Some(parent), first_epoch)
            }
        }
    }

    /// The hash that enters the lineage: independent of the order and layout of the file.
    #[must_use]
    pub fn hash(&self) -> Digest {
        let table = serde_json::to_value(self).expect("a table of numbers and text is JSON");
        let mut entries = Vec::new();
        flatten(String::new(), &table, &mut entries);
        config_hash(entries.iter().map(|(key, value)| (key.as_str(), value.clone())))
    }
}

fn flatten(prefix: String, value: &serde_json::Value, out: &mut Vec<(String, String)>) {
    let join =
        |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        serde_json::Value::Object(members) => {
            members.iter().for_each(|(key, member)| flatten(join(key), member, out));
        }
        serde_json::Value::Array(members) => {
            members.iter().enumerate().for_each(|(at, m)| flatten(join(&at.to_string()), m, out));
        }
        leaf => out.push((prefix, leaf.to_string())),
    }
}

/// How long an event id is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DedupeConfig {
    /// Hours of a partition's clock.
    pub horizon_hours: u32,
    /// Ids over all shards; the oldest hour of a shard goes first when its share is used up.
    pub max_ids: u64,
}

impl Default for DedupeConfig {
    fn default() -> Self {
        Self { horizon_hours: 48, max_ids: 64 << 20 }
    }
}

/// What an event says about a user's taste.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    /// The user wants the item, with this weight.
    Positive(f32),
    /// The user does not want the item, with this weight.
    Negative(f32),
    /// Nothing to learn.
    None,
}

/// Weights by event type; 0 teaches nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the event types are")]
pub struct EventWeights {
    pub view: f32,
    pub click: f32,
    pub add_to_cart: f32,
    pub purchase: f32,
    pub like: f32,
    pub rate: f32,
    /// Of a dwell of at least `short_dwell_ms`.
    pub dwell: f32,
    /// Of types that begin with `custom.`, by name.
    pub custom: BTreeMap<String, f32>,
    /// A rating at or above teaches that the item is wanted, one below that it is not.
    pub positive_rating: f64,
    pub dislike: f32,
    pub skip: f32,
    pub remove_from_cart: f32,
    /// Of a dwell below `short_dwell_ms`.
    pub short_dwell: f32,
    pub short_dwell_ms: u64,
}

impl Default for EventWeights {
    fn default() -> Self {
        Self {
            view: 0.5,
            click: 1.0,
            add_to_cart: 1.5,
            purchase: 2.0,
            like: 1.5,
            rate: 1.0,
            dwell: 0.5,
            custom: BTreeMap::new(),
            positive_rating: 3.5,
            dislike: 1.0,
            skip: 0.25,
            remove_from_cart: 0.25,
            short_dwell: 0.25,
            short_dwell_ms: 5_000,
        }
    }
}

impl EventWeights {
    /// What `event` says.
    #[must_use]
    pub fn signal(&self, event: &Event) -> Signal {
        let (wanted, weight) = match &event.event_type {
            EventType::View => (true, self.view),
            EventType::Click => (true, self.click),
            EventType::AddToCart => (true, self.add_to_cart),
            EventType::Purchase => (true, self.purchase),
            EventType::Like => (true, self.like),
            EventType::Rate => {
                (event.rating.is_some_and(|rating| rating >= self.positive_rating), self.rate)
            }
            EventType::Dwell if event.dwell_time_ms.unwrap_or(0) < self.short_dwell_ms => {
                (false, self.short_dwell)
            }
            EventType::Dwell => (true, self.dwell),
            EventType::Custom(name) => (true, self.custom.get(name).copied().unwrap_or(0.0)),
            EventType::RemoveFromCart => (false, self.remove_from_cart),
            EventType::Dislike => (false, self.dislike),
            EventType::Skip => (false, self.skip),
            EventType::Search
            | EventType::Profile
            | EventType::Merge
            | EventType::Erase
            | EventType::Impression
            | EventType::ItemUpsert
            | EventType::ItemDelete => return Signal::None,
        };
        match (wanted, weight > 0.0 && weight.is_finite()) {
            (_, false) => Signal::None,
            (true, true) => Signal::Positive(weight),
            (false, true) => Signal::Negative(weight),
        }
    }
}

/// Bounds on what is kept of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserConfig {
    /// Items viewed last.
    pub recent_views: usize,
    /// Items consumed last.
    pub history: usize,
    /// Items not to recommend again; the oldest are forgotten.
    pub seen: usize,
    /// Disliked items; the oldest are forgotten.
    pub disliked: usize,
    /// Queries searched last.
    pub recent_searches: usize,
    /// A visit ends after this long without an event.
    pub session_gap_minutes: u32,
    /// Window of the category and brand preferences.
    pub preference_days: u32,
    /// Categories and brands listed.
    pub preferences: usize,
    /// A user's features count for this long after the last event.
    pub feature_ttl_hours: u32,
    /// Positive events of one user in one epoch beyond this many teach nothing: one user, however
    /// loud, moves the model only so far.
    pub learned_per_epoch: u32,
    /// Past events kept per logical shard, to be learned again when `factors.replays` > 0.
    pub reservoir: usize,
}

impl Default for UserConfig {
    fn default() -> Self {
        Self {
            recent_views: 20,
            history: 50,
            seen: 10_000,
            disliked: 1_000,
            recent_searches: 5,
            session_gap_minutes: 30,
            preference_days: 7,
            preferences: 20,
            feature_ttl_hours: 24 * 30,
            learned_per_epoch: 64,
            reservoir: 1_024,
        }
    }
}

impl UserConfig {
    /// See [`Self::session_gap_minutes`], in milliseconds.
    #[must_use]
    pub fn session_gap_ms(&self) -> i64 {
        i64::from(self.session_gap_minutes) * MINUTE_MS
    }

    /// See [`Self::preference_days`], in milliseconds.
    #[must_use]
    pub fn preference_ms(&self) -> i64 {
        i64::from(self.preference_days) * DAY_MS
    }
}

/// Test-then-learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QualityConfig {
    /// One positive event in so many is ranked against all items before it is learned, chosen by
    /// the hash of its id; 0 tests none, 1 tests all. Above 1 it holds for up to 10,000 items; a
    /// ranking costs time in proportion to the items, so larger catalogues test fewer, likewise in
    /// proportion.
    pub sample_one_in: u64,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self { sample_one_in: 1_024 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_changes_the_hash_and_none_is_unknown() {
        let base = CoreConfig::default();
        let mut seed = base.clone();
        seed.seed = 2;
        let mut weight = base.clone();
        weight.events.custom.insert("custom.share".into(), 1.0);
        assert_ne!(base.hash(), seed.hash());
        assert_ne!(base.hash(), weight.hash());
        assert_eq!(base.hash(), CoreConfig::default().hash());
        let unknown = serde_json::from_str::<CoreConfig>(r#"{"sed": 1}"#);
        assert!(unknown.is_err_and(|error| error.to_string().contains("sed")));
    }
}
