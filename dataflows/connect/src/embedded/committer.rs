//! Turns a group of requests into chunks with offsets and append times, and writes them as one.

use eddyline_schemas::record::Offset;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::TopicPartition;
use parking_lot::Mutex;

use super::acknowledged::Acknowledged;
use super::chunk::{Chunk, Place, encode_record, encoded_bytes};
use super::store::{Head, Store};
use crate::layout::LogLayout;
use crate::log::{Append, BoxError};

/// A chunk takes no further record beyond this, so that a read of one record stays cheap.
const CHUNK_BYTES: usize = 1 << 20;

/// One caller's batch, encoded.
pub(super) struct Request {
    pieces: Vec<Piece>,
}

/// Encoded records of one partition, few enough for one chunk.
struct Piece {
    index: usize,
    partition: TopicPartition,
    count: u32,
    records: Vec<u8>,
}

/// What a commit wrote.
pub(super) struct Written {
    /// By partition, in the order of offsets.
    pub(super) chunks: Vec<(usize, Chunk)>,
    /// First offset of each piece of each request.
    pub(super) offsets: Vec<Vec<Offset>>,
}

/// Where partitions end. Used by one leader at a time.
pub(super) struct Committer {
    state: Mutex<State>,
}

struct State {
    heads: Vec<Head>,
    acknowledged: Acknowledged,
}

impl Request {
    /// Encodes a checked batch; also tells the piece of each of its records.
    pub(super) fn encode(batch: &[Append], layout: &LogLayout) -> (Self, Vec<usize>) {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut open: Vec<Option<usize>> = vec![None; layout.all().count()];
        let mut places = Vec::with_capacity(batch.len());
        for append in batch {
            let partition = append.partition;
            let index = layout.index(partition).expect("the batch was checked");
            let bytes = encoded_bytes(append);
            let fits = |at: &usize| pieces[*at].records.len() + bytes <= CHUNK_BYTES;
            let at = open[index].filter(fits).unwrap_or_else(|| {
                pieces.push(Piece { index, partition, count: 0, records: Vec::new() });
                pieces.len() - 1
            });
            open[index] = Some(at);
            encode_record(append, &mut pieces[at].records);
            pieces[at].count += 1;
            places.push(at);
        }
        (Self { pieces }, places)
    }
}

impl Committer {
    pub(super) fn new(heads: Vec<Head>, acknowledged: Acknowledged) -> Self {
        Self { state: Mutex::new(State { heads, acknowledged }) }
    }

    /// From now on the number of acknowledged records cannot be written.
    #[cfg(test)]
    pub(super) fn break_acknowledged(&self, folder: &std::path::Path) {
        self.state.lock().acknowledged = Acknowledged::read_only(folder);
    }

    /// Writes `group`; when it returns, all of it is durable. After an error the heads are not to
    /// be trusted: the log must stop.
    pub(super) fn write(
        &self,
        group: Vec<Request>,
        now: TimestampMs,
        store: &Store,
    ) -> Result<Written, BoxError> {
        let mut state = self.state.lock();
        let written = state.number(&group, now);
        drop(group);
        store.commit(&written.chunks)?;
        let records = written.chunks.iter().map(|(_, chunk)| {
            let offsets = chunk.offsets();
            offsets.end - offsets.start
        });
        state.acknowledged.add(records.sum())?;
        Ok(written)
    }
}

impl State {
    fn number(&mut self, group: &[Request], now: TimestampMs) -> Written {
        let mut open: Vec<Vec<&Piece>> = self.heads.iter().map(|_| Vec::new()).collect();
        let mut chunks = Vec::new();
        let mut offsets = Vec::with_capacity(group.len());
        for request in group {
            let mut firsts = Vec::with_capacity(request.pieces.len());
            for piece in &request.pieces {
                let pending = &mut open[piece.index];
                let bytes: usize = pending.iter().map(|piece| piece.records.len()).sum();
                if bytes + piece.records.len() > CHUNK_BYTES {
                    chunks.extend(self.heads[piece.index].seal(pending, now));
                }
                let waiting: u64 = pending.iter().map(|piece| u64::from(piece.count)).sum();
                firsts.push(self.heads[piece.index].end + waiting);
                pending.push(piece);
            }
            offsets.push(firsts);
        }
        for (head, pending) in self.heads.iter_mut().zip(&mut open) {
            chunks.extend(head.seal(pending, now));
        }
        Written { chunks, offsets }
    }
}

impl Head {
    /// Makes a chunk of the pieces and moves the head behind it; `None` when there are none.
    fn seal(&mut self, pieces: &mut Vec<&Piece>, now: TimestampMs) -> Option<(usize, Chunk)> {
        let Piece { index, partition, .. } = **pieces.first()?;
        self.append_time = self.append_time.max(now);
        let count = pieces.iter().map(|piece| piece.count).sum();
        let records: Vec<&[u8]> = pieces.drain(..).map(|piece| &*piece.records).collect();
        let place = Place { partition, first: self.end };
        let chunk = Chunk::seal(place, self.append_time, count, &records);
        self.end = chunk.offsets().end;
        Some((index, chunk))
    }
}
