//! How fast, printed: `cargo test --release … -- --ignored --nocapture speed`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_connect::features::refill::refill;
use eddyline_connect::features::{FeatureStore, FeatureWrite, open_features};
use eddyline_schemas::codec::StoredEncoding;
use eddyline_schemas::features::{UserFeatures, UserPreferences};
use eddyline_schemas::id::{ItemRef, UserId};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::time::TimestampMs;

use crate::history::{History, lineage};
use crate::suite::{fresh, url_of};

const USERS: usize = 20_000;
/// Users that an epoch changes.
const PER_EPOCH: usize = 1_000;

/// Features, preferences and a vector of 64 numbers.
fn document(user: &UserId, epoch: u64) -> [FeatureWrite; 3] {
    let items =
        |n: u32| (0..n).map(|i| ItemRef::new(i as u8, i + epoch as u32)).collect::<Vec<_>>();
    let features = UserFeatures {
        recent_views: items(10),
        history: items(30),
        history_length: epoch,
        seen: items(60).into(),
        last_updated: TimestampMs(1_772_366_400_000),
        expires_at: TimestampMs(1_772_971_200_000),
        ..UserFeatures::default()
    };
    let list = |name: &str| (Arc::from(name), 3);
    let preferences = UserPreferences {
        categories: vec![list("shoes"), list("jackets"), list("hats")],
        brands: vec![list("eddy")],
    };
    [
        FeatureWrite::Vector(user.clone(), Some(Arc::from(vec![0.25; 64]))),
        FeatureWrite::Features(user.clone(), Some(Arc::new(features))),
        FeatureWrite::Preferences(user.clone(), Some(Arc::new(preferences))),
    ]
}

fn measure(name: &str, store: &dyn FeatureStore) {
    let history = History::of(USERS);
    let filling = Instant::now();
    refill(store, &History { users: Vec::new() }.at(0)).expect("filled");
    println!("{name}: 16,384 watermarks set and read in {:?}", filling.elapsed());
    let epochs: Vec<Vec<FeatureWrite>> = (0..3 * USERS / PER_EPOCH)
        .map(|at| {
            let users = history.users.iter().cycle().skip(at * PER_EPOCH).take(PER_EPOCH);
            users.flat_map(|user| document(user, at as u64 + 1)).collect()
        })
        .collect();
    let writing = Instant::now();
    for (epoch, writes) in (1..).zip(&epochs) {
        store.apply(lineage(), Epoch(epoch), writes).expect("applied");
    }
    let documents = (epochs.len() * PER_EPOCH) as f64;
    let rate = documents / writing.elapsed().as_secs_f64();
    let mut took: Vec<Duration> = history
        .users
        .iter()
        .map(|user| {
            let began = Instant::now();
            assert!(store.get(user).expect("read").is_some());
            began.elapsed()
        })
        .collect();
    took.sort();
    let at = |share: usize| took[took.len() * share / 1_000];
    println!(
        "{name}: {rate:.0} documents/s of 4 keys, {PER_EPOCH} an epoch; get p50 {:?}, p99 {:?}, p99.9 {:?}",
        at(500),
        at(990),
        at(999),
    );
}

fn memory(url: &str) -> u64 {
    let client = redis::Client::open(url).expect("a URL");
    let info: String = redis::cmd("INFO")
        .arg("memory")
        .query(&mut client.get_connection().expect("it runs"))
        .expect("info");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.expect("it says so").parse().expect("a number")
}

#[test]
#[ignore = "needs a server in EDDYLINE_TEST_REDIS"]
fn speed_of_a_server() {
    let url = url_of("EDDYLINE_TEST_REDIS");
    let before = memory(&url);
    let store = open_features(&url, &fresh(StoredEncoding::Protobuf)).expect("a store");
    measure("single", store.as_ref());
    let bytes = (memory(&url) - before) / USERS as u64;
    println!("single: {bytes} bytes of server memory per user, keys and watermarks included");
}

#[test]
#[ignore = "needs a cluster in EDDYLINE_TEST_REDIS_CLUSTER"]
fn speed_of_a_cluster() {
    let url = url_of("EDDYLINE_TEST_REDIS_CLUSTER");
    let store = open_features(&url, &fresh(StoredEncoding::Protobuf)).expect("a store");
    measure("cluster", store.as_ref());
}
