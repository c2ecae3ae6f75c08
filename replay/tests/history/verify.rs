//! A replay that differs from what was recorded is found at the first epoch and place.

use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::log::{Append, EventLog};
use eddyline_connect::objects::{MemoryObjects, ObjectStore};
use eddyline_replay::ReplayError;
use eddyline_replay::recorded::Recorded;
use eddyline_replay::verify::{Verified, Verify, verify};
use eddyline_schemas::codec::encode_epoch_digest;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Digest;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::live::{archive_all, archived, core};
use crate::support::pinned_log::PinnedLog;
use crate::support::running::bind_all;
use crate::support::shop::Shop;

fn verified(log: &Arc<dyn EventLog>, until: Option<Epoch>) -> Result<Verified, ReplayError> {
    verify(&core(), log, Verify { from: None, until, workers: 2.into() }, |_, _| {})
}

/// Says of an epoch something else than live did, in one shard; which.
fn tamper(log: &dyn EventLog, epoch: Epoch) -> u8 {
    let recorded = Recorded::read(log, core().lineage()).expect("it can be read");
    let mut digest = recorded.whole(log, epoch).expect("read").expect("it was recorded");
    digest.delta_digest = Digest::of(b"something else");
    let (shard, low) = digest.shards.pop().expect("every epoch of this shop changes something");
    digest.shards.push((shard, low ^ 1));
    let partition = TopicPartition { topic: Topic::Digests, partition: 0 };
    let value = Bytes::from(encode_epoch_digest(&digest));
    let append = Append { partition, key: Bytes::new(), value, headers: Vec::new() };
    log.append(vec![append]).expect("memory never fails");
    shard
}

#[test]
fn the_first_epoch_that_differs_is_named_with_its_shards() {
    let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(51).records(400));
    let live = bind_all(&core(), &log, 40);
    let sound = verified(&log, None).expect("it folds");
    assert_eq!((sound.equal, &sound.mismatch, sound.state), (live.epoch.0, &None, live));
    tamper(&*log, Epoch(6));
    let shard = tamper(&*log, Epoch(4));
    let objects: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
    archive_all(&log, &objects, 100).expect("it is archived");
    for history in [log, archived(&objects)] {
        let found = verified(&history, None).expect("it folds");
        let mismatch = found.mismatch.expect("it was tampered with");
        assert_eq!((mismatch.recorded.epoch, mismatch.folded.epoch), (Epoch(4), Epoch(4)));
        assert_eq!(mismatch.recorded.differing_shards(&mismatch.folded), [shard]);
        assert_eq!(found.equal, 3);
        assert_eq!(verified(&history, Some(Epoch(3))).expect("it folds").mismatch, None);
    }
}

#[test]
fn what_was_recorded_under_another_configuration_is_no_proof() {
    let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(52).records(100));
    bind_all(&core(), &log, 40);
    let mut other = core();
    other.seed += 1;
    let how = Verify { from: None, until: None, workers: 1.into() };
    let refused = verify(&other, &log, how, |_, _| {}).expect_err("it has no digests");
    let (ours, theirs) = (other.lineage(), core().lineage());
    assert_eq!(
        refused.to_string(),
        format!(
            "no digest of lineage {ours} was recorded; there are digests of lineage {theirs}: use \
             its [core]"
        )
    );
}
