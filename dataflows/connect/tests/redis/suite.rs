//! The conformance suite, in protobuf and JSON, single and cluster, active and candidate.

use std::sync::atomic::{AtomicU32, Ordering};

use eddyline_connect::conformance;
use eddyline_connect::features::{FeatureStoreOptions, open_features};
use eddyline_schemas::codec::StoredEncoding;
use eddyline_schemas::lineage::Lineage;
use eddyline_schemas::record::Digest;

/// Options under a namespace that no other store has.
pub(crate) fn fresh(encoding: StoredEncoding) -> FeatureStoreOptions {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let namespace = format!("test-{}-{number}:", std::process::id());
    // The suite compares values; the machine under it may stall.
    let read_budget = std::time::Duration::from_secs(5);
    FeatureStoreOptions { namespace, encoding, read_budget, ..FeatureStoreOptions::default() }
}

pub(crate) fn url_of(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server"))
}

fn conforms(variable: &str, encoding: StoredEncoding) {
    let url = url_of(variable);
    conformance::feature_store::run(&|| open_features(&url, &fresh(encoding)).expect("a store"));
}

#[test]
#[ignore = "needs a server in EDDYLINE_TEST_REDIS"]
fn redis_conforms() {
    conforms("EDDYLINE_TEST_REDIS", StoredEncoding::Protobuf);
}

#[test]
#[ignore = "needs a server in EDDYLINE_TEST_REDIS"]
fn redis_conforms_with_json() {
    conforms("EDDYLINE_TEST_REDIS", StoredEncoding::Json);
}

#[test]
#[ignore = "needs a cluster in EDDYLINE_TEST_REDIS_CLUSTER"]
fn redis_cluster_conforms() {
    conforms("EDDYLINE_TEST_REDIS_CLUSTER", StoredEncoding::Protobuf);
}

#[test]
#[ignore = "needs a server in EDDYLINE_TEST_REDIS"]
fn a_candidate_is_apart_from_the_active_lineage() {
    let url = url_of("EDDYLINE_TEST_REDIS");
    let options = fresh(StoredEncoding::Protobuf);
    let other = Lineage::root(Digest::of(b"candidate"));
    let aside = FeatureStoreOptions { candidate: Some(other), ..options.clone() };
    let history = crate::history::History::of(20);
    let active = open_features(&url, &options).expect("a store");
    active
        .apply(crate::history::lineage(), eddyline_schemas::lineage::Epoch(1), &history.writes(1))
        .expect("applied");
    let candidate = open_features(&url, &aside).expect("a store");
    assert_eq!(candidate.watermark(), None);
    candidate.apply(other, eddyline_schemas::lineage::Epoch(9), &[]).expect("applied");
    history.users.iter().for_each(|user| {
        assert_eq!(candidate.get(user).expect("read"), None);
    });
    history.assert_held(active.as_ref(), 1);
}
