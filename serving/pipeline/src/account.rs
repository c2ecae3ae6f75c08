//! What a run did: counts that add up, and times.
//!
//! Law: Σ proposed = merged + Σ dropped + scored.

/// A count under a stage's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageCount {
    /// The stage.
    pub stage: &'static str,
    /// How many candidates it concerns.
    pub count: usize,
}

/// The time a stage took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTime {
    /// The stage.
    pub stage: &'static str,
    /// Its time.
    pub time: std::time::Duration,
}

/// Counts and times of one run, in the order of the stages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Candidates proposed by each source that ran.
    pub proposed: Vec<StageCount>,
    /// Sources that did not run because the deadline had passed.
    pub skipped: Vec<&'static str>,
    /// Proposals that joined another of equal key.
    pub merged: usize,
    /// Candidates dropped by each filter: by the first that does not keep it.
    pub dropped: Vec<StageCount>,
    /// Candidates that were scored.
    pub scored: usize,
    /// Candidates chosen.
    pub selected: usize,
    /// Time of each stage that ran.
    pub times: Vec<StageTime>,
}

impl Account {
    /// Whether the counts add up as the module doc says.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let sum = |counts: &[StageCount]| counts.iter().map(|stage| stage.count).sum::<usize>();
        sum(&self.proposed) == self.merged + sum(&self.dropped) + self.scored
    }
}
