//! Gives items their dense numbers, at the owner of each item's shard and in the order of `seq`.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::Operator;

use eddyline_schemas::id::ItemRef;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::topic::Topic;

use super::Context;
use super::stash::Stash;
use super::work::{Fresh, Line, Work};
use crate::at_work::{self, Stage};
use crate::wire::parcel::{Parcel, Sent, by_route};

type Output = CapacityContainerBuilder<Parcel<Work>>;

/// Lines in, work out.
pub(super) fn resolve<'s>(fresh: Sent<'s, Fresh>, context: Context) -> Sent<'s, Work> {
    let pact = by_route(Fresh::shard);
    fresh.unary_frontier::<Output, _, _, _>(pact, "Resolve", move |capability, _| {
        drop(capability);
        let mut stash = Stash::new();
        move |(input, frontier), output| {
            input.for_each_stamp(|stamp, data| {
                if let Some(capability) = stamp.retain_least(output.output_index()) {
                    stash.add(capability, data.flat_map(Parcel::drain));
                }
            });
            while let Some((capability, mut fresh)) = stash.next_complete(&[frontier]) {
                fresh.sort_unstable_by_key(|fresh| match fresh {
                    Fresh::Line(line) => (line.seq, line.line),
                    Fresh::Duplicates(_) => (0, 0),
                });
                let epoch = Epoch(*capability.time());
                let mut session = output.session(&capability);
                at_work::within(Stage::Resolve, Some(epoch), || {
                    for fresh in fresh {
                        resolve_one(&context, fresh, |work| session.give(work));
                    }
                });
            }
        }
    })
}

fn resolve_one(context: &Context, fresh: Fresh, mut give: impl FnMut(Work)) {
    let line = match fresh {
        Fresh::Line(line) => line,
        Fresh::Duplicates(count) => return give(Work::Duplicates(count)),
    };
    at_work::on_record(line.event.record());
    let item = match number(context, &line) {
        Numbered::Item(item, is_new) => {
            if is_new {
                give(Work::NewItem { line: line.clone(), item });
            }
            Some(item)
        }
        Numbered::NoItem => None,
        Numbered::Full => {
            tracing::error!(
                shard = line.event.items[usize::from(line.line)].shard(),
                "a shard numbers no more items"
            );
            None
        }
    };
    match (line.event.at.topic, item) {
        (Topic::ItemEvents, Some(item)) => give(Work::Catalogue { line, item }),
        (Topic::ItemEvents, None) => {}
        (
            Topic::UserEvents | Topic::Feedback | Topic::Bindings | Topic::Deltas | Topic::Digests,
            item,
        ) => give(Work::Touch { line, item }),
    }
}

enum Numbered {
    Item(ItemRef, bool),
    NoItem,
    Full,
}

fn number(context: &Context, line: &Line) -> Numbered {
    let Some(&hash) = line.event.items.get(usize::from(line.line)) else {
        return Numbered::NoItem;
    };
    let ranked = context.tables.item_registry[usize::from(hash.shard())].lock().rank(hash);
    match ranked {
        Some((rank, is_new)) => Numbered::Item(ItemRef::new(hash.shard(), rank), is_new),
        None => Numbered::Full,
    }
}
