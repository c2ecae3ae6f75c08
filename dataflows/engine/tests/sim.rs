//! The simulator finds nothing wrong with the protocol, and every bug that is planted in it.

use eddyline_dataflows::sim::{Outcome, Plant, run};

/// Schedules of one test run; the binary runs thousands (`eddyline bench crashes`).
const SCHEDULES: u64 = 600;
/// Within so many schedules each planted bug must show.
const TO_FIND: u64 = 300;

#[test]
fn schedules_of_faults_end_in_the_state_of_a_fault_free_run() {
    let mut sum = Outcome::default();
    for seed in 0..SCHEDULES {
        let outcome = run(seed, None);
        assert!(!outcome.is_mismatch(), "seed {seed}: {outcome:?}");
        sum.crashes += outcome.crashes;
        sum.faults += outcome.faults;
        sum.zombies += outcome.zombies;
        sum.epochs += outcome.epochs;
    }
    // A simulator in which nothing happens finds nothing either.
    assert!(sum.crashes > SCHEDULES, "{sum:?}");
    assert!(sum.faults > 4 * SCHEDULES, "{sum:?}");
    assert!(sum.zombies > SCHEDULES / 4, "{sum:?}");
    assert!(sum.epochs > 5 * SCHEDULES, "{sum:?}");
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in [3, 10, 17] {
        assert_eq!(run(seed, None), run(seed, None));
    }
}

#[test]
fn every_planted_bug_is_found() {
    for plant in Plant::ALL {
        let found = (0..TO_FIND).find(|&seed| run(seed, Some(plant)).is_mismatch());
        assert!(found.is_some(), "{} was not found in {TO_FIND} schedules", plant.name());
        println!("{}: seed {}", plant.name(), found.expect("it was found"));
        assert_eq!(Plant::from_name(plant.name()), Some(plant));
    }
}
