//! How many records were acknowledged, kept beside the database to notice that some are gone.
//!
//! The number is written after the commit it counts and before its callers return, without a sync
//! of its own. So on disk it is never ahead of the database: after a kill it is exact, after a power
//! failure it may be behind. A database with fewer records was cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use crate::log::OpenError;

const FILE: &str = "log.acknowledged";

/// See the module doc.
pub(super) struct Acknowledged {
    file: File,
    records: u64,
}

impl Acknowledged {
    /// Opens the number kept in `folder` and holds it against the `found` records of the database.
    pub(super) fn open(folder: &Path, found: u64) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { folder: folder.to_path_buf(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(folder.join(FILE)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let acknowledged = decode(&bytes).unwrap_or(0);
        if found < acknowledged {
            let (folder, file) = (folder.to_path_buf(), FILE);
            return Err(OpenError::Lost { folder, acknowledged, found, file });
        }
        let mut this = Self { file, records: found };
        this.write().map_err(failed)?;
        Ok(this)
    }

    /// A number that cannot be written.
    #[cfg(test)]
    pub(super) fn read_only(folder: &Path) -> Self {
        let file = File::open(folder.join(FILE)).expect("it was made");
        Self { file, records: 0 }
    }

    /// Counts `records` more.
    pub(super) fn add(&mut self, records: u64) -> io::Result<()> {
        self.records += records;
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(&encode(self.records))
    }
}

/// The number twice, once inverted: a write torn in half is not taken for a number.
fn encode(records: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&records.to_le_bytes());
    bytes[8..].copy_from_slice(&(!records).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let (number, inverted) = bytes.split_at_checked(8)?;
    let number = u64::from_le_bytes(number.try_into().ok()?);
    let inverted = u64::from_le_bytes(inverted.try_into().ok()?);
    (number == !inverted).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_records_than_acknowledged_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut kept = Acknowledged::open(folder.path(), 0).expect("new");
        kept.add(7).expect("written");
        drop(kept);
        assert!(Acknowledged::open(folder.path(), 7).is_ok());
        assert!(Acknowledged::open(folder.path(), 9).is_ok());
        let refused = Acknowledged::open(folder.path(), 8).err().expect("one is gone");
        assert!(matches!(refused, OpenError::Lost { acknowledged: 9, found: 8, .. }));
    }

    #[test]
    fn a_torn_number_is_no_number() {
        assert_eq!(decode(&encode(5)), Some(5));
        assert_eq!(decode(&encode(5)[..9]), None);
        assert_eq!(decode(&[0; 16]), None);
        assert_eq!(decode(&[]), None);
    }
}
