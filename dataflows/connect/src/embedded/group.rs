//! Group commit: callers that come while a commit is under way share the next one.
//!
//! The first caller to find no leader leads: it takes everybody's requests, commits them as one
//! without holding the lock, and hands out the results. A caller alone pays no thread switch; the
//! queue is bounded by the number of callers, each of which has one request at most.

use std::collections::HashMap;

use parking_lot::{Condvar, Mutex};

/// See the module doc. `Q` is a request, `R` its result.
pub(super) struct GroupCommit<Q, R> {
    state: Mutex<State<Q, R>>,
    changed: Condvar,
}

struct State<Q, R> {
    next_ticket: u64,
    queue: Vec<(u64, Q)>,
    results: HashMap<u64, R>,
    has_leader: bool,
    /// A leader panicked: nobody knows what was written.
    is_broken: bool,
}

impl<Q, R> Default for GroupCommit<Q, R> {
    fn default() -> Self {
        let state = State {
            next_ticket: 0,
            queue: Vec::new(),
            results: HashMap::new(),
            has_leader: false,
            is_broken: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<Q, R> GroupCommit<Q, R> {
    /// Queues `request` and blocks until it is committed, by this thread or by another. `commit`
    /// returns one result per request, in their order. `None` when a leader panicked.
    pub(super) fn submit(&self, request: Q, commit: impl FnOnce(Vec<Q>) -> Vec<R>) -> Option<R> {
        let mut state = self.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push((ticket, request));
        loop {
            if let Some(result) = state.results.remove(&ticket) {
                return Some(result);
            }
            if state.is_broken {
                return None;
            }
            if !state.has_leader {
                break;
            }
            self.changed.wait(&mut state);
        }
        state.has_leader = true;
        let (tickets, group): (Vec<u64>, Vec<Q>) =
            std::mem::take(&mut state.queue).into_iter().unzip();
        drop(state);
        let reign = Reign { group: self, is_over: false };
        let results = commit(group);
        debug_assert_eq!(results.len(), tickets.len(), "one result per request");
        reign.end(tickets, results, ticket)
    }
}

/// The time of one leader; ends also when it panics.
struct Reign<'a, Q, R> {
    group: &'a GroupCommit<Q, R>,
    is_over: bool,
}

impl<Q, R> Reign<'_, Q, R> {
    /// Hands out the results; returns the leader's own.
    fn end(mut self, tickets: Vec<u64>, results: Vec<R>, own: u64) -> Option<R> {
        let mut state = self.group.state.lock();
        state.results.extend(tickets.into_iter().zip(results));
        state.has_leader = false;
        let result = state.results.remove(&own);
        drop(state);
        self.is_over = true;
        self.group.changed.notify_all();
        result
    }
}

impl<Q, R> Drop for Reign<'_, Q, R> {
    fn drop(&mut self) {
        if !self.is_over {
            self.group.state.lock().is_broken = true;
            self.group.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn callers_share_commits_and_get_their_own_results() {
        let group = GroupCommit::default();
        let commits = AtomicUsize::new(0);
        let all_started = Barrier::new(8);
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (group, commits, all_started) = (&group, &commits, &all_started);
                scope.spawn(move || {
                    all_started.wait();
                    for round in 0..200 {
                        let request = thread * 1_000 + round;
                        let got = group.submit(request, |requests| {
                            commits.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            requests.into_iter().map(|request| request * 2).collect()
                        });
                        assert_eq!(got, Some(request * 2));
                    }
                });
            }
        });
        assert!(commits.load(Ordering::SeqCst) <= 1_600);
        assert!(group.state.lock().results.is_empty());
    }

    #[test]
    fn a_leader_that_panics_strands_nobody() {
        let group = GroupCommit::<u8, u8>::default();
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| group.submit(1, |_| panic!("on purpose")));
            assert!(leader.join().is_err());
        });
        assert_eq!(group.submit(2, |requests| requests), None);
    }
}
