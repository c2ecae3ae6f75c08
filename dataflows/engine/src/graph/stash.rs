//! Data that waits for its epoch to be complete.

use std::collections::BTreeMap;

use timely::dataflow::operators::Capability;
use timely::progress::frontier::MutableAntichain;

/// Data by epoch, each with the right to write into that epoch.
#[derive(Debug)]
pub(super) struct Stash<D> {
    waiting: BTreeMap<u64, (Capability<u64>, Vec<D>)>,
}

impl<D> Stash<D> {
    pub(super) fn new() -> Self {
        Self { waiting: BTreeMap::new() }
    }

    /// Adds data of the capability's epoch.
    pub(super) fn add(&mut self, capability: Capability<u64>, data: impl IntoIterator<Item = D>) {
        let epoch = *capability.time();
        let entry = self.waiting.entry(epoch).or_insert_with(|| (capability, Vec::new()));
        entry.1.extend(data);
    }

    /// The oldest epoch that none of the frontiers can still reach.
    pub(super) fn next_complete(
        &mut self,
        frontiers: &[&MutableAntichain<u64>],
    ) -> Option<(Capability<u64>, Vec<D>)> {
        let entry = self.waiting.first_entry()?;
        if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
            return None;
        }
        Some(entry.remove())
    }
}
