//! What travels between the operators of one process.

use std::sync::Arc;

use eddyline_model::covisit::Pair;
use eddyline_model::factors::outbox::Outbox;
use eddyline_model::gate::GateExample;
use eddyline_schemas::delta::Delta;
use eddyline_schemas::id::{ItemId, ItemRef};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::time::TimestampMs;

use crate::at_work::RecordAt;
use crate::bound::DecodedEvent;
use crate::rank::RankedEvent;

/// One item of an event, or an event without items.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) seq: u32,
    /// Index into the event's items.
    pub(super) line: u16,
    pub(super) event: Arc<DecodedEvent>,
}

/// From dedupe to resolve.
#[derive(Clone, Debug)]
pub(super) enum Fresh {
    Line(Line),
    /// So many events of the epoch were seen before.
    Duplicates(u64),
}

impl Fresh {
    /// The logical shard that numbers the item; without item, that of the user.
    pub(super) fn shard(&self) -> u64 {
        match self {
            Self::Line(Line { line, event, .. }) => {
                let item = event.items.get(usize::from(*line));
                item.or(event.user.as_ref()).map_or(0, |hash| u64::from(hash.shard()))
            }
            Self::Duplicates(_) => 0,
        }
    }
}

/// From resolve to learn.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// A user's event.
    Touch { line: Line, item: Option<ItemRef> },
    /// An item seen for the first time.
    NewItem { line: Line, item: ItemRef },
    /// A row of the catalogue was set or taken out.
    Catalogue { line: Line, item: ItemRef },
    /// See [`Fresh::Duplicates`].
    Duplicates(u64),
}

impl Work {
    /// The logical shard whose owner does the work.
    pub(super) fn shard(&self) -> u64 {
        match self {
            Self::Touch { line, .. } => line.event.user.map_or(0, |user| u64::from(user.shard())),
            Self::NewItem { item, .. } | Self::Catalogue { item, .. } => u64::from(item.shard()),
            Self::Duplicates(_) => 0,
        }
    }

    /// The line that it is about, if it is one.
    pub(super) fn line(&self) -> Option<&Line> {
        match self {
            Self::Touch { line, .. }
            | Self::NewItem { line, .. }
            | Self::Catalogue { line, .. } => Some(line),
            Self::Duplicates(_) => None,
        }
    }

    /// Order within an epoch.
    pub(super) fn order(&self) -> (u32, u16) {
        self.line().map_or((0, 0), |line| (line.seq, line.line))
    }
}

/// A first row for an item.
#[derive(Clone, Debug)]
pub(super) struct NewRow {
    pub(super) seq: u32,
    /// Whose it is: see [`at_work`](crate::at_work).
    pub(super) record: RecordAt,
    pub(super) item: ItemRef,
    pub(super) id: ItemId,
    pub(super) vector: Vec<f32>,
}

/// A catalogue row to set, or `None` to take the item out.
#[derive(Clone, Debug)]
pub(super) struct CatalogueChange {
    pub(super) item: ItemRef,
    pub(super) document: Option<Arc<ItemDocument>>,
}

/// Everything that one event asks of items' owners, as ends of ranges into the batch's lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) seq: u32,
    /// Whose it is: see [`at_work`](crate::at_work).
    pub(super) record: RecordAt,
    pub(super) time: TimestampMs,
    pub(super) items_end: u32,
    pub(super) contexts_end: u32,
    pub(super) pairs_end: u32,
    pub(super) taken_end: u32,
    pub(super) catalogue_end: u32,
    pub(super) ranked_end: u32,
}

/// What one worker's read phase of an epoch asks of the owners, in the order of `seq`.
#[derive(Debug)]
pub(super) struct LearnBatch {
    pub(super) outbox: Outbox,
    pub(super) marks: Vec<Mark>,
    pub(super) pairs: Vec<Pair>,
    /// Items consumed, and with which weight.
    pub(super) taken: Vec<(ItemRef, f64)>,
    pub(super) catalogue: Vec<CatalogueChange>,
    pub(super) ranked: Vec<(RankedEvent, GateExample)>,
    pub(super) new_rows: Vec<NewRow>,
}

impl LearnBatch {
    pub(super) fn new(dim: usize) -> Self {
        Self {
            outbox: Outbox::new(dim),
            marks: Vec::new(),
            pairs: Vec::new(),
            taken: Vec::new(),
            catalogue: Vec::new(),
            ranked: Vec::new(),
            new_rows: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.outbox.clear();
        self.marks.clear();
        self.pairs.clear();
        self.taken.clear();
        self.catalogue.clear();
        self.ranked.clear();
        self.new_rows.clear();
    }

    /// Closes what the event asked for since the last mark.
    pub(super) fn mark(&mut self, line: &Line) {
        self.marks.push(Mark {
            seq: line.seq,
            record: line.event.record(),
            time: line.event.event_time,
            items_end: self.outbox.items.len() as u32,
            contexts_end: self.outbox.contexts.len() as u32,
            pairs_end: self.pairs.len() as u32,
            taken_end: self.taken.len() as u32,
            catalogue_end: self.catalogue.len() as u32,
            ranked_end: self.ranked.len() as u32,
        });
    }
}

/// What one operator of one worker says of an epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct DeltaBatch {
    pub(super) deltas: Vec<Delta>,
    pub(super) duplicates: u64,
    pub(super) ranked: Vec<RankedEvent>,
    pub(super) header: Option<crate::bound::Header>,
}
