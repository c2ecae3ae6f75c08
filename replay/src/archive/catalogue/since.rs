//! What others have made of an archive since a catalogue was read.
//!
//! Two kinds of writers share an archive: the archiver adds files behind its end, and whoever
//! rewrites (compaction, erasure) puts files in the place of others and moves no end. Neither has
//! to leave for the other. A start of an archiver writes a manifest that changes nothing, a *claim*,
//! before it removes whatever no manifest names: after that, files that somebody else has stored and
//! not yet committed may be gone, so everybody who was at work must leave.

use eddyline_connect::objects::ObjectStore;

use super::super::error::ArchiveError;
use super::Catalogue;
use super::open::read_manifest;

/// See the module doc.
#[derive(Clone, Debug)]
pub struct Since {
    /// The archive now.
    pub newest: Catalogue,
    /// Somebody has claimed the archive, or it is another one.
    pub is_claimed: bool,
    /// Its end has moved.
    pub is_advanced: bool,
}

impl Catalogue {
    /// Reads every manifest behind this catalogue's own.
    pub fn since(&self, store: &dyn ObjectStore) -> Result<Since, ArchiveError> {
        let newest = Self::open(store)?;
        let mut since = Since { is_claimed: false, is_advanced: false, newest };
        let (mut digest, mut epoch, mut topics) = (self.digest, self.epoch, self.topics.clone());
        for number in self.number + 1..=since.newest.number {
            let read = read_manifest(store, number);
            if let Err(ArchiveError::Missing { .. }) = read {
                // Pruned: nobody knows any more what it said.
                since.is_claimed = true;
                break;
            }
            let (manifest, hash) = read?;
            let is_claim = manifest.added.is_empty() && manifest.removed.is_empty();
            since.is_claimed |= is_claim || manifest.previous != digest;
            since.is_advanced |= manifest.epoch != epoch || manifest.topics != topics;
            (digest, epoch, topics) = (hash, manifest.epoch, manifest.topics);
        }
        since.is_claimed |= since.newest.number < self.number;
        Ok(since)
    }
}
