//! Two lineages side by side: whatever is switched while somebody asks, every answer is one that a
//! lineage gives alone at that epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_serving::contract::{RecommendRequest, RecommendResponse, Retrieval};
use eddyline_serving::state::{ServingConfig, ServingState};
use eddyline_serving::switch::Switch;

use crate::shop::{CATEGORIES, Shop, epoch, features, features_of, user};

const SHOP: Shop = Shop { items: 120, dim: 16 };
const EPOCHS: u64 = 60;
const SWITCHES: usize = 1_000;
const USERS: [&str; 2] = ["u", "nobody"];

/// The first lineage or the second: other rows, other users.
fn config(which: u32) -> ServingConfig {
    let mut config = SHOP.config();
    config.core.seed = u64::from(which);
    config
}

fn lineage(which: u32) -> Lineage {
    config(which).core.lineage()
}

fn deltas(which: u32, number: u64) -> EpochDeltas {
    let mut deltas = if number == 1 { SHOP.first().deltas } else { Vec::new() };
    let at = number as u32 + which;
    // Items move to another category's axis in turn, and the user with them.
    let turn = CATEGORIES.len() as u32;
    let moved = (0..SHOP.items).filter(|k| k % 7 == at % 7);
    let rows: Vec<_> = moved.flat_map(|k| SHOP.rows_of(k, (k + at) % turn)).collect();
    deltas.retain(|old| rows.iter().all(|new| old.cmp_key(new).is_ne()));
    deltas.extend(rows);
    let history = [at * 13 % SHOP.items, at * 5 % SHOP.items];
    deltas.push(features_of("u", features(&history, &history, &[])));
    EpochDeltas { lineage: lineage(which), ..epoch(number, deltas) }
}

fn request(of: &str) -> RecommendRequest {
    let user_id = Some(user(of));
    RecommendRequest { user_id, retrieval: Retrieval::Exact, ..RecommendRequest::default() }
}

/// All that an answer says, but for its name and its times.
fn said(answer: &RecommendResponse) -> String {
    let model = (answer.model.lineage, answer.model.epoch, answer.model.user_epoch);
    format!("{:?} {model:?} {:?}", answer.items, answer.fallback)
}

type Alone = BTreeMap<(Lineage, Epoch, &'static str), String>;

/// What each lineage answers alone at each epoch.
fn alone() -> Alone {
    let mut answers = Alone::new();
    for which in [1, 2] {
        let switch = Switch::new(Arc::new(ServingState::new(config(which))));
        for number in 1..=EPOCHS {
            let recommender = switch.active();
            recommender.state().apply(deltas(which, number)).expect("the next epoch");
            for of in USERS {
                let answer = recommender.recommend(&request(of)).expect("a valid request");
                answers.insert((lineage(which), Epoch(number), of), said(&answer));
            }
        }
    }
    answers
}

#[test]
fn answers_never_mix_lineages() {
    let want = alone();
    let differ = (1..=EPOCHS).filter(|number| {
        let of = |which| &want[&(lineage(which), Epoch(*number), "u")];
        of(1).split(" (").next() != of(2).split(" (").next()
    });
    assert!(differ.count() > EPOCHS as usize / 2, "the lineages answer differently");
    let states = [1, 2].map(|which| Arc::new(ServingState::new(config(which))));
    for (which, state) in (1..).zip(&states) {
        state.apply(deltas(which, 1)).expect("the first epoch");
    }
    let switch = Switch::new(Arc::clone(&states[0]));
    switch.add(Arc::clone(&states[1]));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let askers: Vec<_> =
            USERS.map(|of| scope.spawn(|| ask(&switch, of, &want, &is_over))).into();
        for turn in 0..SWITCHES {
            assert!(switch.activate(lineage(turn as u32 % 2 + 1)));
            if turn.is_multiple_of(SWITCHES / EPOCHS as usize) {
                let number = states[0].progress().epoch.next().0;
                if number <= EPOCHS {
                    for (which, state) in (1..).zip(&states) {
                        state.apply(deltas(which, number)).expect("the next epoch");
                    }
                }
            }
            std::thread::yield_now();
        }
        is_over.store(true, Ordering::Release);
        for asker in askers {
            let (asked, lineages, epochs) = asker.join().expect("all answers were right");
            println!("{asked} answers of {lineages:?} at {} epochs", epochs.len());
            assert!(lineages.len() == 2 && epochs.len() > 1, "{lineages:?} {epochs:?}");
        }
    });
}

/// Asks until it is over; how often, which lineages answered, and at which epochs.
fn ask(
    switch: &Switch,
    of: &'static str,
    want: &Alone,
    is_over: &AtomicBool,
) -> (usize, BTreeSet<Lineage>, BTreeSet<Epoch>) {
    let (mut asked, mut lineages, mut epochs) = (0, BTreeSet::new(), BTreeSet::new());
    while !is_over.load(Ordering::Acquire) {
        let answer = switch.active().recommend(&request(of)).expect("a valid request");
        let lineage = answer.model.lineage.expect("there were epochs");
        assert_eq!(said(&answer), want[&(lineage, answer.model.epoch, of)]);
        lineages.insert(lineage);
        epochs.insert(answer.model.epoch);
        asked += 1;
    }
    (asked, lineages, epochs)
}
