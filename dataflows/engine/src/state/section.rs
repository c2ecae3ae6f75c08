//! The words of which a section of a snapshot consists; its grammar is in
//! [`eddyline_schemas::snapshot`].
//!
//! Everything is little-endian, floats are their bits. Reading checks every length against what is
//! there before anything is allocated, so no bytes whatever make it panic or take much memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use eddyline_schemas::id::ItemRef;

/// What is wrong with a section whose checksum was right: it was written by a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be read")]
pub struct InvalidSection(pub &'static str);

/// Writes words to the end of `out`.
pub(crate) fn count(out: &mut Vec<u8>, items: usize) {
    out.extend_from_slice(&(items as u32).to_le_bytes());
}

/// A text.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// A list of texts.
pub(crate) fn texts<'a>(out: &mut Vec<u8>, list: impl ExactSizeIterator<Item = &'a str>) {
    count(out, list.len());
    list.for_each(|one| text(out, one));
}

/// A value or nothing.
pub(crate) fn maybe<T>(out: &mut Vec<u8>, value: Option<T>, write: impl Fn(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(out, value);
    }
}

/// A list of items.
pub(crate) fn items<'a>(out: &mut Vec<u8>, list: impl ExactSizeIterator<Item = &'a ItemRef>) {
    count(out, list.len());
    list.for_each(|item| out.extend_from_slice(&item.0.to_le_bytes()));
}

/// Numbers, as many as the reader knows of.
pub(crate) fn floats(out: &mut Vec<u8>, list: &[f32]) {
    let from = out.len();
    out.resize(from + list.len() * 4, 0);
    for (bytes, value) in out[from..].chunks_exact_mut(4).zip(list) {
        bytes.copy_from_slice(&value.to_bits().to_le_bytes());
    }
}

/// Reads words from the front of a section.
#[derive(Debug)]
pub(crate) struct Reader<'a, 'n> {
    rest: &'a [u8],
    /// One allocation per name, however many rows bear it.
    names: &'n mut BTreeSet<Arc<str>>,
    /// What is being read, for errors.
    pub(crate) part: &'static str,
}

impl<'a, 'n> Reader<'a, 'n> {
    pub(crate) fn new(section: &'a [u8], names: &'n mut BTreeSet<Arc<str>>) -> Self {
        Self { rest: section, names, part: "the section" }
    }

    /// What every error of this reader is.
    pub(crate) fn invalid(&self) -> InvalidSection {
        InvalidSection(self.part)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], InvalidSection> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(InvalidSection(self.part))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], InvalidSection> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(InvalidSection(self.part))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, InvalidSection> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, InvalidSection> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, InvalidSection> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, InvalidSection> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn f32(&mut self) -> Result<f32, InvalidSection> {
        self.u32().map(f32::from_bits)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, InvalidSection> {
        self.u64().map(f64::from_bits)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, InvalidSection> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.invalid()),
        }
    }

    /// How many follow, each of at least `least_bytes`.
    pub(crate) fn count(&mut self, least_bytes: usize) -> Result<usize, InvalidSection> {
        let count = self.u32()? as usize;
        if count.checked_mul(least_bytes).is_none_or(|bytes| bytes > self.rest.len()) {
            return Err(self.invalid());
        }
        Ok(count)
    }

    /// A list, each member of at least `least_bytes`.
    pub(crate) fn list<T, L: FromIterator<T>>(
        &mut self,
        least_bytes: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, InvalidSection>,
    ) -> Result<L, InvalidSection> {
        let count = self.count(least_bytes)?;
        (0..count).map(|_| read(self)).collect()
    }

    pub(crate) fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, InvalidSection>,
    ) -> Result<Option<T>, InvalidSection> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, InvalidSection> {
        let length = self.count(1)?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| self.invalid())
    }

    pub(crate) fn string(&mut self) -> Result<String, InvalidSection> {
        self.text().map(str::to_owned)
    }

    /// A text that many rows share.
    pub(crate) fn name(&mut self) -> Result<Arc<str>, InvalidSection> {
        let text = self.text()?;
        Ok(self.shared(text))
    }

    /// `text`, allocated once.
    pub(crate) fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.names.insert(Arc::clone(&new));
        new
    }

    pub(crate) fn item(&mut self) -> Result<ItemRef, InvalidSection> {
        self.u32().map(ItemRef)
    }

    pub(crate) fn items<L: FromIterator<ItemRef>>(&mut self) -> Result<L, InvalidSection> {
        self.list(4, Self::item)
    }

    pub(crate) fn floats(&mut self, count: usize) -> Result<Vec<f32>, InvalidSection> {
        let length = count.checked_mul(4).ok_or(InvalidSection(self.part))?;
        let bytes = self.bytes(length)?.chunks_exact(4);
        Ok(bytes.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
    }

    /// Fails if anything is left.
    pub(crate) fn end(self) -> Result<(), InvalidSection> {
        if self.rest.is_empty() { Ok(()) } else { Err(InvalidSection("what follows the section")) }
    }
}
