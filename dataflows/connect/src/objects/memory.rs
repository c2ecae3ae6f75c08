//! Objects in memory, for tests and for trying things out.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{ObjectError, ObjectInfo, ObjectName, ObjectStore};

/// See the module doc.
#[derive(Debug, Default)]
pub struct MemoryObjects(Mutex<BTreeMap<ObjectName, Bytes>>);

impl MemoryObjects {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces an object behind the port's back, as a failing disk would; `None` loses it.
    pub fn corrupt(&self, name: &ObjectName, bytes: Option<Bytes>) {
        match bytes {
            Some(bytes) => self.0.lock().insert(name.clone(), bytes),
            None => self.0.lock().remove(name),
        };
    }
}

impl ObjectStore for MemoryObjects {
    fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), ObjectError> {
        let mut objects = self.0.lock();
        if *objects.entry(name.clone()).or_insert_with(|| bytes.clone()) == bytes {
            return Ok(());
        }
        Err(ObjectError::Conflict { name: name.clone() })
    }

    fn get(&self, name: &ObjectName) -> Result<Option<Bytes>, ObjectError> {
        Ok(self.0.lock().get(name).cloned())
    }

    fn list(&self, folder: &ObjectName) -> Result<Vec<ObjectInfo>, ObjectError> {
        let objects = self.0.lock();
        let below = objects.iter().filter(|(name, _)| name.is_below(folder));
        let info = |(name, bytes): (&ObjectName, &Bytes)| ObjectInfo {
            name: name.clone(),
            bytes: bytes.len() as u64,
        };
        Ok(below.map(info).collect())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        self.0.lock().remove(name);
        Ok(())
    }
}
