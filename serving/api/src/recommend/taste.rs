//! What is known of who asks: the representation, the items it comes from, and the content profile.
//!
//! The same functions as in learning make x and the co-visitation sums (I1). Seeds of the request
//! count as just touched, before the user's own history.

use std::sync::Arc;

use eddyline_connect::features::UserDocument;
use eddyline_index::store::Slot;
use eddyline_model::factors::represent::represent;
use eddyline_schemas::features::UserFeatures;
use eddyline_schemas::id::ItemRef;
use eddyline_schemas::time::TimestampMs;

use crate::recommend::content::{Profile, ProfileBuilder};
use crate::state::ServingConfig;
use crate::state::labels::LabelKind;
use crate::state::tables::Tables;

/// Items of the history whose labels enter the profile.
const PROFILE_ITEMS: usize = 10;
/// Weight of a label of the newest item, beside counts of a week; the k-th counts 1/(1+k) of it.
const PROFILE_NEWEST: f32 = 2.0;

/// See the module doc.
#[derive(Debug, Default)]
pub struct Taste {
    /// x; all zero when nothing is known.
    pub x: Vec<f32>,
    /// Whether x is not zero.
    pub is_represented: bool,
    /// What x comes from: seeds, then history, newest first, each once.
    pub recent: Vec<ItemRef>,
    /// Seeds and recent views: what "viewed" means in reasons.
    pub viewed: Vec<ItemRef>,
    /// Co-visitation sums before the target's norm, ascending by slot.
    pub covisited: Vec<(Slot, f32)>,
    /// Content profile.
    pub profile: Profile,
    /// Positive events so far, seeds included: chooses the blend.
    pub history_length: u64,
}

impl Taste {
    /// Of a user, if there is one, with seeds, newest first.
    #[must_use]
    pub fn new(
        tables: &Tables,
        config: &ServingConfig,
        user: Option<&UserDocument>,
        seeds: &[ItemRef],
    ) -> Self {
        let core = &config.core;
        let now = tables.progress().logical_time;
        let features = user.and_then(|user| user.features.as_deref());
        let recent = recent_items(features, seeds);
        let mut x = vec![0.0; core.factors.dim];
        let row = user.and_then(|user| user.vector.as_deref()).filter(|row| row.len() == x.len());
        represent(&core.factors, row, &recent, tables, &mut x);
        let covisited = covisited(tables, config, &recent);
        let mut viewed = seeds.to_vec();
        viewed.extend(current(features, now).iter().flat_map(|f| f.recent_views.iter().copied()));
        let profile = profile(tables, config, user, &recent);
        let history_length = features.map_or(0, |f| f.history_length) + seeds.len() as u64;
        let is_represented = x.iter().any(|value| *value != 0.0);
        Self { x, is_represented, recent, viewed, covisited, profile, history_length }
    }

    /// Whether there is anything to be personal about.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.is_represented || !self.covisited.is_empty() || !self.profile.is_empty()
    }

    /// The co-visitation sum of a slot.
    #[must_use]
    pub fn covisit(&self, slot: Slot) -> f32 {
        let at = self.covisited.binary_search_by_key(&slot, |(slot, _)| *slot);
        at.map_or(0.0, |at| self.covisited[at].1)
    }
}

/// Features that still count at `now`; history and what was seen count for ever.
#[must_use]
pub fn current(features: Option<&UserFeatures>, now: TimestampMs) -> Option<&UserFeatures> {
    features.filter(|features| features.expires_at >= now)
}

fn recent_items(features: Option<&UserFeatures>, seeds: &[ItemRef]) -> Vec<ItemRef> {
    let mut recent: Vec<ItemRef> = Vec::new();
    let history = features.map_or(&[] as &[ItemRef], |features| &features.history);
    for item in seeds.iter().chain(history.iter().filter(|item| !seeds.contains(item))) {
        recent.push(*item);
    }
    recent
}

/// Σ_k scale_k · weight(i_k → j), summed in the order of k, as learning sums it.
fn covisited(tables: &Tables, config: &ServingConfig, recent: &[ItemRef]) -> Vec<(Slot, f32)> {
    let core = &config.core.covisitation;
    let now = tables.progress().logical_time.0;
    let mut shares: Vec<(Slot, usize, f32)> = Vec::new();
    for (k, item) in recent.iter().take(core.window).enumerate() {
        let Some(source) = tables.items().slot(*item) else { continue };
        let Some(list) = &tables.items().row(source).covisited else { continue };
        let scale = list.scale(core, k, now);
        for entry in list.entries() {
            if let Some(target) = tables.items().slot(entry.target) {
                shares.push((target, k, scale * entry.weight));
            }
        }
    }
    shares.sort_unstable_by_key(|(target, k, _)| (*target, *k));
    let mut sums: Vec<(Slot, f32)> = Vec::with_capacity(shares.len());
    for (target, _, share) in shares {
        match sums.last_mut() {
            Some((last, sum)) if *last == target => *sum += share,
            _ => sums.push((target, share)),
        }
    }
    sums
}

/// Preferences of the week, labels of the last items, and the category of the visit.
fn profile(
    tables: &Tables,
    config: &ServingConfig,
    user: Option<&UserDocument>,
    recent: &[ItemRef],
) -> Profile {
    let now = tables.progress().logical_time;
    let mut builder = ProfileBuilder::default();
    let labels = tables.labels();
    if let Some(preferences) = user.and_then(|user| user.preferences.as_deref()) {
        let mut count = |kind, counts: &[(Arc<str>, i64)]| {
            for (text, count) in counts {
                if let Some(label) = labels.find(kind, text) {
                    builder.add(label, *count as f32);
                }
            }
        };
        count(LabelKind::Category, &preferences.categories);
        count(LabelKind::Brand, &preferences.brands);
    }
    for (k, item) in recent.iter().take(PROFILE_ITEMS).enumerate() {
        let Some(slot) = tables.items().slot(*item) else { continue };
        for label in &tables.items().row(slot).labels {
            builder.add(*label, PROFILE_NEWEST / (1.0 + k as f32));
        }
    }
    let features = current(user.and_then(|user| user.features.as_deref()), now);
    let visit = features.and_then(|features| features.session.as_ref());
    let gap = config.core.users.session_gap_ms();
    let visit = visit.filter(|visit| now.since(visit.last_event) <= gap);
    let category = visit.and_then(|visit| visit.current_category.as_deref());
    builder.set_session(category.and_then(|text| labels.find(LabelKind::Category, text)));
    builder.build(labels)
}
