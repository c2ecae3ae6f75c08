//! What can go wrong with the registry, by what the caller may do next.

use eddyline_connect::objects::{ObjectError, ObjectName};

use super::state::Refused;

/// Why the registry was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum LineagesError {
    /// The object store did not do it; its own error says what may be repeated. A change may stand:
    /// read the registry before it is made again.
    #[error("the object store of the lineages did not do it")]
    Objects(#[from] ObjectError),
    /// A record is gone: restore it from a copy.
    #[error("{name} is missing from the registry of lineages; restore it from a copy")]
    Missing {
        /// Which.
        name: ObjectName,
    },
    /// A record is not what was written: restore it from a copy.
    #[error("{name} is damaged: {reason}; restore it from a copy")]
    Damaged {
        /// Which.
        name: ObjectName,
        /// How it shows.
        reason: String,
    },
    /// Written by another version of the format: use a newer build.
    #[error(
        "{name} has format version {found}, this build reads {}; use a newer one",
        super::VERSION
    )]
    Version {
        /// Which.
        name: ObjectName,
        /// As it says.
        found: u64,
    },
    /// The change contradicts what is so: nothing was written.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Others wrote all the while: certainly not written, try again.
    #[error("others keep changing the lineages; try again")]
    Crowded,
}

impl LineagesError {
    pub(super) fn damaged(name: &ObjectName, reason: impl Into<String>) -> Self {
        Self::Damaged { name: name.clone(), reason: reason.into() }
    }
}
