//! What an adapter of a log on servers knows of the topics: ids, partitions, and whether the log
//! stopped. `S` is what it knows of one partition.
//!
//! A topic keeps its id; its partitions may grow where readers can bear it, and never shrink.

use std::sync::{Arc, OnceLock};

use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::RwLock;

use crate::layout::{LogLayout, MAX_PARTITIONS, TOPICS};
use crate::log::{ReadError, Signal};

/// See the module doc.
pub(crate) struct Known<S> {
    ids: [[u8; 16]; TOPICS.len()],
    /// In the order of [`TOPICS`].
    slots: RwLock<[Vec<Arc<S>>; TOPICS.len()]>,
    stopped: OnceLock<String>,
    pub(crate) signal: Signal,
}

impl<S: Default> Known<S> {
    /// Topics with `ids` and as many partitions as `counts` says.
    pub(crate) fn new(ids: [[u8; 16]; TOPICS.len()], counts: [u32; TOPICS.len()]) -> Self {
        let slots = counts.map(|count| (0..count).map(|_| Arc::default()).collect());
        let slots = RwLock::new(slots);
        Self { ids, slots, stopped: OnceLock::new(), signal: Signal::default() }
    }

    /// The identity of `topic`.
    pub(crate) fn id(&self, topic: Topic) -> [u8; 16] {
        self.ids[index(topic)]
    }

    /// How many partitions `topic` has.
    pub(crate) fn partitions(&self, topic: Topic) -> u32 {
        self.slots.read()[index(topic)].len() as u32
    }

    /// The counts of all topics.
    pub(crate) fn layout(&self) -> LogLayout {
        let of = |topic| self.partitions(topic).clamp(1, MAX_PARTITIONS);
        LogLayout::new(of(Topic::UserEvents), of(Topic::Feedback), of(Topic::ItemEvents))
            .and_then(|layout| layout.with_deltas(of(Topic::Deltas)))
            .unwrap_or_default()
    }

    /// The slot of `partition`; refuses when the log stopped.
    pub(crate) fn slot(&self, partition: TopicPartition) -> Result<Arc<S>, ReadError> {
        if let Some(reason) = self.stopped() {
            return Err(ReadError::Stopped(reason.to_owned()));
        }
        self.find(partition).ok_or_else(|| ReadError::UnknownPartition {
            partition,
            partitions: self.partitions(partition.topic),
        })
    }

    /// The slot of `partition`, whether the log stopped or not.
    pub(crate) fn find(&self, partition: TopicPartition) -> Option<Arc<S>> {
        let slots = self.slots.read();
        slots[index(partition.topic)].get(partition.partition as usize).cloned()
    }

    /// `topic` is found with another id, whose records are others; `gone` may say which are lost.
    pub(crate) fn stop_made_again(&self, topic: Topic, found: [u8; 16], gone: &str) {
        let hex = |id: [u8; 16]| format!("{:032x}", u128::from_be_bytes(id));
        let (found, known) = (hex(found), hex(self.id(topic)));
        self.stop(format!(
            "the topic of {topic} was deleted and made again: its id was {known} and is {found}{gone}"
        ));
    }

    /// `topic` is found with so many partitions. Further ones are taken in once they `can_be_read`;
    /// what can never be right stops the log.
    pub(crate) fn found_partitions(&self, topic: Topic, now: u32, can_be_read: bool) {
        let count = self.partitions(topic);
        let most = match topic {
            // Their readers look for a row where the count says that it is.
            Topic::Bindings | Topic::Deltas | Topic::Digests => count,
            Topic::UserEvents | Topic::Feedback | Topic::ItemEvents => MAX_PARTITIONS,
        };
        if now < count || now > most {
            self.stop(format!(
                "the topic of {topic} had {count} partitions and has {now}: \
                 there may be {count} to {most}"
            ));
        } else if now > count && can_be_read {
            let mut slots = self.slots.write();
            slots[index(topic)].resize_with(now as usize, Arc::default);
            drop(slots);
            self.signal.raise();
        }
    }

    /// Why nothing is read or written any more.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.get().map(String::as_str)
    }

    /// Refuses everything from now on. The first reason stays.
    pub(crate) fn stop(&self, reason: String) {
        let _ = self.stopped.set(reason);
        self.signal.raise();
    }
}

/// Place of `topic` in [`TOPICS`].
pub(crate) fn index(topic: Topic) -> usize {
    TOPICS.iter().position(|known| *known == topic).expect("TOPICS has all topics")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known<u8> {
        Known::new([[7; 16]; TOPICS.len()], [2; TOPICS.len()])
    }

    #[test]
    fn inputs_may_grow_and_nothing_else_may_change() {
        let topics = known();
        topics.found_partitions(Topic::UserEvents, 3, false);
        assert_eq!(topics.partitions(Topic::UserEvents), 2, "it cannot be read yet");
        topics.found_partitions(Topic::UserEvents, 3, true);
        topics.found_partitions(Topic::Deltas, 2, true);
        assert_eq!((topics.partitions(Topic::UserEvents), topics.stopped()), (3, None));
        for (topic, now) in [(Topic::Deltas, 3), (Topic::Bindings, 3), (Topic::UserEvents, 1)] {
            let topics = known();
            topics.found_partitions(topic, now, true);
            let reason = topics.stopped().expect("it stops");
            assert!(reason.contains(&format!("had 2 partitions and has {now}")), "{reason}");
        }
    }

    #[test]
    fn a_stopped_log_refuses_and_keeps_its_first_reason() {
        let topics = known();
        topics.stop_made_again(Topic::Feedback, [9; 16], "; offsets 0..4 are gone");
        topics.stop("later".to_owned());
        let at = TopicPartition { topic: Topic::Feedback, partition: 0 };
        let refused = topics.slot(at).expect_err("it stopped").to_string();
        assert!(refused.contains("its id was 0707") && refused.contains("is 0909"), "{refused}");
        assert!(refused.contains("offsets 0..4 are gone"), "{refused}");
        assert_eq!(topics.find(at).as_deref(), Some(&0));
    }

    #[test]
    fn the_layout_is_that_of_every_topic() {
        let counts = TOPICS.map(|topic| if topic == Topic::Deltas { 7 } else { 1 });
        let topics = Known::<u8>::new([[0; 16]; TOPICS.len()], counts);
        assert_eq!(topics.layout().partitions(Topic::Deltas), 7);
    }
}
