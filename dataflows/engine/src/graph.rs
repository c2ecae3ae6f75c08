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
//!
//! Over several processes, users, dedupe and numbers of items have one owner among all workers,
//! while every process holds the item side whole and applies every batch to it: a replicated state
//! machine. What the item side sends on comes from the owner of the shard alone.

mod apply;
mod batches;
mod commit;
mod dedupe;
pub(crate) mod item_deltas;
mod learn;
mod preferences;
mod resolve;
mod restore;
mod source;
mod stash;
mod wire;
mod work;

use std::num::NonZeroU64;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::lineage::Epoch;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::{Concatenate, ConnectLoop, Feedback};
use timely::scheduling::SyncActivator;

use crate::cluster::Pulse;
use crate::state::Tables;
use crate::wire::parcel::{Parcel, Sent};
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
    /// All of them, but deltas of the first epoch, the last one and one in so many only: state is
    /// what is wanted, see [`KnownDigests`](crate::KnownDigests).
    Sampled {
        /// The epoch before the first.
        from: Epoch,
        /// The last one.
        until: Epoch,
        /// Deltas are made of epochs that this divides.
        every: NonZeroU64,
    },
}

impl Folds {
    /// Whether the deltas of an epoch are made.
    pub(crate) fn tell(self, epoch: Epoch) -> bool {
        match self {
            Self::All => true,
            Self::FactorsOnly => false,
            Self::Sampled { from, until, every } => {
                epoch == from.next() || epoch == until || epoch.0.is_multiple_of(every.get())
            }
        }
    }
}

/// What every operator of a worker knows.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) config: Arc<CoreConfig>,
    pub(crate) tables: Arc<Tables>,
    /// This worker among all of all processes; it owns the shards that are congruent to it.
    pub(crate) worker: usize,
    /// Workers of all processes.
    pub(crate) workers: usize,
    /// Workers of each process, numbered one after the other.
    pub(crate) locals: usize,
    pub(crate) folds: Folds,
    pub(crate) pulse: Arc<Pulse>,
}

impl Context {
    /// This worker among those of its process.
    pub(crate) fn local(&self) -> usize {
        self.worker % self.locals
    }

    /// Whether this worker alone, of all processes, keeps the shard's users and speaks for it.
    pub(crate) fn owns(&self, shard: usize) -> bool {
        shard % self.workers == self.worker
    }

    /// Whether this worker alone, of this process, applies what happens to the shard's items. Its
    /// owner does in its own process, since the workers of one divide those of all.
    pub(crate) fn applies(&self, shard: usize) -> bool {
        shard % self.locals == self.local()
    }
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
    let (turn, turned) = scope.feedback::<Parcel<()>>(1);
    let learned = learn::learn_stream(work, source.headers.clone(), turned, context.clone());
    let batches = batches::to_all(learned.clone(), context);
    let applied = apply::apply_stream(batches, context.clone());
    each(applied.clone(), "Turn", |_| None::<()>).connect_loop(turn);
    let preferences = preferences::preferences(learned.clone(), applied.clone(), context.clone());
    let headers = each(source.headers, "Headers", |header| {
        Some(DeltaBatch { header: Some(header), ..DeltaBatch::default() })
    });
    let of_users = each(learned, "UserDeltas", |learned| match learned {
        Learned::Deltas(deltas) => Some(deltas),
        Learned::Batch(_) | Learned::Touches(_) => None,
    });
    let of_items = each(applied, "ItemDeltas", |applied| match applied {
        Applied::Deltas(deltas) => Some(deltas),
        Applied::Facets(_) => None,
    });
    let all = scope.concatenate([headers, of_users, of_items, preferences]);
    commit::commit(all, commits, Arc::clone(&context.pulse));
    source.activator
}

/// What `make` makes of each value, on the same worker.
fn each<'s, M, D, I>(
    stream: Sent<'s, M>,
    name: &str,
    mut make: impl FnMut(M) -> I + 'static,
) -> Sent<'s, D>
where
    M: Clone + 'static,
    D: Clone + 'static,
    I: IntoIterator<Item = D>,
{
    stream.unary::<CapacityContainerBuilder<Parcel<_>>, _, _, _>(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|stamp, data| {
                let Some(capability) = stamp.retain_least(output.output_index()) else { return };
                let made = data.flat_map(Parcel::drain).flat_map(&mut make);
                output.session(&capability).give_iterator(made);
            });
        }
    })
}
