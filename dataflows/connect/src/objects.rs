//! The port to object storage: whole objects that are created once and never change.
//!
//! Invariants, kept by every implementation and checked by the conformance suite:
//!
//! * an object is there whole or not at all, also after a crash: no reader sees a part of one;
//! * an object never changes: [`ObjectStore::put_if_absent`] creates, or finds the same bytes
//!   already there, or refuses. So it may be repeated whenever its reply was lost. Whoever must
//!   know that *it* created an object puts a nonce into the bytes;
//! * what was put is durable when the call returns, its name included;
//! * what was put is listed and can be read at once, by every process.
//!
//! Objects are held in memory whole: keep them to some tens of megabytes.

mod error;
mod folder;
mod memory;
mod name;
mod open;
mod s3;

use bytes::Bytes;

pub use error::ObjectError;
pub use folder::FolderObjects;
pub use memory::MemoryObjects;
pub use name::ObjectName;
pub use open::{Access, OBJECT_SCHEMES, check_objects_url, open_objects};

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    /// Its name.
    pub name: ObjectName,
    /// Its size.
    pub bytes: u64,
}

/// Objects by name. See the module doc for what it promises. Calls block; they may come from any
/// thread, several at a time.
pub trait ObjectStore: Send + Sync {
    /// Makes `name` hold `bytes`. Ok means that it does; [`ObjectError::Conflict`] that it holds
    /// something else and always will. After any other error it may or may not hold them.
    fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), ObjectError>;

    /// The object, whole; `None` when there is none.
    fn get(&self, name: &ObjectName) -> Result<Option<Bytes>, ObjectError>;

    /// Every object below `folder`, in the order of names.
    fn list(&self, folder: &ObjectName) -> Result<Vec<ObjectInfo>, ObjectError>;

    /// Removes an object; fine when there is none.
    fn delete(&self, name: &ObjectName) -> Result<(), ObjectError>;
}
