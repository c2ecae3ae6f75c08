//! Exact dedupe of one logical shard: every id of the last hours, in droppable runs.
//!
//! An id lives in the run of its (partition, hour of that partition's clock). When a partition's
//! clock moves on, its runs behind the horizon go whole; when the shard holds more than its share
//! of `max_ids`, the oldest run goes whole. Both rules read bound data only.

use std::collections::{BTreeMap, HashSet};

use eddyline_schemas::id::IdHash;
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::hashing::IdBuildHasher;
use super::section::{self, InvalidSection, Reader};

/// Limits of one shard.
#[derive(Clone, Copy, Debug)]
pub struct DedupeLimits {
    /// Hours behind a partition's clock.
    pub horizon_hours: i64,
    /// Ids in this shard.
    pub ids: usize,
}

/// See the module doc.
#[derive(Debug, Default)]
pub struct DedupeShard {
    known: HashSet<IdHash, IdBuildHasher>,
    runs: BTreeMap<(i64, TopicPartition), Vec<IdHash>>,
}

impl DedupeShard {
    /// Remembers `id`; false when it was known.
    pub fn insert(&mut self, limits: DedupeLimits, at: (TopicPartition, i64), id: IdHash) -> bool {
        let (partition, hour) = at;
        if !self.known.insert(id) {
            return false;
        }
        let run = self.runs.entry((hour, partition)).or_default();
        run.push(id);
        if run.len() == 1 {
            self.drop_behind(hour - limits.horizon_hours, partition);
        }
        while self.known.len() > limits.ids {
            let Some((_, oldest)) = self.runs.pop_first() else { break };
            for id in &oldest {
                self.known.remove(id);
            }
        }
        true
    }

    fn drop_behind(&mut self, hour: i64, partition: TopicPartition) {
        let old = self.runs.range(..(hour, partition)).map(|(key, _)| *key);
        let old: Vec<_> = old.filter(|&(_, of)| of == partition).collect();
        for key in old {
            for id in self.runs.remove(&key).unwrap_or_default() {
                self.known.remove(&id);
            }
        }
    }

    /// Rows in key order: partition, hour, sorted ids.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        for ((hour, partition), run) in &self.runs {
            out.extend_from_slice(partition.topic.name().as_bytes());
            out.extend_from_slice(&partition.partition.to_le_bytes());
            out.extend_from_slice(&hour.to_le_bytes());
            let mut ids = run.clone();
            ids.sort_unstable();
            ids.iter().for_each(|id| out.extend_from_slice(&id.0));
        }
    }

    /// Writes the shard's part of a section. Runs are sorted where they lie: an order of ids has no
    /// effect, and a run that is sorted already costs little the next time.
    pub(crate) fn export(&mut self, out: &mut Vec<u8>) {
        section::count(out, self.runs.len());
        for ((hour, at), run) in &mut self.runs {
            run.sort();
            section::text(out, at.topic.name());
            out.extend_from_slice(&at.partition.to_le_bytes());
            out.extend_from_slice(&hour.to_le_bytes());
            section::count(out, run.len());
            run.iter().for_each(|id| out.extend_from_slice(&id.0));
        }
    }

    /// Reads what [`Self::export`] wrote.
    pub(crate) fn import(from: &mut Reader<'_, '_>) -> Result<Self, InvalidSection> {
        from.part = "dedupe";
        let mut shard = Self::default();
        for _ in 0..from.count(20)? {
            let topic = Topic::from_name(from.text()?).ok_or(InvalidSection("a topic"))?;
            let partition = from.u32()?;
            let hour = from.i64()?;
            let run: Vec<IdHash> = from.list(16, |from| from.array().map(IdHash))?;
            shard.runs.insert((hour, TopicPartition { topic, partition }), run);
        }
        shard.known.reserve(shard.runs.values().map(Vec::len).sum());
        shard.known.extend(shard.runs.values().flatten());
        Ok(shard)
    }

    /// Ids remembered.
    #[must_use]
    pub fn ids(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DedupeLimits = DedupeLimits { horizon_hours: 2, ids: 5 };

    fn at(hour: i64) -> (TopicPartition, i64) {
        (TopicPartition { topic: Topic::UserEvents, partition: 0 }, hour)
    }

    fn id(n: u8) -> IdHash {
        IdHash([n; 16])
    }

    #[test]
    fn an_id_counts_once_within_the_horizon() {
        let mut shard = DedupeShard::default();
        assert!(shard.insert(LIMITS, at(10), id(1)));
        assert!(!shard.insert(LIMITS, at(12), id(1)), "two hours later it is still known");
        assert!(shard.insert(LIMITS, at(13), id(2)));
        assert!(shard.insert(LIMITS, at(13), id(1)), "three hours later it is forgotten");
    }

    #[test]
    fn the_oldest_run_goes_when_the_share_is_used_up() {
        let mut shard = DedupeShard::default();
        for n in 0..3 {
            assert!(shard.insert(LIMITS, at(10), id(n)));
        }
        for n in 3..6 {
            assert!(shard.insert(LIMITS, at(11), id(n)));
        }
        assert_eq!(shard.ids(), 3);
        assert!(!shard.insert(LIMITS, at(11), id(5)));
    }
}
