//! The golden stream: 20,000 records of a small shop, the bindings under which they were first
//! folded, and the digests that they must give with this algorithm version for ever.
//!
//! `schemas/golden/v1/stream.ndjson.gz` holds a record a line: topic, partition, append time, key,
//! value and headers, bytes that are no text in hexadecimal. `stream.bindings.hex` holds the values
//! of the bindings topic. `stream.digests.json` says what they fold to.
//!
//! A digest that changes is another algorithm: raise `ALGORITHM_VERSION`, then
//! `EDDYLINE_BLESS=1 cargo test -p eddyline-dataflows --test golden` writes the digests anew. It
//! refuses while the version is the old one. Stream and bindings are written only when missing.

mod support {
    pub(crate) mod contents;
    pub(crate) mod golden_stream;
    pub(crate) mod pinned_log;
    pub(crate) mod rebind;
    pub(crate) mod running;
    pub(crate) mod shop;
}

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Once};

use bytes::Bytes;
use eddyline_connect::log::EventLog;
use eddyline_schemas::decode::decode_record;
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::{ALGORITHM_VERSION, Epoch};
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::{DAY_MS, TimestampMs};
use eddyline_schemas::topic::{Topic, TopicPartition};
use serde::{Deserialize, Serialize};

use support::contents::{all_records, binding_values};
use support::golden_stream::{
    BINDINGS, SETTINGS, STREAM, StoredLine, Text, core, golden_log, path, read_bindings,
    read_stream,
};
use support::pinned_log::{PinnedLog, Stored};
use support::running::{bind_all, refolded};
use support::shop::Shop;

const RECORDS: u64 = 20_000;
const EPOCH_RECORDS: usize = 400;
/// Digests are recorded every so many epochs, and of the last.
const RECORDED_EVERY: u64 = 5;

const DIGESTS: &str = "stream.digests.json";

/// `stream.digests.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Golden {
    algorithm_version: u32,
    /// [`SETTINGS`], for people.
    settings: Vec<String>,
    core_config: String,
    /// BLAKE3 of the stream's lines and of the bindings file.
    stream: String,
    bindings: String,
    epochs: Vec<GoldenEpoch>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct GoldenEpoch {
    epoch: u64,
    state_digest: String,
    delta_digest: String,
}

fn line_of(stored: &Stored) -> String {
    let record = &stored.record;
    let line = StoredLine {
        topic: stored.at.topic.name().to_owned(),
        partition: stored.at.partition,
        append_time: record.append_time.0,
        key: text_of(&record.key),
        value: text_of(&record.value),
        headers: record.headers.iter().map(|(name, v)| (name.clone(), text_of(v))).collect(),
    };
    serde_json::to_string(&line).expect("text and numbers are JSON")
}

fn text_of(bytes: &Bytes) -> Text {
    match std::str::from_utf8(bytes) {
        Ok(text) => Text::Plain(text.to_owned()),
        Err(_) => Text::Hex { hex: hex(bytes) },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digests of this build.
fn golden_now(log: &Arc<dyn EventLog>, workers: usize) -> (Golden, Vec<EpochDeltas>) {
    let core = core();
    let (last, deltas) = refolded(&core, log, workers, None).expect("the golden stream folds");
    let is_recorded = |epoch: u64| epoch.is_multiple_of(RECORDED_EVERY) || epoch == last.epoch.0;
    let digest_at = |epoch: u64| {
        let until = Some(Epoch(epoch));
        let (digest, _) = refolded(&core, log, workers, until).expect("and so does its beginning");
        let (state_digest, delta_digest) =
            (digest.state_digest.to_string(), digest.delta_digest.to_string());
        GoldenEpoch { epoch, state_digest, delta_digest }
    };
    let golden = Golden {
        algorithm_version: ALGORITHM_VERSION,
        settings: SETTINGS.map(|(table, key, value)| format!("{table}.{key}={value}")).to_vec(),
        core_config: core.hash().to_string(),
        stream: Digest::of(read_stream().as_bytes()).to_string(),
        bindings: Digest::of(read_bindings().as_bytes()).to_string(),
        epochs: (1..=last.epoch.0).filter(|epoch| is_recorded(*epoch)).map(digest_at).collect(),
    };
    (golden, deltas)
}

fn read_golden() -> Option<Golden> {
    let text = std::fs::read_to_string(path(DIGESTS)).ok()?;
    Some(serde_json::from_str(&text).expect("the golden digests are what was written"))
}

/// Writes what is missing, and digests of a newer algorithm, if that is asked for.
fn bless_if_asked() {
    static ONCE: Once = Once::new();
    if std::env::var_os("EDDYLINE_BLESS").is_some() {
        ONCE.call_once(bless);
    }
}

fn bless() {
    if let Some(Golden { algorithm_version: recorded, .. }) = read_golden() {
        assert!(
            ALGORITHM_VERSION > recorded,
            "the digests are those of algorithm version {recorded}, which is still in force: \
             another digest is another algorithm, so raise ALGORITHM_VERSION first"
        );
    }
    if !path(STREAM).exists() {
        write_stream();
    }
    let (golden, _) = golden_now(&golden_log(), 1);
    let text = serde_json::to_string_pretty(&golden).expect("text and numbers are JSON") + "\n";
    std::fs::write(path(DIGESTS), text).expect("the golden folder can be written");
}

/// A new stream, bound by the live engine.
fn write_stream() {
    let made = Shop::new(2_026).records(RECORDS);
    let log: Arc<dyn EventLog> = PinnedLog::holding(&made);
    bind_all(&core(), &log, EPOCH_RECORDS);
    let lines: String = made.iter().map(|stored| line_of(stored) + "\n").collect();
    let file = std::fs::File::create(path(STREAM)).expect("the golden folder can be written");
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    gzip.write_all(lines.as_bytes()).expect("the golden folder can be written");
    gzip.finish().expect("the golden folder can be written");
    let bindings: String = binding_values(&*log).iter().map(|value| hex(value) + "\n").collect();
    std::fs::write(path(BINDINGS), bindings).expect("the golden folder can be written");
}

#[test]
fn the_golden_stream_folds_to_its_digests() {
    bless_if_asked();
    let golden = read_golden().expect("the golden digests are committed");
    assert_eq!(
        golden.algorithm_version, ALGORITHM_VERSION,
        "a new algorithm version has digests of its own: bless them"
    );
    assert_eq!(
        golden.core_config,
        core().hash().to_string(),
        "another [core] table, be it a default or a key, gives every deployment another lineage"
    );
    let log = golden_log();
    let (now, deltas) = golden_now(&log, 2);
    assert_eq!(now, golden, "another digest is another algorithm: raise ALGORITHM_VERSION");
    let last = golden.epochs.last().expect("the stream has epochs");
    for workers in [1, 4] {
        let (digest, again) = refolded(&core(), &log, workers, None).expect("folds");
        assert_eq!(digest.state_digest.to_string(), last.state_digest, "{workers} workers");
        let chains = |epochs: &[EpochDeltas]| -> Vec<Digest> {
            epochs.iter().map(|epoch| epoch.chain).collect()
        };
        assert_eq!(chains(&again), chains(&deltas), "{workers} workers");
    }
    let counts = deltas.last().expect("the stream has epochs").counts;
    assert!(counts.is_conserved() && counts.accepted == RECORDS, "{counts:?}");
    assert!(counts.late > 100 && counts.duplicate > 300 && counts.dead_letter > 150, "{counts:?}");
}

/// What the stream must hold to be worth its place.
#[test]
fn the_golden_stream_holds_all_there_is() {
    bless_if_asked();
    let log = golden_log();
    let mut types = BTreeSet::new();
    let (mut several, mut is_protobuf) = (0, 0);
    let (mut first, mut last) = (TimestampMs(i64::MAX), TimestampMs(0));
    for topic in Topic::INPUTS {
        for partition in 0..log.partitions(topic) {
            let at = TopicPartition { topic, partition };
            for (offset, record) in (0..).zip(all_records(&*log, at)) {
                let Ok(event) = decode_record(at, offset, &record) else { continue };
                types.insert(event.event_type.name().to_owned());
                several += usize::from(event.items.len() > 1);
                is_protobuf += usize::from(record.is_protobuf());
                first = first.min(record.append_time);
                last = last.max(record.append_time);
            }
            assert!(log.end_offset(at).expect("memory can be read") > 0, "{at} is empty");
        }
    }
    assert_eq!(types.len(), 18, "every event type, and a custom one: {types:?}");
    assert!(several > 300 && is_protobuf > 5_000, "{several} of several items, {is_protobuf}");
    assert!(last.since(first) > 20 * DAY_MS, "windows of a week roll");
}
