//! Random histories: writers that start anew from an older state, repeat and race each other, and
//! a server that loses everything, against the pure function of [`History`].

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::features::open::open_redis;
use eddyline_connect::features::redis::RedisFeatureStore;
use eddyline_connect::features::refill::refill;
use eddyline_connect::features::{FeatureStore, FeatureStoreError, FeatureStoreOptions};
use eddyline_schemas::lineage::Epoch;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use proptest::test_runner::TestRunner;

use crate::history::{History, lineage};
use crate::server::Server;

#[derive(Clone, Debug)]
enum Step {
    /// Writer 0 or 1 applies its next epochs.
    Advance(usize, u64),
    /// It applies what it applied so many epochs ago once more.
    Repeat(usize, u64),
    /// It is replaced by a process that starts from a state so many epochs back.
    Restart(usize, u64),
    /// The server loses everything, and nobody is told.
    Lose,
    /// A writer compares the whole store with its state.
    Refill(usize),
    /// A writer's process reads this user.
    Read(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, 1..4_u64).prop_map(|(who, by)| Step::Advance(who, by)),
        3 => (0..2_usize, 0..5_u64).prop_map(|(who, back)| Step::Repeat(who, back)),
        2 => (0..2_usize, 0..6_u64).prop_map(|(who, back)| Step::Restart(who, back)),
        1 => Just(Step::Lose),
        1 => (0..2_usize).prop_map(Step::Refill),
        4 => (0..2_usize, any::<usize>()).prop_map(|(who, user)| Step::Read(who, user)),
    ]
}

struct Process {
    store: Arc<RedisFeatureStore>,
    /// The epoch of its state.
    at: u64,
}

impl Process {
    fn start(server: &Server, history: &History, at: u64) -> Self {
        let options = FeatureStoreOptions {
            check_every: Duration::from_secs(3_600),
            read_budget: Duration::from_secs(5),
            ..FeatureStoreOptions::default()
        };
        let store = open_redis(&server.url(), &options).expect("a store");
        refill(store.as_ref(), &history.at(at)).expect("filled");
        Self { store, at }
    }

    fn apply(&self, history: &History, epoch: u64) {
        let writes = history.writes(epoch);
        self.store.apply(lineage(), Epoch(epoch), &writes).expect("applied");
    }

    /// What is read is the value of some epoch, not before the own state and not of the future.
    fn read(&self, history: &History, user: usize, newest: u64) {
        let user = &history.users[user % history.users.len()];
        match self.store.get(user) {
            Err(FeatureStoreError::Behind(_)) => {}
            Err(error) => panic!("{error}"),
            Ok(document) => {
                let of = |epoch| History::document(user, epoch) == document;
                assert!((self.at..=newest).any(of), "{user} of no epoch in {}..={newest}", self.at);
            }
        }
    }
}

fn run(server: &Server, history: &History, steps: &[Step]) {
    server.flush();
    let mut processes = [0, 1].map(|_| Process::start(server, history, 0));
    let mut newest = 0;
    for step in steps {
        match *step {
            Step::Advance(who, by) => {
                for _ in 0..by {
                    processes[who].at += 1;
                    processes[who].apply(history, processes[who].at);
                }
                newest = newest.max(processes[who].at);
            }
            Step::Repeat(who, back) => {
                let from = processes[who].at.saturating_sub(back).max(1);
                (from..=processes[who].at).for_each(|epoch| processes[who].apply(history, epoch));
            }
            Step::Restart(who, back) => {
                let at = processes[who].at.saturating_sub(back);
                processes[who] = Process::start(server, history, at);
            }
            Step::Lose => server.flush(),
            Step::Refill(who) => {
                refill(processes[who].store.as_ref(), &history.at(processes[who].at))
                    .expect("done");
            }
            Step::Read(who, user) => processes[who].read(history, user, newest),
        }
    }
    let [first, second] = processes;
    let (mut last, other) = if first.at >= second.at { (first, second) } else { (second, first) };
    while last.at < newest {
        last.at += 1;
        last.apply(history, last.at);
    }
    refill(last.store.as_ref(), &history.at(newest)).expect("refilled");
    // The loser's late writes change nothing.
    (1..=other.at).for_each(|epoch| other.apply(history, epoch));
    history.assert_held(last.store.as_ref(), newest);
}

#[test]
#[ignore = "needs redis-server"]
fn random_interleavings_end_at_the_values_of_the_model() {
    let (server, history) = (Server::start(&[]), History::crowded(12));
    let config =
        ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let ran = TestRunner::new(config).run(&vec(step(), 1..24), |steps| {
        run(&server, &history, &steps);
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
}
