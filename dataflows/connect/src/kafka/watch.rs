//! Looking after the topics while the log is open: edges, growth, truncation, other topics under
//! the same names.
//!
//! One thread asks for the ends four times a second and for ids, partition counts and starts every
//! other second. A record that is gone although it was known to be there, or a topic that was made
//! again, stops the log: whatever went on would go on over a hole.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;

use super::connection::{Connection, Edge};
use super::context::Ears;
use super::native::Description;
use super::state::State;
use crate::layout::TOPICS;

/// How often the ends are asked for.
const ENDS: Duration = Duration::from_millis(250);
/// How often events that belong to no partition are served.
const SERVE: Duration = Duration::from_millis(50);
/// Longest wait for an answer about edges.
const ANSWER: Duration = Duration::from_secs(3);
/// A topic is gone when it was missed so often in a row.
const MISSES: u32 = 3;
/// After a change of leader an end may be behind for a moment.
const SETTLE: Duration = Duration::from_millis(500);

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edges {
    pub(super) start: Offset,
    pub(super) end: Offset,
}

/// See the module doc.
pub(super) struct Watch {
    pub(super) connection: Arc<Connection>,
    pub(super) state: Arc<State>,
    pub(super) consumer: Arc<BaseConsumer<Ears>>,
}

impl Watch {
    /// Asks for the edges of `partitions` and notes them. Ends that stepped back stop the log.
    pub(super) fn ask(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.ask_starts(partitions)?;
        self.ask_ends(partitions)
    }

    /// Asks for everything. Topics that were just made are not known to all brokers, nor to all
    /// clients, at once; a partition that stays unknown is named.
    pub(super) fn ask_all(&self) -> Result<(), (Option<TopicPartition>, KafkaError)> {
        let deadline = Instant::now() + self.connection.address.options.open_timeout;
        let all = self.state.all();
        while let Err(error) = self.ask(&all) {
            if Instant::now() >= deadline {
                let unknown = all.into_iter().find(|partition| self.ask(&[*partition]).is_err());
                return Err((unknown, error));
            }
            self.connection.learn_topics(&self.connection.probe, ANSWER);
            self.connection.learn_topics(&self.consumer, ANSWER);
            std::thread::sleep(SERVE);
        }
        Ok(())
    }

    /// The edges of `partition` as they are now, whatever was known.
    pub(super) fn edges(&self, partition: TopicPartition) -> Result<Edges, KafkaError> {
        self.ask_starts(&[partition])?;
        let edge = |edge| {
            let asked = self.connection.offsets(&self.connection.probe, &[partition], edge, ANSWER);
            let (found, failed) = asked?;
            let first = found.first().map(|(_, offset)| *offset);
            first.ok_or(failed.unwrap_or(KafkaError::NoMessageReceived))
        };
        Ok(Edges { start: edge(Edge::Start)?, end: edge(Edge::End)? })
    }

    fn ask_starts(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let probe = &self.connection.probe;
        let (found, failed) = self.connection.offsets(probe, partitions, Edge::Start, ANSWER)?;
        found.into_iter().for_each(|(partition, start)| self.state.trim(partition, start));
        failed.map_or(Ok(()), Err)
    }

    fn ask_ends(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let shrunk = self.ask_high(partitions)?;
        if !shrunk.is_empty() {
            std::thread::sleep(SETTLE);
            let suspects: Vec<TopicPartition> = shrunk.iter().map(|one| one.partition).collect();
            for Shrunk { partition, known, end } in self.ask_high(&suspects)? {
                self.state.stop(format!(
                    "offsets {end}..{known} of {partition} were there and are gone: \
                     the topic was truncated or made again"
                ));
            }
        }
        let asked = self.connection.offsets(&self.consumer, partitions, Edge::End, ANSWER);
        let (found, failed) = asked?;
        found.into_iter().for_each(|(partition, end)| self.state.may_read(partition, end));
        failed.map_or(Ok(()), Err)
    }

    /// Notes the ends of the partitions themselves; those that are before what was known *before*
    /// asking.
    fn ask_high(&self, partitions: &[TopicPartition]) -> Result<Vec<Shrunk>, KafkaError> {
        let least = |partition: &TopicPartition| {
            self.state.slot(*partition).map_or(0, |slot| slot.least_end())
        };
        let known: Vec<Offset> = partitions.iter().map(least).collect();
        let probe = &self.connection.probe;
        let (found, failed) = self.connection.offsets(probe, partitions, Edge::End, ANSWER)?;
        let mut shrunk = Vec::new();
        for (partition, end) in found {
            let at = partitions.iter().position(|asked| *asked == partition);
            let known = at.map_or(0, |at| known[at]);
            if end < known {
                shrunk.push(Shrunk { partition, known, end });
            }
            self.state.note_high(partition, end);
        }
        failed.map_or(Ok(shrunk), Err)
    }

    /// Compares ids and partition counts with what was found at open.
    fn look_at_topics(&self, missed: &mut [u32; TOPICS.len()]) -> Result<(), KafkaError> {
        let found = self.connection.describe(ANSWER)?;
        for (at, (topic, found)) in TOPICS.into_iter().zip(found).enumerate() {
            match found {
                Ok(found) => {
                    missed[at] = 0;
                    self.compare(topic, &found);
                }
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                    missed[at] += 1;
                    // A broker that just started may not know all topics yet.
                    if missed[at] >= MISSES {
                        self.state.stop(format!("the topic of {topic} was deleted"));
                    }
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn compare(&self, topic: Topic, found: &Description) {
        if found.id != self.state.id(topic) {
            let ends = self.state.all().into_iter().filter(|at| at.topic == topic).map(|at| {
                let edges = self.state.slot(at).map_or(0..0, |slot| slot.start()..slot.least_end());
                format!("{}..{} of {at}", edges.start, edges.end)
            });
            let gone = ends.collect::<Vec<_>>().join(", ");
            self.state.stop_made_again(topic, found.id, &format!("; offsets {gone} are gone"));
            return;
        }
        self.state.found_partitions(topic, found.partitions, true);
    }
}

/// A partition that ends before what was known to be there.
struct Shrunk {
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
            .name("kafka-watch".to_owned())
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
    let (mut ends, mut topics) = (Instant::now(), Instant::now());
    let mut missed = [0; TOPICS.len()];
    while stopped.recv_timeout(SERVE) == Err(RecvTimeoutError::Timeout) {
        serve(watch);
        // Brokers that do not answer are noticed where it matters: by reads and appends.
        if ends.elapsed() >= ENDS {
            let _ = watch.ask_ends(&watch.state.all());
            ends = Instant::now();
        }
        if topics.elapsed() >= watch.connection.address.options.watch {
            let _ = watch.look_at_topics(&mut missed);
            let _ = watch.ask_starts(&watch.state.all());
            topics = Instant::now();
        }
    }
}

/// Serves what belongs to no partition. Each partition that is read has a queue of its own.
fn serve(watch: &Watch) {
    while let Some(event) = watch.consumer.poll(Duration::ZERO) {
        if let Ok(message) = event {
            let (topic, offset) = (message.topic().to_owned(), message.offset());
            watch.state.stop(format!("record {offset} of {topic} came outside of its queue"));
        }
    }
    while watch.connection.probe.poll(Duration::ZERO).is_some() {}
}
