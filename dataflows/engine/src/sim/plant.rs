//! Bugs that the simulator can plant, to show that it would find them. None is reachable from
//! production: the driver of production has the type of the sound rules, and the other bugs are
//! in the simulated disk, store and consumer.

use std::sync::Arc;

use eddyline_connect::clock::{Clock, ManualClock};
use eddyline_connect::sim::Dice;

use crate::bound::{Bound, EpochInput};
use crate::driver::rules::{Breach, Rules};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Deltas leave before their binding is proposed.
    EmitBeforeBind,
    /// The reply to an append is taken for acceptance.
    TrustReply,
    /// No fence: the identity in force is used by whoever starts.
    NoFence,
    /// A lost reply is taken for a failure, and the epoch is cut anew.
    RecutAfterLostReply,
    /// After a restart, reading goes on at the end of the log.
    ResumeAtLatest,
    /// A snapshot is written before its epoch's deltas are acknowledged.
    SnapshotBeforeAcknowledgement,
    /// A snapshot holds the clocks of what was read, not of what was bound.
    SnapshotClockOfLastRead,
    /// Epochs are cut anew when they are folded again.
    RecutOnReplay,
    /// Late records are not counted.
    DropLate,
    /// Logical time is the wall clock.
    NowInCore,
    /// Events are folded in the order of arrival.
    UnsortedFold,
    /// Partitions are taken in the order of a hash map, new in each process.
    HashMapOrder,
    /// Appends are acknowledged before they are synced.
    SkipFsync,
    /// The consumer applies what it has of an epoch.
    HalfEpoch,
    /// The consumer does not check an epoch's digest.
    SkipDigest,
    /// The feature store adds instead of setting.
    IncrWrite,
    /// The feature store takes older epochs.
    StoreGoesBack,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::EmitBeforeBind,
        Self::TrustReply,
        Self::NoFence,
        Self::RecutAfterLostReply,
        Self::ResumeAtLatest,
        Self::SnapshotBeforeAcknowledgement,
        Self::SnapshotClockOfLastRead,
        Self::RecutOnReplay,
        Self::DropLate,
        Self::NowInCore,
        Self::UnsortedFold,
        Self::HashMapOrder,
        Self::SkipFsync,
        Self::HalfEpoch,
        Self::SkipDigest,
        Self::IncrWrite,
        Self::StoreGoesBack,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EmitBeforeBind => "emit-before-bind",
            Self::TrustReply => "trust-reply",
            Self::NoFence => "no-fence",
            Self::RecutAfterLostReply => "recut-after-lost-reply",
            Self::ResumeAtLatest => "resume-at-latest",
            Self::SnapshotBeforeAcknowledgement => "snapshot-before-acknowledgement",
            Self::SnapshotClockOfLastRead => "snapshot-clock-of-last-read",
            Self::RecutOnReplay => "recut-on-replay",
            Self::DropLate => "drop-late",
            Self::NowInCore => "now-in-core",
            Self::UnsortedFold => "unsorted-fold",
            Self::HashMapOrder => "hash-map-order",
            Self::SkipFsync => "skip-fsync",
            Self::HalfEpoch => "half-epoch",
            Self::SkipDigest => "skip-digest",
            Self::IncrWrite => "incr-write",
            Self::StoreGoesBack => "store-goes-back",
        }
    }

    /// The plant of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.name() == name)
    }
}

/// The rules of a simulated driver: sound without a plant.
pub(super) struct Planted {
    pub(super) plant: Option<Plant>,
    pub(super) clock: Arc<ManualClock>,
    /// What differs from process to process.
    pub(super) dice: Dice,
    /// An event held back by [`Plant::RecutOnReplay`].
    pub(super) held: Option<Bound>,
}

impl Rules for Planted {
    fn breaks(&self, breach: Breach) -> bool {
        let planted = match self.plant {
            Some(Plant::EmitBeforeBind) => Breach::EmitBeforeBind,
            Some(Plant::TrustReply) => Breach::TrustReply,
            Some(Plant::NoFence) => Breach::NoFence,
            Some(Plant::RecutAfterLostReply) => Breach::RecutAfterLostReply,
            Some(Plant::ResumeAtLatest) => Breach::ResumeAtLatest,
            Some(Plant::SnapshotBeforeAcknowledgement) => Breach::SnapshotBeforeAcknowledgement,
            Some(Plant::SnapshotClockOfLastRead) => Breach::SnapshotClockOfLastRead,
            Some(_) | None => return false,
        };
        planted == breach
    }

    fn tamper(&mut self, input: &mut EpochInput, is_again: bool) {
        match self.plant {
            Some(Plant::RecutOnReplay) => {
                let kept = self.held.take();
                if is_again {
                    self.held = input.events.pop();
                }
                let kept = kept.map(|bound| bound.event);
                let events = input.events.drain(..).map(|bound| bound.event);
                let events: Vec<_> = kept.into_iter().chain(events).collect();
                input.events = numbered(events);
            }
            Some(Plant::DropLate) => {
                input.header.accepted -= input.header.late;
                input.header.late = 0;
            }
            Some(Plant::NowInCore) => input.header.logical_time = self.clock.now(),
            Some(Plant::UnsortedFold) => {
                let mut events: Vec<_> = input.events.drain(..).map(|one| one.event).collect();
                for at in 1..events.len() {
                    events.swap(at, self.dice.below(at as u64 + 1) as usize);
                }
                input.events = numbered(events);
            }
            Some(Plant::HashMapOrder) => {
                let salt = self.dice.clone().draw();
                let mut events: Vec<_> = input.events.drain(..).map(|one| one.event).collect();
                events.sort_by_key(|event| {
                    let partition = u64::from(event.at.partition) + 1;
                    let name = event.at.topic.name().len() as u64;
                    Dice::new(salt ^ (partition << 8) ^ name).draw()
                });
                input.events = numbered(events);
            }
            Some(_) | None => {}
        }
    }
}

fn numbered(events: Vec<Arc<crate::bound::DecodedEvent>>) -> Vec<Bound> {
    let number = |(seq, event)| Bound { seq: seq as u32, event };
    events.into_iter().enumerate().map(number).collect()
}
