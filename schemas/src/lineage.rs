//! A lineage: one history of derived state.
//!
//! lineage = BLAKE3(algorithm version, hash of the `[core]` table, parent lineage, first epoch).
//! `[core]` holds every key that changes state and no other, so a changed port is not a new
//! lineage, and a changed learning rate is.

use crate::record::Digest;

/// Raised whenever the same bound input would give other state. A binary continues a lineage of
/// its own version only.
pub const ALGORITHM_VERSION: u32 = 1;

/// Our logical time: the n-th group of bound records. 0 is the empty state before any binding.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of one history of derived state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Lineage(pub Digest);

impl Lineage {
    /// The lineage that starts from nothing.
    #[must_use]
    pub fn root(core_config: Digest) -> Self {
        Self::child(core_config, None, Epoch(0))
    }

    /// The lineage that leaves `parent` after `first_epoch`.
    #[must_use]
    pub fn child(core_config: Digest, parent: Option<Self>, first_epoch: Epoch) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&ALGORITHM_VERSION.to_le_bytes());
        hasher.update(&core_config.0);
        hasher.update(&parent.map_or([0; 32], |parent| parent.0.0));
        hasher.update(&first_epoch.0.to_le_bytes());
        Self(Digest(*hasher.finalize().as_bytes()))
    }
}

impl std::fmt::Display for Lineage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for Lineage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Fewest hexadecimal digits that name a lineage.
pub const LEAST_DIGITS: usize = 8;

/// Why a text names no lineage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchLineage {
    /// Too short, or no digits.
    #[error("{0:?} is no lineage: write its hexadecimal digits, the first {LEAST_DIGITS} at least")]
    NotDigits(String),
    /// None begins so.
    #[error("there is no lineage {0}")]
    Unknown(String),
    /// More digits are needed.
    #[error("several lineages begin with {0}: write more digits")]
    Ambiguous(String),
}

/// The one of `known` whose digits begin with `text`.
pub fn find_lineage(
    text: &str,
    known: impl IntoIterator<Item = Lineage>,
) -> Result<Lineage, NoSuchLineage> {
    let is_plain = text.len() >= LEAST_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_plain {
        return Err(NoSuchLineage::NotDigits(text.chars().take(80).collect()));
    }
    let text = text.to_ascii_lowercase();
    let mut found = None;
    for lineage in known {
        if !lineage.to_string().starts_with(&text) || found == Some(lineage) {
            continue;
        }
        if found.replace(lineage).is_some() {
            return Err(NoSuchLineage::Ambiguous(text));
        }
    }
    found.ok_or(NoSuchLineage::Unknown(text))
}

/// Hash of a configuration table: BLAKE3 over its `key = value` lines sorted by key, each
/// length-prefixed, so that neither order nor layout of the file matters.
#[must_use]
pub fn config_hash<'a>(entries: impl IntoIterator<Item = (&'a str, String)>) -> Digest {
    let mut lines: Vec<(&str, String)> = entries.into_iter().collect();
    lines.sort();
    let mut hasher = blake3::Hasher::new();
    for (key, value) in lines {
        for part in [key, value.as_str()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    Digest(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_keys_does_not_matter_and_values_do() {
        let a = config_hash([("x", "1".to_owned()), ("y", "2".to_owned())]);
        let b = config_hash([("y", "2".to_owned()), ("x", "1".to_owned())]);
        let c = config_hash([("x", "2".to_owned()), ("y", "1".to_owned())]);
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_ne!(Lineage::root(a), Lineage::root(c));
        assert_ne!(Lineage::root(a), Lineage::child(a, Some(Lineage::root(a)), Epoch(9)));
    }
    #[test]
    fn a_lineage_is_named_by_its_first_digits() {
        let lineage = |first: u8, last: u8| {
            let mut bytes = [first; 32];
            bytes[31] = last;
            Lineage(Digest(bytes))
        };
        let known = [lineage(0xab, 1), lineage(0xcd, 1), lineage(0xcd, 2), lineage(0xab, 1)];
        let find = |text: &str| find_lineage(text, known);
        assert_eq!(find("abababab"), Ok(lineage(0xab, 1)));
        assert_eq!(find("ABABABABAB"), Ok(lineage(0xab, 1)));
        assert_eq!(find(&lineage(0xcd, 2).to_string()), Ok(lineage(0xcd, 2)));
        assert_eq!(find("cdcdcdcd"), Err(NoSuchLineage::Ambiguous("cdcdcdcd".into())));
        assert_eq!(find("abababaa"), Err(NoSuchLineage::Unknown("abababaa".into())));
        for text in ["", "ababab", "abababag", "ababab/.."] {
            assert_eq!(find(text), Err(NoSuchLineage::NotDigits(text.into())));
        }
    }
}
