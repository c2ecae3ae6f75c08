//! What a file says of itself in its footer: key-value pairs that must agree with the manifest's
//! entry, so that a file that lost its manifest can still be placed.

use parquet::file::metadata::KeyValue;

use super::VERSION;
use super::entry::FileEntry;

const VERSION_KEY: &str = "eddyline.version";

/// The pairs of a file, in the order in which they are written.
pub(super) fn pairs(entry: &FileEntry) -> Vec<KeyValue> {
    let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let mut pairs = vec![
        pair(VERSION_KEY, VERSION.to_string()),
        pair("eddyline.partition", entry.partition.to_string()),
        pair("eddyline.first_offset", entry.first.to_string()),
        pair("eddyline.last_offset", entry.last.to_string()),
        pair("eddyline.first_epoch", entry.first_epoch.0.to_string()),
        pair("eddyline.last_epoch", entry.last_epoch.0.to_string()),
        pair("eddyline.rows", entry.rows.to_string()),
        pair("eddyline.row_digest_before", entry.chain_before.to_string()),
        pair("eddyline.row_digest_after", entry.chain_after.to_string()),
    ];
    if let Some(erased) = entry.erased {
        pairs.push(pair("eddyline.erased_rows", erased.rows.to_string()));
        pairs.push(pair("eddyline.first_erased_epoch", erased.first_epoch.0.to_string()));
    }
    pairs
}

/// The version that a footer names.
pub(super) fn version(found: &[KeyValue]) -> Option<u64> {
    let pair = found.iter().find(|pair| pair.key == VERSION_KEY)?;
    pair.value.as_deref()?.parse().ok()
}

/// The first pair in which a footer differs from its entry.
pub(super) fn difference(entry: &FileEntry, found: &[KeyValue]) -> Option<String> {
    let wanted = pairs(entry);
    let differs = |want: &&KeyValue| !found.contains(want);
    let want = wanted.iter().find(differs)?;
    let have = found.iter().find(|pair| pair.key == want.key).and_then(|pair| pair.value.clone());
    let (have, want_value) = (have.unwrap_or_default(), want.value.clone().unwrap_or_default());
    Some(format!("its footer says {} {have:?}, the manifest {want_value:?}", want.key))
}
