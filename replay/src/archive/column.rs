//! Columns: how a row becomes the values of one, and how these are written.
//!
//! A column is declared once, as a line of the Parquet schema beside the functions that fill it.
//! Absent values are null; elements of a list never are.

use eddyline_schemas::binding::BindingRecord;
use eddyline_schemas::event::{Event, EventType};
use eddyline_schemas::record::Digest;
use eddyline_schemas::topic::TopicPartition;
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
    Int32Type, Int64Type,
};
use parquet::errors::Result;
use parquet::file::writer::SerializedColumnWriter;

use super::row::ArchivedRow;

/// A row and what its value says.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) at: TopicPartition,
    pub(super) archived: ArchivedRow,
    pub(super) says: Says,
}

impl Row {
    /// Whether it is an event that asks for a user to be forgotten.
    pub(super) fn asks_for_erasure(&self) -> bool {
        matches!(&self.says, Says::Event(event) if event.event_type == EventType::Erase)
    }
}

/// What a value says, once decoded.
#[derive(Debug)]
pub(super) enum Says {
    /// A valid event.
    Event(Box<Event>),
    /// A binding record, accepted or void.
    Binding(Box<BindingRecord>),
    /// Nothing: refused, erased, or of a topic without columns of its own.
    Nothing,
}

/// A column of the schema, of one leaf or, being a list of structs, of several.
pub(super) struct Column {
    /// Its line of the schema.
    pub(super) declared: &'static str,
    /// How it is filled, in the order of the schema.
    pub(super) leaves: &'static [Leaf],
}

/// How a leaf is filled and coded.
pub(super) enum Leaf {
    /// Text of which many rows have the same.
    Word(fn(&Row) -> Option<ByteArray>),
    /// As a word, with a bloom filter.
    Sought(fn(&Row) -> Option<ByteArray>),
    /// Text that hardly two rows share.
    Unique(fn(&Row) -> Option<ByteArray>),
    /// Bytes that nobody compares: without statistics.
    Raw(fn(&Row) -> Option<ByteArray>),
    /// A hash: without statistics.
    Hash(fn(&Row) -> Digest),
    /// Offsets, times, numbers that grow.
    Long(fn(&Row) -> Option<i64>),
    /// Few distinct numbers.
    Int(fn(&Row) -> Option<i32>),
    /// A measure.
    Double(fn(&Row) -> Option<f64>),
    /// Texts of a list.
    Words(fn(&Row) -> Option<Vec<ByteArray>>),
    /// Bytes of a list, without statistics.
    Raws(fn(&Row) -> Option<Vec<ByteArray>>),
    /// Numbers of a list.
    Longs(fn(&Row) -> Option<Vec<i64>>),
    /// Few distinct numbers, of a list.
    Ints(fn(&Row) -> Option<Vec<i32>>),
}

impl Leaf {
    /// Writes the leaf of all `rows`.
    pub(super) fn write(&self, to: &mut SerializedColumnWriter<'_>, rows: &[Row]) -> Result<()> {
        match self {
            Self::Word(of) | Self::Sought(of) | Self::Unique(of) | Self::Raw(of) => {
                write_values::<ByteArrayType>(to, rows, of)
            }
            Self::Hash(of) => write_values::<FixedLenByteArrayType>(to, rows, |row| {
                Some(FixedLenByteArray::from(of(row).0.to_vec()))
            }),
            Self::Long(of) => write_values::<Int64Type>(to, rows, of),
            Self::Int(of) => write_values::<Int32Type>(to, rows, of),
            Self::Double(of) => write_values::<DoubleType>(to, rows, of),
            Self::Words(of) | Self::Raws(of) => write_lists::<ByteArrayType>(to, rows, of),
            Self::Longs(of) => write_lists::<Int64Type>(to, rows, of),
            Self::Ints(of) => write_lists::<Int32Type>(to, rows, of),
        }
    }
}

fn write_values<T: DataType>(
    to: &mut SerializedColumnWriter<'_>,
    rows: &[Row],
    of: impl Fn(&Row) -> Option<T::T>,
) -> Result<()> {
    let (mut values, mut defined) = (Vec::new(), Vec::with_capacity(rows.len()));
    for row in rows {
        let value = of(row);
        defined.push(i16::from(value.is_some()));
        values.extend(value);
    }
    let column = to.typed::<T>();
    let is_optional = column.get_descriptor().max_def_level() > 0;
    column.write_batch(&values, is_optional.then_some(&defined[..]), None)?;
    Ok(())
}

/// Levels of an optional list of required elements: 0 no list, 1 an empty one, 2 an element.
pub(super) const NO_LIST: i16 = 0;
pub(super) const EMPTY_LIST: i16 = 1;
pub(super) const ELEMENT: i16 = 2;

fn write_lists<T: DataType>(
    to: &mut SerializedColumnWriter<'_>,
    rows: &[Row],
    of: impl Fn(&Row) -> Option<Vec<T::T>>,
) -> Result<()> {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let list = of(row);
        let absent = if list.is_some() { EMPTY_LIST } else { NO_LIST };
        let list = list.unwrap_or_default();
        if list.is_empty() {
            defined.push(absent);
            repeated.push(0);
        }
        for (at, value) in list.into_iter().enumerate() {
            defined.push(ELEMENT);
            repeated.push(i16::from(at > 0));
            values.push(value);
        }
    }
    to.typed::<T>().write_batch(&values, Some(&defined), Some(&repeated))?;
    Ok(())
}
