//! The way into the dataflow: epochs arrive on a channel, complete and in order.

use crossbeam_channel::{Receiver, TryRecvError};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::SyncActivator;

use crate::bound::{Bound, Header};
use crate::wire::parcel::{Parcel, Sent};

/// What a worker is fed.
#[derive(Debug)]
pub(crate) enum Feed {
    /// A whole epoch: what all workers learn of it, and this worker's share of its events.
    Epoch(u64, Header, Vec<Bound>),
    /// No epoch comes after this.
    End,
}

/// Epochs taken per activation, so that a backlog cannot keep the other operators waiting.
const EPOCHS_PER_ACTIVATION: usize = 4;

/// The source, its output, and what wakes it.
pub(super) struct Source<'s> {
    pub(super) events: Sent<'s, Bound>,
    pub(super) headers: Sent<'s, Header>,
    pub(super) activator: SyncActivator,
}

/// Builds the source of one worker.
pub(super) fn source<'s>(scope: Scope<'s, u64>, feed: Receiver<Feed>) -> Source<'s> {
    let mut builder = OperatorBuilder::new("Source".to_owned(), scope);
    let info = builder.operator_info();
    let activator = scope.worker().sync_activator_for(info.address.to_vec());
    let again = scope.activator_for(info.address);
    let (events_out, events) = builder.new_output::<Parcel<Bound>>();
    let (headers_out, headers) = builder.new_output::<Parcel<Header>>();
    let mut events_out =
        OutputBuilder::<u64, CapacityContainerBuilder<Parcel<_>>>::from(events_out);
    let mut headers_out =
        OutputBuilder::<u64, CapacityContainerBuilder<Parcel<_>>>::from(headers_out);
    builder.build(move |capabilities| {
        let mut capabilities = Some(capabilities);
        move |_| {
            let Some(held) = &mut capabilities else { return };
            let mut events_out = events_out.activate();
            let mut headers_out = headers_out.activate();
            for _ in 0..EPOCHS_PER_ACTIVATION {
                match feed.try_recv() {
                    Ok(Feed::Epoch(epoch, header, events)) => {
                        let at: Vec<_> = held.iter().map(|cap| cap.delayed(&epoch)).collect();
                        events_out.session(&at[0]).give_iterator(events.into_iter());
                        headers_out.session(&at[1]).give(header);
                        // The only place where time moves: epochs below this one are complete.
                        held.iter_mut().for_each(|cap| cap.downgrade(&(epoch + 1)));
                    }
                    Ok(Feed::End) | Err(TryRecvError::Disconnected) => {
                        capabilities = None;
                        return;
                    }
                    Err(TryRecvError::Empty) => return,
                }
            }
            again.activate();
        }
    });
    Source { events, headers, activator }
}
