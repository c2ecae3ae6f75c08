//! A record as it lies on the log, and the hashes that pin it.
//!
//! *Record hash* = BLAKE3 of append time, key, value and headers in order, each length-prefixed.
//! *Range digest* = BLAKE3 over (offset, record hash) of a range of one partition, in offset
//! order. Both are durable: bindings and the archive carry them. All integers are little-endian.

use bytes::Bytes;

use crate::time::TimestampMs;

/// Position of a record in its partition.
pub type Offset = u64;

/// A BLAKE3 hash.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Reads 32 bytes; `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes()))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// One record of a partition, without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Stamped once by the log.
    pub append_time: TimestampMs,
    /// Partitioning key.
    pub key: Bytes,
    /// The event: protobuf when the header [`CONTENT_TYPE`] says so, else JSON.
    pub value: Bytes,
    /// Name and value, in the producer's order.
    pub headers: Vec<(String, Bytes)>,
    /// Of a record that was erased on request: its hash, all that is left of it but the append
    /// time. Only the archive has such records; boxed, for all others are many.
    pub erased: Option<Box<Digest>>,
}

/// Header that names the encoding of a value.
pub const CONTENT_TYPE: &str = "content-type";
/// Value of [`CONTENT_TYPE`] for `eddyline.v1` protobuf messages.
pub const PROTOBUF: &[u8] = b"application/x-protobuf";

impl Record {
    /// Whether the value is an `eddyline.v1` protobuf message rather than JSON.
    #[must_use]
    pub fn is_protobuf(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == CONTENT_TYPE && value == PROTOBUF)
    }

    /// What an erasure leaves of a record with this hash: nobody can say whose it was.
    #[must_use]
    pub fn erased(append_time: TimestampMs, hash: Digest) -> Self {
        let (key, value, headers) = (Bytes::new(), Bytes::new(), Vec::new());
        Self { append_time, key, value, headers, erased: Some(Box::new(hash)) }
    }

    /// The record hash of the module doc; of an erased record, that which it had.
    #[must_use]
    pub fn hash(&self) -> Digest {
        if let Some(hash) = &self.erased {
            return **hash;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.append_time.0.to_le_bytes());
        update_sized(&mut hasher, &self.key);
        update_sized(&mut hasher, &self.value);
        hasher.update(&(self.headers.len() as u64).to_le_bytes());
        for (name, value) in &self.headers {
            update_sized(&mut hasher, name.as_bytes());
            update_sized(&mut hasher, value);
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

fn update_sized(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// Hashes the parts of a key to 128 bits: the first half of BLAKE3 of their concatenation.
#[derive(Clone, Debug, Default)]
pub struct KeyHasher(blake3::Hasher);

impl KeyHasher {
    /// Adds a part; a separator between parts is the caller's.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The hash of the parts.
    #[must_use]
    pub fn finish(&self) -> crate::id::IdHash {
        let mut first = [0; 16];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
        crate::id::IdHash(first)
    }
}

/// Hashes canonical bytes of any length: state rows, deltas, streams of ranks.
#[derive(Clone, Debug, Default)]
pub struct DigestBuilder(blake3::Hasher);

impl DigestBuilder {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of what was added.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// Builds the range digest record by record; offsets must ascend.
#[derive(Clone, Debug, Default)]
pub struct RangeDigest {
    hasher: blake3::Hasher,
    last: Option<Offset>,
    count: u64,
}

impl RangeDigest {
    /// Adds the record at `offset`.
    pub fn add(&mut self, offset: Offset, record_hash: Digest) {
        debug_assert!(self.last.is_none_or(|last| last < offset), "offsets ascend");
        self.last = Some(offset);
        self.count += 1;
        self.hasher.update(&offset.to_le_bytes());
        self.hasher.update(&record_hash.0);
    }

    /// Records added so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The digest of what was added.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            append_time: TimestampMs(1),
            key: Bytes::from_static(b"k"),
            value: Bytes::from_static(b"v"),
            headers: vec![("a".into(), Bytes::from_static(b"b"))],
            erased: None,
        }
    }

    #[test]
    fn every_part_enters_the_hash() {
        let base = record();
        let mut variants = vec![base.clone(); 5];
        variants[0].append_time = TimestampMs(2);
        variants[1].key = Bytes::from_static(b"kv");
        variants[2].value = Bytes::new();
        variants[3].headers[0].0 = "ab".into();
        variants[4].headers.push(("a".into(), Bytes::new()));
        let mut hashes: Vec<Digest> = variants.iter().map(Record::hash).collect();
        hashes.push(base.hash());
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), 6);
    }

    #[test]
    fn an_erased_record_keeps_its_hash_and_nothing_else() {
        let (append_time, hash) = (record().append_time, record().hash());
        let erased = Record::erased(append_time, hash);
        assert_eq!((erased.hash(), erased.append_time), (hash, append_time));
        assert!(erased.key.is_empty() && erased.value.is_empty() && erased.headers.is_empty());
    }

    #[test]
    fn hex_round_trips() {
        let digest = record().hash();
        assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
        assert_eq!(Digest::from_hex("zz"), None);
    }
}
