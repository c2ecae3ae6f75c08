//! Reading a file back: from the record's columns alone, and only once its BLAKE3 is the
//! manifest's.
//!
//! Values of one row group share their memory: to keep a record for long, copy it.

use std::ops::Range;

use bytes::Bytes;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Digest, Offset, Record};
use eddyline_schemas::time::TimestampMs;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FixedLenByteArrayType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::statistics::Statistics;

use super::column::{ELEMENT, NO_LIST};
use super::entry::FileEntry;
use super::error::ArchiveError;
use super::row::{ArchivedRow, Content};
use super::{VERSION, footer};

/// Whether the hash of each record is computed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashCheck {
    /// Compute and compare; erased rows excepted, which have nothing to hash.
    Recompute,
    /// The file's own hash says enough.
    Trust,
}

/// Every row of a file.
pub fn read_rows(
    entry: &FileEntry,
    bytes: &Bytes,
    check: HashCheck,
) -> Result<Vec<ArchivedRow>, ArchiveError> {
    read_rows_in(entry, bytes, 0..Offset::MAX, check)
}

/// The rows of a file whose offset lies in `offsets`. Row groups without one are not decoded.
pub fn read_rows_in(
    entry: &FileEntry,
    bytes: &Bytes,
    offsets: Range<Offset>,
    check: HashCheck,
) -> Result<Vec<ArchivedRow>, ArchiveError> {
    let file = OpenFile::open(entry, bytes)?;
    let mut rows = Vec::new();
    for group in file.groups_in(&offsets) {
        rows.extend(file.rows(group, check)?);
    }
    rows.retain(|row| offsets.contains(&row.offset));
    Ok(rows)
}

/// A file whose bytes are those of its entry.
pub(super) struct OpenFile {
    entry: FileEntry,
    reader: SerializedFileReader<Bytes>,
    /// First and last offset of each row group.
    groups: Vec<(Offset, Offset)>,
}

impl OpenFile {
    /// Checks hash and footer.
    pub(super) fn open(entry: &FileEntry, bytes: &Bytes) -> Result<Self, ArchiveError> {
        let damaged = |reason: String| ArchiveError::damaged(&entry.name, reason);
        let found = Digest::of(bytes);
        if found != entry.blake3 {
            let (have, want) = (bytes.len(), entry.bytes);
            return Err(damaged(format!(
                "its BLAKE3 is {found}, the manifest says {}; it has {have} bytes of {want}",
                entry.blake3
            )));
        }
        let parquet = |source: ParquetError| ArchiveError::damaged(&entry.name, source.to_string());
        let reader = SerializedFileReader::new(bytes.clone()).map_err(parquet)?;
        let pairs = reader.metadata().file_metadata().key_value_metadata();
        let pairs = pairs.map_or(&[][..], |pairs| &pairs[..]);
        match footer::version(pairs) {
            Some(VERSION) => {}
            Some(found) => return Err(ArchiveError::Version { name: entry.name.clone(), found }),
            None => return Err(damaged("its footer names no version".to_owned())),
        }
        if let Some(difference) = footer::difference(entry, pairs) {
            return Err(damaged(difference));
        }
        let groups = spans(&reader)
            .ok_or_else(|| damaged("a row group does not say which offsets it has".to_owned()))?;
        Ok(Self { entry: entry.clone(), reader, groups })
    }

    pub(super) fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// First and last offset of each row group.
    pub(super) fn groups(&self) -> &[(Offset, Offset)] {
        &self.groups
    }

    fn groups_in(&self, offsets: &Range<Offset>) -> impl Iterator<Item = usize> {
        let Range { start, end } = *offsets;
        let overlaps =
            move |&(_, (first, last)): &(usize, &(Offset, Offset))| *first < end && *last >= start;
        self.groups.iter().enumerate().filter(overlaps).map(|(at, _)| at)
    }

    /// Decodes a row group.
    pub(super) fn rows(
        &self,
        group: usize,
        check: HashCheck,
    ) -> Result<Vec<ArchivedRow>, ArchiveError> {
        let damaged = |reason: &dyn ToString| {
            ArchiveError::damaged(
                &self.entry.name,
                format!("row group {group}: {}", reason.to_string()),
            )
        };
        let reader = self.reader.get_row_group(group).map_err(|error| damaged(&error))?;
        let rows = decode(&*reader).map_err(|error| damaged(&error))?;
        if check == HashCheck::Recompute {
            let differs = |row: &&ArchivedRow| {
                row.record().is_some_and(|record| record.hash() != row.record_hash)
            };
            if let Some(row) = rows.iter().find(differs) {
                return Err(damaged(&format!("offset {} has another record hash", row.offset)));
            }
        }
        Ok(rows)
    }
}

/// First and last offset of each row group, from its statistics.
fn spans(reader: &SerializedFileReader<Bytes>) -> Option<Vec<(Offset, Offset)>> {
    let of_group = |group: &parquet::file::metadata::RowGroupMetaData| {
        let at = place(group.schema_descr(), "offset").ok()?;
        let Statistics::Int64(offsets) = group.column(at).statistics()? else { return None };
        let first = Offset::try_from(*offsets.min_opt()?).ok()?;
        Some((first, Offset::try_from(*offsets.max_opt()?).ok()?))
    };
    reader.metadata().row_groups().iter().map(of_group).collect()
}

fn place(schema: &parquet::schema::types::SchemaDescriptor, path: &str) -> ParquetResult<usize> {
    let found = schema.columns().iter().position(|column| column.path().string() == path);
    found.ok_or_else(|| ParquetError::General(format!("there is no column {path}")))
}

/// A column of a row group, read whole.
struct Read<T: DataType> {
    values: Vec<T::T>,
    defined: Vec<i16>,
    repeated: Vec<i16>,
}

fn read<T: DataType>(group: &dyn RowGroupReader, path: &str) -> ParquetResult<Read<T>> {
    let schema = group.metadata().schema_descr();
    let at = place(schema, path)?;
    if schema.column(at).physical_type() != T::get_physical_type() {
        return Err(ParquetError::General(format!("column {path} is of another type")));
    }
    let mut column = get_typed_column_reader::<T>(group.get_column_reader(at)?);
    let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
    let mut read =
        Read { values: Vec::with_capacity(rows), defined: Vec::new(), repeated: Vec::new() };
    let mut done = 0;
    while done < rows {
        let Read { values, defined, repeated } = &mut read;
        let (more, ..) = column.read_records(rows - done, Some(defined), Some(repeated), values)?;
        if more == 0 {
            let reason = format!("column {path} has {done} rows of {rows}");
            return Err(ParquetError::General(reason));
        }
        done += more;
    }
    Ok(read)
}

fn decode(group: &dyn RowGroupReader) -> ParquetResult<Vec<ArchivedRow>> {
    let offsets = read::<Int64Type>(group, "offset")?.values;
    let append_times = read::<Int64Type>(group, "append_time")?.values;
    let epochs = read::<Int64Type>(group, "epoch")?.values;
    let hashes = read::<FixedLenByteArrayType>(group, "record_hash")?.values;
    let mut keys = optional(read::<ByteArrayType>(group, "key")?);
    let mut values = optional(read::<ByteArrayType>(group, "raw")?);
    let mut headers = headers(group)?;
    let mut rows = Vec::with_capacity(offsets.len());
    for (((offset, append_time), epoch), hash) in
        offsets.into_iter().zip(append_times).zip(epochs).zip(hashes)
    {
        let append_time = TimestampMs(append_time);
        let parts = (keys.next().flatten(), values.next().flatten(), headers.next().flatten());
        let content = match parts {
            (Some(key), Some(value), Some(headers)) => {
                Content::Record(Record { append_time, key, value, headers, erased: None })
            }
            (None, None, None) => Content::Erased { append_time },
            _ => return Err(ParquetError::General(format!("offset {offset} is half erased"))),
        };
        let (offset, epoch) = (offset as Offset, Epoch(epoch as u64));
        let record_hash = Digest::from_slice(hash.data())
            .ok_or_else(|| ParquetError::General("a record hash is not 32 bytes".to_owned()))?;
        rows.push(ArchivedRow { offset, epoch, record_hash, content });
    }
    Ok(rows)
}

/// The values of a column in one piece of memory.
fn shared(values: &[ByteArray]) -> impl Iterator<Item = Bytes> + use<> {
    let lengths: Vec<usize> = values.iter().map(ByteArray::len).collect();
    let mut memory = Vec::with_capacity(lengths.iter().sum());
    values.iter().for_each(|value| memory.extend_from_slice(value.data()));
    let mut memory = Bytes::from(memory);
    lengths.into_iter().map(move |length| memory.split_to(length))
}

fn optional(read: Read<ByteArrayType>) -> impl Iterator<Item = Option<Bytes>> {
    let mut values = shared(&read.values);
    read.defined.into_iter().map(move |defined| if defined > 0 { values.next() } else { None })
}

type Headers = Vec<(String, Bytes)>;

fn headers(group: &dyn RowGroupReader) -> ParquetResult<impl Iterator<Item = Option<Headers>>> {
    let names = read::<ByteArrayType>(group, "headers.list.element.name")?;
    let values = read::<ByteArrayType>(group, "headers.list.element.value")?;
    if names.defined != values.defined || names.repeated != values.repeated {
        return Err(ParquetError::General("headers differ in shape".to_owned()));
    }
    let mut rows: Vec<Option<Headers>> = Vec::new();
    let mut pairs = names.values.iter().zip(shared(&values.values));
    for (defined, repeated) in names.defined.iter().zip(&names.repeated) {
        if *repeated == 0 {
            rows.push((*defined > NO_LIST).then(Vec::new));
        }
        if *defined == ELEMENT
            && let (Some((name, value)), Some(Some(row))) = (pairs.next(), rows.last_mut())
        {
            row.push((name.as_utf8()?.to_owned(), value));
        }
    }
    Ok(rows.into_iter())
}
