//! The newest chunks of all partitions, in memory, and how far each partition can be read.
//!
//! Invariants: the chunks of a partition are contiguous and reach to its end, so whatever is not
//! here is older; a commit becomes readable in all its partitions at once.

use std::collections::VecDeque;
use std::sync::Arc;

use eddyline_schemas::record::Offset;
use parking_lot::RwLock;

use super::chunk::Chunk;

/// See the module doc. Partitions are named by their place in the layout.
pub(super) struct Tail {
    state: RwLock<State>,
    max_bytes: usize,
}

struct State {
    partitions: Vec<Partition>,
    /// Partition of each chunk here, oldest first: the order of eviction.
    ages: VecDeque<usize>,
    bytes: usize,
}

struct Partition {
    end: Offset,
    chunks: VecDeque<Arc<Chunk>>,
}

impl Tail {
    /// No chunk yet; partitions end at `ends`.
    pub(super) fn new(ends: Vec<Offset>, max_bytes: usize) -> Self {
        let empty = |end| Partition { end, chunks: VecDeque::new() };
        let partitions = ends.into_iter().map(empty).collect();
        let state = State { partitions, ages: VecDeque::new(), bytes: 0 };
        Self { state: RwLock::new(state), max_bytes }
    }

    /// Makes what one commit wrote readable.
    pub(super) fn publish(&self, chunks: Vec<(usize, Chunk)>) {
        let mut state = self.state.write();
        for (index, chunk) in chunks {
            let partition = &mut state.partitions[index];
            debug_assert_eq!(chunk.offsets().start, partition.end, "chunks are contiguous");
            partition.end = chunk.offsets().end;
            let bytes = chunk.value().len();
            partition.chunks.push_back(Arc::new(chunk));
            state.bytes += bytes;
            state.ages.push_back(index);
        }
        while state.bytes > self.max_bytes
            && let Some(oldest) = state.ages.pop_front()
        {
            let evicted = state.partitions[oldest].chunks.pop_front();
            state.bytes -= evicted.map_or(0, |chunk| chunk.value().len());
        }
    }

    /// The offset that the partition's next record will get.
    pub(super) fn end(&self, index: usize) -> Offset {
        self.state.read().partitions[index].end
    }

    /// The chunk with the record at `offset`, if it is here.
    pub(super) fn chunk(&self, index: usize, offset: Offset) -> Option<Arc<Chunk>> {
        let state = self.state.read();
        let chunks = &state.partitions[index].chunks;
        let at = chunks.partition_point(|chunk| chunk.offsets().end <= offset);
        chunks.get(at).filter(|chunk| chunk.offsets().contains(&offset)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use eddyline_schemas::time::TimestampMs;
    use eddyline_schemas::topic::{Topic, TopicPartition};

    use super::super::chunk::Place;
    use super::*;

    fn chunk(first: Offset, count: u32, bytes: usize) -> Chunk {
        let partition = TopicPartition { topic: Topic::Feedback, partition: 0 };
        Chunk::seal(Place { partition, first }, TimestampMs(0), count, &[&vec![0; bytes]])
    }

    #[test]
    fn finds_chunks_and_forgets_the_oldest() {
        let tail = Tail::new(vec![10, 0], 250);
        tail.publish(vec![(0, chunk(10, 5, 50)), (1, chunk(0, 2, 50))]);
        assert_eq!((tail.end(0), tail.end(1)), (15, 2));
        let first = |index, offset| tail.chunk(index, offset).map(|chunk| chunk.offsets().start);
        assert_eq!((first(0, 9), first(0, 10), first(0, 14)), (None, Some(10), Some(10)));
        assert_eq!((first(0, 15), first(1, 1)), (None, Some(0)));

        tail.publish(vec![(0, chunk(15, 1, 100))]);
        assert_eq!((first(0, 14), first(0, 15), first(1, 1)), (None, Some(15), Some(0)));
    }
}
