//! Answers for people who read them: cold starts, reasons, lists, documents, refusals.

use std::sync::Arc;

use eddyline_schemas::delta::Delta;
use eddyline_schemas::id::ItemId;
use eddyline_schemas::lineage::Epoch;
use eddyline_serving::contract::{
    Diversity, PopularityWindow, ReasonKind, RecommendError, RecommendRequest, RecommendResponse,
    Returns,
};
use eddyline_serving::recommend::Recommender;

use crate::shop::{
    CATEGORIES, Shop, document, epoch, features, features_of, item, item_id, prefers, user,
};

const SHOP: Shop = Shop { items: 400, dim: 16 };

fn ranking() -> RecommendRequest {
    let diversity = Diversity { max_per_category: 500, exploration: 0.0 };
    RecommendRequest { diversity, num_results: 10, ..RecommendRequest::default() }
}

fn open(deltas: Vec<Delta>) -> Recommender {
    let state = SHOP.open();
    state.apply(epoch(2, deltas)).expect("the next epoch");
    Recommender::new(Arc::new(state))
}

fn ids(answer: &RecommendResponse) -> Vec<String> {
    answer.items.iter().map(|item| item.item_id.to_string()).collect()
}

/// Share of the answer that is of the category of item `k`.
fn share_like(answer: &RecommendResponse, k: u32) -> f32 {
    let number = |id: &ItemId| id.as_str()[5..].parse::<u32>().expect("item-<number>");
    let like = answer.items.iter().filter(|item| number(&item.item_id) % 4 == k % 4).count();
    like as f32 / answer.items.len() as f32
}

#[test]
fn a_user_never_seen_gets_what_is_popular_and_is_told_so() {
    let recommender = open(vec![]);
    let request = RecommendRequest { user_id: Some(user("nobody")), ..ranking() };
    let answer = recommender.recommend(&request).expect("a valid request");
    let fallback = answer.fallback.expect("a popular answer says so");
    assert_eq!((fallback.tier, fallback.reason), ("popular", "unknown_user"));
    let want: Vec<String> = (0..10).map(|k| format!("item-{k}")).collect();
    assert_eq!(ids(&answer), want);
    assert_eq!(answer.model.user_epoch, None);
}

#[test]
fn one_event_later_it_is_related() {
    let recommender = open(vec![features_of("u", features(&[203], &[203], &[]))]);
    let request = RecommendRequest { user_id: Some(user("u")), ..ranking() };
    let answer = recommender.recommend(&request).expect("a valid request");
    assert_eq!(answer.fallback, None);
    assert!(share_like(&answer, 203) >= 0.8, "{:?}", ids(&answer));
    let first = &answer.items[0];
    assert_eq!(first.item_id, item_id(207), "what follows the item comes first");
    let reason = &first.explanations[0];
    assert_eq!((reason.kind, &reason.item_id), (ReasonKind::BecauseViewed, &Some(item_id(203))));
    assert_eq!(reason.text, "Because you viewed Item 203");
    assert_eq!(answer.model.user_epoch, Some(Epoch(2)));
}

#[test]
fn a_seed_stands_for_a_visitor_without_a_history() {
    let recommender = open(vec![]);
    let request = RecommendRequest { seed_items: vec![item_id(101)], ..ranking() };
    let answer = recommender.recommend(&request).expect("a valid request");
    assert_eq!(answer.fallback.map(|f| (f.tier, f.reason)), Some(("session", "no_user")));
    assert!(share_like(&answer, 101) >= 0.8, "{:?}", ids(&answer));
    let anonymous = RecommendRequest {
        user_id: Some(user("nobody")),
        anonymous_id: Some(user("visitor")),
        ..ranking()
    };
    let recommender = open(vec![features_of("visitor", features(&[101], &[], &[]))]);
    let answer = recommender.recommend(&anonymous).expect("a valid request");
    assert_eq!(answer.fallback, None, "the anonymous history counts for an unknown user");
}

/// Item 400 is new, in a category, and nobody touched it: its vector is the category's centroid.
#[test]
fn a_new_item_with_a_category_is_recommended_before_anyone_touched_it() {
    let mut row = document(402);
    row.title = Some("Brand new record".to_owned());
    let new = Delta::Item {
        item: item(402),
        id: item_id(402),
        document: Some(Arc::new(row)),
        first_seen: (Epoch(2), 0),
        deleted: false,
    };
    let vector = Delta::ItemVector { item: item(402), vector: SHOP.row(2, 9_999) };
    let fan = features_of("fan", features(&[2, 6], &[2, 6], &[]));
    let recommender = open(vec![new, vector, fan, prefers("fan", CATEGORIES[2])]);
    let mut request = RecommendRequest { user_id: Some(user("fan")), num_results: 30, ..ranking() };
    let answer = recommender.recommend(&request).expect("a valid request");
    let found =
        answer.items.iter().find(|one| one.item_id == item_id(402)).expect("it is answered");
    assert!(found.sources.contains(&"new") && found.sources.contains(&"content"));
    assert!(found.explanations.iter().any(|why| why.kind == ReasonKind::New));
    request.user_id = Some(user("nobody"));
    request.filter = Some("category = 'Music' AND price > 398".to_owned());
    let answer = recommender.recommend(&request).expect("a valid request");
    assert_eq!(ids(&answer), ["item-402"]);

    let like = recommender.similar(&item_id(402), 10).expect("the item exists");
    assert_eq!(like.fallback.map(|f| f.tier), Some("content"));
    assert_eq!(like.items.len(), 10);
    let newest = recommender.new_items(2).expect("a count in range");
    assert_eq!(newest.items[0].item_id, item_id(402));
}

#[test]
fn similar_items_are_of_a_kind_and_never_the_item_itself() {
    let recommender = open(vec![]);
    let like = recommender.similar(&item_id(20), 12).expect("the item exists");
    assert_eq!(like.items[0].item_id, item_id(24), "what follows it is most alike");
    assert!(like.items.iter().all(|one| one.item_id != item_id(20)));
    assert!(like.items.iter().all(|one| one.attributes["category"][0] == CATEGORIES[0]));
    assert_eq!(like.fallback, None);
}

#[test]
fn the_caps_hold_and_the_asked_attributes_are_shown() {
    let recommender = open(vec![features_of("u", features(&[203], &[203], &[]))]);
    let returns =
        Returns { attributes: vec!["price".into(), "nothing".into()], ..Returns::default() };
    let diversity = Diversity { max_per_category: 3, exploration: 0.0 };
    let request = RecommendRequest { user_id: Some(user("u")), returns, diversity, ..ranking() };
    let answer = recommender.recommend(&request).expect("a valid request");
    assert_eq!(share_like(&answer, 203), 0.3, "{:?}", ids(&answer));
    let shown = &answer.items[0].attributes;
    assert_eq!(shown.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["price"]);
}

#[test]
fn exploration_shows_others_and_says_how_likely_that_was() {
    let recommender = open(vec![features_of("u", features(&[203], &[203], &[]))]);
    let mut request = RecommendRequest { user_id: Some(user("u")), num_results: 40, ..ranking() };
    let pure = recommender.recommend(&request).expect("a valid request");
    request.diversity.exploration = 0.3;
    let explored = recommender.recommend(&request).expect("a valid request");
    assert_ne!(ids(&pure), ids(&explored));
    let rare = explored.items.iter().filter(|item| item.propensity < 0.05).count();
    assert!((4..=24).contains(&rare), "about 12 of 40 places explore, got {rare}");
}

#[test]
fn a_request_that_is_late_is_answered_from_what_is_cheap_and_says_so() {
    let mut config = SHOP.config();
    config.source_budget = std::time::Duration::ZERO;
    let state = SHOP.open_with(config);
    let known = features_of("u", features(&[203], &[203], &[]));
    state.apply(epoch(2, vec![known])).expect("the next epoch");
    let returns = Returns { trace: true, ..Returns::default() };
    let request = RecommendRequest { user_id: Some(user("u")), returns, ..ranking() };
    let answer = Recommender::new(Arc::new(state)).recommend(&request).expect("a valid request");
    assert_eq!(
        answer.fallback.map(|f| (f.tier, f.reason)),
        Some(("partial", "sources_past_deadline"))
    );
    assert_eq!(answer.trace.as_ref().expect("it was asked for").skipped, ["collaborative", "new"]);
    assert_eq!(answer.items.len(), 10);
    assert!(share_like(&answer, 203) >= 0.8, "{:?}", ids(&answer));
}

#[test]
fn user_documents_name_items_by_id() {
    let recommender =
        open(vec![features_of("u", features(&[5, 1], &[5, 1], &[])), prefers("u", CATEGORIES[1])]);
    let shown = recommender.user_features(&user("u")).expect("the user is known");
    assert_eq!(shown.recent_views, [item_id(5), item_id(1)]);
    assert_eq!(shown.preferences.categories, ["Garden"]);
    assert_eq!(shown.preferences.price_range, Some([1.0, 9.0]));
    assert_eq!(shown.session_context.expect("the visit goes on").page_views_in_session, 2);
    let json =
        serde_json::to_value(recommender.item(&item_id(5)).expect("it exists")).expect("json");
    assert_eq!(json["attributes"]["title"], "Item 5");
    let unknown = recommender.user_features(&user("nobody"));
    assert_eq!(unknown, Err(RecommendError::UnknownUser(user("nobody"))));
}

#[test]
fn requests_out_of_range_are_refused_by_pointer() {
    let recommender = open(vec![]);
    let refused = |change: &dyn Fn(&mut RecommendRequest)| {
        let mut request = ranking();
        change(&mut request);
        match recommender.recommend(&request) {
            Err(RecommendError::Invalid { pointer, .. }) => pointer,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&|request| request.num_results = 0), "/num_results");
    assert_eq!(refused(&|request| request.num_results = 501), "/num_results");
    assert_eq!(refused(&|r| r.diversity.exploration = f32::NAN), "/diversity/exploration");
    assert_eq!(refused(&|r| r.diversity.max_per_category = 0), "/diversity/max_per_category");
    assert_eq!(refused(&|r| r.seed_items = vec![item_id(1); 101]), "/seed_items");
    let unread = RecommendRequest { filter: Some("price <".to_owned()), ..ranking() };
    let unread = recommender.recommend(&unread);
    assert!(matches!(unread, Err(RecommendError::UnsupportedFilter { at: 7, .. })), "{unread:?}");
    assert!(recommender.popular(PopularityWindow::Day, None, 0).is_err());
    assert!(recommender.similar(&item_id(9_999), 5).is_err());
}

#[test]
fn the_request_is_the_published_json() {
    let text = r#"{"user_id":"u42","anonymous_id":null,"session_id":"s9","context":"homepage",
        "num_results":20,"seed_items":[],"filter":"in_stock","exclude_items":["sku-7"],
        "exclude_seen":true,"diversity":{"max_per_category":5,"exploration":0.1},
        "return":{"attributes":["title","price"],"explanations":true,"trace":false},
        "consistency":{"after":"token","max_wait_ms":50}}"#;
    let request: RecommendRequest = serde_json::from_str(text).expect("the published example");
    assert_eq!(request.exclude_items.len(), 1);
    let empty: RecommendRequest = serde_json::from_str("{}").expect("all members are optional");
    assert_eq!(empty, RecommendRequest::default());
    assert!(serde_json::from_str::<RecommendRequest>(r#"{"num_result":3}"#).is_err());
    let answer = open(vec![]).recommend(&empty).expect("a valid request");
    let json = serde_json::to_value(&answer).expect("an answer is JSON");
    for member in [
        "recommendation_id",
        "items",
        "experiment",
        "model",
        "fallback",
        "next_page_token",
        "request_id",
    ] {
        assert!(json.get(member).is_some(), "{member} is missing in {json}");
    }
    assert!(json.get("timings").is_none(), "times go into a header");
}
