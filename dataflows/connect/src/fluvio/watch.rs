//! Looking after the topics while the log is open: edges, growth, truncation, other topics under
//! the same names.
//!
//! One thread asks for the edges of all partitions forty times a second, one request per SPU, and
//! for ids and partition counts every other second. A record that is gone although it was known to
//! be there, or a topic that was made again, stops the log: whatever went on would go on over a
//! hole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use fluvio::Isolation;
use fluvio::dataplane::link::ErrorCode;
use fluvio_spu_schema::server::fetch_offset::{
    FetchOffsetPartition, FetchOffsetTopic, FetchOffsetsRequest,
};

use super::client::{Client, Description, Spu, Trouble};
use super::state::State;
use super::{reader, topics};
use crate::layout::TOPICS;
use crate::log::BoxError;

/// How often the edges are asked for.
const EDGES: Duration = Duration::from_millis(25);
/// The same while nobody answers.
const EDGES_OF_NOBODY: Duration = Duration::from_millis(500);
/// Longest wait for an answer about edges.
const ANSWER: Duration = Duration::from_secs(3);
/// A topic is gone when it was missed so often in a row.
const MISSES: u32 = 3;
/// How long an end must lie too low before it counts: a replica that just took over catches up.
const SETTLE: Duration = Duration::from_secs(3);

/// See the module doc.
pub(super) struct Watch {
    pub(super) client: Arc<Client>,
    pub(super) state: Arc<State>,
}

impl Watch {
    /// Asks for the edges of `partition` and notes them.
    pub(super) fn ask_one(&self, partition: TopicPartition) -> Result<(), BoxError> {
        self.ask(&[partition]).map(|_| ())
    }

    /// Asks for all edges; partitions that end before what was known, and where.
    pub(super) fn ask_all(&self) -> Result<Vec<Shrunk>, BoxError> {
        self.ask(&self.state.layout().all().collect::<Vec<_>>())
    }

    /// Asks for all edges until there is an answer; partitions that were just made take a moment.
    pub(super) fn ask_patiently(&self) -> Result<(), BoxError> {
        let deadline = Instant::now() + self.client.address.options.open_timeout;
        loop {
            let asked = self.ask_all().and_then(|_| {
                self.state.layout().all().try_for_each(|partition| {
                    let admitted = self.state.slot(partition)?;
                    let end = self.real_end(partition, admitted.end().max(admitted.start()))?;
                    self.state.reach(partition, end);
                    Ok(())
                })
            });
            match asked {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(EDGES),
            }
        }
    }

    /// Where `partition` ends that admits to `end`: see [`Client::isolation`].
    fn real_end(&self, partition: TopicPartition, mut end: Offset) -> Result<Offset, BoxError> {
        if self.client.isolation(partition) == Isolation::ReadCommitted {
            return Ok(end);
        }
        let name = self.client.name(partition.topic);
        loop {
            let leader = self.client.leader(partition).ok_or("it has no leader")?;
            let request = reader::request(&self.client, partition, end, reader::FETCH_BYTES);
            let answer = self.client.ask(leader, request, ANSWER)?;
            let found = answer.find_partition(&name, partition.partition);
            let found = found.ok_or("the SPU left it out")?;
            if found.error_code == ErrorCode::NotLeaderForPartition {
                return Err(Trouble::Refused(found.error_code).into());
            }
            let last = found.records.last_offset().map_or(0, |last| last.unsigned_abs());
            if found.error_code != ErrorCode::None || last <= end {
                return Ok(end);
            }
            end = last;
        }
    }

    fn ask(&self, partitions: &[TopicPartition]) -> Result<Vec<Shrunk>, BoxError> {
        let mut by_leader: BTreeMap<Spu, Vec<TopicPartition>> = BTreeMap::new();
        for partition in partitions {
            let leader = self.client.leader(*partition);
            let leader = leader.ok_or_else(|| format!("{partition} has no leader"))?;
            by_leader.entry(leader).or_default().push(*partition);
        }
        let mut shrunk = Vec::new();
        for (leader, partitions) in by_leader {
            let known: Vec<Offset> =
                partitions.iter().map(|one| self.state.known_end(*one)).collect();
            let answer = self.client.ask(leader, self.request(&partitions), ANSWER)?;
            let mut edges = BTreeMap::new();
            for topic in answer.topics {
                for part in topic.partitions {
                    edges.insert((topic.name.clone(), part.partition_index), part);
                }
            }
            for (partition, known) in partitions.into_iter().zip(known) {
                let name = self.client.name(partition.topic);
                let found = edges.remove(&(name, partition.partition));
                let found = found.ok_or("the SPU left a partition out")?;
                if found.error_code != ErrorCode::None {
                    return Err(Trouble::Refused(found.error_code).into());
                }
                let offset = |offset: i64| Offset::try_from(offset).unwrap_or(0);
                let (start, end) = (offset(found.start_offset), offset(found.last_stable_offset));
                self.state.trim(partition, start);
                self.state.reach(partition, end);
                if end < known && self.real_end(partition, end)? < known {
                    shrunk.push(Shrunk { partition, known, end });
                }
            }
        }
        Ok(shrunk)
    }

    #[expect(clippy::default_trait_access, reason = "the one field beside is deprecated")]
    fn request(&self, partitions: &[TopicPartition]) -> FetchOffsetsRequest {
        let mut request: FetchOffsetsRequest = Default::default();
        for topic in TOPICS {
            let of_topic = partitions.iter().filter(|one| one.topic == topic);
            let part =
                |one: &TopicPartition| FetchOffsetPartition { partition_index: one.partition };
            let partitions: Vec<FetchOffsetPartition> = of_topic.map(part).collect();
            if !partitions.is_empty() {
                let name = self.client.name(topic);
                request.topics.push(FetchOffsetTopic { name, partitions });
            }
        }
        request
    }

    /// Compares ids and partition counts with what was found at open.
    fn look_at_topics(&self, missed: &mut [u32; TOPICS.len()]) -> Result<(), BoxError> {
        for (at, (topic, found)) in TOPICS.into_iter().zip(self.client.describe()?).enumerate() {
            if let Some(found) = found {
                missed[at] = 0;
                self.compare(topic, &found);
            } else {
                missed[at] += 1;
                // A controller that just started may not know all topics yet.
                if missed[at] >= MISSES {
                    self.state.stop(format!("the topic of {topic} was deleted"));
                }
            }
        }
        Ok(())
    }

    fn compare(&self, topic: Topic, found: &Description) {
        let id = topics::id(&self.client, topic, &found.spec);
        if id != self.state.id(topic) {
            self.state.stop_made_again(topic, id, "");
            return;
        }
        let now = found.spec.partitions();
        self.state.found_partitions(topic, now, found.online >= now);
    }
}

/// A partition that ends before what was known to be there.
#[derive(Clone, Copy)]
pub(super) struct Shrunk {
    partition: TopicPartition,
    known: Offset,
    end: Offset,
}

/// The thread of a [`Watch`]; ends when dropped.
pub(super) struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts looking.
    pub(super) fn start(watch: Arc<Watch>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("fluvio-watch".to_owned())
            .spawn(move || keep(&watch, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that a log that is being closed could act on.
            let _ = thread.join();
        }
    }
}

fn keep(watch: &Watch, stopped: &Receiver<()>) {
    let mut looked = Instant::now();
    let mut missed = [0; TOPICS.len()];
    let mut suspects = Suspects::default();
    let mut pause = EDGES;
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        // Servers that do not answer are noticed where it matters: by reads and appends.
        pause = match watch.ask_all() {
            Ok(shrunk) => {
                if let Some(reason) = suspects.judge(&shrunk, Instant::now()) {
                    watch.state.stop(reason);
                }
                EDGES
            }
            Err(_) => EDGES_OF_NOBODY,
        };
        if looked.elapsed() >= watch.client.address.options.watch {
            let _ = watch.look_at_topics(&mut missed);
            looked = Instant::now();
        }
    }
}

/// Partitions whose end lies too low, and since when.
#[derive(Default)]
struct Suspects(BTreeMap<TopicPartition, Instant>);

impl Suspects {
    /// Why the log must stop, once an end has lain too low for [`SETTLE`].
    fn judge(&mut self, shrunk: &[Shrunk], now: Instant) -> Option<String> {
        self.0.retain(|partition, _| shrunk.iter().any(|one| one.partition == *partition));
        for Shrunk { partition, known, end } in shrunk {
            let since = *self.0.entry(*partition).or_insert(now);
            if now.duration_since(since) >= SETTLE {
                return Some(format!(
                    "offsets {end}..{known} of {partition} were there and are gone: \
                     the topic was truncated or made again"
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_stays_too_low_stops_the_log_and_one_that_recovers_does_not() {
        let partition = TopicPartition { topic: Topic::Feedback, partition: 1 };
        let shrunk = [Shrunk { partition, known: 9, end: 4 }];
        let (mut suspects, now) = (Suspects::default(), Instant::now());
        let mut judge = |shrunk: &[Shrunk], after: Duration| suspects.judge(shrunk, now + after);
        assert_eq!(judge(&shrunk, Duration::ZERO), None);
        assert_eq!(judge(&shrunk, SETTLE / 2), None);
        assert_eq!(judge(&[], SETTLE), None, "it caught up");
        assert_eq!(judge(&shrunk, SETTLE), None, "it counts from anew");
        let reason = judge(&shrunk, SETTLE * 2).expect("it stayed");
        assert!(reason.contains("4..9") && reason.contains("feedback/1"), "{reason}");
    }
}
