//! The apply phase of an epoch: items' owners apply what the read phase asked for, in `seq`.
//!
//! Batches of several workers are merged by `seq`, so an item sees the same steps in the same
//! order on any number of workers and in every process. Residuals are taken again with the row as it is by then.

use std::collections::BTreeSet;
use std::sync::Arc;

use eddyline_model::factors::Row;
use eddyline_model::factors::apply::{CONTEXT_CONTRIBUTIONS, apply_context, apply_item};
use eddyline_model::kernel::read_soon;
use eddyline_model::popularity::Popularity;
use eddyline_schemas::id::{ItemRef, SHARDS};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::lineage::Epoch;
use parking_lot::RwLockWriteGuard;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::Operator;

use super::item_deltas::{gate_delta, item_deltas};
use super::stash::Stash;
use super::work::{DeltaBatch, LearnBatch, Mark};
use super::{Context, Folds};
use crate::at_work::{self, Stage};
use crate::state::items::{ItemRow, ItemShard};
use crate::state::preferences::Facet;
use crate::wire::parcel::{Parcel, Sent, by_route};

/// What the apply phase of one worker sends on.
#[derive(Clone, Debug)]
pub(super) enum Applied {
    /// To the sink.
    Deltas(DeltaBatch),
    /// To the preferences: an item's facets as they come and go.
    Facets(Vec<(ItemRef, (Facet, Arc<str>), i64)>),
}

type Output = CapacityContainerBuilder<Parcel<Applied>>;

/// Updates between the hint that a row will be read and its reading.
const AHEAD: usize = 6;

/// A batch addressed to a worker.
pub(super) type Addressed = (usize, Arc<LearnBatch>);

/// Every worker receives every batch of an epoch and applies what its shards own.
pub(super) fn apply_stream<'s>(
    batches: Sent<'s, Addressed>,
    context: Context,
) -> Sent<'s, Applied> {
    let pact = by_route(|batch: &Addressed| batch.0 as u64);
    batches.unary_frontier::<Output, _, _, _>(pact, "Apply", move |capability, _| {
        drop(capability);
        let mut stash = Stash::new();
        let mut phase = ApplyPhase::new(context);
        move |(input, frontier), output| {
            input.for_each_stamp(|stamp, data| {
                if let Some(capability) = stamp.retain_least(output.output_index()) {
                    stash.add(capability, data.flat_map(Parcel::drain).map(|batch| batch.1));
                }
            });
            while let Some((capability, batches)) = stash.next_complete(&[frontier]) {
                let epoch = Epoch(*capability.time());
                let apply = || phase.epoch(epoch, &batches);
                let applied = at_work::within(Stage::Apply, Some(epoch), apply);
                output.session(&capability).give_iterator(applied.into_iter());
            }
        }
    })
}

/// What changed of the items that this worker applies, in an epoch.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) rows: BTreeSet<ItemRef>,
    pub(super) vectors: Vec<ItemRef>,
    pub(super) contexts: Vec<ItemRef>,
    pub(super) popularity: Vec<ItemRef>,
    pub(super) covisitation: Vec<ItemRef>,
}

impl Touched {
    fn clear(&mut self) {
        self.rows.clear();
        let lists =
            [&mut self.vectors, &mut self.contexts, &mut self.popularity, &mut self.covisitation];
        lists.into_iter().for_each(Vec::clear);
    }

    /// Forgets items of other processes, which tell of them themselves.
    fn keep(&mut self, is_kept: impl Fn(ItemRef) -> bool) {
        self.rows.retain(|&item| is_kept(item));
        let lists =
            [&mut self.vectors, &mut self.contexts, &mut self.popularity, &mut self.covisitation];
        lists.into_iter().for_each(|list| list.retain(|&item| is_kept(item)));
    }
}

struct ApplyPhase {
    context: Context,
    touched: Touched,
    facets: Vec<(ItemRef, (Facet, Arc<str>), i64)>,
    /// One allocation per name, however many items bear it: comparing names is then mostly a
    /// comparison of what is in the cache.
    names: BTreeSet<Arc<str>>,
}

/// The shards that this worker applies, by number; `None` for the others'.
pub(super) type Owned<'a> = Vec<Option<RwLockWriteGuard<'a, ItemShard>>>;

impl ApplyPhase {
    fn new(context: Context) -> Self {
        Self { context, touched: Touched::default(), facets: Vec::new(), names: BTreeSet::new() }
    }

    fn epoch(&mut self, epoch: Epoch, batches: &[Arc<LearnBatch>]) -> Vec<Applied> {
        let context = self.context.clone();
        let tables = &context.tables;
        let lock = |shard: usize| context.applies(shard).then(|| tables.items[shard].write());
        let mut owned: Owned<'_> = (0..SHARDS).map(lock).collect();
        self.new_rows(&mut owned, epoch, batches);
        for (batch, at) in merged(batches) {
            at_work::on_record(batch.marks[at].record);
            self.apply(&mut owned, batch, at);
        }
        at_work::no_record();
        owned.iter_mut().flatten().for_each(|shard| shard.end_epoch());
        if context.folds == Folds::FactorsOnly {
            self.touched = Touched::default();
            return Vec::new();
        }
        if context.locals < context.workers {
            self.touched.keep(|item| context.owns(usize::from(item.shard())));
            self.facets.retain(|(item, _, _)| context.owns(usize::from(item.shard())));
        }
        let is_told = context.folds.tell(epoch);
        let mut out = match is_told {
            true => item_deltas(&owned, &mut self.touched, context.config.factors.dim),
            false => {
                self.touched.clear();
                Vec::new()
            }
        };
        let mut ranked = Vec::new();
        if context.applies(0) {
            let mut gate = tables.gate.write();
            let before = ranked.len();
            for (batch, at) in merged(batches) {
                at_work::on_record(batch.marks[at].record);
                for (event, example) in &batch.ranked[range(batch, at, |mark| mark.ranked_end)] {
                    gate.observe(&context.config.gate, example);
                    ranked.push(event.clone());
                }
            }
            at_work::no_record();
            if !context.owns(0) {
                ranked.clear();
            }
            if is_told && ranked.len() > before {
                out.push(gate_delta(&gate));
            }
        }
        let facets = std::mem::take(&mut self.facets);
        let deltas = DeltaBatch { deltas: out, ranked, ..DeltaBatch::default() };
        vec![Applied::Deltas(deltas), Applied::Facets(facets)]
    }

    fn new_rows(&mut self, owned: &mut Owned<'_>, epoch: Epoch, batches: &[Arc<LearnBatch>]) {
        let mut rows: Vec<_> = batches.iter().flat_map(|batch| &batch.new_rows).collect();
        rows.sort_by_key(|row| (row.item.shard(), row.item.rank()));
        for row in rows {
            at_work::on_record(row.record);
            let Some(shard) = &mut owned[usize::from(row.item.shard())] else { continue };
            debug_assert_eq!(shard.rows.len(), row.item.rank() as usize, "numbers have no holes");
            let fresh = ItemRow {
                id: row.id.clone(),
                first_seen: (epoch, row.seq),
                document: None,
                category: None,
                deleted: false,
                popularity: Popularity::default(),
                events: 0,
                covisitation: eddyline_model::covisit::CovisitList::default(),
            };
            shard.push(fresh, &row.vector);
            self.touched.rows.insert(row.item);
            self.touched.vectors.push(row.item);
        }
    }

    fn apply(&mut self, owned: &mut Owned<'_>, batch: &LearnBatch, at: usize) {
        let config = Arc::clone(&self.context.config);
        let dim = config.factors.dim;
        let time = batch.marks[at].time;
        for change in &batch.catalogue[range(batch, at, |mark| mark.catalogue_end)] {
            if let Some(shard) = &mut owned[usize::from(change.item.shard())] {
                self.set_document(shard, change.item, change.document.clone());
            }
        }
        for at in range(batch, at, |mark| mark.items_end) {
            let update = &batch.outbox.items[at];
            if let Some(soon) = batch.outbox.items.get(at + AHEAD) {
                row_soon(owned, soon.item, dim, |shard| &shard.vectors);
            }
            let Some(shard) = &mut owned[usize::from(update.item.shard())] else { continue };
            let shard = &mut **shard;
            let Some(row) =
                row(&mut shard.vectors, &mut shard.vector_accumulators, update.item, dim)
            else {
                continue;
            };
            apply_item(&config.factors, row, batch.outbox.vector(update.x), &update.target);
            self.touched.vectors.push(update.item);
        }
        for at in range(batch, at, |mark| mark.contexts_end) {
            let update = &batch.outbox.contexts[at];
            if let Some(soon) = batch.outbox.contexts.get(at + AHEAD) {
                row_soon(owned, soon.item, dim, |shard| &shard.contexts);
            }
            let Some(shard) = &mut owned[usize::from(update.item.shard())] else { continue };
            let shard = &mut **shard;
            if !shard.admit_context(update.item.rank(), CONTEXT_CONTRIBUTIONS as u8) {
                continue;
            }
            let rows = (&mut shard.contexts, &mut shard.context_accumulators);
            let Some(row) = row(rows.0, rows.1, update.item, dim) else { continue };
            let gradient = batch.outbox.vector(update.gradient);
            apply_context(&config.factors, row, gradient, update.weight);
            self.touched.contexts.push(update.item);
        }
        self.count(owned, batch, at, time.0);
    }

    fn count(&mut self, owned: &mut Owned<'_>, batch: &LearnBatch, at: usize, time_ms: i64) {
        let config = &self.context.config;
        for pair in &batch.pairs[range(batch, at, |mark| mark.pairs_end)] {
            let Some(shard) = &mut owned[usize::from(pair.source.shard())] else { continue };
            let Some(row) = shard.rows.get_mut(pair.source.rank() as usize) else { continue };
            row.covisitation.add(&config.covisitation, pair.target, pair.weight, time_ms);
            self.touched.covisitation.push(pair.source);
        }
        for &(item, weight) in &batch.taken[range(batch, at, |mark| mark.taken_end)] {
            let Some(shard) = &mut owned[usize::from(item.shard())] else { continue };
            let Some(row) = shard.rows.get_mut(item.rank() as usize) else { continue };
            row.popularity.add(&config.popularity, weight, time_ms);
            row.events += 1;
            self.touched.popularity.push(item);
        }
    }

    fn set_document(
        &mut self,
        shard: &mut ItemShard,
        item: ItemRef,
        document: Option<Arc<ItemDocument>>,
    ) {
        let Some(row) = shard.rows.get(item.rank() as usize) else { return };
        let old = row.document.clone();
        let changes = [(old, -1), (document.clone(), 1)];
        for (document, change) in changes.iter().filter_map(|(d, n)| Some((d.as_ref()?, *n))) {
            let categories = document.categories.iter().map(|name| (Facet::Category, name));
            let brand = document.brand.iter().map(|name| (Facet::Brand, name));
            let facets = categories.chain(brand);
            for (facet, name) in facets {
                let name = interned(&mut self.names, name);
                self.facets.push((item, (facet, name), change));
            }
        }
        shard.set_document(item.rank(), document);
        self.touched.rows.insert(item);
    }
}

fn row<'a>(
    vectors: &'a mut [f32],
    accumulators: &'a mut [f32],
    item: ItemRef,
    dim: usize,
) -> Option<Row<'a>> {
    let at = item.rank() as usize;
    let vector = vectors.get_mut(at * dim..(at + 1) * dim)?;
    Some(Row { vector, accumulator: accumulators.get_mut(at)? })
}

/// Has the item's row loaded, if its shard is among those that are owned.
fn row_soon(owned: &Owned<'_>, item: ItemRef, dim: usize, of: impl Fn(&ItemShard) -> &[f32]) {
    let at = item.rank() as usize * dim;
    let shard = owned[usize::from(item.shard())].as_deref();
    shard.and_then(|shard| of(shard).get(at..at + dim)).into_iter().for_each(read_soon);
}

pub(super) fn interned(names: &mut BTreeSet<Arc<str>>, name: &str) -> Arc<str> {
    if let Some(known) = names.get(name) {
        return Arc::clone(known);
    }
    let new: Arc<str> = Arc::from(name);
    names.insert(Arc::clone(&new));
    new
}

/// What the mark at `at` closed in the list whose ends `end` gives.
fn range(batch: &LearnBatch, at: usize, end: impl Fn(&Mark) -> u32) -> std::ops::Range<usize> {
    let from = if at == 0 { 0 } else { end(&batch.marks[at - 1]) };
    from as usize..end(&batch.marks[at]) as usize
}

/// Marks of all batches in the order of `seq`; the lines of one event stay in their own order,
/// since one user's event is read by one worker.
fn merged(batches: &[Arc<LearnBatch>]) -> impl Iterator<Item = (&LearnBatch, usize)> {
    let mut next = vec![0; batches.len()];
    std::iter::from_fn(move || {
        let heads = batches.iter().zip(&next).enumerate();
        let heads = heads.filter_map(|(b, (batch, &at))| Some((batch.marks.get(at)?.seq, b)));
        let (_, batch) = heads.min()?;
        next[batch] += 1;
        Some((&*batches[batch], next[batch] - 1))
    })
}
