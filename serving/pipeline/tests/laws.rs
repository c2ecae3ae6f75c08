//! The laws of the pipeline, for any stages.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use eddyline_pipeline::executor::{Budget, Outcome, Stages, run};
use eddyline_pipeline::stage::{
    Additions, Candidate, Filter, Hydrator, Pick, Scorer, Selector, Source,
};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

#[derive(Clone, Debug, PartialEq)]
struct Number {
    value: u8,
    sources: u32,
    touched: u32,
}

impl Candidate for Number {
    type Key = u8;

    fn key(&self) -> u8 {
        self.value
    }

    fn absorb(&mut self, other: Self) {
        self.sources += other.sources;
    }
}

struct Listed(Vec<u8>);

impl Source<(), Number> for Listed {
    fn name(&self) -> &'static str {
        "listed"
    }

    fn propose(&self, (): &(), additions: &mut Additions<'_, Number>) {
        for &value in &self.0 {
            additions.add(Number { value, sources: 1, touched: 0 });
        }
    }
}

struct NotDivisibleBy(u8);

impl Filter<(), Number> for NotDivisibleBy {
    fn name(&self) -> &'static str {
        "not_divisible"
    }

    fn keep(&self, (): &(), candidate: &Number) -> bool {
        !candidate.value.is_multiple_of(self.0)
    }
}

struct Touch;

impl Hydrator<(), Number> for Touch {
    fn name(&self) -> &'static str {
        "touch"
    }

    fn hydrate(&self, (): &(), pool: &mut [Number]) {
        pool.iter_mut().for_each(|candidate| candidate.touched += 1);
    }
}

struct AddValue;

impl Scorer<(), Number> for AddValue {
    fn name(&self) -> &'static str {
        "add_value"
    }

    fn score(&self, (): &(), pool: &[Number], scores: &mut [f32]) {
        for (score, candidate) in scores.iter_mut().zip(pool) {
            *score += f32::from(candidate.value);
        }
    }
}

struct TopThree;

impl Selector<(), Number> for TopThree {
    fn name(&self) -> &'static str {
        "top_three"
    }

    fn select(&self, (): &(), pool: &[Number], scores: &[f32]) -> Vec<Pick> {
        let mut places: Vec<usize> = (0..pool.len()).collect();
        places.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        places.iter().take(3).map(|&at| Pick { at, propensity: 1.0 }).collect()
    }
}

/// Time passes by one millisecond at each look at the clock.
fn run_with(lists: &[Vec<u8>], divisors: &[u8], deadline_ms: u64) -> Outcome<Number> {
    let sources: Vec<Listed> = lists.iter().cloned().map(Listed).collect();
    let filters: Vec<NotDivisibleBy> = divisors.iter().copied().map(NotDivisibleBy).collect();
    let sources: Vec<&dyn Source<(), Number>> = sources.iter().map(|s| s as _).collect();
    let filters: Vec<&dyn Filter<(), Number>> = filters.iter().map(|f| f as _).collect();
    let stages = Stages {
        sources: &sources,
        filters: &filters,
        hydrators: &[&Touch],
        scorers: &[&AddValue, &AddValue],
        selector: &TopThree,
    };
    let now = Cell::new(0);
    let elapsed = || {
        now.set(now.get() + 1);
        Duration::from_millis(now.get())
    };
    run(&stages, &(), &Budget { elapsed: &elapsed, sources: Duration::from_millis(deadline_ms) })
}

fn lists() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..5)
}

fn divisors() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1u8..20, 0..4)
}

proptest! {
    /// Filters only remove, scorers and hydrators keep the set: the pool is the proposals that
    /// every filter keeps, each once.
    #[test]
    fn the_pool_is_the_kept_proposals(lists in lists(), divisors in divisors()) {
        let outcome = run_with(&lists, &divisors, u64::MAX);
        let mut want: BTreeMap<u8, u32> = BTreeMap::new();
        for &value in lists.iter().flatten() {
            if divisors.iter().all(|&divisor| value % divisor != 0) {
                *want.entry(value).or_default() += 1;
            }
        }
        let got = outcome.pool.iter().map(|candidate| (candidate.value, candidate.sources));
        prop_assert_eq!(got.collect::<BTreeMap<_, _>>(), want);
        prop_assert!(outcome.pool.iter().all(|candidate| candidate.touched == 1));
        prop_assert!(outcome.pool.is_sorted_by_key(|candidate| candidate.value));
    }

    #[test]
    fn counts_add_up(lists in lists(), divisors in divisors(), deadline in 0u64..8) {
        let outcome = run_with(&lists, &divisors, deadline);
        prop_assert!(outcome.account.is_conserved(), "{:?}", outcome.account);
        prop_assert_eq!(
            outcome.account.proposed.len() + outcome.account.skipped.len(),
            lists.len()
        );
    }

    #[test]
    fn scores_stay_with_their_candidates_and_only_the_selector_orders(lists in lists()) {
        let outcome = run_with(&lists, &[], u64::MAX);
        for (candidate, score) in outcome.pool.iter().zip(&outcome.scores) {
            prop_assert_eq!(*score, 2.0 * f32::from(candidate.value));
        }
        let picked: Vec<u8> = outcome.picks.iter().map(|pick| outcome.pool[pick.at].value).collect();
        let all: BTreeSet<u8> = lists.iter().flatten().copied().collect();
        let want: Vec<u8> = all.iter().rev().take(3).copied().collect();
        prop_assert_eq!(picked, want);
    }

    /// The order in which sources propose does not matter.
    #[test]
    fn sources_may_run_in_any_order(lists in lists()) {
        let mut reversed = lists.clone();
        reversed.reverse();
        let (a, b) = (run_with(&lists, &[3], u64::MAX), run_with(&reversed, &[3], u64::MAX));
        prop_assert_eq!(a.pool, b.pool);
        prop_assert_eq!(a.picks, b.picks);
    }
}

/// Always there.
struct Cheap;

impl Source<(), Number> for Cheap {
    fn name(&self) -> &'static str {
        "cheap"
    }

    fn is_essential(&self) -> bool {
        true
    }

    fn propose(&self, (): &(), additions: &mut Additions<'_, Number>) {
        additions.add(Number { value: 9, sources: 1, touched: 0 });
    }
}

#[test]
fn an_essential_source_runs_past_the_deadline() {
    let stages = Stages {
        sources: &[&Listed(vec![1]), &Cheap],
        filters: &[],
        hydrators: &[],
        scorers: &[&AddValue],
        selector: &TopThree,
    };
    let late = || Duration::from_secs(1);
    let outcome = run(&stages, &(), &Budget { elapsed: &late, sources: Duration::ZERO });
    assert_eq!(outcome.account.skipped, ["listed"]);
    assert_eq!(outcome.pool.iter().map(|c| c.value).collect::<Vec<_>>(), [9]);
}

#[test]
fn a_source_past_the_deadline_is_skipped_and_named() {
    // The clock reads 1 ms at the start and 2 ms after the first source.
    let outcome = run_with(&[vec![1, 2], vec![3], vec![4]], &[], 2);
    assert_eq!(outcome.account.skipped, ["listed", "listed"]);
    assert_eq!(outcome.pool.iter().map(|c| c.value).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(outcome.account.selected, 2, "what is there is answered");
}
