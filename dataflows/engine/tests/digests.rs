//! What a live engine records of its epochs: each once, durable before it is acknowledged, and held
//! against whatever is folded again.

mod support {
    pub(crate) mod pinned_log;
    pub(crate) mod running;
    pub(crate) mod shop;
}

use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::log::{Append, EventLog, ReadLimit};
use eddyline_dataflows::skip_record;
use eddyline_model::config::CoreConfig;
use eddyline_schemas::codec::{decode_epoch_digest, encode_epoch_digest};
use eddyline_schemas::delta::digest::{EpochDigest, chain_and_shards};
use eddyline_schemas::delta::placement::chain_after;
use eddyline_schemas::record::Digest;
use eddyline_schemas::topic::{Topic, TopicPartition};

use support::pinned_log::PinnedLog;
use support::running::{bind_all, refolded, started, wait_drained, wait_until};
use support::shop::Shop;

const DIGESTS: TopicPartition = TopicPartition { topic: Topic::Digests, partition: 0 };

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core
}

fn recorded(log: &dyn EventLog) -> Vec<EpochDigest> {
    let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let batch = log.read(DIGESTS, 0, limit).expect("memory never fails");
    let decode = |(_, record): &(u64, eddyline_schemas::record::Record)| {
        decode_epoch_digest(&record.value).expect("a recorded digest")
    };
    batch.records.iter().map(decode).collect()
}

fn append(log: &dyn EventLog, digest: &EpochDigest) {
    let value = Bytes::from(encode_epoch_digest(digest));
    let append = Append { partition: DIGESTS, key: Bytes::new(), value, headers: Vec::new() };
    log.append(vec![append]).expect("memory never fails");
}

#[test]
fn every_epoch_is_recorded_once_as_a_fold_from_the_start_finds_it() {
    let mut shop = Shop::new(31);
    let pinned = PinnedLog::holding(&shop.records(500));
    let log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&pinned);
    for _ in 0..3 {
        bind_all(&core(), &log, 50);
        let found = recorded(&*log);
        let (digest, epochs) = refolded(&core(), &log, 3, None).expect("folds");
        assert_eq!(found.len(), epochs.len(), "the lives before it are not recorded again");
        let mut chain = Digest::default();
        for (found, epoch) in found.iter().zip(&epochs) {
            let at = (epoch.epoch, epoch.logical_time);
            let (next, shards) = chain_and_shards(chain, at.0, at.1, &epoch.deltas);
            assert_eq!(next, chain_after(chain, at.0, at.1, &epoch.deltas));
            assert_eq!(*found, EpochDigest::of(epoch, shards));
            chain = next;
        }
        assert_eq!(found.last().map(|last| last.delta_digest), Some(digest.delta_digest));
        shop.records(200).iter().for_each(|stored| pinned.store(stored));
    }
}

#[test]
fn a_fold_that_differs_from_what_was_recorded_stops_the_engine() {
    let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(32).records(300));
    bind_all(&core(), &log, 50);
    let mut wrong = recorded(&*log)[2].clone();
    wrong.delta_digest = Digest::of(b"of another build");
    append(&*log, &wrong);
    let engine = started(&core(), &log, 50, Box::new(|_| {}));
    wait_until(&engine, "a stop", |engine| engine.status().failure.is_some());
    let failure = engine.status().failure.expect("it stopped");
    assert!(failure.contains("epoch 3 of lineage"), "{failure}");
    assert!(failure.contains(&wrong.delta_digest.to_string()), "{failure}");
    assert!(engine.status().committed_epoch < wrong.epoch, "it is not acknowledged");
}

#[test]
fn what_was_passed_over_since_is_recorded_anew() {
    let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(33).records(300));
    let before = bind_all(&core(), &log, 50);
    let at = TopicPartition { topic: Topic::ItemEvents, partition: 0 };
    skip_record(&log, at, 1).expect("nobody else claims anything");
    let engine = started(&core(), &log, 50, Box::new(|_| {}));
    wait_drained(&engine);
    let after = engine.shutdown().expect("nothing was wrong");
    assert_ne!(after.delta_digest, before.delta_digest);
    assert_eq!(recorded(&*log).last().map(|last| last.delta_digest), Some(after.delta_digest));
}
