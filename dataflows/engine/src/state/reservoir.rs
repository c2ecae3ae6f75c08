//! A bounded uniform sample of a user shard's past events, to be learned again.
//!
//! Algorithm R (Vitter 1985), keyed by the incoming record, so that what is kept does not depend
//! on the worker. Replayed events are read as of the epoch's start: what an epoch adds waits until
//! the epoch is over.

use eddyline_model::philox::Draws;
use eddyline_schemas::id::ItemRef;

use super::canonical;
use super::section::{self, InvalidSection, Reader};

/// A past event: all that learning it again needs.
#[derive(Clone, Debug, PartialEq)]
pub struct PastEvent {
    /// The user's rank in the shard.
    pub user: u32,
    /// The user's items before the event, newest first.
    pub recent: Vec<ItemRef>,
    /// The event's item.
    pub item: ItemRef,
    /// Its weight.
    pub weight: f32,
}

/// See the module doc.
#[derive(Debug, Default)]
pub struct Reservoir {
    kept: Vec<PastEvent>,
    offered: u64,
    waiting: Vec<(PastEvent, Draws)>,
}

impl Reservoir {
    /// Offers an event; it enters when the epoch is over.
    pub fn offer(&mut self, event: PastEvent, draws: Draws) {
        self.waiting.push((event, draws));
    }

    /// Lets the epoch's events in.
    pub fn end_epoch(&mut self, capacity: usize) {
        for (event, mut draws) in self.waiting.drain(..) {
            self.offered += 1;
            if self.kept.len() < capacity {
                self.kept.push(event);
                continue;
            }
            let place = draws.below(self.offered);
            if let Some(slot) = self.kept.get_mut(usize::try_from(place).unwrap_or(usize::MAX)) {
                *slot = event;
            }
        }
    }

    /// A past event, uniformly; `None` while there is none.
    pub fn draw(&self, draws: &mut Draws) -> Option<&PastEvent> {
        let place = draws.below(self.kept.len() as u64);
        self.kept.get(usize::try_from(place).ok()?)
    }

    /// Drops the events of a user.
    pub fn forget(&mut self, user: u32) {
        self.kept.retain(|event| event.user != user);
        self.waiting.retain(|(event, _)| event.user != user);
    }

    /// Writes the shard's part of a section, between epochs.
    pub(crate) fn export(&self, out: &mut Vec<u8>) {
        debug_assert!(self.waiting.is_empty(), "between epochs nothing waits");
        out.extend_from_slice(&self.offered.to_le_bytes());
        section::count(out, self.kept.len());
        for event in &self.kept {
            out.extend_from_slice(&event.user.to_le_bytes());
            section::items(out, event.recent.iter());
            out.extend_from_slice(&event.item.0.to_le_bytes());
            out.extend_from_slice(&event.weight.to_bits().to_le_bytes());
        }
    }

    /// Reads what [`Self::export`] wrote.
    pub(crate) fn import(from: &mut Reader<'_, '_>) -> Result<Self, InvalidSection> {
        from.part = "the reservoir";
        let offered = from.u64()?;
        let event = |from: &mut Reader<'_, '_>| {
            let (user, recent) = (from.u32()?, from.items()?);
            Ok(PastEvent { user, recent, item: from.item()?, weight: from.f32()? })
        };
        Ok(Self { kept: from.list(16, event)?, offered, waiting: Vec::new() })
    }

    /// The sample in order of place.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offered.to_le_bytes());
        for event in &self.kept {
            out.extend_from_slice(&event.user.to_le_bytes());
            canonical::items(out, &event.recent);
            out.extend_from_slice(&event.item.0.to_le_bytes());
            canonical::floats(out, &[event.weight]);
        }
    }
}
