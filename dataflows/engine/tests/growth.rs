//! Topics that get further partitions while an engine runs: they are read from their first record
//! on, listed from the next binding on, and what they made of the state is folded again.

mod support {
    pub(crate) mod accepted;
    pub(crate) mod contents;
    pub(crate) mod pinned_log;
    pub(crate) mod running;
    pub(crate) mod shop;
}

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use eddyline_connect::log::{
    Append, AppendError, AppendVersion, EventLog, ReadBatch, ReadError, ReadLimit,
};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

use support::accepted::accepted_bindings;
use support::pinned_log::{PinnedLog, Stored};
use support::running::{bind_all, refolded, started, wait_drained};
use support::shop::Shop;

/// A log of which one topic shows only its first partitions so far.
struct Growing {
    inner: Arc<PinnedLog>,
    user_events: AtomicU32,
}

impl Growing {
    fn check(&self, partition: TopicPartition) -> Result<(), ReadError> {
        let partitions = self.partitions(partition.topic);
        if partition.partition < partitions {
            return Ok(());
        }
        Err(ReadError::UnknownPartition { partition, partitions })
    }
}

impl EventLog for Growing {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        self.inner.append(batch)
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        self.check(partition)?;
        self.inner.read(partition, from, limit)
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.check(partition)?;
        self.inner.start_offset(partition)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.check(partition)?;
        self.inner.end_offset(partition)
    }

    fn partitions(&self, topic: Topic) -> u32 {
        match topic {
            Topic::UserEvents => self.user_events.load(Ordering::SeqCst),
            other => self.inner.partitions(other),
        }
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.inner.topic_id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.inner.wait(seen, timeout)
    }
}

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core
}

/// The records of a shop, those of user events in the first `partitions` only.
fn records(shop: &mut Shop, count: u64, partitions: u32) -> Vec<Stored> {
    let mut records = shop.records(count);
    for stored in &mut records {
        if stored.at.topic == Topic::UserEvents {
            stored.at.partition %= partitions;
        }
    }
    records
}

fn listed(log: &dyn EventLog) -> Vec<BTreeSet<TopicPartition>> {
    let bindings = accepted_bindings(log);
    let of = |binding: &eddyline_schemas::binding::Binding| {
        binding.ranges.iter().map(|range| range.partition).collect()
    };
    bindings.iter().map(of).collect()
}

#[test]
fn partitions_that_come_later_are_read_without_a_restart() {
    let mut shop = Shop::new(11);
    let pinned = PinnedLog::holding(&records(&mut shop, 400, 2));
    let growing = Arc::new(Growing { inner: Arc::clone(&pinned), user_events: AtomicU32::new(2) });
    let log: Arc<dyn EventLog> = Arc::<Growing>::clone(&growing);
    let engine = started(&core(), &log, 64, Box::new(|_| {}));
    wait_drained(&engine);
    let epochs_before = accepted_bindings(&*log).len();
    // Some records are there before the engine looks, some come after.
    records(&mut shop, 100, 4).iter().for_each(|stored| pinned.store(stored));
    growing.user_events.store(4, Ordering::SeqCst);
    for _ in 0..3 {
        records(&mut shop, 100, 4).iter().for_each(|stored| pinned.store(stored));
        wait_drained(&engine);
    }
    let counts = engine.status().counts;
    let digest = engine.shutdown().expect("it is in force");
    assert_eq!(counts.accepted, 800, "each record once");

    let new: BTreeSet<_> =
        (2..4).map(|partition| TopicPartition { topic: Topic::UserEvents, partition }).collect();
    let listed = listed(&*log);
    assert!(listed[..epochs_before].iter().all(|one| one.is_disjoint(&new)));
    let first = listed.iter().position(|one| !one.is_disjoint(&new)).expect("they were bound");
    assert!(listed[first].is_superset(&new), "the first binding that lists one lists both");
    for bound in &accepted_bindings(&*log)[first].ranges {
        assert!(!new.contains(&bound.partition) || bound.start == 0, "from its first record on");
    }
    for workers in [1, 2] {
        let (again, _) = refolded(&core(), &log, workers, None).expect("folds");
        assert_eq!(again, digest, "{workers} workers");
    }
    // A restart goes on behind them.
    records(&mut shop, 100, 4).iter().for_each(|stored| pinned.store(stored));
    let last = bind_all(&core(), &log, 64);
    let (again, epochs) = refolded(&core(), &log, 1, None).expect("folds");
    assert_eq!(again, last);
    assert_eq!(epochs.last().map(|epoch| epoch.counts.accepted), Some(900));
}

#[test]
fn a_partition_that_stays_empty_is_listed_too() {
    let mut shop = Shop::new(12);
    let pinned = PinnedLog::holding(&records(&mut shop, 100, 1));
    let growing = Arc::new(Growing { inner: Arc::clone(&pinned), user_events: AtomicU32::new(1) });
    let log: Arc<dyn EventLog> = Arc::<Growing>::clone(&growing);
    let engine = started(&core(), &log, 64, Box::new(|_| {}));
    wait_drained(&engine);
    growing.user_events.store(2, Ordering::SeqCst);
    let new = TopicPartition { topic: Topic::UserEvents, partition: 1 };
    // An idle log mints no epoch, so a record brings the partition in.
    let is_listed = || listed(&*log).iter().any(|one| one.contains(&new));
    for _ in 0..100 {
        records(&mut shop, 10, 1).iter().for_each(|stored| pinned.store(stored));
        wait_drained(&engine);
        if is_listed() {
            break;
        }
    }
    let times = listed(&*log).iter().filter(|one| one.contains(&new)).count();
    assert_eq!(times, 1, "once, empty");
}
