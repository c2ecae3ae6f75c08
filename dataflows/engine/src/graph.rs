//! The dataflow graph, built identically on every worker.
//!
//! ```text
//! source → dedupe → resolve → learn ⇄ apply        ⇄ : the loop that keeps epochs apart
//!    └ headers ───────────────┘ │        │
//!                       touches └─ join ─┘ facets → preferences
//! learn, apply, preferences, headers → commit
//! ```
//!
//! Timely's timestamp is the epoch. Every stateful operator waits until an epoch is complete and
//! then works through it in the order of `seq`, so arrival order shows nowhere.

mod apply;
mod commit;
mod dedupe;
mod item_deltas;
mod learn;
mod preferences;
mod resolve;
mod restore;
mod source;
mod stash;
mod work;

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use eddyline_model::config::CoreConfig;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::{Filter, Map};
use timely::dataflow::operators::{Concatenate, ConnectLoop, Feedback};
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::SyncActivator;

use crate::bound::{Header, InProcess};
use crate::state::Tables;
use apply::Applied;
pub(crate) use commit::Commit;
use learn::Learned;
pub(crate) use source::Feed;
use work::DeltaBatch;

/// Which folds run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Folds {
    /// All of them.
    #[default]
    All,
    /// Learning alone, through the same operators: no dedupe, no other fold, no deltas. For the
    /// benchmark that compares the dataflow with a plain loop.
    FactorsOnly,
}

/// What every operator of a worker knows.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) config: Arc<CoreConfig>,
    pub(crate) tables: Arc<Tables>,
    /// This worker; it owns the shards that are congruent to it.
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    pub(crate) folds: Folds,
}

/// Builds the graph of one worker; gives what wakes its source.
pub(crate) fn build(
    scope: Scope<'_, u64>,
    context: &Context,
    feed: Receiver<Feed>,
    commits: Sender<Commit>,
) -> SyncActivator {
    let source = source::source(scope, feed);
    let fresh = dedupe::dedupe(source.events, context.clone());
    let work = resolve::resolve(fresh, context.clone());
    let (turn, turned) = scope.feedback::<Vec<InProcess<()>>>(1);
    let learned = learn::learn_stream(work, source.headers.clone(), turned, context.clone());
    let applied = apply::apply_stream(addressed(learned.clone(), context.workers), context.clone());
    applied.clone().filter(|_| false).map(|_| InProcess(())).connect_loop(turn);
    let preferences = preferences::preferences(learned.clone(), applied.clone(), context.clone());
    let headers = source.headers.map(|header: InProcess<Header>| {
        InProcess(DeltaBatch { header: Some(header.0), ..DeltaBatch::default() })
    });
    let of_users = only(learned, "UserDeltas", |learned| match learned {
        Learned::Deltas(deltas) => Some(deltas),
        Learned::Batch(_) | Learned::Touches(_) => None,
    });
    let of_items = only(applied, "ItemDeltas", |applied| match applied {
        Applied::Deltas(deltas) => Some(deltas),
        Applied::Facets(_) => None,
    });
    commit::commit(scope.concatenate([headers, of_users, of_items, preferences]), commits);
    source.activator
}

/// Every batch, once for each worker.
fn addressed<'s>(
    learned: StreamVec<'s, u64, InProcess<Learned>>,
    workers: usize,
) -> StreamVec<'s, u64, InProcess<apply::Addressed>> {
    only(learned, "Batches", |learned| match learned {
        Learned::Batch(batch) => Some(batch),
        Learned::Deltas(_) | Learned::Touches(_) => None,
    })
    .flat_map(move |batch| {
        (0..workers).map(move |worker| InProcess((worker, Arc::clone(&batch.0))))
    })
}

fn only<'s, M: Clone + 'static, D: Clone + 'static>(
    stream: StreamVec<'s, u64, InProcess<M>>,
    name: &str,
    mut select: impl FnMut(M) -> Option<D> + 'static,
) -> StreamVec<'s, u64, InProcess<D>> {
    stream.unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|stamp, data| {
                let Some(capability) = stamp.retain_least(output.output_index()) else { return };
                let selected = data.flat_map(|batch| batch.drain(..)).filter_map(|m| select(m.0));
                output.session(&capability).give_iterator(selected.map(InProcess));
            });
        }
    })
}
