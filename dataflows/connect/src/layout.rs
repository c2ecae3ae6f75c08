//! How many partitions each topic has.
//!
//! Fixed when a log is created; a later open may ask for more, never for fewer, because the
//! partition of a key follows from the count. The topics `bindings` and `digests` always have
//! exactly one: the order of its records is the order of epochs. `deltas.v1` keeps the count it was
//! made with: its readers look for a row where the count says that it is.

use eddyline_schemas::topic::{Topic, TopicPartition};

/// Most partitions of one topic.
pub const MAX_PARTITIONS: u32 = 256;

/// All topics of a log, in the order of their names.
pub(crate) const TOPICS: [Topic; 6] = Topic::ALL;

/// Partition counts, each from 1 to [`MAX_PARTITIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLayout {
    user_events: u32,
    feedback: u32,
    item_events: u32,
    deltas: u32,
}

/// Partitions of `deltas.v1`, unless asked otherwise.
const DELTAS: u32 = 4;

/// A count that no topic can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("topic {topic} must have 1 to {MAX_PARTITIONS} partitions, got {count}")]
pub struct InvalidLayout {
    /// Whose count.
    pub topic: Topic,
    /// What was asked for.
    pub count: u32,
}

impl Default for LogLayout {
    fn default() -> Self {
        Self { user_events: 4, feedback: 2, item_events: 1, deltas: DELTAS }
    }
}

impl LogLayout {
    /// Checks the counts.
    pub fn new(user_events: u32, feedback: u32, item_events: u32) -> Result<Self, InvalidLayout> {
        Self { user_events, feedback, item_events, deltas: DELTAS }.checked()
    }

    /// The same with so many partitions of `deltas.v1`.
    pub fn with_deltas(self, deltas: u32) -> Result<Self, InvalidLayout> {
        Self { deltas, ..self }.checked()
    }

    fn checked(self) -> Result<Self, InvalidLayout> {
        for topic in TOPICS {
            let count = self.partitions(topic);
            if !(1..=MAX_PARTITIONS).contains(&count) {
                return Err(InvalidLayout { topic, count });
            }
        }
        Ok(self)
    }

    /// Number of partitions of `topic`.
    #[must_use]
    pub fn partitions(&self, topic: Topic) -> u32 {
        match topic {
            Topic::UserEvents => self.user_events,
            Topic::Feedback => self.feedback,
            Topic::ItemEvents => self.item_events,
            Topic::Bindings | Topic::Digests => 1,
            Topic::Deltas => self.deltas,
        }
    }

    /// Whether the layout has `partition`.
    #[must_use]
    pub fn has(&self, partition: TopicPartition) -> bool {
        partition.partition < self.partitions(partition.topic)
    }

    /// Every partition of every topic, `bindings` included, in their order.
    pub fn all(&self) -> impl Iterator<Item = TopicPartition> + use<> {
        let layout = *self;
        TOPICS.into_iter().flat_map(move |topic| {
            (0..layout.partitions(topic)).map(move |partition| TopicPartition { topic, partition })
        })
    }

    /// Place of `partition` in [`Self::all`]; `None` when the layout does not have it.
    pub(crate) fn index(&self, partition: TopicPartition) -> Option<usize> {
        if !self.has(partition) {
            return None;
        }
        let before = TOPICS.into_iter().take_while(|topic| *topic != partition.topic);
        let first: u32 = before.map(|topic| self.partitions(topic)).sum();
        Some((first + partition.partition) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_checked() {
        let check = |counts: (u32, u32, u32), want: Result<(), (Topic, u32)>| {
            let got = LogLayout::new(counts.0, counts.1, counts.2);
            assert_eq!(got.map(|_| ()).map_err(|e| (e.topic, e.count)), want);
        };
        check((1, 1, 1), Ok(()));
        check((256, 256, 256), Ok(()));
        check((0, 1, 1), Err((Topic::UserEvents, 0)));
        check((1, 257, 1), Err((Topic::Feedback, 257)));
        let none = LogLayout::default().with_deltas(0).map_err(|e| (e.topic, e.count));
        assert_eq!(none, Err((Topic::Deltas, 0)));
        let eight = LogLayout::default().with_deltas(8).expect("a count in range");
        assert_eq!(eight.partitions(Topic::Deltas), 8);
    }

    #[test]
    fn all_is_ordered_and_index_finds_the_place() {
        let layout = LogLayout::default();
        let all: Vec<TopicPartition> = layout.all().collect();
        assert_eq!(all.len(), 13);
        assert!(all.is_sorted());
        for (at, partition) in all.into_iter().enumerate() {
            assert_eq!(layout.index(partition), Some(at));
        }
        let outside = TopicPartition { topic: Topic::Bindings, partition: 1 };
        assert_eq!(layout.index(outside), None);
    }
}
