//! Reading the records of an object store, and writing the next one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eddyline_connect::objects::{ObjectError, ObjectStore};
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;

use super::error::LineagesError;
use super::record::{self, Action, Record};
use super::state::Lineages;
use crate::archive::Nonce;

/// How often a writer that loses to others decides again.
const TURNS: usize = 16;

/// How often a put that failed is repeated, and the rest before each time.
const PUTS: usize = 3;
const REST: Duration = Duration::from_millis(100);

/// See the module doc of [`crate::lineages`].
#[derive(Clone)]
pub struct Registry {
    objects: Arc<dyn ObjectStore>,
    lineages: Lineages,
}

impl Registry {
    /// Reads all records.
    pub fn open(objects: Arc<dyn ObjectStore>) -> Result<Self, LineagesError> {
        let listed = objects.list(&record::folder())?;
        let last = listed.iter().filter_map(|object| record::number(&object.name)).max();
        let mut registry = Self { objects, lineages: Lineages::default() };
        registry.read_on()?;
        let end = registry.lineages.number();
        if last.is_some_and(|last| last > end) {
            return Err(LineagesError::Missing { name: record::name(end + 1) });
        }
        Ok(registry)
    }

    /// As of the last record that was read.
    #[must_use]
    pub fn lineages(&self) -> &Lineages {
        &self.lineages
    }

    /// Reads what others wrote since; whether there was anything. Costs one look at the store where
    /// there is nothing.
    pub fn read_on(&mut self) -> Result<bool, LineagesError> {
        let before = self.lineages.number();
        loop {
            let name = record::name(self.lineages.number() + 1);
            let Some(bytes) = self.objects.get(&name)? else {
                return Ok(self.lineages.number() > before);
            };
            let record = Record::decode(&name, &bytes)?;
            let follows = self.lineages.step(record, Digest::of(&bytes));
            follows.map_err(|reason| LineagesError::damaged(&name, reason))?;
        }
    }

    /// Writes what `decide` makes of what is so: an action at a time, until it says that nothing is
    /// left to do. It is asked again when somebody else was first. `at` is for people.
    pub fn change<E: From<LineagesError>>(
        &mut self,
        at: TimestampMs,
        mut decide: impl FnMut(&Lineages) -> Result<Option<Action>, E>,
    ) -> Result<(), E> {
        for _ in 0..TURNS {
            self.read_on()?;
            let Some(action) = decide(&self.lineages)? else { return Ok(()) };
            self.write(at, action)?;
        }
        Err(LineagesError::Crowded.into())
    }

    /// Writes the next record, unless somebody else was first.
    fn write(&mut self, at: TimestampMs, action: Action) -> Result<(), LineagesError> {
        self.lineages.check(&action)?;
        let record = Record {
            number: self.lineages.number() + 1,
            previous: self.lineages.digest(),
            nonce: Nonce(eddyline_connect::random::bytes()),
            at,
            action,
        };
        let bytes = Bytes::from(record.encode());
        let name = record::name(record.number);
        let mut tries = 0;
        loop {
            tries += 1;
            // The nonce makes the bytes ours: the same bytes found there are this very record, whose
            // reply was lost.
            match self.objects.put_if_absent(&name, bytes.clone()) {
                Ok(()) | Err(ObjectError::Conflict { .. }) => break,
                Err(ObjectError::Unavailable { .. }) if tries < PUTS => std::thread::sleep(REST),
                Err(error) => return Err(error.into()),
            }
        }
        // What stands there is read back, whoever wrote it.
        self.read_on().map(|_| ())
    }
}
