//! The house rules of the workspace. `cargo test` runs them over the real tree (`tests/`); each
//! rule is a pure function from files to violations, so that its own tests can plant one.
//!
//! Thresholds, edges and homes stand in [`rules`] alone. The crate must never depend on a crate of
//! the workspace: it has to compile when they do not.

pub mod rules;

pub mod edges;
pub mod homes;
pub mod manifest;
pub mod paths;
pub mod purity;
pub mod sizes;
pub mod top_level;
pub mod workspace;

/// A place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Relative to the root of the workspace, with `/`.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

impl Violation {
    /// A violation in one line of a file.
    #[must_use]
    pub fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}
