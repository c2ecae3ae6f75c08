//! Which epoch covers a position of the log, for a process without an engine: it follows the
//! bindings topic by the same fold.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_schemas::binding::Accepted;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use parking_lot::Mutex;

use crate::bindings::BindingReader;
use crate::engine::BoundEnds;
use crate::error::EngineError;

/// Reads the bindings, and tells what they say to everybody who has [`Self::positions`].
pub struct BoundFollower {
    log: Arc<dyn EventLog>,
    bindings: BindingReader,
    positions: Arc<BoundPositions>,
}

/// What the bindings say of positions. Never waits for the log.
#[derive(Default)]
pub struct BoundPositions(Mutex<Known>);

#[derive(Default)]
struct Known {
    epoch: Epoch,
    lag_records: u64,
    ends: BoundEnds,
}

impl BoundFollower {
    /// Of the bindings from the start of their topic on.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { bindings: BindingReader::new(Arc::clone(&log)), log, positions: Arc::default() }
    }

    /// What is known so far, for other threads.
    #[must_use]
    pub fn positions(&self) -> Arc<BoundPositions> {
        Arc::clone(&self.positions)
    }

    /// Folds what was appended since.
    pub fn read_on(&mut self) -> Result<(), EngineError> {
        while !self.bindings.is_at_end()? {
            let before = self.bindings.next();
            self.positions.add(&self.bindings.read()?);
            if self.bindings.next() == before {
                break;
            }
        }
        let mut known = self.positions.0.lock();
        known.lag_records = known.ends.lag_records(&*self.log);
        Ok(())
    }
}

impl BoundPositions {
    fn add(&self, accepted: &[Accepted]) {
        let mut known = self.0.lock();
        for one in accepted {
            let Accepted::Binding(binding) = one else { continue };
            known.epoch = binding.epoch;
            for range in &binding.ranges {
                known.ends.add(range.partition, range.end, binding.epoch);
            }
        }
    }

    /// The last epoch that is bound.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.lock().epoch
    }

    /// The epoch that covers an offset; `None` when it is not bound yet.
    #[must_use]
    pub fn epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        self.0.lock().ends.epoch_of(partition, offset)
    }

    /// Records of the inputs that no binding covered at the last look.
    #[must_use]
    pub fn lag_records(&self) -> u64 {
        self.0.lock().lag_records
    }
}
