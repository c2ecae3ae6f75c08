//! The feature store in Redis: one server or a cluster.
//!
//! Keys are in `keys`, their values in `document`, the guarded write in `writer`; `link`
//! speaks to the servers. A user's document is four values in one slot, each with the lineage and
//! the epoch of its last change; the slot has a watermark beside them.
//!
//! What may go wrong, and what follows:
//!
//! * a write fails: the caller repeats it, or goes on, and then the slot is behind;
//! * a server lost data: the chain of epochs breaks at the next write, the [watch](RedisFeatureStore::check)
//!   or a read sees the watermark go back, and the slot is behind;
//! * a slot that is behind is read as an error and written by a refill only;
//! * a server is slow or gone: a read ends within its budget, and after a few such the breaker of
//!   that node refuses at once.

mod counters;
mod document;
mod keys;
mod link;
mod marks;
mod watch;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_schemas::codec::StoredEncoding;
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::stored::LineageTag;
use parking_lot::{Mutex, RwLock};
use redis::{RedisError, RedisResult, Value};

use self::counters::{Counters, add};
use self::document::Encoder;
use self::keys::{Keys, PARTS};
use self::link::{Address, Link, Request, unexpected};
pub(super) use self::link::{Servers, is_reply};
use self::marks::Marks;
use self::writer::{Outcome, SlotWrite, Writer, read_watermark};
use super::breaker::{Breaker, BreakerPolicy};
use super::shards::REDIS_SLOTS;
use super::{
    FeatureStore, FeatureStoreError, FeatureStoreOptions, FeatureWrite, Placement, ShardRefill,
    StoreShard, UserDocument, Watermarks,
};

pub use counters::FEATURE_STORE_COUNTERS;

/// Watermarks asked for in one pipeline.
const MARKS_PER_PIPELINE: usize = 2_048;
/// Time for such a pipeline.
const MARKS_TIME: Duration = Duration::from_secs(2);
/// Shards encoded at a time while refilling.
const SHARDS_PER_REFILL: usize = 256;
/// Bytes of values after which a long slot is refilled in a further step.
const STEP_BYTES: usize = 512 << 10;

/// See the module doc.
pub struct RedisFeatureStore {
    keys: Keys,
    encoding: StoredEncoding,
    read_budget: Duration,
    breaker: BreakerPolicy,
    servers: Arc<Servers>,
    marks: Marks,
    /// The greatest epoch applied, with its lineage.
    reached: RwLock<Option<(Lineage, Epoch)>>,
    writing: Mutex<Writing>,
    /// Links that no read is using.
    idle: Mutex<Vec<Link>>,
    breakers: Mutex<BTreeMap<Option<Address>, Breaker>>,
    counters: Counters,
}

/// One epoch, one refill or one check at a time.
struct Writing {
    writer: Writer,
    /// Slots of the last epoch whose write failed and may yet be repeated.
    failed: Option<(Epoch, Vec<StoreShard>)>,
    /// Which process answered at each address.
    run_ids: BTreeMap<Address, String>,
    checks: u64,
}

fn unavailable(error: RedisError) -> FeatureStoreError {
    FeatureStoreError::Unavailable(error.into())
}

impl RedisFeatureStore {
    /// A store on `servers`, which have been found to answer; reads all watermarks.
    pub(super) fn new(
        servers: Servers,
        options: &FeatureStoreOptions,
    ) -> Result<Self, FeatureStoreError> {
        let servers = Arc::new(servers);
        let writer = Writer::new(Link::new(Arc::clone(&servers)), options.ttl);
        let run_ids = BTreeMap::new();
        let store = Self {
            keys: Keys::new(&options.namespace, options.candidate),
            encoding: options.encoding,
            read_budget: options.read_budget,
            breaker: options.breaker,
            marks: Marks::new(),
            reached: RwLock::new(None),
            writing: Mutex::new(Writing { writer, failed: None, run_ids, checks: 0 }),
            idle: Mutex::default(),
            breakers: Mutex::default(),
            counters: Counters::default(),
            servers,
        };
        let marks = store.watermarks()?;
        *store.reached.write() = marks.lineage().zip(marks.greatest());
        Ok(store)
    }

    /// The values of [`FEATURE_STORE_COUNTERS`].
    #[must_use]
    pub fn counters(&self) -> [u64; 8] {
        self.counters.values()
    }

    /// Whether reads of some node are refused for now.
    #[must_use]
    pub fn breaker_is_open(&self) -> bool {
        self.breakers.lock().values().any(Breaker::is_open)
    }

    fn check_lineage(&self, offered: Lineage) -> Result<(), FeatureStoreError> {
        match self.watermark() {
            Some((held, _)) if held != offered => {
                Err(FeatureStoreError::OtherLineage { held, offered })
            }
            _ => Ok(()),
        }
    }

    fn reach(&self, lineage: Lineage, epoch: Epoch) {
        let mut reached = self.reached.write();
        *reached = Some((lineage, reached.map_or(epoch, |(_, before)| before.max(epoch))));
    }

    fn encoder(&self, lineage: Lineage) -> Encoder<'_> {
        Encoder { keys: &self.keys, encoding: self.encoding, lineage: LineageTag::of(lineage) }
    }

    /// What `writes` make of each slot that is not behind, in the order of the slots.
    fn slot_writes(
        &self,
        lineage: Lineage,
        epoch: Epoch,
        writes: &[FeatureWrite],
    ) -> Vec<SlotWrite> {
        let encoder = self.encoder(lineage);
        let mut slots: BTreeMap<StoreShard, SlotWrite> = BTreeMap::new();
        for write in writes {
            let shard = Placement::RedisSlot.shard(write.user());
            if self.marks.is_behind(shard) {
                self.marks.require(shard, epoch);
                continue;
            }
            let slot = slots.entry(shard).or_insert_with(|| {
                let from = self.marks.known(shard);
                SlotWrite { shard, from, to: epoch, writes: Vec::new() }
            });
            encoder.write(epoch, write, &mut slot.writes);
        }
        slots.into_values().collect()
    }

    /// The chain of writes that takes a slot to `epoch`. A step ends where an epoch ends: its
    /// watermark must not claim half an epoch.
    fn refill_steps(&self, lineage: Lineage, epoch: Epoch, of: &ShardRefill) -> Vec<SlotWrite> {
        let encoder = self.encoder(lineage);
        let (mut steps, mut writes, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut from = of.from;
        for (at, row) in of.rows.iter().enumerate() {
            let first = writes.len();
            encoder.row(row, &mut writes);
            bytes += writes[first..].iter().map(|write| write.value.len()).sum::<usize>();
            let ends = of.rows.get(at + 1).is_some_and(|next| next.epoch > row.epoch);
            if ends && bytes >= STEP_BYTES {
                let writes = std::mem::take(&mut writes);
                steps.push(SlotWrite { shard: of.shard, from, to: row.epoch, writes });
                (from, bytes) = (Some(row.epoch), 0);
            }
        }
        steps.push(SlotWrite { shard: of.shard, from, to: epoch, writes });
        steps
    }

    /// Takes note of what became of each write; the slots that failed, and why.
    fn note(
        &self,
        lineage: Lineage,
        slots: &[SlotWrite],
        outcomes: Vec<Outcome>,
    ) -> Result<Vec<(StoreShard, RedisError)>, FeatureStoreError> {
        let mut failed = Vec::new();
        for (slot, outcome) in slots.iter().zip(outcomes) {
            match outcome {
                Outcome::Written => {
                    self.marks.observe(slot.shard, Some(slot.to));
                    add(&self.counters.writes, slot.writes.len());
                }
                Outcome::Stale(epoch) => {
                    self.marks.observe(slot.shard, Some(epoch));
                    add(&self.counters.stale_writes, 1);
                }
                Outcome::Behind(epoch) => {
                    self.observe(slot.shard, epoch);
                    self.marks.require(slot.shard, slot.to);
                }
                Outcome::OtherLineage(held) => {
                    return Err(FeatureStoreError::OtherLineage { held, offered: lineage });
                }
                Outcome::Failed(error) => failed.push((slot.shard, error)),
            }
        }
        Ok(failed)
    }

    fn observe(&self, shard: StoreShard, epoch: Option<Epoch>) {
        let was_behind = self.marks.is_behind(shard);
        if self.marks.observe(shard, epoch) && !was_behind {
            add(&self.counters.losses, 1);
        }
    }

    /// A failed epoch that is not repeated leaves its slots behind.
    fn give_up_before(&self, writing: &mut Writing, epoch: Epoch) {
        if let Some((failed, shards)) = writing.failed.take_if(|(failed, _)| *failed < epoch) {
            shards.into_iter().for_each(|shard| self.marks.require(shard, failed));
        }
    }

    fn read_watermarks(&self, writing: &mut Writing) -> Result<Watermarks, FeatureStoreError> {
        let shards: Vec<StoreShard> = (0..REDIS_SLOTS as u16).map(StoreShard).collect();
        let (mut lineage, mut epochs) = (None, Vec::with_capacity(shards.len()));
        for shards in shards.chunks(MARKS_PER_PIPELINE) {
            let request = |shard: &StoreShard| {
                let mut command = redis::cmd("GET");
                command.arg(self.keys.watermark(*shard));
                Request { shard: *shard, command }
            };
            let requests: Vec<Request> = shards.iter().map(request).collect();
            let deadline = Instant::now() + MARKS_TIME;
            for reply in writing.writer.link().run(&requests, deadline) {
                let mark = reply.and_then(mark_of).map_err(unavailable)?;
                if let Some((offered, _)) = mark
                    && offered != *lineage.get_or_insert(offered)
                {
                    let held = lineage.unwrap_or(offered);
                    return Err(FeatureStoreError::OtherLineage { held, offered });
                }
                epochs.push(mark.map(|(_, epoch)| epoch));
            }
        }
        (0..).zip(&epochs).for_each(|(shard, epoch)| self.observe(StoreShard(shard), *epoch));
        Ok(Watermarks::new(Placement::RedisSlot, lineage, epochs))
    }

    /// The watermark and the values of a user's keys.
    fn read(&self, user: &UserId, shard: StoreShard) -> Result<Value, FeatureStoreError> {
        let deadline = Instant::now() + self.read_budget;
        let idle = self.idle.lock().pop();
        let mut link = idle.unwrap_or_else(|| Link::new(Arc::clone(&self.servers)));
        let node = link.owner(shard).cloned();
        let admit = |breaker: &mut Breaker| breaker.admit(self.breaker, Instant::now());
        if !admit(self.breakers.lock().entry(node.clone()).or_default()) {
            self.idle.lock().push(link);
            add(&self.counters.breaker_refusals, 1);
            return Err(FeatureStoreError::BreakerOpen);
        }
        let mut command = redis::cmd("MGET");
        command.arg(self.keys.watermark(shard));
        PARTS.iter().for_each(|part| {
            command.arg(self.keys.part(*part, user));
        });
        let mut replies = link.run(&[Request { shard, command }], deadline);
        self.idle.lock().push(link);
        let reply = replies.pop().unwrap_or_else(|| Err(unexpected("MGET")));
        let mut breakers = self.breakers.lock();
        let breaker = breakers.entry(node).or_default();
        if breaker.record(self.breaker, reply.is_ok(), Instant::now()) {
            add(&self.counters.breaker_openings, 1);
        }
        reply.map_err(unavailable)
    }

    fn read_document(&self, user: &UserId) -> Result<Option<UserDocument>, FeatureStoreError> {
        let shard = Placement::RedisSlot.shard(user);
        // Before the read: a write that is under way must not look like a loss.
        let required = self.marks.required(shard);
        let reply = self.read(user, shard)?;
        let values: Vec<Option<Vec<u8>>> =
            redis::from_redis_value(reply).map_err(|error| unavailable(error.into()))?;
        let [mark, values @ ..] = values.as_slice() else {
            return Err(unavailable(unexpected("MGET")));
        };
        let mark = mark.as_deref().map(read_watermark).transpose().map_err(unavailable)?;
        let reached = mark.map(|(_, epoch)| epoch);
        if reached < required {
            self.observe(shard, reached);
            return Err(FeatureStoreError::Behind(shard));
        }
        let Some((lineage, _)) = mark else { return Ok(None) };
        document::decode(&self.keys, user, lineage, values)
    }
}

fn mark_of(reply: Value) -> RedisResult<Option<(Lineage, Epoch)>> {
    match reply {
        Value::Nil => Ok(None),
        Value::BulkString(value) => read_watermark(&value).map(Some),
        _ => Err(unexpected("a watermark")),
    }
}

impl FeatureStore for RedisFeatureStore {
    fn get(&self, user: &UserId) -> Result<Option<UserDocument>, FeatureStoreError> {
        add(&self.counters.reads, 1);
        let document = self.read_document(user);
        if document.is_err() {
            add(&self.counters.read_failures, 1);
        }
        document
    }

    fn apply(
        &self,
        lineage: Lineage,
        epoch: Epoch,
        writes: &[FeatureWrite],
    ) -> Result<(), FeatureStoreError> {
        let mut writing = self.writing.lock();
        self.check_lineage(lineage)?;
        self.give_up_before(&mut writing, epoch);
        let slots = self.slot_writes(lineage, epoch, writes);
        let outcomes = writing.writer.write(&self.keys, lineage, &slots);
        let mut failed = self.note(lineage, &slots, outcomes)?;
        let Some((_, error)) = failed.pop() else {
            self.reach(lineage, epoch);
            return Ok(());
        };
        let shards = slots.iter().map(|slot| slot.shard);
        writing.failed = Some((epoch, shards.collect()));
        Err(unavailable(error))
    }

    fn watermark(&self) -> Option<(Lineage, Epoch)> {
        *self.reached.read()
    }

    fn watermarks(&self) -> Result<Watermarks, FeatureStoreError> {
        self.read_watermarks(&mut self.writing.lock())
    }

    fn refill(
        &self,
        lineage: Lineage,
        epoch: Epoch,
        shards: &[ShardRefill],
    ) -> Result<(), FeatureStoreError> {
        let mut writing = self.writing.lock();
        self.check_lineage(lineage)?;
        for shards in shards.chunks(SHARDS_PER_REFILL) {
            let steps = shards.iter().flat_map(|shard| self.refill_steps(lineage, epoch, shard));
            let steps: Vec<SlotWrite> = steps.collect();
            let outcomes = writing.writer.write(&self.keys, lineage, &steps);
            if let Some((_, error)) = self.note(lineage, &steps, outcomes)?.pop() {
                return Err(unavailable(error));
            }
            add(&self.counters.refilled, shards.len());
        }
        self.reach(lineage, epoch);
        Ok(())
    }

    fn behind(&self) -> Vec<StoreShard> {
        self.marks.behind()
    }

    fn users(&self) -> Option<u64> {
        None
    }

    fn approximate_bytes(&self) -> Option<u64> {
        None
    }
}
