//! The oracle of the folds: whole histories are kept, and every answer is counted anew from them
//! by the obvious loop. Items and users go by their ids; floats are summed as f64 with std.

use std::collections::BTreeMap;

use eddyline_model::config::{CoreConfig, Signal};
use eddyline_schemas::event::{Event, EventType};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::time::{HOUR_MS, TimestampMs};
use eddyline_schemas::topic::Topic;

use super::slow_intake::{Fresh, SlowEpoch};

/// One item of a user's event, or an event without items.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) item: Option<String>,
    pub(crate) time: TimestampMs,
    pub(crate) event: Event,
    /// Set when the event says that the user wants the item.
    pub(crate) weight: Option<f32>,
}

/// A positive line, with the user's items before it, newest first.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) item: String,
    pub(crate) time: TimestampMs,
    pub(crate) weight: f32,
    pub(crate) recent: Vec<String>,
}

/// Everything that ever happened.
#[derive(Debug, Default)]
pub(crate) struct SlowShop {
    /// Lines of each user since the last erasure.
    pub(crate) users: BTreeMap<String, Vec<Line>>,
    /// Positive lines of all users, those of erased ones too.
    pub(crate) taken: Vec<Taken>,
    /// The catalogue as of the end; `None` for an item that was taken out.
    pub(crate) documents: BTreeMap<String, Option<ItemDocument>>,
}

impl SlowShop {
    /// Remembers all fresh events of all epochs.
    pub(crate) fn of(epochs: &[SlowEpoch], core: &CoreConfig) -> Self {
        let mut shop = Self::default();
        for fresh in epochs.iter().flat_map(|epoch| &epoch.fresh) {
            shop.add(fresh, core);
        }
        shop
    }

    fn add(&mut self, fresh: &Fresh, core: &CoreConfig) {
        let event = &fresh.event;
        let items: Vec<String> = event.items.iter().map(|item| item.as_str().to_owned()).collect();
        if fresh.at.topic == Topic::ItemEvents {
            let is_upsert = event.event_type == EventType::ItemUpsert;
            let document = is_upsert.then(|| event.item.clone().unwrap_or_default());
            self.documents.extend(items.into_iter().map(|item| (item, document.clone())));
            return;
        }
        let user = event.actor().expect("the validator asks for one").as_str().to_owned();
        let lines = self.users.entry(user).or_default();
        if event.event_type == EventType::Erase {
            lines.clear();
            return;
        }
        let weight = match core.events.signal(event) {
            Signal::Positive(weight) => Some(weight),
            Signal::Negative(_) | Signal::None => None,
        };
        let of_items =
            if items.is_empty() { vec![None] } else { items.into_iter().map(Some).collect() };
        for item in of_items {
            if let (Some(item), Some(weight)) = (&item, weight) {
                let recent = history(lines, core.users.history);
                let (item, time) = (item.clone(), fresh.time);
                self.taken.push(Taken { item, time, weight, recent });
            }
            lines.push(Line { item, time: fresh.time, event: event.clone(), weight });
        }
    }

    /// Items that the user wanted in the window, counted by what `names` says of each.
    pub(crate) fn preferences(
        &self,
        user: &str,
        first_hour: i64,
        names: impl Fn(&ItemDocument) -> Vec<String>,
    ) -> Vec<(String, i64)> {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for line in self.users.get(user).into_iter().flatten() {
            let is_in_window = line.time.0.div_euclid(HOUR_MS) >= first_hour;
            let (Some(item), true) = (&line.item, line.weight.is_some() && is_in_window) else {
                continue;
            };
            let document = self.documents.get(item).and_then(Option::as_ref);
            for name in document.map(&names).unwrap_or_default() {
                *counts.entry(name).or_default() += 1;
            }
        }
        let mut counts: Vec<(String, i64)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }
}

/// The first `bound` different values, newest line first.
pub(crate) fn newest(
    lines: &[Line],
    bound: usize,
    of: impl Fn(&Line) -> Option<String>,
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for value in lines.iter().rev().filter_map(of) {
        if found.len() < bound && !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// Items that the user wanted, newest first.
pub(crate) fn history(lines: &[Line], bound: usize) -> Vec<String> {
    newest(lines, bound, |line| line.weight.and_then(|_| line.item.clone()))
}

/// Σ w·2^((t − at)/h).
#[expect(clippy::disallowed_methods, reason = "std is the oracle")]
pub(crate) fn decayed(events: &[(f64, TimestampMs)], at: TimestampMs, half_life_ms: i64) -> f64 {
    let decay = |time: TimestampMs| ((time.0 - at.0) as f64 / half_life_ms as f64).exp2();
    events.iter().map(|&(weight, time)| weight * decay(time)).sum()
}

/// `value` in units of 2^exponent half-lives since the Unix epoch, as of a moment.
#[expect(clippy::disallowed_methods, reason = "std is the oracle")]
pub(crate) fn as_of(value: f64, exponent: i64, at: TimestampMs, half_life_ms: i64) -> f64 {
    value * (exponent as f64 - at.0 as f64 / half_life_ms as f64).exp2()
}
