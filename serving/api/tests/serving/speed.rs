//! How long an answer and an epoch take; `cargo test --release -p eddyline-serving --test serving
//! -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_schemas::delta::Delta;
use eddyline_serving::contract::{RecommendRequest, Retrieval};
use eddyline_serving::recommend::Recommender;

use crate::shop::{Shop, epoch, features, features_of, popularity, prefers, user};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The deltas of so many events: each moves an item, its rows and a user.
fn busy(shop: &Shop, number: u32, events: u32) -> Vec<Delta> {
    let mut deltas = Vec::new();
    let first = number * 7_919;
    let mut items: Vec<u32> = (0..events).map(|k| (first + k * k) % shop.items).collect();
    items.sort_unstable();
    items.dedup();
    for k in items {
        deltas.extend(shop.rows(k));
        deltas.push(popularity(k, shop.items + number));
    }
    for k in 0..events {
        let name = format!("user-{}", first.wrapping_add(k));
        let vector = shop.row(k % 4, k);
        deltas.push(Delta::UserVector { user: user(&name), vector: Some(vector) });
        deltas.push(features_of(&name, features(&[k % shop.items], &[k % shop.items], &[])));
        deltas.push(prefers(&name, "Books"));
    }
    deltas
}

#[test]
#[ignore = "a benchmark: only meaningful in release"]
fn benchmark_of_answers_and_epochs() {
    for items in [10_000, 30_000] {
        let shop = Shop { items, dim: 128 };
        let state = Arc::new(shop.open());
        let recommender = Recommender::new(Arc::clone(&state));
        let history: Vec<u32> = (0..20).map(|k| k * 37).collect();
        let user_deltas =
            vec![features_of("u", features(&history, &history, &[])), prefers("u", "Books")];
        state.apply(epoch(2, user_deltas)).expect("the next epoch");
        let request = RecommendRequest {
            user_id: Some(user("u")),
            retrieval: Retrieval::Exact,
            ..RecommendRequest::default()
        };
        let ask = || {
            let begun = Instant::now();
            let answer = recommender.recommend(&request).expect("a valid request");
            assert_eq!(answer.items.len(), 20);
            begun.elapsed()
        };
        let timings = recommender.recommend(&request).expect("a valid request").timings;
        println!("{items} x 128: answer {:.1?}", median((0..500).map(|_| ask()).collect()));
        for stage in timings {
            println!("  {} {} us", stage.stage, stage.micros);
        }
        let apply = |number: u32| {
            let deltas = epoch(u64::from(number), busy(&shop, number, 1_024));
            let begun = Instant::now();
            state.apply(deltas).expect("the next epoch");
            (begun.elapsed(), state.progress().exclusive)
        };
        let (whole, exclusive) = (3..203).map(apply).unzip();
        println!(
            "{items} x 128: epoch of 1,024 {:.1?}, answers wait {:.1?}",
            median(whole),
            median(exclusive)
        );
    }
}
