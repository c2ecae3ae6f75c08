//! The rights of each stage, as traits. `Q` is the query, `C` a candidate.

/// Something that several sources may propose and that is then one candidate.
pub trait Candidate {
    /// What makes two proposals the same candidate.
    type Key: Ord;

    /// The key.
    fn key(&self) -> Self::Key;

    /// Takes over what a proposal of equal key says.
    fn absorb(&mut self, other: Self);
}

/// Collects what one source proposes: a source sees nothing else of the pool.
#[derive(Debug)]
pub struct Additions<'a, C> {
    pool: &'a mut Vec<C>,
}

impl<'a, C> Additions<'a, C> {
    /// Collects at the end of `pool`.
    pub(crate) fn new(pool: &'a mut Vec<C>) -> Self {
        Self { pool }
    }

    /// Proposes a candidate.
    pub fn add(&mut self, candidate: C) {
        self.pool.push(candidate);
    }
}

/// Proposes candidates.
pub trait Source<Q, C> {
    /// For accounts and traces.
    fn name(&self) -> &'static str;

    /// Whether it runs even when the deadline has passed: true of a source so cheap that an answer
    /// should never be without it.
    fn is_essential(&self) -> bool {
        false
    }

    /// Adds what it proposes.
    fn propose(&self, query: &Q, additions: &mut Additions<'_, C>);
}

/// Completes candidates; it can neither drop nor add.
pub trait Hydrator<Q, C> {
    /// For accounts and traces.
    fn name(&self) -> &'static str;

    /// Edits each candidate in place.
    fn hydrate(&self, query: &Q, pool: &mut [C]);
}

/// Drops candidates; it cannot edit.
pub trait Filter<Q, C> {
    /// For accounts and traces.
    fn name(&self) -> &'static str;

    /// Whether the candidate stays.
    fn keep(&self, query: &Q, candidate: &C) -> bool;
}

/// Scores candidates; it can neither drop nor reorder. Scorers run in order, each sees and may
/// change the scores so far, which begin at 0.
pub trait Scorer<Q, C> {
    /// For accounts and traces.
    fn name(&self) -> &'static str;

    /// `scores[k]` belongs to `pool[k]`.
    fn score(&self, query: &Q, pool: &[C], scores: &mut [f32]);
}

/// A chosen candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pick {
    /// Its place in the pool.
    pub at: usize,
    /// Probability that the policy chose it for this place.
    pub propensity: f32,
}

/// Chooses and orders: the only stage that does.
pub trait Selector<Q, C> {
    /// For accounts and traces.
    fn name(&self) -> &'static str;

    /// Best first, each place of the pool at most once.
    fn select(&self, query: &Q, pool: &[C], scores: &[f32]) -> Vec<Pick>;
}
