//! A replica that starts from a snapshot and follows the later epochs answers as one that applied
//! them all: same items, same scores to the bit, same reasons.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_connect::features::{UserRow, stored_preferences};
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::id::{ItemRef, UserId};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_serving::contract::{RecommendRequest, Retrieval};
use eddyline_serving::recommend::Recommender;
use eddyline_serving::state::restore::SnapshotHead;
use eddyline_serving::state::{ApplyError, ServingState};
use proptest::prelude::{any, proptest};

use crate::shop::{
    NOW, Shop, epoch, features, features_of, item, item_id, popularity, prefers, user,
};

const SHOP: Shop = Shop { items: 0, dim: 16 };
const USERS: u64 = 12;

/// Numbers from a seed (SplitMix64).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % u64::from(bound)) as u32
    }
}

/// A catalogue that changes: labels come and go, popular items are deleted, users turn to items.
struct World {
    draws: Draws,
    items: u32,
    events: Vec<u32>,
    seen_in: Vec<(u64, u32)>,
}

impl World {
    fn row(&mut self, k: u32, number: u64, seq: u32, deleted: bool) -> Delta {
        let (category, brand, tag) =
            (self.draws.below(6), self.draws.below(9), self.draws.below(30));
        let document = ItemDocument {
            title: Some(format!("Item {k} of epoch {number}")),
            categories: vec![format!("c{category}"), format!("c{} > x", (category + 1) % 6)],
            brand: Some(format!("b{brand}")),
            tags: vec![format!("t{tag}")],
            price: Some(f64::from(k)),
            ..ItemDocument::default()
        };
        if self.seen_in.len() <= k as usize {
            self.seen_in.push((number, seq));
        }
        let (at, seq) = self.seen_in[k as usize];
        let (item, id, document) = (item(k), item_id(k), Some(Arc::new(document)));
        Delta::Item { item, id, document, first_seen: (Epoch(at), seq), deleted }
    }

    fn some(&mut self, most: u32) -> Vec<u32> {
        let count = self.draws.below(most + 1);
        (0..count).map(|_| self.draws.below(self.items)).collect()
    }

    fn epoch(&mut self, number: u64) -> EpochDeltas {
        let mut all: BTreeMap<(u8, String), Delta> = BTreeMap::new();
        let mut put = |delta: Delta| drop(all.insert((delta.kind(), delta.topic_key()), delta));
        let new = self.items..self.items + self.draws.below(60);
        for (seq, k) in new.clone().enumerate() {
            put(self.row(k, number, seq as u32, false));
            self.events.push(0);
        }
        self.items = new.end.max(1);
        if new.is_empty() && self.events.is_empty() {
            put(self.row(0, number, 0, false));
            self.events.push(0);
        }
        for k in self.some(20) {
            let deleted = self.draws.below(2) == 0;
            put(self.row(k, number, 0, deleted));
        }
        for k in self.some(60) {
            self.events[k as usize] += 1 + self.draws.below(3);
            put(popularity(k, self.events[k as usize]));
            let category = self.draws.below(4);
            SHOP.rows_of(k, category).into_iter().for_each(&mut put);
        }
        for who in 0..USERS {
            if self.draws.below(4) == 0 {
                let (history, seen) = (self.some(6), self.some(10));
                put(features_of(&format!("u{who}"), features(&history, &seen, &[])));
                put(prefers(&format!("u{who}"), &format!("c{}", self.draws.below(6))));
            }
        }
        epoch(number, all.into_values().collect())
    }
}

/// The newest delta of every key; of users, the document that they make, as of its own epoch.
fn latest(epochs: &[EpochDeltas]) -> (Vec<Delta>, Vec<UserRow>) {
    let mut rows: BTreeMap<(u8, String), Delta> = BTreeMap::new();
    let mut users: BTreeMap<UserId, UserRow> = BTreeMap::new();
    for (epoch, delta) in epochs.iter().flat_map(|of| of.deltas.iter().map(|d| (of.epoch, d))) {
        let mut row = |id: &UserId| {
            let (user, features, preferences, vector) = (id.clone(), None, None, None);
            let new = UserRow { user, epoch, features, preferences, vector };
            let row = users.remove(id).unwrap_or(new);
            UserRow { epoch, ..row }
        };
        let row = match delta {
            Delta::UserVector { user, vector } => UserRow { vector: vector.clone(), ..row(user) },
            Delta::UserFeatures { user, features } => {
                UserRow { features: features.clone(), ..row(user) }
            }
            Delta::UserPreferences { user, preferences } => {
                let preferences = stored_preferences(Arc::clone(preferences));
                UserRow { preferences, ..row(user) }
            }
            _ => {
                rows.insert((delta.kind(), delta.topic_key()), delta.clone());
                continue;
            }
        };
        users.insert(row.user.clone(), row);
    }
    let mut rows: Vec<Delta> = rows.into_values().collect();
    rows.sort_by(Delta::cmp_key);
    (rows, users.into_values().collect())
}

fn restore(state: &ServingState, from: &[EpochDeltas]) {
    let (rows, users) = latest(from);
    let last = from.last().expect("at least one");
    state.restore(&head(last), rows, users).expect("rows of a snapshot");
}

fn head(of: &EpochDeltas) -> SnapshotHead {
    let EpochDeltas { lineage, epoch, logical_time, counts, .. } = *of;
    SnapshotHead { lineage, epoch, logical_time, counts }
}

fn answers(state: &Arc<ServingState>) -> Vec<String> {
    let recommender = Recommender::new(Arc::clone(state));
    let mut all = Vec::new();
    for who in 0..=USERS {
        let request = RecommendRequest {
            user_id: Some(user(&format!("u{who}"))),
            num_results: 40,
            retrieval: Retrieval::Exact,
            ..RecommendRequest::default()
        };
        let answer = recommender.recommend(&request).expect("a valid request");
        for item in &answer.items {
            let bits = (item.score.to_bits(), item.propensity.to_bits());
            let (id, sources, why) = (&item.item_id, &item.sources, &item.explanations);
            all.push(format!("u{who} {id} {bits:?} {sources:?} {why:?}"));
        }
        let model = (answer.model.epoch, answer.model.user_epoch);
        all.push(format!("{model:?} {:?}", answer.fallback));
    }
    all
}

fn check(seed: u64, epochs: u64, at: u64) {
    let mut world = World { draws: Draws(seed), items: 0, events: Vec::new(), seen_in: Vec::new() };
    let epochs: Vec<EpochDeltas> = (1..=epochs).map(|number| world.epoch(number)).collect();
    let (before, after) = epochs.split_at(at as usize);
    let followed = Arc::new(ServingState::new(SHOP.config()));
    let restored = Arc::new(ServingState::new(SHOP.config()));
    before.iter().for_each(|epoch| followed.apply(epoch.clone()).expect("the next epoch"));
    restore(&restored, before);
    assert_eq!(answers(&restored), answers(&followed), "as of the snapshot, seed {seed}");
    for epoch in after {
        followed.apply(epoch.clone()).expect("the next epoch");
        restored.apply(epoch.clone()).expect("the next epoch");
    }
    assert_eq!(answers(&restored), answers(&followed), "at the head, seed {seed}");
    let items = |state: &ServingState| (state.progress().items, state.users().users());
    assert_eq!(items(&restored), items(&followed));
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]

    #[test]
    fn a_restored_replica_answers_like_one_that_saw_every_epoch(
        seed in any::<u64>(),
        epochs in 2_u64..14,
        at in 1_u64..14,
    ) {
        check(seed, epochs, at.min(epochs));
    }
}

/// More deletions among the popular than a list forgets, so that lists were filled anew.
#[test]
fn deletions_leave_no_trace_in_a_restored_replica() {
    let shop = Shop { items: 700, ..SHOP };
    let followed = Arc::new(shop.open());
    let restored = Arc::new(ServingState::new(SHOP.config()));
    let deletions: Vec<Delta> = (0..180).filter(|k| k % 3 > 0).map(crate::shop::deletion).collect();
    let deleted = epoch(2, deletions);
    followed.apply(deleted.clone()).expect("the next epoch");
    restore(&restored, &[shop.first(), deleted]);
    assert_eq!(answers(&restored), answers(&followed));
}

#[test]
fn only_empty_state_can_be_restored() {
    let state = Shop { items: 3, dim: 16 }.open();
    let refused = state.restore(&head(&epoch(9, Vec::new())), [], []);
    assert!(matches!(refused, Err(ApplyError::NotNext { .. })));
    let empty = ServingState::new(SHOP.config());
    empty.restore(&head(&epoch(9, Vec::new())), [], []).expect("a snapshot of nothing");
    assert_eq!((empty.progress().epoch, empty.progress().logical_time), (Epoch(9), NOW));
    let stray = ItemRef::new(3, 3);
    let vector = Delta::ItemVector { item: stray, vector: [0.0; 16].into() };
    let refused = ServingState::new(SHOP.config()).restore(&head(&epoch(9, vec![])), [vector], []);
    assert!(matches!(refused, Err(ApplyError::Malformed { .. })));
}

/// Over a gap: what was restored beside it takes its place, whole and only forwards.
#[test]
fn a_state_goes_on_from_what_was_restored_beside_it() {
    let mut world = World { draws: Draws(5), items: 0, events: Vec::new(), seen_in: Vec::new() };
    let epochs: Vec<EpochDeltas> = (1..=10).map(|number| world.epoch(number)).collect();
    let new = || Arc::new(ServingState::new(SHOP.config()));
    let restored = |until: usize| {
        let state = ServingState::new(SHOP.config());
        restore(&state, &epochs[..until]);
        state
    };
    let (followed, gapped) = (new(), new());
    epochs.iter().for_each(|epoch| followed.apply(epoch.clone()).expect("the next epoch"));
    epochs[..5].iter().for_each(|epoch| gapped.apply(epoch.clone()).expect("the next epoch"));
    let told = gapped.subscribe();
    for until in [3, 5] {
        let refused = gapped.adopt(restored(until));
        assert!(matches!(refused, Err(ApplyError::NotNext { .. })), "{refused:?}");
    }
    let mut foreign = epochs[..8].to_vec();
    foreign.iter_mut().for_each(|epoch| epoch.lineage = Lineage::root(Digest::of(b"other")));
    let other = ServingState::new(SHOP.config());
    restore(&other, &foreign);
    assert!(matches!(gapped.adopt(other), Err(ApplyError::OtherLineage { .. })));
    assert_eq!(gapped.progress().epoch, Epoch(5), "a refusal changes nothing");
    gapped.adopt(restored(8)).expect("further on");
    assert_eq!(told.borrow().epoch, Epoch(8), "who waits is told");
    epochs[8..].iter().for_each(|epoch| gapped.apply(epoch.clone()).expect("the next epoch"));
    assert_eq!(answers(&gapped), answers(&followed));
    let empty = new();
    empty.adopt(restored(10)).expect("further on");
    assert_eq!(answers(&empty), answers(&followed));
}
