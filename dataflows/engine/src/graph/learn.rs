//! The read phase of an epoch: users are folded and learned at their owner, in `seq`.
//!
//! Item rows are read as of the epoch's start; what must change in them is written into a
//! [`LearnBatch`] for their owners. The operator waits for the loop from the apply phase: nobody
//! reads epoch t + 1 before every owner is done with t.

mod line;

use std::sync::Arc;

use eddyline_model::factors::initial::initial_item_vector;
use eddyline_schemas::delta::Delta;
use eddyline_schemas::event::EventType;
use eddyline_schemas::id::{ItemRef, SHARDS};
use eddyline_schemas::lineage::Epoch;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use line::Taken;

use super::stash::Stash;
use super::work::{CatalogueChange, DeltaBatch, LearnBatch, Line, NewRow, Work};
use super::{Context, Folds, each};
use crate::at_work::{self, Stage};
use crate::bound::Header;
use crate::rank::Ranker;
use crate::state::preferences::{Touch, WindowEdge};
use crate::state::users::{Changed, Touched, UserRow};
use crate::view::ItemView;
use crate::wire::parcel::{Parcel, Sent, by_route};

/// What the read phase of one worker sends on, once an epoch.
#[derive(Clone, Debug)]
pub(super) enum Learned {
    /// To every owner.
    Batch(Arc<LearnBatch>),
    /// To the sink.
    Deltas(DeltaBatch),
    /// To the preferences: touches and how their counts change.
    Touches(Vec<(Touch, u8, i64)>),
}

type Output = CapacityContainerBuilder<Parcel<Learned>>;

/// Work and headers in; the loop carries no data, only the news that an epoch is applied.
pub(super) fn learn_stream<'s>(
    work: Sent<'s, Work>,
    headers: Sent<'s, Header>,
    applied: Sent<'s, ()>,
    context: Context,
) -> Sent<'s, Learned> {
    use timely::dataflow::operators::Concat;
    // Process 0 alone has a source: each of its workers tells one worker of every process.
    let (local, locals, workers) = (context.local(), context.locals, context.workers);
    let work = each(work, "Works", |work| Some(Input::Work(work)));
    let headers = each(headers, "ToAll", move |header| {
        (local..workers).step_by(locals).map(move |to| Input::Header(header, to as u64))
    });
    let pact = by_route(Input::route);
    work.concat(headers).binary_frontier::<_, Output, _, _, _, _>(
        applied,
        pact,
        Pipeline,
        "Learn",
        move |capability, _| {
            drop(capability);
            let mut stash = Stash::new();
            let mut phase = ReadPhase::new(context);
            move |(input, frontier), (applied, applied_frontier), output| {
                applied.for_each_stamp(|_, _| {});
                input.for_each_stamp(|stamp, data| {
                    if let Some(capability) = stamp.retain_least(output.output_index()) {
                        stash.add(capability, data.flat_map(Parcel::drain));
                    }
                });
                // One epoch at most: the loop must turn before the next one may be read.
                if let Some((capability, inputs)) =
                    stash.next_complete(&[frontier, applied_frontier])
                {
                    let epoch = Epoch(*capability.time());
                    let read = || phase.epoch(epoch, inputs);
                    let learned = at_work::within(Stage::Learn, Some(epoch), read);
                    output.session(&capability).give_iterator(learned.into_iter());
                }
            }
        },
    )
}

#[derive(Clone, Debug)]
pub(super) enum Input {
    Work(Work),
    Header(Header, u64),
}

impl Input {
    fn route(&self) -> u64 {
        match self {
            Self::Work(work) => work.shard(),
            Self::Header(_, worker) => *worker,
        }
    }
}

/// The read phase of one worker.
struct ReadPhase {
    context: Context,
    ranker: Ranker,
    x: Vec<f32>,
    batches: Vec<Arc<LearnBatch>>,
    /// Users that changed in the epoch, by shard and rank, in the order of their first change.
    touched: Vec<(u8, u32)>,
    touches: Vec<(Touch, u8, i64)>,
    duplicates: u64,
}

/// What the phase reads while it folds an epoch.
struct Reading<'a> {
    view: ItemView<'a>,
    header: Header,
}

impl ReadPhase {
    fn new(context: Context) -> Self {
        Self {
            x: vec![0.0; context.config.factors.dim],
            context,
            ranker: Ranker::default(),
            batches: Vec::new(),
            touched: Vec::new(),
            touches: Vec::new(),
            duplicates: 0,
        }
    }

    fn epoch(&mut self, epoch: Epoch, inputs: Vec<Input>) -> Vec<Learned> {
        let mut header = Header::default();
        let mut work = Vec::with_capacity(inputs.len());
        for input in inputs {
            match input {
                Input::Header(of_epoch, _) => header = of_epoch,
                Input::Work(one) => work.push(one),
            }
        }
        work.sort_by_key(Work::order);
        let context = self.context.clone();
        let view = ItemView::new(&context.tables, context.config.factors.dim);
        let reading = Reading { view, header };
        let mut batch = self.fresh_batch();
        let into = Arc::get_mut(&mut batch).expect("a fresh batch has no other owner");
        self.expire(&reading);
        for one in work {
            let order = one.order();
            if let Some(line) = one.line() {
                at_work::on_record(line.event.record());
            }
            match one {
                Work::Touch { line, item } => self.touch(&reading, into, &line, item),
                Work::NewItem { line, item } => self.new_item(&reading, into, &line, item),
                Work::Catalogue { line, item } => catalogue(into, &line, item),
                Work::Duplicates(count) => self.duplicates += count,
            }
            debug_assert!(into.marks.is_sorted_by_key(|mark| mark.seq), "{order:?} is in order");
        }
        at_work::no_record();
        let deltas = self.deltas(epoch, &reading);
        drop(reading);
        self.batches.push(Arc::clone(&batch));
        let touches = std::mem::take(&mut self.touches);
        vec![Learned::Batch(batch), Learned::Deltas(deltas), Learned::Touches(touches)]
    }

    /// A batch that nobody reads any more, emptied: fresh arenas would cost page faults each epoch.
    fn fresh_batch(&mut self) -> Arc<LearnBatch> {
        let free = self.batches.iter().position(|batch| Arc::strong_count(batch) == 1);
        let mut batch = match free {
            Some(at) => self.batches.swap_remove(at),
            None => Arc::new(LearnBatch::new(self.context.config.factors.dim)),
        };
        match Arc::get_mut(&mut batch) {
            Some(unshared) => unshared.clear(),
            None => batch = Arc::new(LearnBatch::new(self.context.config.factors.dim)),
        }
        batch
    }

    fn owned_shards(&self) -> impl Iterator<Item = usize> + use<> {
        (self.context.worker..SHARDS).step_by(self.context.workers)
    }

    fn expire(&mut self, reading: &Reading<'_>) {
        let edge = self.edge(reading);
        for shard in self.owned_shards() {
            let left = self.context.tables.preferences[shard].lock().expire(edge);
            self.touches.extend(left.into_iter().map(|(touch, n)| (touch, shard as u8, n)));
        }
    }

    fn edge(&self, reading: &Reading<'_>) -> WindowEdge {
        WindowEdge::new(reading.header.logical_time, self.context.config.users.preference_ms())
    }

    fn new_item(&self, reading: &Reading<'_>, into: &mut LearnBatch, line: &Line, item: ItemRef) {
        let config = &self.context.config;
        let dim = config.factors.dim;
        let event = &line.event;
        let document = event.event.item.as_ref();
        let category = document.and_then(|document| document.categories.first());
        let centroid = category.and_then(|category| centroid(&reading.view, category, item, dim));
        let at = usize::from(line.line);
        let hash = event.items[at].0.last_chunk::<8>().map_or(0, |tail| u64::from_le_bytes(*tail));
        let mut vector = vec![0.0; dim];
        initial_item_vector(&config.factors, config.seed, hash, centroid.as_deref(), &mut vector);
        into.new_rows.push(NewRow {
            seq: line.seq,
            record: event.record(),
            item,
            id: event.event.items[at].clone(),
            vector,
        });
    }

    fn touch(
        &mut self,
        reading: &Reading<'_>,
        into: &mut LearnBatch,
        line: &Line,
        item: Option<ItemRef>,
    ) {
        let event = &*line.event;
        let (Some(hash), Some(actor)) = (event.user, event.event.actor()) else { return };
        let context = self.context.clone();
        let dim = context.config.factors.dim;
        let mut shard = context.tables.users[usize::from(hash.shard())].write();
        let Some(rank) = shard.enter(dim, hash, actor) else {
            tracing::error!(shard = hash.shard(), "a shard numbers no more users");
            return;
        };
        let key = (hash.shard(), rank);
        if event.event.event_type == EventType::Erase {
            shard.erase(dim, rank);
            self.forget(key);
            self.note_change(&mut shard.rows[rank as usize], key).vector = true;
            return;
        }
        if let Some(item) = item {
            self.learn_line(reading, into, &mut shard, Taken { line, item, key });
        }
        self.note_change(&mut shard.rows[rank as usize], key);
        if self.context.folds == Folds::FactorsOnly {
            item.into_iter().for_each(|item| {
                shard.rows[rank as usize].mark_seen(item, context.config.users.seen);
            });
            into.mark(line);
            return;
        }
        let category = item.and_then(|item| reading.view.row(item)?.category.as_ref());
        let is_first_line = line.line == 0;
        let touched = Touched { item, is_first_line, time: event.event_time, category };
        shard.rows[rank as usize].fold(&context.config.users, &event.event, touched);
        into.mark(line);
    }

    fn note_change<'r>(&mut self, row: &'r mut UserRow, key: (u8, u32)) -> &'r mut Changed {
        if !std::mem::replace(&mut row.changed.any, true) {
            self.touched.push(key);
        }
        &mut row.changed
    }

    fn forget(&mut self, (shard, rank): (u8, u32)) {
        let left = self.context.tables.preferences[usize::from(shard)].lock().forget(rank);
        self.touches.extend(left.into_iter().map(|(touch, n)| (touch, shard, n)));
    }

    /// The documents of every user that changed, and the end of the epoch for their reservoirs.
    fn deltas(&mut self, epoch: Epoch, reading: &Reading<'_>) -> DeltaBatch {
        let config = &self.context.config;
        let dim = config.factors.dim;
        let price = |item| reading.view.row(item)?.document.as_ref()?.price;
        let mut touched = std::mem::take(&mut self.touched);
        let is_told = self.context.folds.tell(epoch);
        if is_told {
            touched.sort_unstable();
        }
        let mut deltas = Vec::with_capacity(if is_told { touched.len() * 2 } else { 0 });
        for &(shard, rank) in &touched {
            let mut shard = self.context.tables.users[usize::from(shard)].write();
            let changed = shard.rows[rank as usize].tell(epoch, price);
            if !is_told {
                continue;
            }
            let user = shard.ids[rank as usize].clone();
            let features = shard.features(&config.users, rank);
            if changed.vector || features.is_none() {
                let vector = shard.vector(dim, rank);
                deltas.push(Delta::UserVector { user: user.clone(), vector });
            }
            deltas.push(Delta::UserFeatures { user, features });
        }
        if config.factors.replays > 0 {
            for shard in self.owned_shards() {
                self.context.tables.users[shard]
                    .write()
                    .reservoir
                    .end_epoch(config.users.reservoir);
            }
        }
        let duplicates = std::mem::take(&mut self.duplicates);
        DeltaBatch { deltas, duplicates, ..DeltaBatch::default() }
    }
}

fn catalogue(into: &mut LearnBatch, line: &Line, item: ItemRef) {
    let event = &line.event;
    let document = match event.event.event_type {
        EventType::ItemDelete => None,
        _ => Some(Arc::new(event.event.item.clone().unwrap_or_default())),
    };
    into.catalogue.push(CatalogueChange { item, document });
    into.mark(line);
}

fn centroid(view: &ItemView<'_>, category: &str, item: ItemRef, dim: usize) -> Option<Vec<f32>> {
    let mut sum = vec![0.0; dim];
    let mut members = 0;
    let shards: Vec<_> = view.shards().collect();
    // From the item's own shard onwards, so that not every new item leans on the same few.
    for step in 0..SHARDS {
        let (_, shard) = shards[(usize::from(item.shard()) + step) % SHARDS];
        members += shard.add_members(category, dim, &mut sum);
        if members >= CENTROID_OF {
            break;
        }
    }
    eddyline_model::kernel::scale(&mut sum, 1.0 / members.max(1) as f32);
    (members > 0).then_some(sum)
}

/// Members of a category whose mean is enough to place a new item.
const CENTROID_OF: usize = 32;
