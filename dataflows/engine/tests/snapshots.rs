//! Snapshots: a fold that moved to other workers half-way is the fold that stayed.

mod support {
    pub(crate) mod contents;
    pub(crate) mod golden_stream;
    pub(crate) mod pinned_log;
    pub(crate) mod position;
    pub(crate) mod rebind;
    pub(crate) mod restored;
    pub(crate) mod snapshots;
}

use std::sync::Arc;

use eddyline_connect::objects::{Access, FolderObjects, MemoryObjects, ObjectStore, open_objects};
use eddyline_dataflows::Folder;
use eddyline_dataflows::snapshot::{Export, SnapshotError, SnapshotStore};
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Digest;

use support::contents::binding_values;
use support::golden_stream::{core, golden_log, path};
use support::position::position_at;
use support::restored::restored;
use support::snapshots::{Heard, epochs_of, exports_at, fold_rest};

/// Epochs at which the fold moves: nothing, one, early, in the midst, one left, all.
const MOVES: [usize; 6] = [0, 1, 9, 27, 49, 50];

fn chains(epochs: &[EpochDeltas]) -> Vec<Digest> {
    epochs.iter().map(|epoch| epoch.chain).collect()
}

#[test]
fn a_fold_that_moved_is_the_fold_that_stayed() {
    let log = golden_log();
    let inputs = epochs_of(&core(), &log);
    assert_eq!(inputs.len(), 50, "the moves are at the right places");
    assert_eq!(binding_values(&*log).len(), 51, "a fence, and a binding an epoch");
    let heard = Heard::default();
    let mut stayed = Folder::start(&core(), 2, heard.sink()).expect("starts");
    for input in &inputs {
        stayed.feed(input.clone());
    }
    let (want, epochs) = (stayed.end(), heard.take());
    let exports = exports_at(&core(), 1, &inputs, &MOVES);
    for workers in [2, 3, 4] {
        for (export, first) in exports_at(&core(), workers, &inputs, &MOVES).iter().zip(&exports) {
            let at = export.epoch();
            assert!(export.sections() == first.sections(), "epoch {at}, {workers} workers");
        }
    }
    for export in &exports {
        let done = export.epoch().0 as usize;
        for workers in [1, 2, 3, 4] {
            let (got, rest) = fold_rest(&core(), workers, restored(&core(), export), &inputs);
            assert_eq!(got, want, "from epoch {done} on {workers} workers");
            assert_eq!(chains(&rest), chains(&epochs[done..]), "{workers} workers");
            let counts = |epochs: &[EpochDeltas]| epochs.last().map(|epoch| epoch.counts);
            assert_eq!(counts(&rest), counts(&epochs[done..]));
        }
    }
}

#[test]
fn what_is_read_and_written_again_is_the_same() {
    let inputs = epochs_of(&core(), &golden_log());
    for export in exports_at(&core(), 2, &inputs, &MOVES) {
        let digest = restored(&core(), &export).digest(&core());
        let folder = Folder::start_from(&core(), 3, restored(&core(), &export), Box::new(|_| {}));
        let folder = folder.expect("starts");
        let again = folder.export();
        assert!(again.sections() == export.sections(), "epoch {}", export.epoch());
        let facts = |export: &Export| (export.epoch(), export.lineage(), export.counts());
        assert_eq!(facts(&again), facts(&export));
        assert_eq!(folder.end(), digest, "and its digest is that of the state");
    }
}

/// Writes three snapshots and goes on from each.
fn through(objects: Arc<dyn ObjectStore>) {
    let inputs = epochs_of(&core(), &golden_log());
    let mut stayed = Folder::start(&core(), 1, Box::new(|_| {})).expect("starts");
    for input in &inputs {
        stayed.feed(input.clone());
    }
    let want = stayed.end();
    let store = SnapshotStore::new(objects, &core()).with_part_bytes(100_000);
    for export in exports_at(&core(), 2, &inputs, &[20, 30, 40]) {
        let (epoch, lineage) = (export.epoch(), export.lineage());
        let digest = restored(&core(), &export).digest(&core());
        let written = store.write(export, position_at(epoch)).expect("written");
        assert!(written.parts.0 > 4, "{written:?}");
        assert_eq!(written.state_digest, digest.state_digest);
        let read = store.newest_valid(lineage).expect("read").expect("there is one");
        assert_eq!((read.epoch(), read.position()), (epoch, &position_at(epoch)));
        assert_eq!(read.digest(&core()), digest);
        assert_eq!(fold_rest(&core(), 3, read, &inputs).0, want);
        store.collect_garbage(lineage).expect("collected");
        let kept = store.kept(lineage).expect("read");
        assert!(kept.len() <= 2 && kept[0].epoch == epoch, "{} are kept", kept.len());
    }
}

#[test]
fn a_snapshot_goes_through_memory_and_back() {
    through(Arc::new(MemoryObjects::new()));
}

#[test]
fn a_snapshot_goes_through_a_folder_and_back() {
    let root = tempfile::tempdir().expect("a folder");
    through(Arc::new(FolderObjects::open(root.path()).expect("a folder")));
}

#[test]
#[ignore = "needs a server: EDDYLINE_TEST_S3"]
fn a_snapshot_goes_through_s3_and_back() {
    let url = std::env::var("EDDYLINE_TEST_S3").expect("EDDYLINE_TEST_S3 names a bucket");
    let (place, query) = url.split_once('?').unwrap_or((&url, ""));
    let url = format!("{place}/snapshots-{}?{query}", std::process::id());
    through(open_objects(&url, Access::Write).expect("the server is there"));
}

/// The bytes of sections are durable: others than these are another version of the format.
#[test]
fn sections_of_the_golden_stream_are_fixed() {
    let inputs = epochs_of(&core(), &golden_log());
    let line = |export: &Export| {
        let digest = Digest::of(&export.sections().concat());
        format!("{}\t{}\t{digest}\n", export.epoch(), export.bytes())
    };
    let lines: String = exports_at(&core(), 2, &inputs, &MOVES).iter().map(line).collect();
    let path = path("stream.sections");
    if std::env::var_os("EDDYLINE_BLESS").is_some() && !path.exists() {
        std::fs::write(&path, &lines).expect("the golden folder can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden sections are committed");
    assert_eq!(lines, golden, "epoch, bytes and digest of all sections");
}

#[test]
fn an_unchanged_state_is_not_written_again() {
    let inputs = epochs_of(&core(), &golden_log());
    let store = SnapshotStore::new(Arc::new(MemoryObjects::new()), &core()).with_part_bytes(9_000);
    let export = || exports_at(&core(), 1, &inputs[..10], &[10]).remove(0);
    let position = position_at(Epoch(10));
    let first = store.write(export(), position.clone()).expect("written");
    assert_eq!(first.parts.1, 0);
    let again = store.write(export(), position.clone()).expect("a repeat is harmless");
    assert_eq!((again.written_bytes, &again.manifest), (0, &first.manifest));
    let mut other = position;
    other.next_binding += 1;
    let third = store.write(export(), other).expect("written");
    assert_eq!((third.written_bytes, third.parts.1), (0, first.parts.0));
    assert_ne!(third.manifest, first.manifest);
}

#[test]
fn a_position_of_another_epoch_is_refused() {
    let inputs = epochs_of(&core(), &golden_log());
    let export = exports_at(&core(), 1, &inputs[..2], &[2]).remove(0);
    let store = SnapshotStore::new(Arc::new(MemoryObjects::new()), &core());
    let refused = store.write(export, position_at(Epoch(3)));
    assert!(matches!(refused, Err(SnapshotError::OtherEpoch { .. })), "{refused:?}");
}

#[test]
fn another_configuration_cannot_go_on_from_it() {
    let inputs = epochs_of(&core(), &golden_log());
    let export = exports_at(&core(), 1, &inputs[..2], &[2]).remove(0);
    let mut other = core();
    other.seed += 1;
    let started = Folder::start_from(&other, 1, restored(&core(), &export), Box::new(|_| {}));
    let text = started.err().expect("refused").to_string();
    assert!(text.contains("use the configuration that it was made with"), "{text}");
    let store = SnapshotStore::new(Arc::new(MemoryObjects::new()), &other);
    let refused = store.write(export, position_at(Epoch(2)));
    assert!(matches!(refused, Err(SnapshotError::OtherCore { .. })), "{refused:?}");
}
