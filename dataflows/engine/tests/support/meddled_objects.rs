//! An object store at whose n-th operation somebody else gets a turn first.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use eddyline_connect::objects::{MemoryObjects, ObjectError, ObjectInfo, ObjectName, ObjectStore};

type Turn = Box<dyn FnOnce() + Send>;

/// See the module doc.
pub(crate) struct MeddledObjects {
    inner: Arc<MemoryObjects>,
    done: AtomicUsize,
    at: usize,
    turn: Mutex<Option<Turn>>,
}

impl MeddledObjects {
    pub(crate) fn new(inner: &Arc<MemoryObjects>, at: usize, turn: Turn) -> Arc<Self> {
        let (inner, done) = (Arc::clone(inner), AtomicUsize::new(0));
        Arc::new(Self { inner, done, at, turn: Mutex::new(Some(turn)) })
    }

    /// Whether the other has had its turn.
    pub(crate) fn is_over(&self) -> bool {
        self.turn.lock().expect("no turn panics").is_none()
    }

    fn inner(&self) -> &MemoryObjects {
        if self.done.fetch_add(1, Ordering::SeqCst) == self.at {
            let turn = self.turn.lock().expect("no turn panics").take();
            turn.into_iter().for_each(|turn| turn());
        }
        &self.inner
    }
}

impl ObjectStore for MeddledObjects {
    fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), ObjectError> {
        self.inner().put_if_absent(name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Option<Bytes>, ObjectError> {
        self.inner().get(name)
    }

    fn list(&self, folder: &ObjectName) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.inner().list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        self.inner().delete(name)
    }
}
