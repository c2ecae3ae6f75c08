//! Receipts of erasures: `erasures/<20 digits>.json`, numbered as the archive numbers erasures,
//! created if absent, `{"receipt":<body>,"blake3":"<BLAKE3 of the body's bytes>"}` and a line feed.
//!
//! A receipt is written once all that it tells of is done, so an erasure without one is not over.
//! It never holds the user's id, only its hash, and says plainly what still has to do with the user.

use std::collections::BTreeSet;

use bytes::Bytes;
use eddyline_connect::objects::{ObjectError, ObjectName, ObjectStore};
use eddyline_schemas::lineage::Epoch;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::VERSION;
use super::catalogue::{Catalogue, read_manifest};
use super::erase::{Erasure, Request};
use super::error::ArchiveError;
use super::manifest::{hex, wrapped};

/// What no erasure takes back.
const REMAINS: [&str; 4] = [
    "item vectors, co-visits, popularity and the weights of the blend were learned from many users' \
     events; what these events added to the sums is not taken out again",
    "live state and its newer snapshots keep the bare id as the mark of a user who was erased",
    "snapshots that are kept elsewhere than in snapshots.url are not looked at",
    "of each erased row the archive keeps place, times and the hash of the whole record",
];

/// What the archive itself cannot know, for a receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// How many objects of older snapshots were deleted, and before which epoch; `None` where this
    /// process finds no snapshots.
    pub snapshots: Option<(usize, Epoch)>,
    /// What of the log still holds the user, and until when.
    pub log: String,
    /// What of the deltas.
    pub deltas: String,
    /// What of the feature store; `None` where there is none.
    pub feature_store: Option<String>,
}

/// An erasure without a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstanding {
    /// What was done to the archive.
    pub erasure: Erasure,
    /// The manifest that did it.
    pub manifest: u64,
}

fn folder() -> ObjectName {
    ObjectName::new("erasures").expect("a plain name")
}

fn name(number: u64) -> ObjectName {
    folder().join(&format!("{number:020}.json")).expect("a number is plain")
}

/// The erasures of which there is no receipt, in their order. What is only in manifests that were
/// pruned is not found.
pub fn outstanding(
    store: &dyn ObjectStore,
    catalogue: &Catalogue,
) -> Result<Vec<Outstanding>, ArchiveError> {
    let there: BTreeSet<ObjectName> =
        store.list(&folder())?.into_iter().map(|object| object.name).collect();
    let has = |number: u64| there.contains(&name(number));
    let all = catalogue.erasures().len() as u64;
    let mut missing = (1..=all).filter(|number| !has(*number)).count();
    let (mut found, mut at) = (Vec::new(), catalogue.number());
    while missing > 0 && at > 0 {
        let (manifest, _) = match read_manifest(store, at) {
            Ok(read) => read,
            Err(ArchiveError::Missing { .. }) => break,
            Err(error) => return Err(error),
        };
        for erasure in manifest.erased.into_iter().filter(|erasure| !has(erasure.number)) {
            missing -= 1;
            found.push(Outstanding { erasure, manifest: at });
        }
        at -= 1;
    }
    found.sort_by_key(|one| one.erasure.number);
    Ok(found)
}

/// Writes the receipt of an erasure, unless there is one; the body of the one that is there.
pub fn write_receipt(
    store: &dyn ObjectStore,
    of: &Outstanding,
    around: &Surroundings,
) -> Result<Value, ArchiveError> {
    let (name, body) = (name(of.erasure.number), body(of, around));
    match store.put_if_absent(&name, Bytes::from(wrapped("receipt", &body.to_string()))) {
        Ok(()) => Ok(body),
        Err(ObjectError::Conflict { .. }) => read(store, &name),
        Err(error) => Err(error.into()),
    }
}

fn body(Outstanding { erasure, manifest }: &Outstanding, around: &Surroundings) -> Value {
    let request = |Request { place, append_time }: &Request| {
        json!({
            "topic": place.partition.topic.name(),
            "partition": place.partition.partition,
            "offset": place.offset,
            "epoch": place.epoch,
            "asked": append_time.to_string(),
        })
    };
    let first_epoch = Some(erasure.first_epoch).filter(|first| *first > Epoch(0));
    json!({
        "version": VERSION,
        "number": erasure.number,
        "user_blake3_128": hex(erasure.user.0),
        "request": erasure.request.as_ref().map(request),
        "archive": {
            "manifest": manifest,
            "until_epoch": erasure.until,
            "files_rewritten": erasure.files,
            "rows_erased": erasure.rows,
            "requests_erased": erasure.requests,
            "first_epoch": first_epoch,
        },
        "snapshots": around.snapshots.map(|(objects, before)| json!({
            "objects_deleted": objects, "before_epoch": before,
        })),
        "log": around.log,
        "deltas": around.deltas,
        "feature_store": around.feature_store,
        "remains": REMAINS,
    })
}

/// The bodies of all receipts, in their order.
pub fn receipts(store: &dyn ObjectStore) -> Result<Vec<Value>, ArchiveError> {
    store.list(&folder())?.iter().map(|object| read(store, &object.name)).collect()
}

fn read(store: &dyn ObjectStore, name: &ObjectName) -> Result<Value, ArchiveError> {
    let bytes = store.get(name)?.ok_or_else(|| ArchiveError::Missing { name: name.clone() })?;
    decode(name, &bytes)
}

fn decode(name: &ObjectName, bytes: &[u8]) -> Result<Value, ArchiveError> {
    let damaged = |reason: &dyn ToString| ArchiveError::damaged(name, reason.to_string());
    let wrapper: Wrapper<'_> = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
    let text = wrapper.receipt.get();
    if wrapped("receipt", text).as_bytes() != bytes {
        return Err(damaged(&"its bytes are not those of its BLAKE3"));
    }
    serde_json::from_str(text).map_err(|error| damaged(&error))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapper<'b> {
    #[serde(borrow)]
    receipt: &'b RawValue,
    #[serde(rename = "blake3")]
    _blake3: &'b str,
}
