//! Names of objects: the same on every store, and safe as paths.

use std::fmt;

use super::ObjectError;

/// One or more segments between slashes. A segment is ASCII letters, digits, `.`, `_`, `=` and `-`
/// and does not begin with a dot, so that no name leaves its folder or hides in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

/// Longest name in bytes; S3 allows 1,024 with the prefix of the store.
const MAX_BYTES: usize = 512;

impl ObjectName {
    /// Checks and wraps `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, ObjectError> {
        let text = text.into();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '=' | '-');
        let is_segment = |segment: &str| {
            !segment.is_empty() && !segment.starts_with('.') && segment.chars().all(is_plain)
        };
        if text.len() <= MAX_BYTES && text.split('/').all(is_segment) {
            return Ok(Self(text));
        }
        Err(ObjectError::Name(text))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name `rest` below this one.
    pub fn join(&self, rest: &str) -> Result<Self, ObjectError> {
        Self::new(format!("{}/{rest}", self.0))
    }

    /// What follows the last slash.
    #[must_use]
    pub fn last_segment(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Whether the name lies below `folder`.
    #[must_use]
    pub fn is_below(&self, folder: &Self) -> bool {
        self.0.strip_prefix(&folder.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::ObjectName;

    #[test]
    fn names_are_plain_paths() {
        for good in ["a", "a/b.c", "date=2026-01-01/0_1.parquet"] {
            assert_eq!(ObjectName::new(good).expect(good).as_str(), good);
        }
        let long = "x".repeat(513);
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", ".tmp/a", "a b", "ä", "a\\b", &long] {
            assert!(ObjectName::new(bad).is_err(), "{bad}");
        }
        let (folder, other) = (ObjectName::new("ab"), ObjectName::new("abc/d"));
        let (folder, other) = (folder.expect("a name"), other.expect("a name"));
        assert!(!other.is_below(&folder) && !folder.is_below(&folder));
        assert!(folder.join("c").expect("a name").is_below(&folder));
        assert_eq!(other.last_segment(), "d");
    }
}
