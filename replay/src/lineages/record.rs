//! The bytes of a record.
//!
//! `{"lineages":<body>,"blake3":"<BLAKE3 of the body's bytes>"}` and a line feed, no other byte, so
//! that any change to it shows. The body is JSON: version, number, BLAKE3 of the whole previous
//! record (zeros before the first), the writer's nonce, when it was written in milliseconds (for
//! people: nothing depends on it), and one action.

use eddyline_connect::objects::ObjectName;
use eddyline_model::config::CoreConfig;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::VERSION;
use super::error::LineagesError;
use crate::archive::{Nonce, hex, sixteen};

/// A record, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// From 1.
    pub number: u64,
    /// Of the whole record before.
    pub previous: Digest,
    /// By which its writer knows it.
    pub nonce: Nonce,
    /// When it was written.
    pub at: TimestampMs,
    /// What it says.
    pub action: Action,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// There is a lineage, to be kept at the head of the log.
    Registered(Registered),
    /// It answers from now on.
    Activated(Lineage),
    /// It need not be kept any more.
    Retired(Lineage),
}

/// A lineage, with all that it takes to fold it.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    /// Which.
    pub lineage: Lineage,
    /// Its `[core]` table.
    pub core: Value,
    /// What it leaves, unless it begins with the log.
    pub parent: Option<Lineage>,
    /// The first epoch that is not the parent's; 0 of one that begins with the log.
    pub first_epoch: Epoch,
}

impl Registered {
    /// The lineage of a configuration.
    #[must_use]
    pub fn of(core: &CoreConfig) -> Self {
        // Through text, in which a number is as it was written and not as its nearest double.
        let text = serde_json::to_string(core).expect("a table of numbers and text is JSON");
        Self {
            lineage: core.lineage(),
            core: serde_json::from_str(&text).expect("it was JSON a moment ago"),
            parent: core.descent.map(|descent| descent.parent),
            first_epoch: core.descent.map_or(Epoch(0), |descent| descent.first_epoch),
        }
    }
}

/// Where the records are.
pub(super) fn folder() -> ObjectName {
    ObjectName::new("lineages").expect("a plain name")
}

/// The name of a record.
pub(super) fn name(number: u64) -> ObjectName {
    folder().join(&format!("{number:020}.json")).expect("a number is plain")
}

/// The number of a record's name.
pub(super) fn number(name: &ObjectName) -> Option<u64> {
    let digits = name.last_segment().strip_suffix(".json")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

impl Record {
    /// The bytes of the module doc.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_string(&Body::from(self)).expect("texts and numbers are JSON");
        wrapped(&body).into_bytes()
    }

    /// Reads what [`Self::encode`] wrote, under this name.
    pub fn decode(name: &ObjectName, bytes: &[u8]) -> Result<Self, LineagesError> {
        let damaged = |reason: &dyn ToString| LineagesError::damaged(name, reason.to_string());
        let wrapper: Wrapper<'_> =
            serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        let text = wrapper.lineages.get();
        if wrapped(text).as_bytes() != bytes {
            return Err(damaged(&"its bytes are not those of its BLAKE3"));
        }
        let Versioned { version } = serde_json::from_str(text).map_err(|error| damaged(&error))?;
        if version != VERSION {
            return Err(LineagesError::Version { name: name.clone(), found: version });
        }
        let body: Body = serde_json::from_str(text).map_err(|error| damaged(&error))?;
        let record = Self::try_from(body).map_err(|reason| damaged(&reason))?;
        if number(name) != Some(record.number) {
            return Err(damaged(&format!("it says that it is number {}", record.number)));
        }
        Ok(record)
    }
}

fn wrapped(body: &str) -> String {
    format!("{{\"lineages\":{body},\"blake3\":\"{}\"}}\n", Digest::of(body.as_bytes()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapper<'b> {
    #[serde(borrow)]
    lineages: &'b RawValue,
    #[serde(rename = "blake3")]
    _blake3: &'b str,
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    version: u64,
    number: u64,
    previous: String,
    nonce: String,
    at: i64,
    action: ActionJson,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum ActionJson {
    Registered(RegisteredJson),
    Activated(OneJson),
    Retired(OneJson),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisteredJson {
    lineage: String,
    core: Value,
    parent: Option<String>,
    first_epoch: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneJson {
    lineage: String,
}

impl From<&Record> for Body {
    fn from(of: &Record) -> Self {
        let one = |lineage: &Lineage| OneJson { lineage: lineage.to_string() };
        let action = match &of.action {
            Action::Registered(registered) => ActionJson::Registered(RegisteredJson {
                lineage: registered.lineage.to_string(),
                core: registered.core.clone(),
                parent: registered.parent.map(|parent| parent.to_string()),
                first_epoch: registered.first_epoch.0,
            }),
            Action::Activated(lineage) => ActionJson::Activated(one(lineage)),
            Action::Retired(lineage) => ActionJson::Retired(one(lineage)),
        };
        Self {
            version: VERSION,
            number: of.number,
            previous: of.previous.to_string(),
            nonce: hex(of.nonce.0),
            at: of.at.0,
            action,
        }
    }
}

impl TryFrom<Body> for Record {
    type Error = String;

    fn try_from(of: Body) -> Result<Self, String> {
        let action = match of.action {
            ActionJson::Registered(registered) => Action::Registered(Registered {
                lineage: lineage(&registered.lineage)?,
                core: registered.core,
                parent: registered.parent.as_deref().map(lineage).transpose()?,
                first_epoch: Epoch(registered.first_epoch),
            }),
            ActionJson::Activated(one) => Action::Activated(lineage(&one.lineage)?),
            ActionJson::Retired(one) => Action::Retired(lineage(&one.lineage)?),
        };
        Ok(Self {
            number: of.number,
            previous: digest(&of.previous)?,
            nonce: Nonce(sixteen(&of.nonce)?),
            at: TimestampMs(of.at),
            action,
        })
    }
}

fn lineage(text: &str) -> Result<Lineage, String> {
    digest(text).map(Lineage)
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text).ok_or_else(|| format!("{text:?} is no BLAKE3"))
}
