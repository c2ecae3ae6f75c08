//! What the records say together.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_model::config::{CoreConfig, Descent};
use eddyline_schemas::lineage::Lineage;
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;
use serde_json::Value;

use super::record::{Action, Record, Registered};

/// The fold of all records up to a number. `Default` is what no record says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lineages {
    number: u64,
    digest: Digest,
    entries: Vec<Entry>,
    /// Every lineage that was activated, in order; the last one is active.
    activations: Vec<Lineage>,
}

/// A registered lineage.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As it was registered.
    pub registered: Registered,
    /// When, the last time.
    pub at: TimestampMs,
    /// Whether it was retired since.
    pub is_retired: bool,
}

/// The table does not make the lineage that it was registered as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "lineage {lineage} cannot be folded by this build: {reason}; use the build that registered it, \
     or retire it and rebuild it with this one"
)]
pub struct CoreOfOtherVersion {
    /// Which.
    pub lineage: Lineage,
    /// What does not fit.
    pub reason: String,
}

/// A change that contradicts what is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody registered it.
    #[error("lineage {0} is not registered; register it with `eddyline replay rebuild`")]
    Unknown(Lineage),
    /// It is there already.
    #[error("lineage {0} is registered already")]
    Known(Lineage),
    /// It is not kept any more.
    #[error("lineage {0} is retired; register it again with `eddyline replay rebuild`")]
    Retired(Lineage),
    /// It answers.
    #[error("lineage {0} is active; activate another one first")]
    Active(Lineage),
}

impl Entry {
    /// The configuration to fold it with.
    pub fn core(&self) -> Result<CoreConfig, CoreOfOtherVersion> {
        let Registered { lineage, core, parent, first_epoch } = &self.registered;
        let other = |reason: String| CoreOfOtherVersion { lineage: *lineage, reason };
        let mut core: CoreConfig =
            serde_json::from_value(core.clone()).map_err(|error| other(error.to_string()))?;
        core.descent = parent.map(|parent| Descent { parent, first_epoch: *first_epoch });
        let made = core.lineage();
        if made == *lineage {
            return Ok(core);
        }
        Err(other(format!(
            "its [core] table makes lineage {made}, as in another algorithm version"
        )))
    }
}

impl Lineages {
    /// Of the last record; 0 when there is none.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// BLAKE3 of the last record.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// All that were ever registered, in the order of their first time.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One that was registered.
    #[must_use]
    pub fn entry(&self, lineage: Lineage) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.registered.lineage == lineage)
    }

    /// Whether it is registered and not retired.
    #[must_use]
    pub fn is_kept(&self, lineage: Lineage) -> bool {
        self.entry(lineage).is_some_and(|entry| !entry.is_retired)
    }

    /// The one that answers; `None` until one is activated.
    #[must_use]
    pub fn active(&self) -> Option<Lineage> {
        self.activations.last().copied()
    }

    /// The one that answered before, if it is still kept: the way back.
    #[must_use]
    pub fn previous(&self) -> Option<Lineage> {
        let active = self.active()?;
        let before = self.activations.iter().rev().find(|one| **one != active).copied();
        before.filter(|one| self.is_kept(*one))
    }

    /// Whether an action makes sense now.
    pub fn check(&self, action: &Action) -> Result<(), Refused> {
        match action {
            Action::Registered(registered) if self.is_kept(registered.lineage) => {
                Err(Refused::Known(registered.lineage))
            }
            Action::Registered(_) => Ok(()),
            Action::Activated(lineage) if self.active() == Some(*lineage) => {
                Err(Refused::Active(*lineage))
            }
            Action::Activated(lineage) => self.check_kept(*lineage),
            Action::Retired(lineage) if self.active() == Some(*lineage) => {
                Err(Refused::Active(*lineage))
            }
            Action::Retired(lineage) => self.check_kept(*lineage),
        }
    }

    fn check_kept(&self, lineage: Lineage) -> Result<(), Refused> {
        match self.entry(lineage) {
            None => Err(Refused::Unknown(lineage)),
            Some(entry) if entry.is_retired => Err(Refused::Retired(lineage)),
            Some(_) => Ok(()),
        }
    }

    /// Folds the next record in, whose bytes have this digest; why it does not follow, else.
    pub(super) fn step(&mut self, record: Record, digest: Digest) -> Result<(), String> {
        if record.number != self.number + 1 || record.previous != self.digest {
            let number = record.number;
            return Err(format!("record {number} does not follow record {}", self.number));
        }
        self.check(&record.action).map_err(|refused| refused.to_string())?;
        match record.action {
            Action::Registered(registered) => {
                let entry = Entry { registered, at: record.at, is_retired: false };
                let lineage = entry.registered.lineage;
                match self.entries.iter_mut().find(|one| one.registered.lineage == lineage) {
                    Some(known) => *known = entry,
                    None => self.entries.push(entry),
                }
            }
            Action::Activated(lineage) => self.activations.push(lineage),
            Action::Retired(lineage) => {
                let known = self.entries.iter_mut().find(|one| one.registered.lineage == lineage);
                known.expect("it was checked").is_retired = true;
            }
        }
        (self.number, self.digest) = (record.number, digest);
        Ok(())
    }

    /// Keys of `[core]`, with dots, that differ, and both values; `null` where there is none.
    #[must_use]
    pub fn core_differs(a: &Registered, b: &Registered) -> Vec<(String, Value, Value)> {
        let (a, b) = (flat(&a.core), flat(&b.core));
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        let value =
            |of: &BTreeMap<String, Value>, key: &String| of.get(key).cloned().unwrap_or_default();
        let both = keys.into_iter().map(|key| (key.clone(), value(&a, key), value(&b, key)));
        both.filter(|(_, a, b)| a != b).collect()
    }
}

/// A table by dotted keys. A list is one value.
fn flat(table: &Value) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    let mut open = vec![(String::new(), table)];
    while let Some((prefix, value)) = open.pop() {
        match value {
            Value::Object(members) => {
                let dot = if prefix.is_empty() { "" } else { "." };
                let inner =
                    members.iter().map(|(key, value)| (format!("{prefix}{dot}{key}"), value));
                open.extend(inner);
            }
            leaf => {
                flat.insert(prefix, leaf.clone());
            }
        }
    }
    flat
}
