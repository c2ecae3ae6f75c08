//! The receiving side: a topic of deltas, a feature store behind it, and a consumer. All of them
//! survive the crashes of drivers.

use std::collections::BTreeMap;

use bytes::Bytes;
use eddyline_connect::sim::Dice;
use eddyline_schemas::delta::canonical::write_canonical;
use eddyline_schemas::delta::{DeltaKey, EpochDeltas};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Digest, DigestBuilder};

use super::plant::Plant;

/// A record of the topic of deltas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeltaRecord {
    /// A delta.
    Row { epoch: Epoch, seq: u32, row: Row },
    /// The epoch has so many rows, with this digest.
    Close { epoch: Epoch, count: u32, digest: Digest },
}

/// A delta as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

/// The records of an epoch, its close last.
pub(super) fn records_of(deltas: &EpochDeltas) -> Vec<DeltaRecord> {
    let epoch = deltas.epoch;
    let rows: Vec<Row> = deltas.deltas.iter().map(row).collect();
    let (count, digest) = (rows.len() as u32, digest_of(epoch, rows.iter()));
    let numbered = (0..).zip(rows).map(|(seq, row)| DeltaRecord::Row { epoch, seq, row });
    numbered.chain([DeltaRecord::Close { epoch, count, digest }]).collect()
}

fn row(delta: &eddyline_schemas::delta::Delta) -> Row {
    let (kind, key) = delta.order_key();
    let mut bytes = vec![kind];
    match key {
        DeltaKey::Only => {}
        DeltaKey::Item(item) => bytes.extend_from_slice(&item.0.to_le_bytes()),
        DeltaKey::User(user) => bytes.extend_from_slice(user.as_bytes()),
    }
    let mut value = Vec::new();
    write_canonical(delta, &mut value);
    Row { key: bytes.into(), value: value.into() }
}

fn digest_of<'a>(epoch: Epoch, rows: impl Iterator<Item = &'a Row>) -> Digest {
    let mut digest = DigestBuilder::default();
    digest.update(&epoch.0.to_le_bytes());
    for row in rows {
        digest.update(&(row.value.len() as u64).to_le_bytes());
        digest.update(&row.value);
    }
    digest.finish()
}

/// The topic, and the store that is written with it.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    pub(super) records: Vec<DeltaRecord>,
    /// Sent, and not arrived yet.
    pub(super) on_the_way: Vec<Vec<DeltaRecord>>,
    pub(super) store: Store,
    /// The newest epoch that is closed.
    pub(super) closed: Epoch,
    /// Every epoch up to this one is closed.
    pub(super) whole: Epoch,
}

impl Receiver {
    pub(super) fn new(plant: Option<Plant>) -> Self {
        Self { store: Store { plant, ..Store::default() }, ..Self::default() }
    }

    pub(super) fn append(&mut self, records: Vec<DeltaRecord>) {
        for record in &records {
            match record {
                DeltaRecord::Row { epoch, row, .. } => self.store.write(*epoch, row),
                DeltaRecord::Close { epoch, .. } => {
                    self.closed = self.closed.max(*epoch);
                    if *epoch == self.whole.next() {
                        self.whole = *epoch;
                    }
                }
            }
        }
        self.records.extend(records);
    }

    /// Lets one of the late batches arrive; false when none is left.
    pub(super) fn arrive(&mut self, dice: &mut Dice) -> bool {
        if self.on_the_way.is_empty() {
            return false;
        }
        let at = dice.below(self.on_the_way.len() as u64) as usize;
        let records = self.on_the_way.swap_remove(at);
        self.append(records);
        true
    }
}

/// A feature store: the newest value of each key, and its epoch (I4).
#[derive(Debug, Default)]
pub(super) struct Store {
    plant: Option<Plant>,
    pub(super) values: BTreeMap<Bytes, (Epoch, u64)>,
}

impl Store {
    pub(super) fn new(plant: Option<Plant>) -> Self {
        Self { plant, ..Self::default() }
    }

    pub(super) fn write(&mut self, epoch: Epoch, row: &Row) {
        let digest = Digest::of(&row.value);
        let mut number = 0_u64;
        digest.0.iter().take(8).for_each(|byte| number = number << 8 | u64::from(*byte));
        let (at, value) = self.values.entry(row.key.clone()).or_insert((Epoch(0), 0));
        match self.plant {
            Some(Plant::IncrWrite) => {
                *at = epoch.max(*at);
                *value = value.wrapping_add(number);
            }
            Some(Plant::StoreGoesBack) => (*at, *value) = (epoch, number),
            Some(_) | None if epoch >= *at => (*at, *value) = (epoch, number),
            Some(_) | None => {}
        }
    }
}

/// Applies whole epochs, in order, once (I6).
#[derive(Debug, Default)]
pub(super) struct Consumer {
    plant: Option<Plant>,
    next: usize,
    rows: BTreeMap<(Epoch, u32), Row>,
    closes: BTreeMap<Epoch, (u32, Digest)>,
    pub(super) applied: Vec<Digest>,
    pub(super) table: BTreeMap<Bytes, Bytes>,
    /// Repeats that were not identical, and epochs that were not what their close says.
    pub(super) conflicts: u64,
}

impl Consumer {
    pub(super) fn new(plant: Option<Plant>) -> Self {
        Self { plant, ..Self::default() }
    }

    /// Reads on. `corrupt` may change a row on its way.
    pub(super) fn poll(&mut self, receiver: &Receiver, mut corrupt: impl FnMut(&mut Row)) {
        while let Some(record) = receiver.records.get(self.next) {
            self.next += 1;
            let is_sound = match record.clone() {
                DeltaRecord::Row { epoch, .. } | DeltaRecord::Close { epoch, .. }
                    if epoch.0 <= self.applied.len() as u64 =>
                {
                    true
                }
                DeltaRecord::Row { epoch, seq, mut row } => {
                    corrupt(&mut row);
                    let kept = self.rows.entry((epoch, seq)).or_insert_with(|| row.clone());
                    *kept == row
                }
                DeltaRecord::Close { epoch, count, digest } => {
                    *self.closes.entry(epoch).or_insert((count, digest)) == (count, digest)
                }
            };
            if !is_sound {
                self.resync();
                return;
            }
        }
        while self.apply_next() {}
        if self.plant == Some(Plant::HalfEpoch) && !self.rows.is_empty() {
            self.apply();
        }
    }

    fn apply_next(&mut self) -> bool {
        let epoch = Epoch(self.applied.len() as u64).next();
        let Some(&(count, digest)) = self.closes.get(&epoch) else { return false };
        let rows = || self.rows.range((epoch, 0)..(epoch.next(), 0)).map(|(_, row)| row);
        if rows().count() < count as usize {
            return false;
        }
        if digest_of(epoch, rows()) != digest && self.plant != Some(Plant::SkipDigest) {
            self.resync();
            return false;
        }
        self.apply();
        true
    }

    fn apply(&mut self) {
        let epoch = Epoch(self.applied.len() as u64).next();
        let later = self.rows.split_off(&(epoch.next(), 0));
        let rows = std::mem::replace(&mut self.rows, later);
        self.applied.push(digest_of(epoch, rows.values()));
        self.table.extend(rows.into_values().map(|row| (row.key, row.value)));
        self.closes.remove(&epoch);
    }

    /// Reads everything that is not applied again.
    fn resync(&mut self) {
        self.conflicts += 1;
        self.next = 0;
        self.rows.clear();
        self.closes.clear();
    }
}
