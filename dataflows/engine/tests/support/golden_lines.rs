//! Lines of the golden stream as they are written.

use bytes::Bytes;

use super::golden_stream::{StoredLine, Text};
use super::pinned_log::Stored;

pub(crate) fn line_of(stored: &Stored) -> String {
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

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
