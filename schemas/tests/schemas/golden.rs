//! Version 1 is fixed: bytes, hashes and digests must be those under `golden/v1`.
//!
//! `EDDYLINE_BLESS=1 cargo test -p eddyline-schemas golden` writes the files anew. That is right
//! for new lines only: a line that changes is a format that changes, and needs a new version.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use eddyline_schemas::binding::{BindingFold, BindingRecord, chain_hash};
use eddyline_schemas::codec::{
    decode_binding, decode_delta, decode_delta_record, decode_event, encode_binding, encode_delta,
    encode_event, encode_partition,
};
use eddyline_schemas::delta::canonical::write_canonical;
use eddyline_schemas::delta::record::DeltaContent;
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::lineage::{Epoch, Lineage, config_hash};
use eddyline_schemas::record::{CONTENT_TYPE, Digest, PROTOBUF, RangeDigest, Record};

use crate::cases::{self, NOW, decode};
use crate::samples;

/// Compares lines with a golden file, or writes it when blessed.
pub(crate) fn hold(file: &str, lines: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(file);
    if std::env::var_os("EDDYLINE_BLESS").is_some() {
        std::fs::write(&path, lines.join("\n") + "\n").expect("the golden folder can be written");
        return;
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file is there");
    let golden: Vec<&str> = golden.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(golden.get(at), Some(&line.as_str()), "{file}, line {}", at + 1);
    }
    assert_eq!(golden.len(), lines.len(), "{file} has lines that nothing makes");
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(pair).collect()
}

/// The fields of each line of a golden file.
pub(crate) fn lines_of(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split('\t').collect())
}

#[test]
fn events_and_records() {
    let (mut lines, mut digest) = (Vec::new(), RangeDigest::default());
    for (offset, case) in (0..).zip(cases::valid()) {
        let event = decode(case.text().as_bytes()).expect("valid");
        let value = encode_event(&event);
        let record = Record {
            append_time: NOW,
            key: bytes::Bytes::copy_from_slice(event.key().as_bytes()),
            value: value.clone(),
            headers: vec![(CONTENT_TYPE.to_owned(), bytes::Bytes::from_static(PROTOBUF))],
            erased: None,
        };
        digest.add(offset, record.hash());
        let (id, origin, hash) = (&event.event_id, event.id_origin, record.hash());
        lines.push(format!("{}\t{id}\t{origin:?}\t{}\t{hash}", case.name, hex(&value)));
    }
    lines.push(format!("range digest\t{}", digest.finish()));
    hold("events.golden", &lines);
}

/// The wording is free, so it is kept here to be read, and kind and place are in the table.
#[test]
fn old_bytes_of_events_can_be_read() {
    let golden = include_str!("../../golden/v1/events.golden");
    let cases = cases::valid();
    for line in lines_of(golden).filter(|line| line.len() == 5) {
        let case = cases.iter().find(|case| case.name == line[0]).expect("a case of the table");
        let event = decode_event(&unhex(line[3])).expect("version 1 can be read");
        assert_eq!(event, decode(case.text().as_bytes()).expect("valid"), "{}", line[0]);
    }
}

#[test]
fn bindings() {
    let (mut lines, mut fold) = (Vec::new(), BindingFold::default());
    for (name, record) in samples::bindings() {
        let bytes = encode_binding(&record);
        fold.step(record, &bytes).expect("no range is broken").expect("accepted");
        lines.push(format!("{name}\t{}\t{}", hex(&bytes), fold.chain()));
    }
    hold("bindings.golden", &lines);
}

#[test]
fn old_bytes_of_bindings_can_be_read() {
    let golden = include_str!("../../golden/v1/bindings.golden");
    let (samples, mut chain) = (samples::bindings(), Digest::default());
    for (line, (name, record)) in lines_of(golden).zip(&samples) {
        let bytes = unhex(line[1]);
        let read: BindingRecord = decode_binding(&bytes).expect("version 1 can be read");
        assert_eq!((line[0], &read), (*name, record));
        chain = chain_hash(chain, &bytes);
        assert_eq!(Digest::from_hex(line[2]), Some(chain));
    }
}

#[test]
fn deltas() {
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for (name, delta) in samples::deltas() {
        let from = rows.len();
        write_canonical(&delta, &mut rows);
        lines.push(format!("{name}\t{}\t{}", hex(&rows[from..]), hex(&encode_delta(&delta))));
    }
    lines.push(format!("all rows\t{}", Digest::of(&rows)));
    hold("deltas.golden", &lines);
}

#[test]
fn old_bytes_of_deltas_can_be_read() {
    let golden = include_str!("../../golden/v1/deltas.golden");
    for (line, (name, delta)) in lines_of(golden).zip(samples::deltas()) {
        let read = decode_delta(&unhex(line[2])).expect("version 1 can be read");
        assert_eq!((line[0], read), (name, delta));
    }
}

/// A full epoch and an empty one, in two partitions.
fn records_of(epoch: &EpochDeltas) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    for (partition, rows) in (0..).zip(epoch.by_partition(2)) {
        for record in encode_partition(epoch, (partition, 2), &rows) {
            let name = format!("epoch {} partition {partition}", epoch.epoch);
            records.push((name, record.key.to_vec(), record.value.to_vec()));
        }
    }
    records
}

#[test]
fn delta_records() {
    let line = |(name, key, value): (String, Vec<u8>, Vec<u8>)| {
        let key = String::from_utf8(key).expect("keys are ASCII");
        format!("{name}\t{key}\t{}", hex(&value))
    };
    let epochs = samples::epochs();
    let lines: Vec<String> = epochs.iter().flat_map(records_of).map(line).collect();
    hold("delta_records.golden", &lines);
}

#[test]
fn old_bytes_of_delta_records_can_be_read() {
    let golden = include_str!("../../golden/v1/delta_records.golden");
    let epochs = samples::epochs();
    let (mut rows, mut closes) = (Vec::new(), Vec::new());
    for line in lines_of(golden) {
        let read = decode_delta_record(line[1].as_bytes(), &unhex(line[2]));
        match read.expect("version 1 can be read").content {
            DeltaContent::Rows { rows: some, .. } => rows.extend(some),
            DeltaContent::Close(close) => closes.push(close),
        }
    }
    rows.sort_by(Delta::cmp_key);
    assert_eq!(rows, epochs[0].deltas);
    assert_eq!(closes.len(), 4, "two epochs in two partitions");
    let facts = closes[0].facts.expect("partition 0 has them");
    assert_eq!((facts.chain, facts.counts), (epochs[0].chain, epochs[0].counts));
    assert!(epochs[0].follows(Digest::default()) && epochs[1].follows(epochs[0].chain));
}

#[test]
fn lineages() {
    let core = config_hash([("seed", "7".to_owned()), ("factors.dimension", "128".to_owned())]);
    let root = Lineage::root(core);
    let child = Lineage::child(core, Some(root), Epoch(41));
    hold(
        "lineages.golden",
        &[format!("config\t{core}"), format!("root\t{root}"), format!("child\t{child}")],
    );
}

#[test]
fn samples_are_in_the_order_of_deltas() {
    let deltas: Vec<Delta> = samples::deltas().into_iter().map(|(_, delta)| delta).collect();
    assert!(deltas.is_sorted_by(|a, b| a.cmp_key(b).is_lt()), "by kind, then key, each once");
    let rows: Vec<Vec<u8>> = deltas.iter().map(row).collect();
    assert!(rows.is_sorted_by_key(|row| row[0]), "the first byte is the kind");
}

fn row(delta: &Delta) -> Vec<u8> {
    let mut out = Vec::new();
    write_canonical(delta, &mut out);
    out
}

/// The protobuf of a delta carries all that its canonical row holds, and a row all of a delta.
#[test]
fn rows_and_messages_hold_the_whole_delta() {
    for (name, delta) in samples::deltas() {
        let again = decode_delta(&encode_delta(&delta)).expect("what was written can be read");
        assert_eq!(row(&again), row(&delta), "{name}");
    }
    let gate = |values: &[f64]| Delta::Gate { values: Arc::from(values) };
    assert_ne!(row(&gate(&[0.0])), row(&gate(&[-0.0])), "bits, not numbers");
}
