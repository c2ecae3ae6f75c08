//! Category and brand preferences: the touches of the last days joined with the catalogue.
//!
//! The join is differential, so an item that changes category corrects past counts too. Both
//! inputs change by whole numbers, hence the order of arrival cannot show in the sums. The loop to
//! the read phase does not wait for this part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use differential_dataflow::AsCollection;
use eddyline_schemas::delta::Delta;
use eddyline_schemas::lineage::Epoch;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::operator::Operator;

use super::apply::Applied;
use super::learn::Learned;
use super::stash::Stash;
use super::work::DeltaBatch;
use super::{Context, restore};
use crate::at_work::{self, Stage};
use crate::state::preferences::Facet;
use crate::wire::parcel::{Parcel, Sent};

type Output = CapacityContainerBuilder<Parcel<DeltaBatch>>;

/// A user: logical shard and rank in it.
type UserKey = (u8, u32);

/// What a count is about.
type Counted = (UserKey, Facet, Arc<str>);

/// Touches and facets in, changed documents out.
pub(super) fn preferences<'s>(
    learned: Sent<'s, Learned>,
    applied: Sent<'s, Applied>,
    context: Context,
) -> Sent<'s, DeltaBatch> {
    let touches = timed(learned, "Touches", |learned| match learned {
        Learned::Touches(touches) => touches
            .into_iter()
            .map(|((item, user), shard, n)| ((item.0, (shard, user)), n))
            .collect(),
        Learned::Batch(_) | Learned::Deltas(_) => Vec::new(),
    });
    let facets = timed(applied, "Facets", |applied| match applied {
        Applied::Facets(facets) => {
            facets.into_iter().map(|(item, facet, change)| ((item.0, facet), change)).collect()
        }
        Applied::Deltas(_) => Vec::new(),
    });
    let scope = touches.scope();
    let touches = touches.concat(restore::touches(scope, &context));
    let facets = facets.concat(restore::facets(scope, &context));
    let counts = touches
        .as_collection()
        .join_map(facets.as_collection(), |_, user: &UserKey, (facet, name)| {
            (*user, *facet, Arc::clone(name))
        });
    documents(counts.inner, context)
}

/// Data with its epoch, as differential wants it.
fn timed<'s, M, D>(
    stream: Sent<'s, M>,
    name: &str,
    mut updates: impl FnMut(M) -> Vec<(D, i64)> + 'static,
) -> StreamVec<'s, u64, (D, u64, i64)>
where
    M: Clone + 'static,
    D: Clone + 'static,
{
    use timely::dataflow::channels::pact::Pipeline;
    stream.unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|stamp, data| {
                let Some(capability) = stamp.retain_least(output.output_index()) else { return };
                let epoch = *capability.time();
                let mut session = output.session(&capability);
                for message in data.flat_map(Parcel::drain) {
                    let updates = updates(message);
                    session.give_iterator(updates.into_iter().map(|(data, n)| (data, epoch, n)));
                }
            });
        }
    })
}

fn documents<'s>(
    counts: StreamVec<'s, u64, (Counted, u64, i64)>,
    context: Context,
) -> Sent<'s, DeltaBatch> {
    let pact = Exchange::new(|count: &(Counted, u64, i64)| u64::from(count.0.0.0));
    counts.unary_frontier::<Output, _, _, _>(pact, "Preferences", move |capability, _| {
        drop(capability);
        let mut stash = Stash::new();
        move |(input, frontier), output| {
            input.for_each_stamp(|stamp, data| {
                let Some(capability) = stamp.retain_least(output.output_index()) else { return };
                // The epoch of an update is its own, which may be later than its message's.
                for (counted, epoch, change) in data.flat_map(|batch| batch.drain(..)) {
                    stash.add(capability.delayed(&epoch), [(counted, change)]);
                }
            });
            while let Some((capability, counts)) = stash.next_complete(&[frontier]) {
                // The tables count what was restored already.
                if *capability.time() == restore::RESTORED {
                    continue;
                }
                let epoch = Epoch(*capability.time());
                let count = || count(&context, epoch, counts);
                let deltas = at_work::within(Stage::Preferences, Some(epoch), count);
                output.session(&capability).give(deltas);
            }
        }
    })
}

fn count(context: &Context, epoch: Epoch, counts: Vec<(Counted, i64)>) -> DeltaBatch {
    // Differential may or may not show changes that cancel out within an epoch: only what is left
    // of them is news.
    let mut net: BTreeMap<Counted, i64> = BTreeMap::new();
    for (counted, change) in counts {
        *net.entry(counted).or_default() += change;
    }
    net.retain(|_, change| *change != 0);
    let users: BTreeSet<UserKey> = net.keys().map(|counted| counted.0).collect();
    for (((shard, user), facet, name), change) in net {
        context.tables.preferences[usize::from(shard)].lock().count(user, &(facet, name), change);
    }
    let bound = context.config.users.preferences;
    let is_told = context.folds.tell(epoch);
    let document = |(shard, rank): (u8, u32)| {
        let mut users = context.tables.users[usize::from(shard)].write();
        let user = users.ids.get(rank as usize)?.clone();
        // The read phase may be epochs ahead, and has told of the user then.
        let told = &mut users.rows[rank as usize].told;
        told.epoch = told.epoch.max(epoch);
        drop(users);
        if !is_told {
            return None;
        }
        let preferences =
            context.tables.preferences[usize::from(shard)].lock().document(rank, bound);
        Some(Delta::UserPreferences { user, preferences: Arc::new(preferences) })
    };
    let deltas = users.into_iter().filter_map(document).collect();
    DeltaBatch { deltas, ..DeltaBatch::default() }
}
