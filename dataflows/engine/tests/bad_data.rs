//! Whatever lies on the log, the engine goes on: bad records are dead letters, and every record
//! is counted exactly once (I10). Seeded; a failing seed is in the message.

mod support {
    pub(crate) mod accepted;
    pub(crate) mod contents;
    pub(crate) mod pinned_log;
    pub(crate) mod running;
    pub(crate) mod shop;
    pub(crate) mod slow_intake;
}

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::log::EventLog;
use eddyline_dataflows::{BoundContent, EngineError, for_each_record};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{CONTENT_TYPE, PROTOBUF};
use eddyline_schemas::topic::{Topic, TopicPartition};

use support::pinned_log::{PinnedLog, Stored};
use support::running::{bind_all, refolded};
use support::shop::Shop;
use support::slow_intake::{SlowEpoch, slow_epochs};

const RECORDS: u64 = 2_000;

/// Texts that stand in the way of a careless reader.
const NASTY: [&str; 8] = ["\"", "{", "}", ",", "null", "-1e999", "99999999999999999999", "\\ud800"];

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core.factors.replays = 1;
    core.quality.sample_one_in = 2;
    core
}

/// SplitMix64 (Steele et al., OOPSLA 2014).
struct Damage(u64);

impl Damage {
    fn draw(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below.max(1) as u64) as usize
    }

    fn partition(&mut self) -> TopicPartition {
        let topic = Topic::INPUTS[self.draw(3)];
        let partitions = [2, 1, 4][Topic::INPUTS.iter().position(|t| *t == topic).unwrap_or(0)];
        TopicPartition { topic, partition: self.draw(partitions) as u32 }
    }

    /// Does to a valid record what networks, disks and other people's producers do.
    fn damage(&mut self, stored: &mut Stored) {
        let mut value = stored.record.value.to_vec();
        match self.draw(9) {
            0 => value = (0..self.draw(300)).map(|_| self.draw(256) as u8).collect(),
            1 => value.truncate(self.draw(value.len())),
            2 => (0..=self.draw(4)).for_each(|_| self.flip(&mut value)),
            3 => {
                let text = NASTY[self.draw(NASTY.len())];
                let at = self.draw(value.len());
                value.splice(at..at, text.bytes());
            }
            4 => {
                let (from, to) = (self.draw(value.len()), self.draw(value.len()));
                value.drain(from.min(to)..from.max(to));
            }
            5 => stored.at = self.partition(),
            6 => stored.record.headers.clear(),
            7 => {
                let protobuf = Bytes::from_static(PROTOBUF);
                stored.record.headers.push((CONTENT_TYPE.to_owned(), protobuf));
            }
            _ => value.extend_from_within(..),
        }
        stored.record.value = Bytes::from(value);
    }

    fn flip(&mut self, value: &mut [u8]) {
        let at = self.draw(value.len());
        let bit = self.draw(8);
        if let Some(byte) = value.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }
}

/// What is listed as a dead letter is what the fold has counted as one.
fn listed(log: &Arc<dyn EventLog>, last: &EpochDeltas, seed: u64) {
    let (mut events, mut letters, mut places) = (0, 0, Vec::new());
    let walked = for_each_record(log, (Epoch(0), None), |bound| {
        places.push((bound.epoch, bound.at.topic.name(), bound.at.partition, bound.offset));
        match bound.content {
            BoundContent::Event(_) => events += 1,
            BoundContent::DeadLetter(_) => letters += 1,
            BoundContent::Skipped | BoundContent::Erased => panic!("nobody asked for that"),
        }
        Ok::<(), EngineError>(())
    });
    walked.expect("bad data stops nothing");
    assert!(places.is_sorted_by(|one, next| one < next), "seed {seed}");
    assert_eq!((events + letters, letters), (last.counts.accepted, last.counts.dead_letter));
}

fn check(seed: u64) {
    let mut damage = Damage(seed);
    let mut records = Shop::new(seed).records(RECORDS);
    for stored in &mut records {
        if damage.draw(4) > 0 {
            damage.damage(stored);
        }
    }
    let log: Arc<dyn EventLog> = PinnedLog::holding(&records);
    let lived = bind_all(&core(), &log, 100);
    let (again, epochs) = refolded(&core(), &log, 3, None).expect("bad data stops nothing");
    assert_eq!(again, lived, "seed {seed}");
    listed(&log, &epochs[epochs.len() - 1], seed);
    let slow = slow_epochs(&*log, &core());
    assert_eq!(slow.len(), epochs.len(), "seed {seed}");
    for (epoch, slow) in epochs.iter().zip(&slow) {
        assert!(epoch.counts.is_conserved(), "seed {seed}, I10 at {}", epoch.epoch);
        assert_eq!(epoch.counts, slow.counts, "seed {seed}, epoch {}", epoch.epoch);
        assert_eq!(epoch.logical_time, slow.logical_time, "seed {seed}, epoch {}", epoch.epoch);
        check_actors(epoch, slow);
        for delta in &epoch.deltas {
            assert!(is_finite(delta), "seed {seed}, epoch {}: {delta:?}", epoch.epoch);
        }
    }
    let counts = epochs.last().expect("the stream has epochs").counts;
    assert_eq!(counts.accepted, RECORDS, "seed {seed}");
    assert!(counts.dead_letter > 500 && counts.applied > 300, "seed {seed}: {counts:?}");
}

/// Whoever acts is documented in the same epoch, at a logical time that covers the event.
fn check_actors(epoch: &EpochDeltas, slow: &SlowEpoch) {
    let of = |delta: &Delta| match delta {
        Delta::UserFeatures { user, .. } => Some(user.clone()),
        _ => None,
    };
    let documented: BTreeSet<UserId> = epoch.deltas.iter().filter_map(of).collect();
    for fresh in slow.fresh.iter().filter(|fresh| fresh.at.topic != Topic::ItemEvents) {
        let actor = fresh.event.actor().expect("the validator asks for one");
        assert!(documented.contains(actor), "{actor} in epoch {}", epoch.epoch);
        assert!(fresh.time <= slow.logical_time, "epoch {}", epoch.epoch);
    }
}

fn is_finite(delta: &Delta) -> bool {
    match delta {
        Delta::ItemVector { vector: row, .. } | Delta::ItemContext { context: row, .. } => {
            row.iter().all(|value| value.is_finite())
        }
        Delta::UserVector { vector, .. } => {
            vector.iter().flat_map(|row| row.iter()).all(|value| value.is_finite())
        }
        Delta::Popularity { popularity, .. } => {
            popularity.short.mantissa.is_finite() && popularity.long.mantissa.is_finite()
        }
        Delta::Covisitation { list, .. } => {
            list.total.is_finite() && list.neighbours.iter().all(|(_, w)| w.is_finite())
        }
        Delta::Gate { values } => values.iter().all(|value| value.is_finite()),
        Delta::Item { .. } | Delta::UserFeatures { .. } | Delta::UserPreferences { .. } => true,
    }
}

#[test]
fn the_engine_survives_any_record_and_counts_it_once() {
    (1..=4).for_each(check);
}
