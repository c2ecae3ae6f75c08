//! The conformance suite of [`FeatureStore`].

use std::sync::Arc;

use eddyline_schemas::features::{UserFeatures, UserPreferences};
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;

use crate::features::{FeatureStore, FeatureStoreError, FeatureWrite, UserDocument};

/// Makes a fresh, empty store.
pub type MakeStore<'a> = &'a dyn Fn() -> Box<dyn FeatureStore>;

/// Runs the whole suite.
pub fn run(make: MakeStore<'_>) {
    an_empty_store_knows_nobody(make);
    writes_are_absolute_and_by_part(make);
    a_late_write_is_ignored(make);
    a_repeated_write_changes_nothing(make);
    an_erased_user_is_gone_and_stays_gone(make);
    another_lineage_is_refused(make);
    users_and_bytes_are_counted(make);
}

fn lineage(name: &str) -> Lineage {
    Lineage::root(Digest::of(name.as_bytes()))
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("a valid id")
}

fn features(history_length: u64) -> Option<Arc<UserFeatures>> {
    Some(Arc::new(UserFeatures { history_length, ..UserFeatures::default() }))
}

fn preferences(category: &str) -> Option<Arc<UserPreferences>> {
    let categories = vec![(Arc::from(category), 1)];
    Some(Arc::new(UserPreferences { categories, brands: Vec::new() }))
}

fn vector(first: f32) -> Option<Arc<[f32]>> {
    Some(Arc::from([first, 2.0]))
}

/// A store of lineage `a`, and the means to write to and read from it.
struct Fixture(Box<dyn FeatureStore>);

impl Fixture {
    fn apply(&self, epoch: u64, writes: &[FeatureWrite]) {
        self.0.apply(lineage("a"), Epoch(epoch), writes).expect("applied");
    }

    fn get(&self, id: &str) -> Option<UserDocument> {
        self.0.get(&user(id)).expect("read")
    }
}

fn an_empty_store_knows_nobody(make: MakeStore<'_>) {
    let store = Fixture(make());
    assert_eq!(store.get("u1"), None);
    assert_eq!((store.0.watermark(), store.0.users()), (None, 0));
    store.apply(3, &[]);
    assert_eq!(store.0.watermark(), Some((lineage("a"), Epoch(3))), "an idle epoch counts");
    assert_eq!(store.get("u1"), None);
}

fn writes_are_absolute_and_by_part(make: MakeStore<'_>) {
    let store = Fixture(make());
    store.apply(1, &[FeatureWrite::Features(user("u1"), features(1))]);
    store.apply(2, &[FeatureWrite::Preferences(user("u1"), preferences("shoes"))]);
    let both = [
        FeatureWrite::Vector(user("u1"), vector(1.0)),
        FeatureWrite::Vector(user("u2"), vector(7.0)),
        FeatureWrite::Features(user("u1"), features(9)),
    ];
    store.apply(4, &both);
    let want = UserDocument {
        lineage: lineage("a"),
        epoch: Epoch(4),
        features: features(9),
        preferences: preferences("shoes"),
        vector: vector(1.0),
    };
    assert_eq!(store.get("u1"), Some(want));
    let other = store.get("u2").expect("u2 has a vector");
    assert_eq!((other.vector, other.features), (vector(7.0), None));
}

fn a_late_write_is_ignored(make: MakeStore<'_>) {
    let store = Fixture(make());
    store.apply(5, &[FeatureWrite::Features(user("u1"), features(5))]);
    let before = store.get("u1");
    let late = [
        FeatureWrite::Features(user("u1"), features(4)),
        FeatureWrite::Vector(user("u1"), vector(4.0)),
        FeatureWrite::Preferences(user("u1"), None),
    ];
    store.apply(4, &late);
    assert_eq!(store.get("u1"), before, "a document never goes backwards");
    assert_eq!(store.0.watermark(), Some((lineage("a"), Epoch(5))), "nor does the watermark");
}

fn a_repeated_write_changes_nothing(make: MakeStore<'_>) {
    let store = Fixture(make());
    let first = [FeatureWrite::Features(user("u1"), features(1))];
    let second = [
        FeatureWrite::Features(user("u1"), features(2)),
        FeatureWrite::Vector(user("u1"), vector(2.0)),
    ];
    store.apply(1, &first);
    store.apply(2, &second);
    let (document, users) = (store.get("u1"), store.0.users());
    for (epoch, writes) in [(1, &first[..]), (2, &second[..]), (2, &second[..])] {
        store.apply(epoch, writes);
        assert_eq!(store.get("u1"), document);
    }
    assert_eq!(store.0.users(), users);
}

fn an_erased_user_is_gone_and_stays_gone(make: MakeStore<'_>) {
    let store = Fixture(make());
    store.apply(1, &[FeatureWrite::Features(user("u1"), features(1))]);
    store.apply(1, &[FeatureWrite::Vector(user("u1"), vector(1.0))]);
    store.apply(2, &[FeatureWrite::Features(user("u1"), None)]);
    let left = store.get("u1").expect("the vector is left");
    assert_eq!((left.features, left.vector), (None, vector(1.0)));
    store.apply(3, &[FeatureWrite::Vector(user("u1"), None)]);
    assert_eq!((store.get("u1"), store.0.users()), (None, 0));
    store.apply(2, &[FeatureWrite::Vector(user("u1"), vector(1.0))]);
    assert_eq!((store.get("u1"), store.0.users()), (None, 0), "a late write brings nobody back");
    store.apply(4, &[FeatureWrite::Features(user("u1"), features(1))]);
    assert_eq!(store.0.users(), 1, "a new one does");
}

fn another_lineage_is_refused(make: MakeStore<'_>) {
    let store = Fixture(make());
    store.apply(1, &[FeatureWrite::Features(user("u1"), features(1))]);
    let before = store.get("u1");
    let other = [FeatureWrite::Features(user("u1"), features(99))];
    let refused = store.0.apply(lineage("b"), Epoch(9), &other).expect_err("another history");
    let FeatureStoreError::OtherLineage { held, offered } = refused else { panic!("{refused}") };
    assert_eq!((held, offered), (lineage("a"), lineage("b")));
    assert_eq!(store.get("u1"), before);
    assert_eq!(store.0.watermark(), Some((lineage("a"), Epoch(1))));
}

fn users_and_bytes_are_counted(make: MakeStore<'_>) {
    let store = Fixture(make());
    let row: Arc<[f32]> = vec![0.5; 128].into();
    let write = |n: u32| FeatureWrite::Vector(user(&format!("u{n}")), Some(Arc::clone(&row)));
    let writes: Vec<FeatureWrite> = (0..1_000).map(write).collect();
    store.apply(1, &writes);
    assert_eq!(store.0.users(), 1_000);
    let full = store.0.approximate_bytes();
    assert!(full >= 1_000 * 128 * 4, "the vectors alone take more than {full}");
    store.apply(2, &writes);
    assert_eq!(store.0.approximate_bytes(), full, "a rewrite of the same size takes no more");
    let erase = |n: u32| FeatureWrite::Vector(user(&format!("u{n}")), None);
    store.apply(3, &(0..1_000).map(erase).collect::<Vec<_>>());
    assert_eq!(store.0.users(), 0);
    assert!(store.0.approximate_bytes() < full / 2);
}
