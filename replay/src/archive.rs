//! The archive: every bound record, and the bindings, as Parquet that any tool reads, with a
//! manifest that says which files count.
//!
//! * A file is written once and never changes; an erasure writes another one instead ([`FileBuilder`], [`read_rows`]); equal rows make
//!   equal bytes in one build.
//! * Files count from the moment a manifest names them ([`Catalogue`]): whoever dies between the
//!   two leaves an orphan. Manifests are numbered without gaps, created if absent, and chained by
//!   hash, so of two archivers one loses.
//! * Rows are chained by digest per partition ([`ArchivedRow::chain_after`]), whatever the files.
//! * Nothing is decoded before its BLAKE3 was checked against the manifest, and a manifest before
//!   its own: the Parquet reader sees no byte that this module did not write.
//! * [`ArchiveLog`] gives all of it back as the log that it was.
//!
//! The module reads no clock and starts no thread that outlives a call but the one that decodes
//! ahead of a sequential reader.

mod build;
mod catalogue;
mod column;
mod compact;
mod entry;
mod erase;
mod error;
mod footer;
mod log;
mod manifest;
mod read;
mod receipt;
mod row;
mod schema;
mod splice;
mod verify;

pub use build::{Built, FileBuilder, LEVEL, LEVEL_COMPACTED};
pub use catalogue::{Catalogue, Change, Since, TopicAdvance, objects};
pub use compact::{Compacted, compact};
pub use entry::{ErasedRows, FileEntry, topic_folder};
pub use erase::{Erased, Erasure, Place, Request, Subject, erase, requests};
pub use error::ArchiveError;
pub use log::ArchiveLog;
pub use manifest::{Nonce, PartitionState, TopicState};
pub(crate) use manifest::{hex, sixteen};
pub use read::{HashCheck, read_rows, read_rows_in};
pub use receipt::{Outstanding, Surroundings, outstanding, receipts, write_receipt};
pub use row::{ArchivedRow, Content};
pub use splice::{OpenArchive, SplicedLog};
pub use verify::{Finding, Progress, VerifyReport, verify, verify_file};

/// Version of files and manifests.
pub const VERSION: u64 = 1;
