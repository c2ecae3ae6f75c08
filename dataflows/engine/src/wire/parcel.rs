//! The container of everything that workers send each other.
//!
//! Between workers of one process timely moves it as it is; to another process it goes in its
//! wire form, written once, straight into the buffer of the connection.

use std::io::Write;

use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::container::{CapacityContainerBuilder, DrainContainer, PushInto, SizableContainer};
use timely::dataflow::Stream;
use timely::dataflow::channels::ContainerBytes;
use timely::dataflow::channels::pact::{DistributorPact, ExchangeCore};
use timely::dataflow::channels::pushers::exchange::DrainContainerDistributor;

use super::{Input, Length, Out, Wire};

/// See the module doc.
#[derive(Clone, Debug)]
pub(crate) struct Parcel<T>(Vec<T>);

/// A stream of values that may leave their process.
pub(crate) type Sent<'s, T> = Stream<'s, u64, Parcel<T>>;

/// The contract by which values go to the worker that `route` names, modulo all workers.
pub(crate) type ByRoute<T, F> = ExchangeCore<CapacityContainerBuilder<Parcel<T>>, F>;

/// See [`ByRoute`].
pub(crate) fn by_route<T: 'static, F: FnMut(&T) -> u64 + 'static>(route: F) -> ByRoute<T, F> {
    DistributorPact(Box::new(move |peers| DrainContainerDistributor::new(route, peers)))
}

impl<T> Parcel<T> {
    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, T> {
        self.0.drain(..)
    }
}

impl<T> Default for Parcel<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Accountable for Parcel<T> {
    fn record_count(&self) -> i64 {
        self.0.record_count()
    }
}

impl<T> DrainContainer for Parcel<T> {
    type Item<'a>
        = T
    where
        T: 'a;
    type DrainIter<'a>
        = std::vec::Drain<'a, T>
    where
        T: 'a;

    fn drain(&mut self) -> Self::DrainIter<'_> {
        self.0.drain(..)
    }
}

impl<T> SizableContainer for Parcel<T> {
    fn at_capacity(&self) -> bool {
        self.0.at_capacity()
    }

    fn ensure_capacity(&mut self, stash: &mut Option<Self>) {
        let mut vectors = stash.take().map(|parcel| parcel.0);
        self.0.ensure_capacity(&mut vectors);
        *stash = vectors.map(Self);
    }
}

impl<T> PushInto<T> for Parcel<T> {
    fn push_into(&mut self, item: T) {
        self.0.push(item);
    }
}

/// Timely keeps every message aligned to this.
const ALIGN: usize = 8;

impl<T: Wire> ContainerBytes for Parcel<T> {
    /// Processes of another wire version were refused, and TCP has checked the bytes: anything
    /// else is a bug, and the worker that meets it stops the process.
    fn from_bytes(bytes: Bytes) -> Self {
        Self(Vec::take(&mut Input(&bytes)).expect("the other process writes what this one reads"))
    }

    fn length_in_bytes(&self) -> usize {
        let mut length = Length::default();
        self.0.put(&mut length);
        length.0.next_multiple_of(ALIGN)
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let mut out = Counted { writer, written: 0 };
        self.0.put(&mut out);
        let padding = out.written.next_multiple_of(ALIGN) - out.written;
        out.put(&[0; ALIGN][..padding]);
    }
}

struct Counted<'a, W> {
    writer: &'a mut W,
    written: usize,
}

impl<W: Write> Out for Counted<'_, W> {
    fn put(&mut self, bytes: &[u8]) {
        self.written += bytes.len();
        self.writer.write_all(bytes).expect("the buffer has the length that was asked for");
    }
}
