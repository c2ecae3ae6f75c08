//! What is answered from a feature store beside the process, and when it is not.

use std::sync::Arc;

use eddyline_connect::features::mirror::user_writes;
use eddyline_connect::features::{
    EmbeddedFeatureStore, FeatureStore, FeatureStoreError, FeatureWrite, ShardRefill, StoreShard,
    UserDocument, Watermarks,
};
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_serving::contract::RecommendError;
use eddyline_serving::recommend::Recommender;

use crate::shop::{Shop, epoch, features, features_of, user};

const SHOP: Shop = Shop { items: 40, dim: 16 };

/// State at epoch 3, where `u` has seen more than in epoch 2, with `store` beside it.
fn recommender(store: Arc<dyn FeatureStore>) -> Recommender {
    let state = SHOP.open().beside(Some(store));
    for (number, seen) in [(2, &[1][..]), (3, &[2, 1][..])] {
        let deltas = epoch(number, vec![features_of("u", features(seen, seen, &[]))]);
        state.apply(deltas).expect("the next epoch");
    }
    Recommender::new(Arc::new(state))
}

fn store_at(lineage: Lineage) -> EmbeddedFeatureStore {
    let store = EmbeddedFeatureStore::new();
    let deltas = epoch(2, vec![features_of("u", features(&[1], &[1], &[]))]);
    store.apply(lineage, Epoch(2), &user_writes(&deltas)).expect("memory does not fail");
    store
}

#[test]
fn a_stored_document_is_of_its_own_epoch() {
    let lineage = epoch(1, vec![]).lineage;
    let recommender = recommender(Arc::new(store_at(lineage)));
    let stored = recommender.stored_features(&user("u")).expect("it is there");
    let held = recommender.user_features(&user("u")).expect("known");
    assert_eq!((stored.model.user_epoch, held.model.user_epoch), (Some(Epoch(2)), Some(Epoch(3))));
    assert_eq!((stored.recent_views.len(), held.recent_views.len()), (1, 2));
    assert_eq!((stored.fallback, held.fallback), (None, None));
    let nobody = recommender.stored_features(&user("nobody"));
    assert!(matches!(nobody, Err(RecommendError::UnknownUser(_))));
}

#[test]
fn a_store_that_cannot_be_used_is_named_and_memory_answers() {
    let of_others = store_at(Lineage::root(Digest::of(b"another history")));
    let cases: [(Arc<dyn FeatureStore>, &str); 2] = [
        (Arc::new(of_others), "feature_store_other_lineage"),
        (Arc::new(Down), "feature_store_unavailable"),
    ];
    for (store, reason) in cases {
        let recommender = recommender(store);
        let answer = recommender.stored_features(&user("u")).expect("memory knows the user");
        let fallback = answer.fallback.expect("labelled");
        assert_eq!((fallback.tier, fallback.reason), ("in_process", reason));
        assert_eq!(answer.model.user_epoch, Some(Epoch(3)));
    }
}

/// A server that never answers.
struct Down;

fn down<T>() -> Result<T, FeatureStoreError> {
    Err(FeatureStoreError::Unavailable("down".into()))
}

impl FeatureStore for Down {
    fn get(&self, _: &UserId) -> Result<Option<UserDocument>, FeatureStoreError> {
        down()
    }

    fn apply(&self, _: Lineage, _: Epoch, _: &[FeatureWrite]) -> Result<(), FeatureStoreError> {
        down()
    }

    fn watermark(&self) -> Option<(Lineage, Epoch)> {
        None
    }

    fn watermarks(&self) -> Result<Watermarks, FeatureStoreError> {
        down()
    }

    fn refill(&self, _: Lineage, _: Epoch, _: &[ShardRefill]) -> Result<(), FeatureStoreError> {
        down()
    }

    fn behind(&self) -> Vec<StoreShard> {
        Vec::new()
    }

    fn users(&self) -> Option<u64> {
        None
    }

    fn approximate_bytes(&self) -> Option<u64> {
        None
    }
}
