//! What can go wrong with an object store, by what the caller may do next.

use super::ObjectName;
use crate::log::BoxError;

/// Why an object store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The URL names no store that this build can open: change the configuration.
    #[error("cannot open the object store {url:?}: {reason}")]
    Url {
        /// As configured, without what should not be shown.
        url: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// Not a name for an object.
    #[error("{0:?} is no object name: segments of letters, digits and . _ = - between slashes")]
    Name(String),
    /// Certainly not written, and never will be under this name.
    #[error("object {name} is there already, with other content")]
    Conflict {
        /// Which.
        name: ObjectName,
    },
    /// The store is there and says no: a person is needed.
    #[error("object store {store} refused to {doing}: {reason}")]
    Refused {
        /// URL without credentials.
        store: String,
        /// Such as `put object a/b`.
        doing: String,
        /// What to do about it.
        reason: String,
        /// What the layer below said.
        #[source]
        source: BoxError,
    },
    /// The layer below failed; every call may be repeated.
    #[error("object store {store} could not {doing}")]
    Unavailable {
        /// URL without credentials.
        store: String,
        /// Such as `put object a/b`.
        doing: String,
        /// What the layer below said.
        #[source]
        source: BoxError,
    },
    /// A write failed to become durable; the process must start again before it may go on.
    #[error("object store {store} has stopped after a failed fsync; start the process again")]
    Stopped {
        /// URL.
        store: String,
    },
}
