//! The writing side: chained, guarded, pipelined writes per slot.
//!
//! A write of slot s says "from epoch f to epoch t, this is all that changed". The script
//! (`apply.lua`) takes it only where the slot's watermark is at f or further, and not beyond t; so
//! a watermark of t means that nothing up to t is missing, whatever was lost or repeated in
//! between. Values and watermark change in one step, since a script is atomic in its slot.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::stored::LineageTag;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::document::KeyWrite;
use super::keys::Keys;
use super::link::{Link, Request, unexpected};
use crate::features::StoreShard;

const SCRIPT: &str = include_str!("apply.lua");
/// Bytes of values after which a pipeline is sent, so that neither side buffers without bound.
const BATCH_BYTES: usize = 1 << 20;
/// Time for one pipeline.
const BATCH_TIME: Duration = Duration::from_secs(2);
/// A tombstone has done its work once the watermark beside it refuses what is late; the key names
/// an erased user, so it must not stay.
const TOMBSTONE_MS: u64 = 3_600_000;

/// What a slot's users became.
pub(super) struct SlotWrite {
    pub(super) shard: StoreShard,
    pub(super) from: Option<Epoch>,
    pub(super) to: Epoch,
    pub(super) writes: Vec<KeyWrite>,
}

/// What became of a [`SlotWrite`].
#[derive(Debug)]
pub(super) enum Outcome {
    Written,
    /// The slot is at this later epoch already.
    Stale(Epoch),
    /// The slot is only at this epoch.
    Behind(Option<Epoch>),
    OtherLineage(Lineage),
    /// Maybe written.
    Failed(RedisError),
}

pub(super) struct Writer {
    link: Link,
    /// Digest of the script as the servers know it.
    sha: Option<String>,
    /// Time to live of values; wall clock, only to free memory.
    pub(super) ttl: Option<Duration>,
}

impl Writer {
    pub(super) fn new(link: Link, ttl: Option<Duration>) -> Self {
        Self { link, sha: None, ttl }
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Writes all; the outcomes are in the order of `slots`.
    pub(super) fn write(
        &mut self,
        keys: &Keys,
        lineage: Lineage,
        slots: &[SlotWrite],
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(slots.len());
        let mut rest = slots;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_length(rest));
            let deadline = Instant::now() + BATCH_TIME;
            outcomes.extend(self.write_batch(keys, lineage, batch, deadline));
            rest = after;
        }
        outcomes
    }

    fn write_batch(
        &mut self,
        keys: &Keys,
        lineage: Lineage,
        slots: &[SlotWrite],
        deadline: Instant,
    ) -> Vec<Outcome> {
        let mut replies: BTreeMap<usize, RedisResult<Value>> = BTreeMap::new();
        let mut open: Vec<usize> = (0..slots.len()).collect();
        for last in [false, true] {
            let sha = match self.load(last, deadline) {
                Ok(sha) => sha,
                Err(error) => {
                    replies.extend(open.iter().map(|at| (*at, Err(error.clone()))));
                    break;
                }
            };
            let request = |at: &usize| Request {
                shard: slots[*at].shard,
                command: command(&sha, keys, lineage, &slots[*at], self.ttl),
            };
            let requests: Vec<Request> = open.iter().map(request).collect();
            replies.extend(open.iter().copied().zip(self.link.run(&requests, deadline)));
            // A server that restarted, or a promoted replica, does not know the script.
            open.retain(|at| replies[at].as_ref().is_err_and(is_unknown_script));
            if open.is_empty() {
                break;
            }
        }
        replies.into_values().map(|reply| outcome(reply).unwrap_or_else(Outcome::Failed)).collect()
    }

    fn load(&mut self, anew: bool, deadline: Instant) -> RedisResult<String> {
        if let (false, Some(sha)) = (anew, &self.sha) {
            return Ok(sha.clone());
        }
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(SCRIPT);
        let replies = self.link.each_node(&load, deadline)?;
        let (_, sha) = replies.into_iter().next().ok_or_else(|| unexpected("SCRIPT LOAD"))?;
        let sha: String = redis::from_redis_value(sha)?;
        self.sha = Some(sha.clone());
        Ok(sha)
    }
}

/// How many of `slots` go into one pipeline; at least one.
fn batch_length(slots: &[SlotWrite]) -> usize {
    let mut bytes = 0;
    let fits = |slot: &&SlotWrite| {
        bytes += 64 + slot.writes.iter().map(|write| write.value.len() + 64).sum::<usize>();
        bytes < BATCH_BYTES
    };
    slots.iter().take_while(fits).count().max(1)
}

fn command(
    sha: &str,
    keys: &Keys,
    lineage: Lineage,
    slot: &SlotWrite,
    ttl: Option<Duration>,
) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(sha).arg(slot.writes.len() + 1).arg(keys.watermark(slot.shard));
    for write in &slot.writes {
        command.arg(&write.key);
    }
    let from = slot.from.map_or(-1, |epoch| epoch.0 as i64);
    command.arg(lineage.to_string()).arg(from).arg(slot.to.0);
    command.arg(&LineageTag::of(lineage).0[..]);
    let ttl = ttl.map_or(0, |ttl| ttl.as_millis() as u64);
    for write in &slot.writes {
        let ttl = if write.tombstone { TOMBSTONE_MS } else { ttl };
        command.arg(write.epoch.0).arg(ttl).arg(u8::from(write.tombstone)).arg(&write.value);
    }
    command
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

fn outcome(reply: RedisResult<Value>) -> RedisResult<Outcome> {
    let Value::Array(reply) = reply? else { return Err(unexpected("EVALSHA")) };
    Ok(match reply.as_slice() {
        [Value::Int(0), Value::Int(_)] => Outcome::Written,
        [Value::Int(1), Value::Int(epoch)] => Outcome::Stale(Epoch(epoch.unsigned_abs())),
        [Value::Int(2), Value::Int(epoch)] => {
            Outcome::Behind(u64::try_from(*epoch).ok().map(Epoch))
        }
        [Value::Int(3), Value::BulkString(held)] => Outcome::OtherLineage(lineage_of(held)?),
        _ => return Err(unexpected("EVALSHA")),
    })
}

/// Reads the value of a watermark's key.
pub(super) fn read_watermark(value: &[u8]) -> RedisResult<(Lineage, Epoch)> {
    let text = std::str::from_utf8(value).map_err(|_| unexpected("a watermark"))?;
    let (lineage, epoch) = text.split_once(' ').ok_or_else(|| unexpected("a watermark"))?;
    let epoch = epoch.parse().map_err(|_| unexpected("a watermark"))?;
    Ok((lineage_of(lineage.as_bytes())?, Epoch(epoch)))
}

fn lineage_of(hex: &[u8]) -> RedisResult<Lineage> {
    let text = std::str::from_utf8(hex).ok();
    let digest = text.and_then(Digest::from_hex).ok_or_else(|| unexpected("a lineage"))?;
    Ok(Lineage(digest))
}
