//! The conformance suite of [`FeatureStore`].

use std::sync::Arc;

use eddyline_schemas::features::{UserFeatures, UserPreferences};
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;

use crate::features::refill::{UserRows, refill};
use crate::features::{
    FeatureStore, FeatureStoreError, FeatureWrite, ShardRefill, UserDocument, UserRow,
};

/// Makes a fresh, empty store.
pub type MakeStore<'a> = &'a dyn Fn() -> Arc<dyn FeatureStore>;

/// Runs the whole suite.
pub fn run(make: MakeStore<'_>) {
    an_empty_store_knows_nobody(make);
    writes_are_absolute_and_by_part(make);
    a_late_write_is_ignored(make);
    a_repeated_write_changes_nothing(make);
    an_erased_user_is_gone_and_stays_gone(make);
    another_lineage_is_refused(make);
    users_and_bytes_are_counted(make);
    watermarks_tell_how_far_it_is(make);
    a_refill_brings_every_row(make);
    a_refill_goes_never_back(make);
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
struct Fixture(Arc<dyn FeatureStore>);

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
    assert_eq!(store.0.watermark(), None);
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
    let document = store.get("u1");
    for (epoch, writes) in [(1, &first[..]), (2, &second[..]), (2, &second[..])] {
        store.apply(epoch, writes);
        assert_eq!(store.get("u1"), document);
    }
}

fn an_erased_user_is_gone_and_stays_gone(make: MakeStore<'_>) {
    let store = Fixture(make());
    store.apply(1, &[FeatureWrite::Features(user("u1"), features(1))]);
    store.apply(1, &[FeatureWrite::Vector(user("u1"), vector(1.0))]);
    store.apply(2, &[FeatureWrite::Features(user("u1"), None)]);
    let left = store.get("u1").expect("the vector is left");
    assert_eq!((left.features, left.vector), (None, vector(1.0)));
    store.apply(3, &[FeatureWrite::Vector(user("u1"), None)]);
    assert_eq!(store.get("u1"), None);
    store.apply(2, &[FeatureWrite::Vector(user("u1"), vector(1.0))]);
    assert_eq!(store.get("u1"), None, "a late write brings nobody back");
    store.apply(4, &[FeatureWrite::Features(user("u1"), features(1))]);
    assert!(store.get("u1").is_some(), "a new one does");
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
    let (Some(users), Some(full)) = (store.0.users(), store.0.approximate_bytes()) else {
        return; // A store that cannot tell without a walk.
    };
    assert_eq!(users, 1_000);
    assert!(full >= 1_000 * 128 * 4, "the vectors alone take more than {full}");
    store.apply(2, &writes);
    assert_eq!(store.0.approximate_bytes(), Some(full), "a rewrite of the same size");
    let erase = |n: u32| FeatureWrite::Vector(user(&format!("u{n}")), None);
    store.apply(3, &(0..1_000).map(erase).collect::<Vec<_>>());
    assert_eq!(store.0.users(), Some(0));
    assert!(store.0.approximate_bytes() < Some(full / 2));
}

/// State of `epoch`: 3,000 users, of whom each third was erased.
struct Rows {
    epoch: u64,
    rows: Vec<UserRow>,
}

impl Rows {
    fn new(epoch: u64) -> Self {
        let row = |n: u64| {
            let left = !n.is_multiple_of(3);
            UserRow {
                user: user(&format!("u{n}")),
                epoch: Epoch(1 + n % epoch),
                features: features(n).filter(|_| left),
                preferences: preferences("shoes").filter(|_| left && n.is_multiple_of(2)),
                vector: vector(n as f32).filter(|_| left),
            }
        };
        Self { epoch, rows: (0..3_000).map(row).collect() }
    }

    fn assert_held_by(&self, store: &dyn FeatureStore) {
        for row in &self.rows {
            let want = row.features.as_ref().map(|_| UserDocument {
                lineage: lineage("a"),
                epoch: row.epoch,
                features: row.features.clone(),
                preferences: row.preferences.clone(),
                vector: row.vector.clone(),
            });
            assert_eq!(store.get(&row.user).expect("read"), want, "{:?}", row.user);
        }
    }
}

impl UserRows for Rows {
    fn lineage(&self) -> Lineage {
        lineage("a")
    }

    fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    fn rows<'a>(
        &'a self,
        shard: u8,
        wanted: &'a dyn Fn(&UserId, Epoch) -> bool,
    ) -> Box<dyn Iterator<Item = UserRow> + 'a> {
        let of_shard = self.rows.iter().filter(move |row| row.user.hash().shard() == shard);
        Box::new(of_shard.filter(|row| wanted(&row.user, row.epoch)).cloned())
    }
}

fn watermarks_tell_how_far_it_is(make: MakeStore<'_>) {
    let store = Fixture(make());
    let marks = store.0.watermarks().expect("read");
    assert_eq!((marks.lineage(), marks.greatest()), (None, None));
    store.apply(7, &[FeatureWrite::Features(user("u1"), features(1))]);
    let marks = store.0.watermarks().expect("read");
    assert_eq!((marks.lineage(), marks.greatest()), (Some(lineage("a")), Some(Epoch(7))));
    assert_eq!(marks.of(marks.placement().shard(&user("u1"))), Some(Epoch(7)));
    assert_eq!(store.0.behind(), []);
}

fn a_refill_brings_every_row(make: MakeStore<'_>) {
    let (store, rows) = (make(), Rows::new(40));
    // Older values, and an erasure that the store missed.
    let old = |n: u32| FeatureWrite::Features(user(&format!("u{n}")), features(0));
    store.apply(lineage("a"), Epoch(0), &(0..30).map(old).collect::<Vec<_>>()).expect("applied");
    let report = refill(store.as_ref(), &rows).expect("refilled");
    assert!(report.rows >= 3_000 - 75, "{report:?}");
    rows.assert_held_by(store.as_ref());
    let marks = store.watermarks().expect("read");
    assert_eq!(marks.shards_behind(Epoch(40)), []);
    assert_eq!(store.watermark(), Some((lineage("a"), Epoch(40))));
    let again = refill(store.as_ref(), &rows).expect("refilled");
    assert_eq!((again.rows, again.shards), (0, 0));
}

fn a_refill_goes_never_back(make: MakeStore<'_>) {
    let (store, rows) = (Fixture(make()), Rows::new(40));
    refill(store.0.as_ref(), &rows).expect("refilled");
    store.apply(41, &[FeatureWrite::Features(user("u1"), features(99))]);
    let newer = store.get("u1");
    let late = UserRow { user: user("u1"), ..rows.rows[1].clone() };
    let shard = store.0.watermarks().expect("read").placement().shard(&late.user);
    let late = ShardRefill { shard, from: None, rows: vec![late] };
    store.0.refill(lineage("a"), Epoch(40), &[late]).expect("ignored");
    assert_eq!(store.get("u1"), newer);
    assert_eq!(store.0.watermark(), Some((lineage("a"), Epoch(41))));
    let stranger = Rows { rows: Vec::new(), epoch: 50 };
    let refused = store.0.refill(lineage("b"), stranger.epoch(), &[]);
    assert!(matches!(refused, Err(FeatureStoreError::OtherLineage { .. })));
}
