//! Epochs are applied whole, in order, once; and an answer is of one epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eddyline_schemas::delta::Delta;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_serving::contract::{
    PopularityWindow, RecommendRequest, RecommendResponse, Retrieval, Returns,
};
use eddyline_serving::recommend::Recommender;
use eddyline_serving::state::{ApplyError, ServingState};

use crate::shop::{
    Shop, catalogue, deletion, document, epoch, features, features_of, item, item_id, popularity,
    prefers, user,
};

const SHOP: Shop = Shop { items: 40, dim: 16 };

#[test]
fn a_gap_a_repeat_and_a_step_back_are_refused() {
    let state = SHOP.open();
    for wrong in [0, 1, 3, 99] {
        let refused = state.apply(epoch(wrong, vec![deletion(1)]));
        assert!(matches!(refused, Err(ApplyError::NotNext { .. })), "{wrong} gave {refused:?}");
    }
    assert_eq!((state.progress().epoch, state.progress().items), (Epoch(1), 40));
    state.apply(epoch(2, vec![deletion(1)])).expect("the next epoch");
    assert_eq!((state.progress().epoch, state.progress().items), (Epoch(2), 39));
}

#[test]
fn the_first_epoch_may_be_any_and_the_lineage_stays() {
    let state = ServingState::new(SHOP.config());
    state.apply(epoch(41, vec![catalogue(0)])).expect("the first epoch may be any");
    let mut other = epoch(42, vec![]);
    other.lineage = Lineage::root(Digest::of(b"another"));
    assert!(matches!(state.apply(other), Err(ApplyError::OtherLineage { .. })));
    state.apply(epoch(42, vec![])).expect("the next epoch of the same lineage");
}

#[test]
fn deltas_that_contradict_the_state_change_nothing() {
    let state = SHOP.open();
    let row = |values: Vec<f32>| vec![Delta::ItemVector { item: item(0), vector: values.into() }];
    let wrong = [
        vec![catalogue(40), popularity(41, 1)],
        row(vec![f32::NAN; 16]),
        row(vec![1.0; 32]),
        vec![Delta::UserVector { user: user("u"), vector: Some([f32::INFINITY; 16].into()) }],
        vec![Delta::Gate { values: [1.0, 2.0].into() }],
    ];
    for mut deltas in wrong {
        deltas.push(features_of("u", features(&[1], &[1], &[])));
        let shown = format!("{deltas:?}");
        let refused = state.apply(epoch(2, deltas));
        assert!(matches!(refused, Err(ApplyError::Malformed { .. })), "{shown} gave {refused:?}");
    }
    assert_eq!((state.progress().epoch, state.progress().items), (Epoch(1), 40));
    assert_eq!(state.users().get(&user("u")).expect("the store is in memory"), None);
}

#[test]
fn an_erased_user_leaves_nothing_behind() {
    let state = Arc::new(SHOP.open());
    let vector = Some(SHOP.row(1, 1));
    let known = vec![
        features_of("u", features(&[1], &[1], &[])),
        prefers("u", "Garden"),
        Delta::UserVector { user: user("u"), vector },
    ];
    state.apply(epoch(2, known)).expect("the next epoch");
    assert!(state.users().get(&user("u")).expect("in memory").is_some());
    let erased = vec![
        Delta::UserFeatures { user: user("u"), features: None },
        Delta::UserPreferences { user: user("u"), preferences: Arc::default() },
        Delta::UserVector { user: user("u"), vector: None },
    ];
    state.apply(epoch(3, erased)).expect("the next epoch");
    assert_eq!(state.users().get(&user("u")).expect("in memory"), None);
    let recommender = Recommender::new(state);
    let request = RecommendRequest { user_id: Some(user("u")), ..Default::default() };
    let answer = recommender.recommend(&request).expect("a valid request");
    assert_eq!(answer.fallback.map(|f| f.reason), Some("unknown_user"));
}

#[test]
fn who_waits_for_an_epoch_is_told() {
    let state = SHOP.open();
    let mut told = state.subscribe();
    assert_eq!(told.borrow_and_update().epoch, Epoch(1));
    state.apply(epoch(2, vec![])).expect("an idle epoch");
    assert!(told.has_changed().expect("the state is alive"));
    assert_eq!(told.borrow_and_update().epoch, Epoch(2));
}

#[test]
fn a_change_of_the_catalogue_moves_an_item_between_lists() {
    let state = Arc::new(SHOP.open());
    let recommender = Recommender::new(Arc::clone(&state));
    let books = |count: usize| -> Vec<String> {
        let list = recommender.popular(PopularityWindow::Day, Some("Books"), count);
        let items = list.expect("a count in range").items;
        items.iter().map(|item| item.item_id.to_string()).collect()
    };
    assert_eq!(books(3), ["item-0", "item-4", "item-8"], "popular items of the category");
    let mut moved = document(0);
    moved.categories = vec!["Garden".to_owned()];
    let moved = match catalogue(0) {
        Delta::Item { item, id, first_seen, .. } => {
            Delta::Item { item, id, first_seen, document: Some(Arc::new(moved)), deleted: false }
        }
        other => other,
    };
    state.apply(epoch(2, vec![moved, deletion(4)])).expect("the next epoch");
    assert_eq!(books(2), ["item-8", "item-12"]);
    assert!(recommender.item(&item_id(4)).is_err(), "a deleted item is not found");
    state.apply(epoch(3, vec![catalogue(0), catalogue(4)])).expect("the next epoch");
    assert_eq!(books(3), ["item-0", "item-4", "item-8"], "what comes back has its old standing");
    let above = recommender.popular(PopularityWindow::Month, Some("Music"), 1).expect("in range");
    assert_eq!(above.items[0].item_id, item_id(2), "a category holds what is below it");
    let unknown = recommender.popular(PopularityWindow::Day, Some("Nothing"), 5).expect("in range");
    assert!(unknown.items.is_empty());
}

#[test]
fn a_large_catalogue_is_served_from_a_graph_and_a_small_one_is_not() {
    let shop = Shop { items: 600, dim: 16 };
    let mut config = shop.config();
    config.index.exact_up_to = 500;
    let state = Arc::new(shop.open_with(config));
    let recommender = Recommender::new(Arc::clone(&state));
    assert_eq!(state.index_name(), "exact", "nothing is built yet");
    state.refresh_index();
    assert_eq!(state.index_name(), "hnsw");
    let mut request = RecommendRequest { seed_items: vec![item_id(9)], ..Default::default() };
    let walked = recommender.recommend(&request).expect("a valid request");
    request.retrieval = Retrieval::Exact;
    let scanned = recommender.recommend(&request).expect("a valid request");
    let ids = |answer: &RecommendResponse| -> Vec<String> {
        answer.items.iter().map(|item| item.item_id.to_string()).collect()
    };
    assert_eq!(ids(&walked), ids(&scanned), "500 of 600 candidates hold the best 20");
    state.refresh_index();
    assert_eq!(state.index_name(), "hnsw", "a fresh graph is kept");
}

/// Every epoch renames every item and re-writes the user; an answer that mixed epochs would show.
#[test]
fn an_answer_is_of_one_epoch() {
    let state = Arc::new(SHOP.open());
    let recommender = Recommender::new(Arc::clone(&state));
    let named = |k: u32, number: u64| match catalogue(k) {
        Delta::Item { item, id, first_seen, deleted, .. } => {
            let mut row = document(k);
            row.title = Some(number.to_string());
            Delta::Item { item, id, first_seen, deleted, document: Some(Arc::new(row)) }
        }
        other => other,
    };
    let write = |number: u64| {
        let mut deltas: Vec<Delta> = (0..40).map(|k| named(k, number)).collect();
        deltas.push(features_of("u", features(&[(number % 40) as u32], &[], &[])));
        state.apply(epoch(number, deltas)).expect("the next epoch");
    };
    write(2);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (3..400).for_each(write);
            done.store(true, Ordering::Release);
        });
        let returns = Returns { attributes: vec!["title".to_owned()], ..Returns::default() };
        let request = RecommendRequest { user_id: Some(user("u")), returns, ..Default::default() };
        let mut last = Epoch(0);
        while !done.load(Ordering::Acquire) {
            let answer = recommender.recommend(&request).expect("a valid request");
            assert!(answer.model.epoch >= last, "answers never go back");
            last = answer.model.epoch;
            assert_eq!(answer.model.user_epoch, Some(last));
            assert!(!answer.items.is_empty());
            for item in &answer.items {
                assert_eq!(item.attributes["title"], last.to_string());
            }
        }
    });
}
