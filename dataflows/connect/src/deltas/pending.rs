//! The rows of one epoch in one partition, as they come in: in any order, any number of times.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use eddyline_schemas::delta::Delta;
use eddyline_schemas::delta::canonical::write_canonical;
use eddyline_schemas::delta::placement::rows_digest;
use eddyline_schemas::delta::record::PartitionClose;

/// See the module doc.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By seq.
    rows: BTreeMap<u32, Delta>,
    close: Option<PartitionClose>,
    is_whole: bool,
}

/// What does not fit.
#[derive(Debug)]
pub(super) enum Misfit {
    /// The row with this seq is there with another value.
    Row(u32),
    Close(String),
}

impl Pending {
    /// Closed, with all rows there.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The close, once it is there.
    pub(super) fn close(&self) -> Option<&PartitionClose> {
        self.close.as_ref()
    }

    /// Takes a row; false when it was there already.
    pub(super) fn add(&mut self, seq: u32, row: Delta) -> Result<bool, Misfit> {
        match self.rows.entry(seq) {
            Entry::Occupied(known) if is_same(known.get(), &row) => Ok(false),
            Entry::Occupied(_) => Err(Misfit::Row(seq)),
            Entry::Vacant(place) => {
                place.insert(row);
                Ok(true)
            }
        }
    }

    /// Takes the close; false when it was there already.
    pub(super) fn end(&mut self, close: PartitionClose) -> Result<bool, Misfit> {
        match &self.close {
            Some(known) if *known == close => Ok(false),
            Some(_) => Err(Misfit::Close("it was closed twice, differently".into())),
            None => {
                self.close = Some(close);
                Ok(true)
            }
        }
    }

    /// Looks whether all is there, and holds it against count and digest.
    pub(super) fn settle(&mut self) -> Result<(), Misfit> {
        let Some(close) = &self.close else { return Ok(()) };
        let beyond = self.rows.last_key_value().filter(|(seq, _)| **seq >= close.count);
        if let Some((seq, _)) = beyond {
            let what = format!("it has a row of seq {seq} and was closed with {}", close.count);
            return Err(Misfit::Close(what));
        }
        if self.is_whole || self.rows.len() < close.count as usize {
            return Ok(());
        }
        let digest = rows_digest(self.rows.values());
        if digest != close.digest {
            let what = format!("its rows have digest {digest}, its close says {}", close.digest);
            return Err(Misfit::Close(what));
        }
        self.is_whole = true;
        Ok(())
    }

    /// The rows in the order of seq.
    pub(super) fn into_rows(self) -> impl Iterator<Item = Delta> {
        self.rows.into_values()
    }
}

/// Bit for bit.
fn is_same(a: &Delta, b: &Delta) -> bool {
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    write_canonical(a, &mut of_a);
    write_canonical(b, &mut of_b);
    of_a == of_b
}
