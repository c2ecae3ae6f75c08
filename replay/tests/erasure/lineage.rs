//! Replay over erased rows: as if what is erased had never been valid. Oracle: a log on which the
//! same records are broken, bound in the same epochs.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_connect::objects::ObjectStore;
use eddyline_replay::archive::{Catalogue, Nonce, erase, requests};
use eddyline_replay::verify::{Verified, Verify, verify_erased};
use eddyline_replay::{descended, erased_from};
use eddyline_schemas::binding::{BindingFold, BindingRecord, BoundRange};
use eddyline_schemas::codec::{decode_binding, encode_binding, encode_epoch_digest};
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Offset, RangeDigest, Record};
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::live::{archived, core};
use crate::support::pinned_log::{PinnedLog, Stored};
use crate::support::rebind::rebind;
use crate::support::running::refolded;
use crate::support::story::{Story, VISITOR, all_rows};

const BINDINGS: TopicPartition = TopicPartition { topic: Topic::Bindings, partition: 0 };
const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

fn erased_story() -> (Story, Vec<Epoch>) {
    let story = Story::told(120);
    let mut catalogue = story.catalogue();
    let subjects = requests(&*story.objects, &catalogue).expect("it is whole");
    erase(&*story.objects, &mut catalogue, &subjects, Nonce([1; 16])).expect("memory never fails");
    (story, catalogue.erasures().to_vec())
}

/// The records as they were sent, those that are erased broken; bound as live bound them.
fn broken(story: &Story) -> Arc<dyn EventLog> {
    let rows = all_rows(&*story.objects);
    let gone: BTreeSet<(TopicPartition, Offset)> = rows
        .iter()
        .flat_map(|(at, rows)| rows.iter().map(move |row| (at, row)))
        .filter(|(_, row)| row.record().is_none())
        .map(|(at, row)| (*at, row.offset))
        .collect();
    let mut next = std::collections::BTreeMap::<TopicPartition, Offset>::new();
    let broken = |stored: &Stored| {
        let offset = next.entry(stored.at).or_default();
        *offset += 1;
        let mut record = stored.record.clone();
        if gone.contains(&(stored.at, *offset - 1)) {
            let append_time = record.append_time;
            let (key, value) = (Bytes::new(), Bytes::from_static(b"\xff"));
            record = Record { append_time, key, value, headers: Vec::new(), erased: None };
        }
        Stored { at: stored.at, record }
    };
    let records: Vec<Stored> = story.records.iter().map(broken).collect();
    let log = PinnedLog::holding(&records);
    let mut fold = BindingFold::default();
    let mut values = Vec::new();
    for (_, record) in story.log.read(BINDINGS, 0, ALL).expect("memory can be read").records {
        let mut said = decode_binding(&record.value).expect("a writer wrote it");
        if let BindingRecord::Binding(binding) = &mut said {
            binding.prev_hash = fold.chain();
            binding.ranges.iter_mut().for_each(|range| digest_again(&*log, range));
        }
        let value = Bytes::from(encode_binding(&said));
        fold.step(said, &value).expect("no range breaks").expect("live was alone");
        values.push(value);
    }
    rebind(&*log, values);
    log
}

fn digest_again(log: &dyn EventLog, range: &mut BoundRange) {
    let mut digest = RangeDigest::default();
    let read = log.read(range.partition, range.start, ALL).expect("memory can be read");
    for (offset, record) in read.records.iter().filter(|(offset, _)| *offset < range.end) {
        digest.add(*offset, record.hash());
    }
    range.digest = digest.finish();
}

#[test]
fn a_fold_without_the_erased_is_that_of_a_log_where_they_were_never_valid() {
    let (story, erasures) = erased_story();
    let child = descended(&core(), &erasures, None);
    let (want, deltas) = refolded(&core(), &broken(&story), 2, None).expect("it folds");
    let (live, _) = refolded(&core(), &story.log, 2, None).expect("it folds");
    for workers in [1, 2] {
        let (found, same) =
            refolded(&child, &archived(&story.store()), workers, None).expect("folds");
        assert_eq!(found.epoch, want.epoch);
        assert_eq!(
            (found.state_digest, found.delta_digest),
            (want.state_digest, want.delta_digest)
        );
        assert_ne!((found.state_digest, found.lineage), (live.state_digest, live.lineage));
        assert_eq!(found.lineage, child.lineage());
        let counts = |epochs: &[eddyline_schemas::delta::EpochDeltas]| {
            epochs.iter().map(|epoch| epoch.counts).collect::<Vec<_>>()
        };
        assert_eq!(counts(&same), counts(&deltas));
        let sum = same.last().expect("there are epochs").counts;
        assert_eq!(sum.accepted, sum.applied + sum.duplicate + sum.late + sum.dead_letter);
    }
}

fn verified(story: &Story, erasures: &[Epoch], until: Option<Epoch>) -> Verified {
    let how = Verify { from: None, until, workers: 2.into() };
    let log = archived(&story.store());
    verify_erased(&core(), &log, (how, erasures), |_, _| {}).expect("it folds")
}

#[test]
fn verify_holds_live_up_to_the_first_erased_epoch_and_names_the_child_after_it() {
    let (story, erasures) = erased_story();
    let first = erased_from(&erasures).expect("rows were erased");
    assert!(first > Epoch(3), "there is something before {first}");
    let last = story.catalogue().epoch();
    let found = verified(&story, &erasures, None);
    assert_eq!((found.equal, found.unrecorded, &found.mismatch), (first.0 - 1, 0, &None));
    let erased = found.erased.expect("it is said");
    assert_eq!((erased.from, erased.equal), (first, 0));
    assert_eq!(erased.epochs, last.0 - first.0 + 1);
    assert_eq!(erased.lineage, descended(&core(), &erasures, None).lineage());
    assert_eq!(found.lineage, core().lineage(), "what live recorded is of the lineage that it was");
    let before = verified(&story, &erasures, Some(Epoch(first.0 - 1)));
    assert_eq!((before.equal, before.erased), (first.0 - 1, None));
    // Without being told, the first epoch that lacks rows differs from what live recorded.
    let untold = verified(&story, &[], None).mismatch.expect("live had folded more");
    assert_eq!(untold.recorded.epoch, first);
}

#[test]
fn a_mismatch_before_the_first_erased_epoch_is_still_one() {
    let story = Story::told(120);
    let at = TopicPartition { topic: Topic::Digests, partition: 0 };
    let recorded = eddyline_replay::recorded::Recorded::read(&*story.log, core().lineage());
    let whole = recorded.expect("read").whole(&*story.log, Epoch(2)).expect("read");
    let mut digest = whole.expect("it was recorded");
    digest.delta_digest = eddyline_schemas::record::Digest::of(b"something else");
    let value = Bytes::from(encode_epoch_digest(&digest));
    let append = eddyline_connect::log::Append {
        partition: at,
        key: Bytes::new(),
        value,
        headers: Vec::new(),
    };
    story.log.append(vec![append]).expect("memory never fails");
    // An archive is written whole: the digest that was changed lies at its end.
    let store: Arc<dyn ObjectStore> = Arc::new(eddyline_connect::objects::MemoryObjects::new());
    crate::support::live::archive_all(&story.log, &store, 120).expect("it is archived");
    let mut catalogue = Catalogue::open(&*store).expect("it is whole");
    let subjects = requests(&*store, &catalogue).expect("it is whole");
    erase(&*store, &mut catalogue, &subjects, Nonce([1; 16])).expect("memory never fails");
    let how = Verify { from: None, until: None, workers: 1.into() };
    let found = verify_erased(&core(), &archived(&store), (how, catalogue.erasures()), |_, _| {});
    let mismatch = found.expect("it folds").mismatch.expect("it was tampered with");
    assert_eq!(mismatch.recorded.epoch, Epoch(2));
}

#[test]
fn a_rebuild_does_not_know_who_was_erased_before_they_came_back() {
    let (story, erasures) = erased_story();
    let child = descended(&core(), &erasures, None);
    let (_, epochs) = refolded(&child, &archived(&story.store()), 2, None).expect("it folds");
    let user = UserId::new(VISITOR).expect("a valid id");
    let told = |epoch: &eddyline_schemas::delta::EpochDeltas| {
        format!("{epoch:?}").contains(&format!("{user:?}"))
    };
    let first = epochs.iter().find(|epoch| told(epoch)).map(|epoch| epoch.epoch);
    let asked = requests(&*Story::told(120).objects, &Story::told(120).catalogue());
    let asked = asked.expect("it is whole").into_iter().find(|subject| subject.user == user);
    let asked = asked.expect("they asked").request.expect("by an event").place.epoch;
    assert!(first.is_some_and(|first| first > asked), "{first:?} after {asked}");
}
