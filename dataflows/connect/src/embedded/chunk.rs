//! A chunk: the records that one commit wrote to one partition, as one value of the database.
//!
//! Durable format, little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 16 | first half of BLAKE3 over (topic name, 0, partition, first offset, all bytes below) |
//! | 8 | append time in ms, of all records of the chunk |
//! | 4 | number of records |
//! | … | records: key length u32, value length u32, header count u16, key, value, headers |
//!
//! A header is name length u32, value length u32, name, value. The checksum binds the place of the
//! chunk too, so a chunk under a wrong key is noticed.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::{BufMut, Bytes};
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::TopicPartition;

use crate::log::Append;

const VERSION: u8 = 1;
const CHECKSUM: Range<usize> = 1..17;
const TIME: Range<usize> = 17..25;
const COUNT: Range<usize> = 25..29;
/// Bytes in front of the records.
const HEADER_BYTES: usize = COUNT.end;
/// Bytes in front of a record's key.
const RECORD_HEADER_BYTES: usize = 10;

/// Where a chunk lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) partition: TopicPartition,
    pub(super) first: Offset,
}

/// A chunk that can be read: made by this process, or verified.
#[derive(Debug)]
pub(super) struct Chunk {
    first: Offset,
    count: u32,
    append_time: TimestampMs,
    value: Bytes,
    /// Where each record begins, found when the first one is read.
    starts: OnceLock<Box<[u32]>>,
}

/// Adds `append` to the records of a chunk.
pub(super) fn encode_record(append: &Append, into: &mut Vec<u8>) {
    let headers = u16::try_from(append.headers.len()).expect("the batch was checked");
    into.reserve(encoded_bytes(append));
    into.put_u32_le(length(append.key.len()));
    into.put_u32_le(length(append.value.len()));
    into.put_u16_le(headers);
    into.put_slice(&append.key);
    into.put_slice(&append.value);
    for (name, value) in &append.headers {
        into.put_u32_le(length(name.len()));
        into.put_u32_le(length(value.len()));
        into.put_slice(name.as_bytes());
        into.put_slice(value);
    }
}

/// Bytes that [`encode_record`] adds.
pub(super) fn encoded_bytes(append: &Append) -> usize {
    RECORD_HEADER_BYTES + 8 * append.headers.len() + append.payload_bytes()
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("MAX_RECORD_BYTES is below 4 GiB")
}

impl Chunk {
    /// Puts encoded records under a header.
    pub(super) fn seal(
        place: Place,
        append_time: TimestampMs,
        count: u32,
        records: &[&[u8]],
    ) -> Self {
        let bytes: usize = records.iter().map(|piece| piece.len()).sum();
        let mut value = Vec::with_capacity(HEADER_BYTES + bytes);
        value.put_u8(VERSION);
        value.put_bytes(0, CHECKSUM.len());
        value.put_i64_le(append_time.0);
        value.put_u32_le(count);
        for piece in records {
            value.put_slice(piece);
        }
        let sum = checksum(place, &value[CHECKSUM.end..]);
        value[CHECKSUM].copy_from_slice(&sum);
        let starts = OnceLock::new();
        Self { first: place.first, count, append_time, value: value.into(), starts }
    }

    /// Verifies a value read from the database; the error says what is wrong with it.
    pub(super) fn open(place: Place, value: Bytes) -> Result<Self, &'static str> {
        if value.len() < HEADER_BYTES {
            return Err("the chunk is too short");
        }
        if value[0] != VERSION {
            return Err("the chunk is of an unknown version");
        }
        if value[CHECKSUM] != checksum(place, &value[CHECKSUM.end..]) {
            return Err("the checksum does not match");
        }
        let time = value[TIME].try_into().expect("a range of 8");
        let count = value[COUNT].try_into().expect("a range of 4");
        Ok(Self {
            first: place.first,
            count: u32::from_le_bytes(count),
            append_time: TimestampMs(i64::from_le_bytes(time)),
            value,
            starts: OnceLock::new(),
        })
    }

    /// As it lies in the database.
    pub(super) fn value(&self) -> &Bytes {
        &self.value
    }

    pub(super) fn append_time(&self) -> TimestampMs {
        self.append_time
    }

    /// The offsets of its records.
    pub(super) fn offsets(&self) -> Range<Offset> {
        self.first..self.first + Offset::from(self.count)
    }

    /// The record at `offset`; `None` when it lies in another chunk. Key, value and header values
    /// share the memory of the whole chunk.
    pub(super) fn record(&self, offset: Offset) -> Option<Record> {
        let rank = offset.checked_sub(self.first)?;
        let start = *self.starts().get(usize::try_from(rank).ok()?)?;
        let mut reader = Reader { value: &self.value, at: start as usize };
        let (key, value) = (reader.u32() as usize, reader.u32() as usize);
        let headers = reader.u16();
        let (key, value) = (reader.bytes(key), reader.bytes(value));
        let headers = (0..headers).map(|_| reader.header()).collect();
        Some(Record { append_time: self.append_time, key, value, headers, erased: None })
    }

    fn starts(&self) -> &[u32] {
        self.starts.get_or_init(|| {
            let mut reader = Reader { value: &self.value, at: HEADER_BYTES };
            let start = |_| {
                let start = length(reader.at);
                reader.skip_record();
                start
            };
            (0..self.count).map(start).collect()
        })
    }
}

fn checksum(place: Place, body: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(place.partition.topic.name().as_bytes());
    hasher.update(&[0]);
    hasher.update(&place.partition.partition.to_le_bytes());
    hasher.update(&place.first.to_le_bytes());
    hasher.update(body);
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    half
}

/// Walks over a chunk whose checksum was verified: its lengths are as they were written.
struct Reader<'a> {
    value: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, bytes: usize) -> Range<usize> {
        self.at += bytes;
        self.at - bytes..self.at
    }

    fn u16(&mut self) -> u16 {
        let range = self.take(2);
        u16::from_le_bytes(self.value[range].try_into().expect("a range of 2"))
    }

    fn u32(&mut self) -> u32 {
        let range = self.take(4);
        u32::from_le_bytes(self.value[range].try_into().expect("a range of 4"))
    }

    fn bytes(&mut self, bytes: usize) -> Bytes {
        let range = self.take(bytes);
        self.value.slice(range)
    }

    fn header(&mut self) -> (String, Bytes) {
        let (name, value) = (self.u32() as usize, self.u32() as usize);
        let range = self.take(name);
        let name = String::from_utf8_lossy(&self.value[range]).into_owned();
        (name, self.bytes(value))
    }

    fn skip_record(&mut self) {
        let (key, value, headers) = (self.u32() as usize, self.u32() as usize, self.u16());
        self.at += key + value;
        for _ in 0..headers {
            let header = self.u32() as usize + self.u32() as usize;
            self.at += header;
        }
    }
}

#[cfg(test)]
mod tests {
    use eddyline_schemas::topic::Topic;

    use super::*;

    fn place() -> Place {
        let partition = TopicPartition { topic: Topic::Feedback, partition: 1 };
        Place { partition, first: 40 }
    }

    fn append(key: &'static str, value: &'static str, header: Option<&'static str>) -> Append {
        let headers = header.map(|name| (name.to_owned(), Bytes::from_static(b"h")));
        Append {
            partition: place().partition,
            key: key.into(),
            value: value.into(),
            headers: headers.into_iter().collect(),
        }
    }

    fn sealed(appends: &[Append]) -> Chunk {
        let mut records = Vec::new();
        for append in appends {
            let before = records.len();
            encode_record(append, &mut records);
            assert_eq!(records.len() - before, encoded_bytes(append));
        }
        Chunk::seal(place(), TimestampMs(9), appends.len() as u32, &[&records])
    }

    #[test]
    fn records_round_trip() {
        let appends = [append("a", "1", None), append("", "", Some("é")), append("c", "3", None)];
        let chunk = Chunk::open(place(), sealed(&appends).value().clone()).expect("as sealed");
        assert_eq!(chunk.offsets(), 40..43);
        for (rank, append) in appends.into_iter().enumerate() {
            let Append { key, value, headers, .. } = append;
            let want = Record { append_time: TimestampMs(9), key, value, headers, erased: None };
            assert_eq!(chunk.record(40 + rank as Offset), Some(want));
        }
        assert_eq!((chunk.record(39), chunk.record(43)), (None, None));
    }

    #[test]
    fn any_flipped_bit_and_any_other_place_is_noticed() {
        let value = sealed(&[append("key", "value", Some("name"))]).value().clone();
        for at in 0..value.len() {
            let mut damaged = value.to_vec();
            damaged[at] ^= 0x10;
            assert!(Chunk::open(place(), damaged.into()).is_err(), "byte {at}");
            assert!(Chunk::open(place(), value.slice(..at)).is_err(), "cut at {at}");
        }
        let elsewhere = Place { first: 41, ..place() };
        assert!(Chunk::open(elsewhere, value).is_err());
    }
}
