//! A bounded sample of accepted events, waiting to be seen in answers.
//!
//! The door offers each append; at most one per [`SPACING`] is kept, at most [`MAX_WAITING`] wait.
//! Whoever watches serving's progress takes out what is visible by then and times it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use parking_lot::Mutex;

/// Least time between two samples.
const SPACING: Duration = Duration::from_millis(10);
/// Most samples that wait; further ones are not taken, the waiting ones tell of the delay.
const MAX_WAITING: usize = 256;

/// An accepted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where it lies.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: Offset,
    /// When it had become durable.
    pub accepted_at: Instant,
}

/// See the module doc.
#[derive(Debug, Default)]
pub struct FreshnessProbe(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    samples: VecDeque<Sample>,
    last: Option<Instant>,
}

impl FreshnessProbe {
    pub(crate) fn offer(&self, partition: TopicPartition, offset: Offset, now: Instant) {
        let mut waiting = self.0.lock();
        let soon = waiting.last.is_some_and(|last| now.saturating_duration_since(last) < SPACING);
        if soon || waiting.samples.len() >= MAX_WAITING {
            return;
        }
        waiting.last = Some(now);
        waiting.samples.push_back(Sample { partition, offset, accepted_at: now });
    }

    /// Takes out all samples that `is_visible`.
    pub fn take(&self, mut is_visible: impl FnMut(&Sample) -> bool) -> Vec<Sample> {
        let mut waiting = self.0.lock();
        let mut taken = Vec::new();
        waiting.samples.retain(|sample| {
            let visible = is_visible(sample);
            if visible {
                taken.push(*sample);
            }
            !visible
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eddyline_schemas::topic::Topic;

    #[test]
    fn samples_are_spaced_and_taken_once() {
        let probe = FreshnessProbe::default();
        let partition = TopicPartition { topic: Topic::UserEvents, partition: 0 };
        let start = Instant::now();
        for (offset, ms) in [(0, 0), (1, 5), (2, 10), (3, 30)] {
            probe.offer(partition, offset, start + Duration::from_millis(ms));
        }
        let offsets = |taken: Vec<Sample>| -> Vec<Offset> {
            taken.iter().map(|sample| sample.offset).collect()
        };
        assert_eq!(offsets(probe.take(|sample| sample.offset < 3)), [0, 2]);
        assert_eq!(offsets(probe.take(|_| true)), [3]);
        assert_eq!(offsets(probe.take(|_| true)), [0_u64; 0]);
    }
}
