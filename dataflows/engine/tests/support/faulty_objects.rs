//! An object store whose n-th operation fails, with or without its effect, and so does everything
//! after it: a process that died there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use eddyline_connect::objects::{MemoryObjects, ObjectError, ObjectInfo, ObjectName, ObjectStore};

/// See the module doc.
pub(crate) struct FaultyObjects {
    pub(crate) inner: Arc<MemoryObjects>,
    done: AtomicUsize,
    dies_at: usize,
    /// Whether the operation that fails takes effect, its reply lost.
    applies: bool,
}

impl FaultyObjects {
    pub(crate) fn new(inner: &Arc<MemoryObjects>, dies_at: usize, applies: bool) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), done: AtomicUsize::new(0), dies_at, applies })
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    fn run<T>(&self, operation: impl FnOnce() -> Result<T, ObjectError>) -> Result<T, ObjectError> {
        let at = self.done.fetch_add(1, Ordering::SeqCst);
        if at < self.dies_at {
            return operation();
        }
        if at == self.dies_at && self.applies {
            drop(operation());
        }
        Err(ObjectError::Unavailable {
            store: "memory:".to_owned(),
            doing: format!("do operation {at}"),
            source: "planted".into(),
        })
    }
}

impl ObjectStore for FaultyObjects {
    fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), ObjectError> {
        self.run(|| self.inner.put_if_absent(name, bytes))
    }

    fn get(&self, name: &ObjectName) -> Result<Option<Bytes>, ObjectError> {
        self.run(|| self.inner.get(name))
    }

    fn list(&self, folder: &ObjectName) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.run(|| self.inner.list(folder))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        self.run(|| self.inner.delete(name))
    }
}
