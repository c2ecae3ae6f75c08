//! Parts of snapshots as bytes; the layout is in [`crate::snapshot`].
//!
//! Reading trusts nothing: every length is checked against what is there, and every byte of a part
//! is under one of its checksums.

use std::ops::Range;

use crate::record::Digest;

const MAGIC: &[u8; 8] = b"EDYPART\x02";
const ENTRY_BYTES: usize = 1 + 8 + 32;
const DIGEST_BYTES: usize = 32;

/// Why bytes are not a part. One reaction: use another snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPart {
    /// Another format, or another version of it.
    #[error("not a snapshot part of version 2")]
    Magic,
    /// Shorter or longer than it says.
    #[error("{actual} bytes where its entries make {expected}")]
    Length {
        /// What the entries add up to.
        expected: u64,
        /// What is there.
        actual: u64,
    },
    /// The entries are not what was written.
    #[error("its entries do not have the digest {0}")]
    Entries(Digest),
    /// The entries are in no order in which this version writes them.
    #[error("its shards do not ascend")]
    Order,
    /// A section is not what was written.
    #[error("the section of shard {0} does not have its digest")]
    Section(u8),
}

/// A part as it is to be written: what comes before the sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHeader {
    /// Magic, entries and digest.
    pub bytes: Vec<u8>,
    /// The part's digest.
    pub digest: Digest,
}

/// Where a section lies in its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSection {
    /// Whose state.
    pub shard: u8,
    /// Bytes of the part.
    pub range: Range<usize>,
    /// Of the section.
    pub digest: Digest,
}

/// The header of a part with these sections, which follow it: shard, length, digest of each.
#[must_use]
pub fn encode_part_header(sections: &[(u8, u64, Digest)]) -> PartHeader {
    let mut bytes = Vec::with_capacity(header_bytes(sections.len()));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(sections.len() as u16).to_le_bytes());
    for (shard, length, digest) in sections {
        bytes.push(*shard);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&digest.0);
    }
    let digest = Digest::of(&bytes);
    bytes.extend_from_slice(&digest.0);
    PartHeader { bytes, digest }
}

/// The sections of a part whose digest is to be `digest`. Sections are not checked yet, so that
/// this can be done for several at a time: [`PartSection::bytes_of`].
pub fn decode_part(part: &[u8], digest: Digest) -> Result<Vec<PartSection>, InvalidPart> {
    if part.first_chunk::<8>() != Some(MAGIC) {
        return Err(InvalidPart::Magic);
    }
    let too_short = |expected: usize| InvalidPart::Length {
        expected: expected as u64,
        actual: part.len() as u64,
    };
    let count = part.get(8..10).and_then(|two| two.try_into().ok()).map(u16::from_le_bytes);
    let count = usize::from(count.ok_or_else(|| too_short(10))?);
    let header = part.get(..header_bytes(count)).ok_or_else(|| too_short(header_bytes(count)))?;
    let (entries, held) = header.split_at(header.len() - DIGEST_BYTES);
    if Digest::of(entries) != digest || held != digest.0 {
        return Err(InvalidPart::Entries(digest));
    }
    let mut sections: Vec<PartSection> = Vec::with_capacity(count);
    let mut end = header.len();
    for entry in entries[10..].chunks_exact(ENTRY_BYTES) {
        let (length, digest) = entry[1..].split_at(8);
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let start = end;
        end = usize::try_from(length)
            .ok()
            .and_then(|length| start.checked_add(length))
            .ok_or(InvalidPart::Length { expected: u64::MAX, actual: part.len() as u64 })?;
        let digest = Digest::from_slice(digest).unwrap_or_default();
        sections.push(PartSection { shard: entry[0], range: start..end, digest });
    }
    if end != part.len() {
        return Err(too_short(end));
    }
    if !sections.is_sorted_by(|a, b| a.shard < b.shard) {
        return Err(InvalidPart::Order);
    }
    Ok(sections)
}

fn header_bytes(sections: usize) -> usize {
    MAGIC.len() + 2 + sections * ENTRY_BYTES + DIGEST_BYTES
}

impl PartSection {
    /// The section's bytes, checked.
    pub fn bytes_of<'a>(&self, part: &'a [u8]) -> Result<&'a [u8], InvalidPart> {
        let bytes = part.get(self.range.clone()).ok_or(InvalidPart::Section(self.shard))?;
        if Digest::of(bytes) == self.digest {
            return Ok(bytes);
        }
        Err(InvalidPart::Section(self.shard))
    }
}
