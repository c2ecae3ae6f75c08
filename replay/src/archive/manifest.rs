//! The bytes of a manifest.
//!
//! `{"manifest":<body>,"blake3":"<BLAKE3 of the body's bytes>"}` and a line feed, no other byte, so
//! that any change to it shows. The body is JSON: version, number, BLAKE3 of the whole previous
//! manifest (zeros before the first), the writer's nonce, the last archived epoch, the position of
//! every topic, files added and removed; and, in a *full* one, `files`, all that are live after it,
//! so that readers begin there. Where something was erased, `erasures` has the first epoch that each
//! erasure so far has changed, in their order (0: none), and `erased` those that this manifest
//! carries out.

mod erasures;

use eddyline_connect::objects::ObjectName;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::topic::{Topic, TopicPartition};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::VERSION;
use super::entry::{ErasedRows, FileEntry};
use super::erase::Erasure;
use super::error::ArchiveError;
use erasures::{ErasedJson, ErasureJson};

/// Random bytes by which a writer knows its own manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

/// How far a topic is archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Which.
    pub topic: Topic,
    /// Its identity.
    pub id: [u8; 16],
    /// By number.
    pub partitions: Vec<PartitionState>,
}

/// How far a partition is archived. It is archived from offset 0 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionState {
    /// The first offset that is not.
    pub next: Offset,
    /// The row digest after the last row.
    pub chain: Digest,
}

/// A manifest, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) number: u64,
    pub(super) previous: Digest,
    pub(super) nonce: Nonce,
    pub(super) epoch: Epoch,
    pub(super) topics: Vec<TopicState>,
    pub(super) added: Vec<FileEntry>,
    pub(super) removed: Vec<ObjectName>,
    /// All live files, of a full one.
    pub(super) files: Option<Vec<FileEntry>>,
    /// The first epoch that each erasure so far has changed.
    pub(super) erasures: Vec<Epoch>,
    /// Those that it carries out.
    pub(super) erased: Vec<Erasure>,
}

/// Where the manifests are.
pub(super) fn folder() -> ObjectName {
    ObjectName::new("_manifest").expect("a plain name")
}

/// The name of a manifest.
pub(super) fn name(number: u64) -> ObjectName {
    folder().join(&format!("{number:020}.json")).expect("a number is plain")
}

/// The number of a manifest's name.
pub(super) fn number(name: &ObjectName) -> Option<u64> {
    let digits = name.last_segment().strip_suffix(".json")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

impl Manifest {
    /// The bytes of the module doc.
    pub(super) fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_string(&Body::from(self)).expect("texts and numbers are JSON");
        wrapped("manifest", &body).into_bytes()
    }

    /// Reads what [`Self::encode`] wrote, under this name.
    pub(super) fn decode(name: &ObjectName, bytes: &[u8]) -> Result<Self, ArchiveError> {
        let damaged = |reason: &dyn ToString| ArchiveError::damaged(name, reason.to_string());
        let wrapper: Wrapper<'_> =
            serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        let text = wrapper.manifest.get();
        if wrapped("manifest", text).as_bytes() != bytes {
            return Err(damaged(&"its bytes are not those of its BLAKE3"));
        }
        let Versioned { version } = serde_json::from_str(text).map_err(|error| damaged(&error))?;
        if version != VERSION {
            return Err(ArchiveError::Version { name: name.clone(), found: version });
        }
        let body: Body = serde_json::from_str(text).map_err(|error| damaged(&error))?;
        let manifest = Self::try_from(body).map_err(|reason| damaged(&reason))?;
        if number(name) != Some(manifest.number) {
            return Err(damaged(&format!("it says that it is number {}", manifest.number)));
        }
        Ok(manifest)
    }
}

/// A body under its name, with its BLAKE3.
pub(super) fn wrapped(name: &str, body: &str) -> String {
    format!("{{\"{name}\":{body},\"blake3\":\"{}\"}}\n", Digest::of(body.as_bytes()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapper<'b> {
    #[serde(borrow)]
    manifest: &'b RawValue,
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
    epoch: u64,
    full: bool,
    topics: Vec<TopicJson>,
    added: Vec<FileJson>,
    removed: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<Vec<FileJson>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    erasures: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    erased: Vec<ErasureJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicJson {
    name: String,
    id: String,
    partitions: Vec<PartitionJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionJson {
    next: u64,
    chain: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileJson {
    name: String,
    topic: String,
    partition: u32,
    first: u64,
    last: u64,
    first_epoch: u64,
    last_epoch: u64,
    rows: u64,
    bytes: u64,
    blake3: String,
    chain_before: String,
    chain_after: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    erased: Option<ErasedJson>,
    #[serde(default, skip_serializing_if = "is_zero")]
    requests: u64,
}

impl From<&Manifest> for Body {
    fn from(of: &Manifest) -> Self {
        Self {
            version: VERSION,
            number: of.number,
            previous: of.previous.to_string(),
            nonce: hex(of.nonce.0),
            epoch: of.epoch.0,
            full: of.files.is_some(),
            topics: of.topics.iter().map(TopicJson::from).collect(),
            added: of.added.iter().map(FileJson::from).collect(),
            removed: of.removed.iter().map(ToString::to_string).collect(),
            files: of.files.as_ref().map(|files| files.iter().map(FileJson::from).collect()),
            erasures: of.erasures.iter().map(|epoch| epoch.0).collect(),
            erased: of.erased.iter().map(ErasureJson::from).collect(),
        }
    }
}

impl From<&TopicState> for TopicJson {
    fn from(of: &TopicState) -> Self {
        let partition = |state: &PartitionState| PartitionJson {
            next: state.next,
            chain: state.chain.to_string(),
        };
        Self {
            name: of.topic.name().to_owned(),
            id: hex(of.id),
            partitions: of.partitions.iter().map(partition).collect(),
        }
    }
}

impl From<&FileEntry> for FileJson {
    fn from(of: &FileEntry) -> Self {
        Self {
            name: of.name.to_string(),
            topic: of.partition.topic.name().to_owned(),
            partition: of.partition.partition,
            first: of.first,
            last: of.last,
            first_epoch: of.first_epoch.0,
            last_epoch: of.last_epoch.0,
            rows: of.rows,
            bytes: of.bytes,
            blake3: of.blake3.to_string(),
            chain_before: of.chain_before.to_string(),
            chain_after: of.chain_after.to_string(),
            generation: u64::from(of.generation),
            erased: of.erased.map(ErasedJson::from),
            requests: of.requests,
        }
    }
}

impl TryFrom<Body> for Manifest {
    type Error = String;

    fn try_from(of: Body) -> Result<Self, String> {
        if of.full != of.files.is_some() {
            return Err("it is full without files, or the other way round".to_owned());
        }
        let files = |files: Vec<FileJson>| files.into_iter().map(FileEntry::try_from).collect();
        let name = |name| ObjectName::new(name).map_err(|error| error.to_string());
        Ok(Self {
            number: of.number,
            previous: digest(&of.previous)?,
            nonce: Nonce(sixteen(&of.nonce)?),
            epoch: Epoch(of.epoch),
            topics: of.topics.into_iter().map(TopicState::try_from).collect::<Result<_, _>>()?,
            added: of.added.into_iter().map(FileEntry::try_from).collect::<Result<_, _>>()?,
            removed: of.removed.into_iter().map(name).collect::<Result<_, _>>()?,
            files: of.files.map(files).transpose()?,
            erasures: of.erasures.into_iter().map(Epoch).collect(),
            erased: of.erased.into_iter().map(Erasure::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<TopicJson> for TopicState {
    type Error = String;

    fn try_from(of: TopicJson) -> Result<Self, String> {
        let partition = |state: PartitionJson| {
            Ok::<_, String>(PartitionState { next: state.next, chain: digest(&state.chain)? })
        };
        Ok(Self {
            topic: topic(&of.name)?,
            id: sixteen(&of.id)?,
            partitions: of.partitions.into_iter().map(partition).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<FileJson> for FileEntry {
    type Error = String;

    fn try_from(of: FileJson) -> Result<Self, String> {
        let partition = TopicPartition { topic: topic(&of.topic)?, partition: of.partition };
        Ok(Self {
            name: ObjectName::new(of.name).map_err(|error| error.to_string())?,
            partition,
            first: of.first,
            last: of.last,
            first_epoch: Epoch(of.first_epoch),
            last_epoch: Epoch(of.last_epoch),
            rows: of.rows,
            bytes: of.bytes,
            blake3: digest(&of.blake3)?,
            chain_before: digest(&of.chain_before)?,
            chain_after: digest(&of.chain_after)?,
            generation: u32::try_from(of.generation).map_err(|error| error.to_string())?,
            erased: of.erased.map(ErasedRows::try_from).transpose()?,
            requests: of.requests,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it skips so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn topic(name: &str) -> Result<Topic, String> {
    Topic::from_name(name).ok_or_else(|| format!("{name:?} is no topic of ours"))
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text).ok_or_else(|| format!("{text:?} is no BLAKE3"))
}

pub(crate) fn hex(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sixteen(text: &str) -> Result<[u8; 16], String> {
    let wrong = || format!("{text:?} is not 32 hexadecimal digits");
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    value.map(u128::to_be_bytes).ok_or_else(wrong)
}
