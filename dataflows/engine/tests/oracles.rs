//! Every fold against its oracle: the slow, obvious version over the same bound records. The
//! engine keeps running sums and hands out absolute values; the oracle counts from scratch.
//!
//! The stream holds items that change category or go, erasures, duplicates, late and broken
//! records and days of silence; each test says how much of what it is about it has met, so that a
//! shop that stops producing it is noticed.

mod support {
    pub(crate) mod accepted;
    pub(crate) mod contents;
    pub(crate) mod pinned_log;
    pub(crate) mod running;
    pub(crate) mod shop;
    pub(crate) mod slow_folds;
    pub(crate) mod slow_intake;
}

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use eddyline_connect::log::EventLog;
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::event::EventType;
use eddyline_schemas::features::{DecayedSum, UserFeatures};
use eddyline_schemas::id::ItemRef;
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::time::{HOUR_MS, TimestampMs};
use eddyline_schemas::topic::Topic;

use support::pinned_log::PinnedLog;
use support::running::{bind_all, refolded};
use support::shop::Shop;
use support::slow_folds::{Line, SlowShop, as_of, decayed, history, newest};
use support::slow_intake::{SlowEpoch, slow_epochs};

/// Both versions of one history.
struct Both {
    core: CoreConfig,
    epochs: Vec<EpochDeltas>,
    slow_epochs: Vec<SlowEpoch>,
    slow: SlowShop,
}

/// Ends of the oracle's decayed sums may differ by this much of their value.
const CLOSE_F64: f64 = 1e-9;
/// The same for sums that the engine keeps as f32.
const CLOSE_F32: f64 = 1e-4;

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core.factors.replays = 0;
    core.quality.sample_one_in = 0;
    core.covisitation.capacity = 100_000;
    core
}

fn both() -> &'static Both {
    static BOTH: OnceLock<Both> = OnceLock::new();
    BOTH.get_or_init(|| {
        let core = core();
        let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(11).records(8_000));
        bind_all(&core, &log, 130);
        let (_, epochs) = refolded(&core, &log, 2, None).expect("folds");
        let slow_epochs = slow_epochs(&*log, &core);
        let slow = SlowShop::of(&slow_epochs, &core);
        Both { core, epochs, slow_epochs, slow }
    })
}

impl Both {
    fn deltas(&self) -> impl Iterator<Item = &Delta> {
        self.epochs.iter().flat_map(|epoch| &epoch.deltas)
    }

    fn last_time(&self) -> TimestampMs {
        self.slow_epochs.last().expect("the stream has epochs").logical_time
    }

    fn first_hour(&self, logical_time: TimestampMs) -> i64 {
        (logical_time.0 - self.core.users.preference_ms()).div_euclid(HOUR_MS)
    }

    /// Ids of items by number, from the deltas alone.
    fn names(&self) -> BTreeMap<ItemRef, String> {
        let named = self.deltas().filter_map(|delta| match delta {
            Delta::Item { item, id, .. } => Some((*item, id.as_str().to_owned())),
            _ => None,
        });
        named.collect()
    }

    /// The last features of each user; `None` for one who is erased.
    fn features(&self) -> BTreeMap<String, Option<Arc<UserFeatures>>> {
        let last = self.deltas().filter_map(|delta| match delta {
            Delta::UserFeatures { user, features } => {
                Some((user.as_str().to_owned(), features.clone()))
            }
            _ => None,
        });
        last.collect()
    }
}

fn assert_close(got: f64, want: f64, within: f64, what: &str) {
    assert!((got - want).abs() <= within * want.abs(), "{what}: got {got}, want {want}");
}

#[test]
fn counts_are_those_of_the_slow_intake_in_every_epoch() {
    let both = both();
    assert_eq!(both.epochs.len(), both.slow_epochs.len());
    for (epoch, slow) in both.epochs.iter().zip(&both.slow_epochs) {
        assert!(epoch.counts.is_conserved(), "I10 at {}", epoch.epoch);
        assert_eq!(epoch.counts, slow.counts, "epoch {}", epoch.epoch);
        assert_eq!(epoch.logical_time, slow.logical_time, "epoch {}", epoch.epoch);
    }
    let sums = both.epochs.last().expect("the stream has epochs").counts;
    assert_eq!(sums.accepted, 8_000);
    assert!(sums.duplicate > 100 && sums.late > 30 && sums.dead_letter > 50, "{sums:?}");
}

#[test]
fn preferences_are_counted_from_scratch_under_the_catalogue_of_the_moment() {
    let both = both();
    let (mut listed, mut emptied) = (0, 0);
    let all = both.epochs.len();
    for epochs in (0..all).step_by(4).chain([all]) {
        let (some, none) = check_preferences(both, epochs);
        (listed, emptied) = (listed + some, emptied + none);
    }
    assert!(listed > 500 && emptied > 50, "{listed} listed, {emptied} emptied");
    let gone = both.slow.documents.values().filter(|document| document.is_none()).count();
    assert!(gone > 5, "{gone} items were taken out");
}

/// Compares everybody's preferences after the first `epochs`; how many have some, and how many
/// have none any more.
fn check_preferences(both: &Both, epochs: usize) -> (usize, usize) {
    let slow = SlowShop::of(&both.slow_epochs[..epochs], &both.core);
    let now = both.slow_epochs[..epochs].last().map_or(TimestampMs(0), |last| last.logical_time);
    let (first_hour, bound) = (both.first_hour(now), both.core.users.preferences);
    let mut last = BTreeMap::new();
    for delta in both.epochs[..epochs].iter().flat_map(|epoch| &epoch.deltas) {
        if let Delta::UserPreferences { user, preferences } = delta {
            last.insert(user.as_str(), preferences);
        }
    }
    let owned = |list: &[(Arc<str>, i64)]| -> Vec<(String, i64)> {
        list.iter().map(|(name, count)| (name.to_string(), *count)).collect()
    };
    let (mut listed, mut emptied) = (0, 0);
    for user in slow.users.keys() {
        let of = |names: fn(&ItemDocument) -> Vec<String>| {
            let mut counts = slow.preferences(user, first_hour, names);
            counts.truncate(bound);
            counts
        };
        let want = (of(|d| d.categories.clone()), of(|d| d.brand.clone().into_iter().collect()));
        let got = last.get(user.as_str()).map(|p| (owned(&p.categories), owned(&p.brands)));
        assert_eq!(got.clone().unwrap_or_default(), want, "{user} after {epochs} epochs");
        listed += usize::from(!want.0.is_empty());
        emptied += usize::from(want.0.is_empty() && got.is_some());
    }
    (listed, emptied)
}

#[test]
fn popularity_is_the_direct_sum() {
    let both = both();
    let (names, at) = (both.names(), both.last_time());
    let mut taken: BTreeMap<&str, Vec<(f64, TimestampMs)>> = BTreeMap::new();
    for one in &both.slow.taken {
        taken.entry(&one.item).or_default().push((f64::from(one.weight), one.time));
    }
    let last: BTreeMap<&str, _> = both
        .deltas()
        .filter_map(|delta| match delta {
            Delta::Popularity { item, popularity } => Some((names[item].as_str(), popularity)),
            _ => None,
        })
        .collect();
    assert_eq!(last.keys().collect::<Vec<_>>(), taken.keys().collect::<Vec<_>>());
    let half_lives = both.core.popularity;
    for (item, popularity) in last {
        let check = |sum: DecayedSum, half_life_ms: i64| {
            let got = as_of(sum.mantissa, sum.exponent, at, half_life_ms);
            assert_close(got, decayed(&taken[item], at, half_life_ms), CLOSE_F64, item);
        };
        check(popularity.short, half_lives.short_half_life_ms);
        check(popularity.long, half_lives.long_half_life_ms);
        assert_eq!(popularity.events, taken[item].len() as u64, "{item}");
    }
}

#[test]
fn covisitation_is_the_unbounded_fold() {
    let both = both();
    let (names, at, config) = (both.names(), both.last_time(), both.core.covisitation);
    let mut pairs: BTreeMap<(&str, &str), Vec<(f64, TimestampMs)>> = BTreeMap::new();
    for taken in &both.slow.taken {
        for (k, source) in taken.recent.iter().take(config.window).enumerate() {
            let weight = f64::from(taken.weight) / (1.0 + f64::from(config.learn_slope) * k as f64);
            if *source != taken.item {
                pairs.entry((source, &taken.item)).or_default().push((weight, taken.time));
            }
        }
    }
    let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
    let mut want: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for ((source, target), weights) in &pairs {
        let sum = decayed(weights, at, config.half_life_ms);
        *totals.entry(source).or_default() += sum;
        want.insert((source, target), sum);
    }
    let last: BTreeMap<&str, _> = both
        .deltas()
        .filter_map(|delta| match delta {
            Delta::Covisitation { item, list } => Some((names[item].as_str(), list)),
            _ => None,
        })
        .collect();
    let mut met = 0;
    for (source, list) in &last {
        let value = |weight: f32| as_of(f64::from(weight), list.exponent, at, config.half_life_ms);
        for (target, weight) in &list.neighbours {
            let pair = (*source, names[target].as_str());
            let wanted = want.get(&pair).copied().unwrap_or(0.0);
            assert_close(value(*weight), wanted, CLOSE_F32, &format!("{pair:?}"));
            met += 1;
        }
        assert_close(value(list.total), totals[source], CLOSE_F32, source);
    }
    assert_eq!(met, want.len(), "each pair is in its list once");
    assert!(met > 2_000, "{met} pairs");
}

#[test]
fn a_users_lists_are_replayed_from_all_lines() {
    let both = both();
    let (names, users) = (both.names(), &both.core.users);
    let features = both.features();
    assert_eq!(features.len(), both.slow.users.len(), "whoever acted has a document");
    let named =
        |items: &[ItemRef]| -> Vec<String> { items.iter().map(|i| names[i].clone()).collect() };
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    for (user, lines) in &both.slow.users {
        let Some(got) = &features[user] else {
            assert!(lines.is_empty(), "{user} was erased and came back");
            continue;
        };
        let is = |line: &Line, event_type: EventType| line.event.event_type == event_type;
        let item_if = |bound, keep: &dyn Fn(&Line) -> bool| {
            newest(lines, bound, |line| line.item.clone().filter(|_| keep(line)))
        };
        let views = item_if(users.recent_views, &|line| is(line, EventType::View));
        assert_eq!(named(&got.recent_views), views, "{user}");
        assert_eq!(named(&got.history), history(lines, users.history), "{user}");
        let seen = item_if(users.seen, &|line| !is(line, EventType::Impression));
        assert_eq!(sorted(named(&got.seen)), sorted(seen), "{user}");
        assert_eq!(sorted(named(&got.disliked)), disliked(lines), "{user}");
        let queries = newest(lines, users.recent_searches, |line| {
            line.event.query.clone().filter(|_| is(line, EventType::Search))
        });
        assert_eq!(got.recent_searches, queries, "{user}");
        let wanted = lines.iter().filter(|line| line.item.is_some() && line.weight.is_some());
        assert_eq!(got.history_length, wanted.count() as u64, "{user}");
        let profile = lines.iter().rev().find(|line| is(line, EventType::Profile));
        let profile = profile.map(|line| line.event.profile.clone()).unwrap_or_default();
        assert_eq!(got.demographics, profile, "{user}");
        assert_eq!(Some(got.last_updated), lines.iter().map(|line| line.time).max(), "{user}");
    }
}

/// Items of which the last word is a dislike.
fn disliked(lines: &[Line]) -> Vec<String> {
    let mut last = BTreeMap::new();
    for line in lines {
        if let EventType::Like | EventType::Dislike = line.event.event_type {
            last.insert(line.item.clone(), line.event.event_type == EventType::Dislike);
        }
    }
    last.into_iter().filter(|(_, is_disliked)| *is_disliked).filter_map(|(item, _)| item).collect()
}

#[test]
fn the_last_item_deltas_are_the_final_catalogue() {
    let both = both();
    let mut last = BTreeMap::new();
    for delta in both.deltas() {
        if let Delta::Item { id, document, deleted, .. } = delta {
            last.insert(id.as_str(), (document.as_deref(), *deleted));
        }
    }
    for (item, document) in &both.slow.documents {
        assert_eq!(last[item.as_str()], (document.as_ref(), document.is_none()), "{item}");
    }
    assert!(last.len() > both.slow.documents.len(), "some items are known from events alone");
}

#[test]
fn a_users_deltas_come_when_the_user_acts_and_at_no_other_time() {
    let both = both();
    let mut edge = i64::MIN;
    let mut rolled = 0;
    for (epoch, slow) in both.epochs.iter().zip(&both.slow_epochs) {
        let acting: BTreeSet<&str> =
            slow.fresh.iter().filter_map(|fresh| Some(fresh.event.actor()?.as_str())).collect();
        let has_catalogue = slow.fresh.iter().any(|fresh| fresh.at.topic == Topic::ItemEvents);
        let has_rolled = both.first_hour(slow.logical_time) > edge;
        edge = both.first_hour(slow.logical_time);
        let mut documented = BTreeSet::new();
        for delta in &epoch.deltas {
            match delta {
                Delta::UserFeatures { user, .. } => {
                    documented.insert(user.as_str());
                }
                Delta::UserVector { user, .. } => {
                    assert!(acting.contains(user.as_str()), "{user} learned in {}", epoch.epoch);
                }
                Delta::UserPreferences { user, .. } if !acting.contains(user.as_str()) => {
                    assert!(has_rolled || has_catalogue, "{user} in epoch {}", epoch.epoch);
                    rolled += 1;
                }
                _ => {}
            }
        }
        assert_eq!(documented, acting, "epoch {}", epoch.epoch);
    }
    assert!(rolled > 20, "{rolled} preferences changed without their user");
}
