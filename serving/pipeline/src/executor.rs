//! Runs the stages in order: sources, merge, filters, hydrators, scorers, selector.
//!
//! A source that has not started when the deadline passes is skipped and named, unless it is
//! essential; a source that runs is not interrupted, since all are short and synchronous. The stages after the sources
//! always run: an answer from fewer candidates beats none. The pool is in key order, so the
//! outcome does not depend on the order of proposals.

use std::time::Duration;

use crate::account::{Account, StageCount, StageTime};
use crate::stage::{Additions, Candidate, Filter, Hydrator, Pick, Scorer, Selector, Source};

/// The stages of a pipeline, each list in the order in which it runs.
pub struct Stages<'a, Q, C> {
    /// Propose.
    pub sources: &'a [&'a dyn Source<Q, C>],
    /// Drop; before the hydrators, so that only what stays is completed.
    pub filters: &'a [&'a dyn Filter<Q, C>],
    /// Complete.
    pub hydrators: &'a [&'a dyn Hydrator<Q, C>],
    /// Score.
    pub scorers: &'a [&'a dyn Scorer<Q, C>],
    /// Choose and order.
    pub selector: &'a dyn Selector<Q, C>,
}

/// Time since the request began, and when to stop asking sources.
pub struct Budget<'a> {
    /// Time since the request began; never falls.
    pub elapsed: &'a dyn Fn() -> Duration,
    /// Only essential sources start at or after this.
    pub sources: Duration,
}

/// What a run gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<C> {
    /// The scored candidates in key order.
    pub pool: Vec<C>,
    /// Their scores.
    pub scores: Vec<f32>,
    /// The chosen ones, best first.
    pub picks: Vec<Pick>,
    /// Counts and times.
    pub account: Account,
}

/// Runs `stages` for `query`.
pub fn run<Q, C: Candidate>(
    stages: &Stages<'_, Q, C>,
    query: &Q,
    budget: &Budget<'_>,
) -> Outcome<C> {
    let mut run = Run { account: Account::default(), budget, mark: (budget.elapsed)() };
    let mut pool = run.propose(stages.sources, query);
    run.merge(&mut pool);
    run.filter(stages.filters, query, &mut pool);
    for hydrator in stages.hydrators {
        hydrator.hydrate(query, &mut pool);
        run.lap(hydrator.name());
    }
    let mut scores = vec![0.0; pool.len()];
    for scorer in stages.scorers {
        scorer.score(query, &pool, &mut scores);
        run.lap(scorer.name());
    }
    run.account.scored = pool.len();
    let mut picks = stages.selector.select(query, &pool, &scores);
    keep_valid(&mut picks, pool.len());
    run.account.selected = picks.len();
    run.lap(stages.selector.name());
    Outcome { pool, scores, picks, account: run.account }
}

/// A run in progress.
struct Run<'a> {
    account: Account,
    budget: &'a Budget<'a>,
    mark: Duration,
}

impl Run<'_> {
    /// Books the time since the last mark under `stage`.
    fn lap(&mut self, stage: &'static str) {
        let now = (self.budget.elapsed)();
        self.account.times.push(StageTime { stage, time: now.saturating_sub(self.mark) });
        self.mark = now;
    }

    fn propose<Q, C>(&mut self, sources: &[&dyn Source<Q, C>], query: &Q) -> Vec<C> {
        let mut pool = Vec::new();
        for source in sources {
            let stage = source.name();
            if self.mark >= self.budget.sources && !source.is_essential() {
                self.account.skipped.push(stage);
                continue;
            }
            let before = pool.len();
            source.propose(query, &mut Additions::new(&mut pool));
            self.account.proposed.push(StageCount { stage, count: pool.len() - before });
            self.lap(stage);
        }
        pool
    }

    /// Joins proposals of equal key; the earlier proposal absorbs the later ones.
    fn merge<C: Candidate>(&mut self, pool: &mut Vec<C>) {
        let proposed = pool.len();
        pool.sort_by_key(Candidate::key);
        let mut merged: Vec<C> = Vec::with_capacity(proposed);
        for candidate in pool.drain(..) {
            match merged.last_mut() {
                Some(last) if last.key() == candidate.key() => last.absorb(candidate),
                _ => merged.push(candidate),
            }
        }
        *pool = merged;
        self.account.merged = proposed - pool.len();
        self.lap("merge");
    }

    fn filter<Q, C>(&mut self, filters: &[&dyn Filter<Q, C>], query: &Q, pool: &mut Vec<C>) {
        for filter in filters {
            let before = pool.len();
            pool.retain(|candidate| filter.keep(query, candidate));
            let count = before - pool.len();
            self.account.dropped.push(StageCount { stage: filter.name(), count });
        }
        self.lap("filter");
    }
}

/// Holds the selector to its contract: places within the pool, each once.
fn keep_valid(picks: &mut Vec<Pick>, pool: usize) {
    let mut taken = vec![false; pool];
    picks.retain(|pick| {
        let fresh = taken.get(pick.at).is_some_and(|taken| !taken);
        debug_assert!(fresh, "a selector picks places within the pool, each once");
        if fresh {
            taken[pick.at] = true;
        }
        fresh
    });
}
