//! Objects as files below a local folder, each durable before it has its name.
//!
//! An object is written to a temporary file, synced, and then *linked* to its name, which fails
//! when the name is taken: the one way to create a file whole, only if absent, that every POSIX
//! file system has. Then the folder is synced. A failed sync may have dropped what was written
//! while later syncs succeed, so after one the store accepts no more objects.
//!
//! Temporary files lie in `.tmp`, locked by whoever writes them; those of a dead process are
//! removed when the store is opened.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use super::{ObjectError, ObjectInfo, ObjectName, ObjectStore};
use crate::embedded::folder::{create_folder, sync_folder};

const TEMPORARY: &str = ".tmp";

/// See the module doc.
#[derive(Debug)]
pub struct FolderObjects {
    root: PathBuf,
    /// Tells the temporary files of this store from all others.
    nonce: String,
    next: AtomicU64,
    has_stopped: AtomicBool,
}

impl FolderObjects {
    /// Opens the store below `root`, which is created if need be.
    pub fn open(root: &Path) -> Result<Self, ObjectError> {
        let nonce = crate::random::bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let store = Self {
            root: root.to_path_buf(),
            nonce,
            next: AtomicU64::new(0),
            has_stopped: AtomicBool::new(false),
        };
        let temporary = root.join(TEMPORARY);
        create_folder(&temporary).map_err(|error| store.failed("create the folder", error))?;
        remove_stale(&temporary).map_err(|error| store.failed("tidy the folder", error))?;
        Ok(store)
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.root.join(name.as_str())
    }

    fn url(&self) -> String {
        format!("file:{}", self.root.display())
    }

    fn failed(&self, doing: &str, error: io::Error) -> ObjectError {
        let (store, doing) = (self.url(), doing.to_owned());
        let reason = match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                "the folder cannot be written; change its owner or mode, or name another"
            }
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                "a file is in the place of a folder; remove it, or name another folder"
            }
            _ => return ObjectError::Unavailable { store, doing, source: Box::new(error) },
        };
        ObjectError::Refused { store, doing, reason: reason.to_owned(), source: Box::new(error) }
    }

    /// A failed sync: nothing that was written since the last one can be trusted.
    fn synced(&self, doing: &str, result: io::Result<()>) -> Result<(), ObjectError> {
        result.map_err(|error| {
            self.has_stopped.store(true, Ordering::SeqCst);
            self.failed(doing, error)
        })
    }

    fn write(&self, temporary: &Path, path: &Path, bytes: &[u8]) -> Result<Linked, ObjectError> {
        let failed = |error| self.failed(&format!("write {}", path.display()), error);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).open(temporary).map_err(failed)?;
        file.lock().map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        self.synced("sync an object", file.sync_all())?;
        let folder = path.parent().unwrap_or(&self.root);
        create_folder(folder).map_err(failed)?;
        match std::fs::hard_link(temporary, path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Linked::Taken),
            Err(error) => return Err(failed(error)),
        }
        self.synced("sync a folder", sync_folder(folder))?;
        Ok(Linked::Created)
    }
}

enum Linked {
    Created,
    Taken,
}

impl ObjectStore for FolderObjects {
    fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), ObjectError> {
        if self.has_stopped.load(Ordering::SeqCst) {
            return Err(ObjectError::Stopped { store: self.url() });
        }
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let temporary = self.root.join(TEMPORARY).join(format!("{}-{number}", self.nonce));
        let path = self.path(name);
        let linked = self.write(&temporary, &path, &bytes);
        // What is left of a failed write goes when the store is opened again.
        let _ = std::fs::remove_file(&temporary);
        match linked? {
            Linked::Created => Ok(()),
            Linked::Taken if self.get(name)?.as_ref() == Some(&bytes) => {
                // Whoever created it may have died before its name was durable.
                let folder = path.parent().unwrap_or(&self.root);
                self.synced("sync a folder", sync_folder(folder))
            }
            Linked::Taken => Err(ObjectError::Conflict { name: name.clone() }),
        }
    }

    fn get(&self, name: &ObjectName) -> Result<Option<Bytes>, ObjectError> {
        match std::fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(Bytes::from(bytes))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed(&format!("get object {name}"), error)),
        }
    }

    fn list(&self, folder: &ObjectName) -> Result<Vec<ObjectInfo>, ObjectError> {
        let mut found = Vec::new();
        walk(folder, &self.path(folder), &mut found)
            .map_err(|error| self.failed(&format!("list {folder}"), error))?;
        found.sort();
        Ok(found)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        match std::fs::remove_file(self.path(name)) {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(self.failed(&format!("delete object {name}"), error)),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

fn walk(name: &ObjectName, path: &Path, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        // A file that has no name of ours was put there by somebody else.
        let below = entry.file_name().to_str().and_then(|text| name.join(text).ok());
        let Some(below) = below else { continue };
        match entry.metadata() {
            Ok(data) if data.is_dir() => walk(&below, &entry.path(), found)?,
            Ok(data) => found.push(ObjectInfo { name: below, bytes: data.len() }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn remove_stale(temporary: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(temporary)? {
        let path = entry?.path();
        // One that is gone, or cannot be opened, belongs to somebody who is at work.
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() && file.metadata()?.len() > 0 {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
