//! The columns of each kind of topic, their Parquet schema and how they are coded.
//!
//! *Inputs*: `timestamp` is the event's, or its append time where it names none, and `dwell_time`
//! is in milliseconds. An event of one item has it in `item_id`; one of several has null there and
//! all of them in `items`, which is null otherwise. `context`, `profile`, `item` and `unknown` are
//! JSON objects. A record that the validator refuses has null in every column but the record's.
//!
//! *Bindings*: `kind` is `fence`, `binding` or `control`. A void record is a row too; the row that
//! made an epoch is the first one with that `epoch`, and its `bound_epoch` is the same.
//!
//! *Every topic* has the record's columns, from which alone the record is read back. An erased row
//! has null in `key`, `headers` and `raw`. Numbers that are unsigned here are non-negative INT64.

mod bindings;
mod events;

use std::sync::Arc;

use eddyline_schemas::topic::Topic;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{SchemaDescriptor, Type};

use super::column::{Column, Leaf, Row};

/// The columns of a topic's files, in order.
pub(super) fn columns(topic: Topic) -> impl Iterator<Item = &'static Column> {
    let of_topic: &[Column] = match topic {
        Topic::UserEvents | Topic::Feedback | Topic::ItemEvents => events::COLUMNS,
        Topic::Bindings => bindings::COLUMNS,
        Topic::Deltas | Topic::Digests => &[],
    };
    of_topic.iter().chain(RECORD)
}

/// The leaves of a topic's files, in order.
pub(super) fn leaves(topic: Topic) -> impl Iterator<Item = &'static Leaf> {
    columns(topic).flat_map(|column| column.leaves)
}

/// The Parquet schema of a topic's files.
pub(super) fn schema(topic: Topic) -> Result<Arc<Type>> {
    let lines: String = columns(topic).map(|column| column.declared).collect();
    parse_message_type(&format!("message eddyline {{ {lines} }}")).map(Arc::new)
}

/// How a topic's files are coded.
pub(super) fn properties(schema: &Arc<Type>, topic: Topic, level: i32) -> Result<WriterProperties> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(level)?);
    let mut coded = WriterProperties::builder()
        .set_compression(zstd)
        .set_max_row_group_row_count(Some(super::build::GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page);
    let schema = SchemaDescriptor::new(Arc::clone(schema));
    for (leaf, column) in leaves(topic).zip(schema.columns()) {
        let path = column.path().clone();
        let is_word = matches!(leaf, Leaf::Word(_) | Leaf::Sought(_) | Leaf::Words(_));
        let is_small = matches!(leaf, Leaf::Int(_) | Leaf::Ints(_));
        coded = coded.set_column_dictionary_enabled(path.clone(), is_word || is_small);
        coded = match leaf {
            Leaf::Long(_) | Leaf::Longs(_) => {
                coded.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
            }
            Leaf::Hash(_) | Leaf::Raw(_) | Leaf::Raws(_) => {
                coded.set_column_statistics_enabled(path, EnabledStatistics::None)
            }
            Leaf::Sought(_) => coded
                .set_column_bloom_filter_fpp(path.clone(), 0.01)
                .set_column_bloom_filter_max_ndv(path, super::build::GROUP_ROWS as u64),
            _ => coded,
        };
    }
    Ok(coded.build())
}

/// What every topic's rows have.
const RECORD: &[Column] = &[
    Column {
        declared: "required binary topic (STRING);",
        leaves: &[Leaf::Word(|row| row.topic().map(ByteArray::from))],
    },
    Column { declared: "required int32 partition;", leaves: &[Leaf::Int(|row| row.partition())] },
    Column {
        declared: "required int64 offset;",
        leaves: &[Leaf::Long(|row| Some(row.archived.offset as i64))],
    },
    Column {
        declared: "required int64 append_time (TIMESTAMP(MILLIS,true));",
        leaves: &[Leaf::Long(|row| Some(row.archived.append_time().0))],
    },
    Column {
        declared: "required int64 epoch;",
        leaves: &[Leaf::Long(|row| Some(row.archived.epoch.0 as i64))],
    },
    Column {
        declared: "required fixed_len_byte_array(32) record_hash;",
        leaves: &[Leaf::Hash(|row| row.archived.record_hash)],
    },
    Column {
        declared: "optional binary key;",
        leaves: &[Leaf::Word(|row| row.record().map(|record| record.key.clone().into()))],
    },
    Column {
        declared: "optional group headers (LIST) { repeated group list { \
                   required group element { required binary name (STRING); \
                   required binary value; } } }",
        leaves: &[
            Leaf::Words(|row| {
                let headers = &row.record()?.headers;
                Some(headers.iter().map(|(name, _)| name.as_str().into()).collect())
            }),
            Leaf::Raws(|row| {
                let headers = &row.record()?.headers;
                Some(headers.iter().map(|(_, value)| value.clone().into()).collect())
            }),
        ],
    },
    Column {
        declared: "optional binary raw;",
        leaves: &[Leaf::Raw(|row| row.record().map(|record| record.value.clone().into()))],
    },
];

impl Row {
    fn record(&self) -> Option<&eddyline_schemas::record::Record> {
        self.archived.record()
    }

    fn topic(&self) -> Option<&'static str> {
        Some(self.at.topic.name())
    }

    fn partition(&self) -> Option<i32> {
        i32::try_from(self.at.partition).ok()
    }
}
