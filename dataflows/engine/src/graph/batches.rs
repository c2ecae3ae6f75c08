//! The way of the batches: from the read phase of each worker to the apply phase of every one.
//!
//! A batch crosses to each other process once, to one of its workers, which hands it to the others
//! there by reference; so the vectors of an event cross once, however many workers there are.

use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::Operator;

use super::apply::Addressed;
use super::learn::Learned;
use super::{Context, each};
use crate::wire::parcel::{Parcel, Sent, by_route};

/// Every batch, once for each worker of all processes.
pub(super) fn to_all<'s>(learned: Sent<'s, Learned>, context: &Context) -> Sent<'s, Addressed> {
    let (locals, workers, local) = (context.locals, context.workers, context.local());
    // One worker of each process, the same place in each; in a single process all of them at once.
    let first: Vec<usize> = if locals == workers {
        (0..workers).collect()
    } else {
        (local..workers).step_by(locals).collect()
    };
    let addressed = each(learned, "Batches", move |learned| match learned {
        Learned::Batch(batch) => first.iter().map(|&worker| (worker, Arc::clone(&batch))).collect(),
        Learned::Deltas(_) | Learned::Touches(_) => Vec::new(),
    });
    if locals == workers { addressed } else { within_process(addressed, context) }
}

/// Every batch that reaches one worker of this process, once for each worker of this process.
fn within_process<'s>(batches: Sent<'s, Addressed>, context: &Context) -> Sent<'s, Addressed> {
    let neighbours =
        context.worker - context.local()..context.worker - context.local() + context.locals;
    let pact = by_route(|batch: &Addressed| batch.0 as u64);
    batches.unary::<CapacityContainerBuilder<Parcel<_>>, _, _, _>(pact, "Replicas", |_, _| {
        move |input, output| {
            input.for_each_stamp(|stamp, data| {
                let Some(capability) = stamp.retain_least(output.output_index()) else { return };
                let mut session = output.session(&capability);
                for (_, batch) in data.flat_map(Parcel::drain) {
                    for worker in neighbours.clone() {
                        session.give((worker, Arc::clone(&batch)));
                    }
                }
            });
        }
    })
}
