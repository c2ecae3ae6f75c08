//! The golden stream as it lies in `schemas/golden/v1`, made a log again.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::log::EventLog;
use eddyline_model::config::CoreConfig;
use eddyline_schemas::record::Record;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};
use serde::{Deserialize, Serialize};

use super::pinned_log::{PinnedLog, Stored};
use super::rebind::rebind;

pub(crate) const STREAM: &str = "stream.ndjson.gz";
pub(crate) const BINDINGS: &str = "stream.bindings.hex";

/// What differs from the defaults: a smaller model, so that every build can afford the fold, and
/// bounds that this stream reaches.
pub(crate) const SETTINGS: [(&str, &str, u64); 7] = [
    ("factors", "dim", 32),
    ("factors", "replays", 1),
    ("quality", "sample_one_in", 50),
    ("users", "seen", 40),
    ("users", "reservoir", 12),
    ("covisitation", "capacity", 24),
    ("dedupe", "max_ids", 256 * 8),
];

pub(crate) fn core() -> CoreConfig {
    let mut core = serde_json::to_value(CoreConfig::default()).expect("a table is JSON");
    for (table, key, value) in SETTINGS {
        core[table][key] = value.into();
    }
    serde_json::from_value(core).expect("the settings are keys of the configuration")
}

/// A line of the stream.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredLine {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) append_time: i64,
    pub(crate) key: Text,
    pub(crate) value: Text,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) headers: Vec<(String, Text)>,
}

/// Bytes, readable where they are text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Plain(String),
    Hex { hex: String },
}

impl Text {
    fn bytes(&self) -> Bytes {
        match self {
            Self::Plain(text) => Bytes::copy_from_slice(text.as_bytes()),
            Self::Hex { hex } => unhex(hex),
        }
    }
}

fn unhex(text: &str) -> Bytes {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(pair).collect()
}

fn stored_of(line: &str) -> Stored {
    let line: StoredLine = serde_json::from_str(line).expect("a line of the golden stream");
    let topic = Topic::from_name(&line.topic).expect("a topic of ours");
    let record = Record {
        append_time: TimestampMs(line.append_time),
        key: line.key.bytes(),
        value: line.value.bytes(),
        headers: line.headers.iter().map(|(name, v)| (name.clone(), v.bytes())).collect(),
        erased: None,
    };
    Stored { at: TopicPartition { topic, partition: line.partition }, record }
}

pub(crate) fn path(file: &str) -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut above = package.ancestors().map(|folder| folder.join("schemas/golden/v1"));
    above.find(|folder| folder.is_dir()).expect("the golden folder is committed").join(file)
}

pub(crate) fn read_stream() -> String {
    let file = std::fs::File::open(path(STREAM)).expect("the golden stream is committed");
    let mut lines = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut lines).expect("gzip of UTF-8");
    lines
}

pub(crate) fn read_bindings() -> String {
    std::fs::read_to_string(path(BINDINGS)).expect("the golden bindings are committed")
}

/// The log that stream and bindings make.
pub(crate) fn golden_log() -> Arc<dyn EventLog> {
    let records: Vec<Stored> = read_stream().lines().map(stored_of).collect();
    let log = PinnedLog::holding(&records);
    rebind(&*log, read_bindings().lines().map(unhex));
    log
}
