//! What holds of every answer, whatever the user touched and the request says.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use eddyline_serving::contract::{
    Diversity, RecommendRequest, RecommendResponse, Retrieval, Returns,
};
use eddyline_serving::recommend::Recommender;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

use crate::shop::{Shop, deletion, epoch, features, features_of, item_id, user};

const ITEMS: u32 = 120;

#[derive(Clone, Debug)]
struct Case {
    history: Vec<u32>,
    seen: Vec<u32>,
    disliked: Vec<u32>,
    deleted: Vec<u32>,
    excluded: Vec<u32>,
    seeds: Vec<u32>,
    num_results: usize,
    exploration: f32,
    max_per_category: usize,
    exclude_seen: bool,
}

fn some(most: usize) -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0..ITEMS, 0..most)
}

fn case() -> impl Strategy<Value = Case> {
    let user = (some(8), some(60), some(20), some(20));
    let request = (some(10), some(3), 1usize..60, 0.0f32..=1.0, 1usize..8, any::<bool>());
    (user, request).prop_map(|((history, seen, disliked, deleted), request)| {
        let (excluded, seeds, num_results, exploration, max_per_category, exclude_seen) = request;
        Case {
            history,
            seen,
            disliked,
            deleted,
            excluded,
            seeds,
            num_results,
            exploration,
            max_per_category,
            exclude_seen,
        }
    })
}

impl Case {
    fn recommender(&self) -> Recommender {
        let state = Shop { items: ITEMS, dim: 16 }.open();
        let mut deltas =
            vec![features_of("u", features(&self.history, &self.seen, &self.disliked))];
        deltas.extend(BTreeSet::from_iter(&self.deleted).into_iter().map(|k| deletion(*k)));
        state.apply(epoch(2, deltas)).expect("the next epoch");
        Recommender::new(Arc::new(state))
    }

    fn request(&self, retrieval: Retrieval) -> RecommendRequest {
        let ids = |all: &[u32]| all.iter().map(|k| item_id(*k)).collect();
        let (max_per_category, exploration) = (self.max_per_category, self.exploration);
        RecommendRequest {
            user_id: Some(user("u")),
            num_results: self.num_results,
            seed_items: ids(&self.seeds),
            exclude_items: ids(&self.excluded),
            exclude_seen: self.exclude_seen,
            diversity: Diversity { max_per_category, exploration },
            returns: Returns { trace: true, ..Returns::default() },
            retrieval,
            ..RecommendRequest::default()
        }
    }

    fn forbidden(&self) -> BTreeSet<u32> {
        let mut forbidden: BTreeSet<u32> = self.disliked.iter().copied().collect();
        forbidden.extend(self.deleted.iter().chain(&self.excluded).chain(&self.seeds));
        if self.exclude_seen {
            forbidden.extend(&self.seen);
        }
        forbidden
    }
}

fn shown(answer: &RecommendResponse) -> Vec<(String, u32, u32, Vec<&'static str>)> {
    let bits = |score: f32| score.to_bits();
    let one = |item: &eddyline_serving::contract::RecommendedItem| {
        (item.item_id.to_string(), bits(item.score), bits(item.propensity), item.sources.clone())
    };
    answer.items.iter().map(one).collect()
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]

    #[test]
    fn every_answer_is_allowed_ranked_and_full(case in case()) {
        let recommender = case.recommender();
        let answer = recommender.recommend(&case.request(Retrieval::Auto)).expect("a valid request");
        let forbidden = case.forbidden();
        let names: BTreeSet<String> = forbidden.iter().map(|k| item_id(*k).to_string()).collect();
        let mut distinct = BTreeSet::new();
        for (at, item) in answer.items.iter().enumerate() {
            prop_assert!(!names.contains(item.item_id.as_str()), "{} is forbidden", item.item_id);
            prop_assert!(distinct.insert(item.item_id.clone()), "{} is there twice", item.item_id);
            prop_assert_eq!(item.rank, at as u32 + 1);
            prop_assert!(item.score.is_finite());
            prop_assert!(item.propensity > 0.0 && item.propensity <= 1.0);
            prop_assert!(!item.sources.is_empty());
            let weight: f32 = item.explanations.iter().map(|reason| reason.weight).sum();
            prop_assert!((weight - 1.0).abs() < 1e-4, "shares of reasons add up to {weight}");
        }
        // The shop is smaller than the sources' quotas: only what is forbidden is missing.
        let allowed = ITEMS as usize - forbidden.len();
        prop_assert_eq!(answer.items.len(), case.num_results.min(allowed));
        let trace = answer.trace.as_ref().expect("a trace was asked for");
        prop_assert_eq!(trace.scored, allowed);
    }

    #[test]
    fn the_same_state_gives_the_same_answer(case in case()) {
        let (a, b) = (case.recommender(), case.recommender());
        let ask = |from: &Recommender, retrieval| {
            shown(&from.recommend(&case.request(retrieval)).expect("a valid request"))
        };
        prop_assert_eq!(ask(&a, Retrieval::Auto), ask(&a, Retrieval::Auto));
        prop_assert_eq!(ask(&a, Retrieval::Auto), ask(&b, Retrieval::Auto));
        prop_assert_eq!(ask(&a, Retrieval::Auto), ask(&b, Retrieval::Exact));
    }

    #[test]
    fn without_exploration_and_caps_scores_only_fall(case in case()) {
        let mut request = case.request(Retrieval::Auto);
        request.diversity = Diversity { max_per_category: 500, exploration: 0.0 };
        let answer = case.recommender().recommend(&request).expect("a valid request");
        prop_assert!(answer.items.is_sorted_by(|a, b| a.score >= b.score));
        prop_assert!(answer.items.iter().all(|item| item.propensity == 1.0));
    }
}

/// A filter holds for every answer, and whatever fits it can be found.
#[test]
fn a_filter_is_kept_and_does_not_starve_the_answer() {
    static SHOP: LazyLock<Recommender> =
        LazyLock::new(|| Recommender::new(Arc::new(Shop { items: 2_000, dim: 16 }.open())));
    for seeds in [vec![], vec![item_id(3)]] {
        let request = RecommendRequest {
            filter: Some("NOT in_stock AND price < 200 AND category IN ('Music')".to_owned()),
            seed_items: seeds,
            num_results: 50,
            ..RecommendRequest::default()
        };
        let answer = SHOP.recommend(&request).expect("a valid request");
        let mut got: Vec<u32> =
            answer.items.iter().map(|item| number(item.item_id.as_str())).collect();
        got.sort_unstable();
        let want: Vec<u32> = (0..200).filter(|k| k % 10 == 0 && k % 4 == 2).collect();
        assert_eq!(got, want);
    }
}

fn number(id: &str) -> u32 {
    id.trim_start_matches("item-").parse().expect("the shop's ids end in a number")
}
