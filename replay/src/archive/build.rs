//! Writing a file: rows in, one finished object out.
//!
//! Rows are kept until a row group is full and then encoded, so memory is that of one group and of
//! the encoded bytes. Equal rows pushed at the same level give equal bytes.

use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::objects::{ObjectError, ObjectName, ObjectStore};
use eddyline_schemas::codec::decode_binding;
use eddyline_schemas::decode::decode_record;
use eddyline_schemas::record::Digest;
use eddyline_schemas::topic::{Topic, TopicPartition};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::writer::SerializedFileWriter;

use super::column::{Row, Says};
use super::entry::{ErasedRows, FileEntry, file_name};
use super::error::ArchiveError;
use super::row::ArchivedRow;
use super::{footer, schema};

/// zstd level of new files.
pub const LEVEL: i32 = 3;
/// zstd level of files that compaction makes.
pub const LEVEL_COMPACTED: i32 = 9;

/// Most rows of a row group, and most bytes of their keys, values and headers. Readers decode a
/// group at a time, so this bounds their memory.
pub(super) const GROUP_ROWS: usize = 1 << 16;
const GROUP_BYTES: usize = 8 << 20;

/// A file that is being written. See the module doc.
pub struct FileBuilder {
    partition: TopicPartition,
    chain_before: Digest,
    chain: Digest,
    writer: SerializedFileWriter<Vec<u8>>,
    group: Vec<Row>,
    group_bytes: usize,
    span: Option<Span>,
    bytes: u64,
    generation: u32,
    erased: Option<ErasedRows>,
    requests: u64,
}

/// A finished file, not yet stored.
#[derive(Clone, Debug)]
pub struct Built {
    /// What to call it.
    pub name: ObjectName,
    /// The object.
    pub bytes: Bytes,
    /// What the manifest says of it.
    pub entry: FileEntry,
}

impl Built {
    /// Stores the file, under a later generation's name where another object has its own: the
    /// leftover of somebody who died before a manifest named it.
    pub(super) fn store(self, store: &dyn ObjectStore) -> Result<FileEntry, ArchiveError> {
        let Self { bytes, mut entry, .. } = self;
        loop {
            match store.put_if_absent(&entry.name, bytes.clone()) {
                Ok(()) => return Ok(entry),
                Err(ObjectError::Conflict { .. }) => entry = entry.next_generation(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What the rows so far cover.
struct Span {
    first: ArchivedRow,
    last: ArchivedRow,
    rows: u64,
}

impl FileBuilder {
    /// A file of `partition`, whose chain is `chain` before it, at a zstd level.
    pub fn new(partition: TopicPartition, chain: Digest, level: i32) -> Result<Self, ArchiveError> {
        let encode = |source| ArchiveError::Encode { partition, source };
        let schema = schema::schema(partition.topic).map_err(encode)?;
        let coded = schema::properties(&schema, partition.topic, level).map_err(encode)?;
        let writer =
            SerializedFileWriter::new(Vec::new(), schema, Arc::new(coded)).map_err(encode)?;
        Ok(Self {
            partition,
            chain_before: chain,
            chain,
            writer,
            group: Vec::new(),
            group_bytes: 0,
            span: None,
            bytes: 0,
            generation: 0,
            erased: None,
            requests: 0,
        })
    }

    /// The file is one of a writer that began at this manifest.
    #[must_use]
    pub fn begun_at(self, manifest: u64) -> Self {
        let generation = u32::try_from(manifest).unwrap_or(u32::MAX);
        Self { generation: self.generation.max(generation), ..self }
    }

    /// The file is `file` written anew.
    #[must_use]
    pub(super) fn instead_of(self, file: &FileEntry) -> Self {
        Self { generation: self.generation.max(file.generation + 1), ..self }
    }

    /// Adds the next row of the partition: offsets ascend, epochs never fall.
    pub fn push(&mut self, row: ArchivedRow) -> Result<(), ArchiveError> {
        self.check(&row)?;
        self.chain = row.chain_after(self.chain);
        match &mut self.span {
            Some(span) => {
                span.last = without_content(&row);
                span.rows += 1;
            }
            None => {
                let (first, last) = (without_content(&row), without_content(&row));
                self.span = Some(Span { first, last, rows: 1 });
            }
        }
        let bytes = row.payload_bytes();
        self.bytes += bytes as u64;
        self.group_bytes += bytes;
        if row.record().is_none() {
            self.erased = Some(ErasedRows::and_one(self.erased, row.epoch));
        }
        let row = decoded(self.partition, row);
        self.requests += u64::from(row.asks_for_erasure());
        self.group.push(row);
        if self.group.len() >= GROUP_ROWS || self.group_bytes >= GROUP_BYTES {
            let partition = self.partition;
            self.write_group().map_err(|source| ArchiveError::Encode { partition, source })?;
        }
        Ok(())
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.span.as_ref().map_or(0, |span| span.rows)
    }

    /// Bytes of their keys, values and headers; a finished file has a third of it, roughly.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Events so far that ask for an erasure.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The partition's chain after the last row.
    #[must_use]
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// The file. One without rows is an error: there would be no name for it.
    pub fn finish(mut self) -> Result<Built, ArchiveError> {
        let partition = self.partition;
        let encode = |source| ArchiveError::Encode { partition, source };
        self.write_group().map_err(encode)?;
        let Some(Span { first, last, rows }) = self.span else {
            return Err(ArchiveError::discontinuous(partition, "a file needs a row"));
        };
        let offsets = (first.offset, last.offset);
        let mut entry = FileEntry {
            name: file_name(partition, first.append_time(), offsets, (last.epoch, self.generation)),
            partition,
            first: first.offset,
            last: last.offset,
            first_epoch: first.epoch,
            last_epoch: last.epoch,
            rows,
            bytes: 0,
            blake3: Digest::default(),
            chain_before: self.chain_before,
            chain_after: self.chain,
            generation: self.generation,
            erased: self.erased,
            requests: self.requests,
        };
        for pair in footer::pairs(&entry) {
            self.writer.append_key_value_metadata(pair);
        }
        let bytes = Bytes::from(self.writer.into_inner().map_err(encode)?);
        entry.bytes = bytes.len() as u64;
        entry.blake3 = Digest::of(&bytes);
        Ok(Built { name: entry.name.clone(), bytes, entry })
    }

    fn check(&self, row: &ArchivedRow) -> Result<(), ArchiveError> {
        if row.record().is_some_and(|record| record.hash() != row.record_hash) {
            let reason = format!("offset {} has another record hash than its record", row.offset);
            return Err(ArchiveError::discontinuous(self.partition, reason));
        }
        if row.offset > i64::MAX as u64 || row.epoch.0 > i64::MAX as u64 {
            let reason = format!("offset {} or epoch {} is too large", row.offset, row.epoch);
            return Err(ArchiveError::discontinuous(self.partition, reason));
        }
        let Some(Span { last, .. }) = &self.span else { return Ok(()) };
        if row.offset > last.offset && row.epoch >= last.epoch {
            return Ok(());
        }
        let reason = format!(
            "offset {} of epoch {} does not follow offset {} of epoch {}",
            row.offset, row.epoch, last.offset, last.epoch
        );
        Err(ArchiveError::discontinuous(self.partition, reason))
    }

    fn write_group(&mut self) -> ParquetResult<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for leaf in schema::leaves(self.partition.topic) {
            let missing = || ParquetError::General("a leaf has no column".to_owned());
            let mut column = group.next_column()?.ok_or_else(missing)?;
            leaf.write(&mut column, &self.group)?;
            column.close()?;
        }
        group.close()?;
        self.group.clear();
        self.group_bytes = 0;
        Ok(())
    }
}

/// A row to remember after its content was written.
fn without_content(row: &ArchivedRow) -> ArchivedRow {
    row.erased()
}

fn decoded(at: TopicPartition, archived: ArchivedRow) -> Row {
    let says = archived.record().map_or(Says::Nothing, |record| match at.topic {
        Topic::UserEvents | Topic::Feedback | Topic::ItemEvents => {
            decode_record(at, archived.offset, record)
                .map_or(Says::Nothing, |event| Says::Event(Box::new(event)))
        }
        Topic::Bindings => decode_binding(&record.value)
            .map_or(Says::Nothing, |record| Says::Binding(Box::new(record))),
        Topic::Deltas | Topic::Digests => Says::Nothing,
    });
    Row { at, archived, says }
}

#[cfg(test)]
mod tests {
    use eddyline_schemas::lineage::Epoch;
    use eddyline_schemas::record::Record;
    use eddyline_schemas::time::TimestampMs;

    use super::super::{HashCheck, read_rows};
    use super::*;

    #[test]
    fn a_record_under_another_hash_is_neither_taken_nor_read() {
        let partition = TopicPartition { topic: Topic::Deltas, partition: 0 };
        let append_time = TimestampMs(1);
        let (key, value) = (Bytes::new(), Bytes::from_static(b"v"));
        let row = |offset| {
            let record = Record {
                append_time,
                key: key.clone(),
                value: value.clone(),
                headers: Vec::new(),
                erased: None,
            };
            ArchivedRow::new(offset, Epoch(1), record)
        };
        let mut builder =
            FileBuilder::new(partition, Digest::default(), LEVEL).expect("the schema is right");
        builder.push(row(0)).expect("the first row");
        let wrong = ArchivedRow { record_hash: Digest([1; 32]), ..row(1) };
        builder.push(wrong).expect_err("not its hash");
        builder.push(row(1)).expect("its hash");
        builder.group[1].archived.record_hash = Digest([1; 32]);
        let built = builder.finish().expect("there are rows");
        read_rows(&built.entry, &built.bytes, HashCheck::Trust).expect("the file is what it was");
        let error = read_rows(&built.entry, &built.bytes, HashCheck::Recompute);
        let error = error.expect_err("a row is not").to_string();
        assert!(error.contains("offset 1") && error.contains(built.name.as_str()), "{error}");
    }
}
