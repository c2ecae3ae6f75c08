//! Chooses the places of an answer: by score, varied by category, with some exploration.
//!
//! Places are filled from the first on. A candidate is *eligible* while its main category has
//! fewer than `max_per_category` places; when nobody is eligible all who remain are, so a cap never
//! shortens an answer. Each place but the first explores with probability ε: it then takes one of
//! the *explorable* (the best [`EXPLORED`] eligible candidates, and the fresh ones) with equal
//! chance, else the best eligible one. The propensity of what is shown is exact, given the places
//! before: ε / |explorable| if explorable, and 1 − ε more if it is the best.
//!
//! For a user of few events the scores say little yet, and popular items win nearly every place. So
//! that one event shows at once, a policy may ask that of every n places one is *related* to what
//! the user did: when that is owed, the best related eligible candidate has the place for certain
//! (propensity 1).
//!
//! Draws are Philox blocks keyed by (seed, user, epoch, place): the same question at the same
//! epoch has the same answer on every replica. Pure.

use eddyline_model::philox::{philox4x32, topic_hash};
use eddyline_pipeline::stage::Pick;

use crate::state::labels::LabelId;

/// How many of the best eligible candidates may be explored.
pub const EXPLORED: usize = 100;

/// A scored candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Its place in the pool.
    pub at: usize,
    /// Its score.
    pub score: f32,
    /// Its main category.
    pub category: Option<LabelId>,
    /// Whether it is new, and so worth showing to learn about it.
    pub fresh: bool,
    /// Whether it has to do with what the user did.
    pub related: bool,
}

/// How places are filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Places.
    pub places: usize,
    /// See the module doc.
    pub max_per_category: usize,
    /// ε.
    pub exploration: f32,
    /// Of so many places one is related; `None` leaves it to the scores.
    pub related_every: Option<usize>,
    /// Key of the draws.
    pub key: DrawKey,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawKey {
    key: [u32; 2],
    epoch: u64,
}

impl DrawKey {
    /// Of (seed, user, epoch); an unnamed user is the empty text.
    #[must_use]
    pub fn new(seed: u64, user: &str, epoch: u64) -> Self {
        let user = topic_hash(user);
        let halves = [user as u32, (user >> 32) as u32, 0, 0];
        let block = philox4x32(halves, [seed as u32, (seed >> 32) as u32]);
        Self { key: [block[0], block[1]], epoch }
    }

    /// A number in [0, 1) and one in 0..n, for a place.
    fn draw(&self, place: usize, n: usize) -> (f32, usize) {
        let counter = [place as u32, self.epoch as u32, (self.epoch >> 32) as u32, 0];
        let block = philox4x32(counter, self.key);
        let unit = (block[0] >> 8) as f32 / 16_777_216.0;
        let wide = u64::from(block[1]) << 32 | u64::from(block[2]);
        // Multiply-shift: the bias of n / 2⁶⁴ is beneath notice.
        (unit, ((u128::from(wide) * n as u128) >> 64) as usize)
    }
}

/// Fills the places. Candidates with a score that is not a number come last.
#[must_use]
pub fn slate(mut candidates: Vec<Scored>, policy: &Policy) -> Vec<Pick> {
    let rank =
        |scored: &Scored| if scored.score.is_nan() { f32::NEG_INFINITY } else { scored.score };
    candidates.sort_by(|a, b| rank(b).total_cmp(&rank(a)).then(a.at.cmp(&b.at)));
    let mut room = Room::new(&candidates, policy.max_per_category);
    let mut picks = Vec::with_capacity(policy.places.min(candidates.len()));
    let mut related = 0;
    while picks.len() < policy.places && !candidates.is_empty() {
        let is_owed = policy.related_every.is_some_and(|every| related < (picks.len() + 1) / every);
        let owed = best_related(&candidates, &room).filter(|_| is_owed);
        let (chosen, propensity) = match owed {
            Some(at) => (at, 1.0),
            None => choose(&explorable(&candidates, &room), picks.len(), policy),
        };
        // `remove` keeps the order; pools are small.
        let scored = candidates.remove(chosen);
        room.take(scored.category);
        related += usize::from(scored.related);
        picks.push(Pick { at: scored.at, propensity });
    }
    picks
}

fn best_related(candidates: &[Scored], room: &Room) -> Option<usize> {
    candidates.iter().position(|scored| scored.related && room.fits(scored.category))
}

/// Places that each category may still have.
struct Room {
    /// By category, ascending.
    left: Vec<(LabelId, usize)>,
}

impl Room {
    fn new(candidates: &[Scored], max_per_category: usize) -> Self {
        let mut categories: Vec<LabelId> = candidates.iter().filter_map(|c| c.category).collect();
        categories.sort_unstable();
        categories.dedup();
        Self { left: categories.into_iter().map(|id| (id, max_per_category)).collect() }
    }

    fn place(&self, category: Option<LabelId>) -> Option<usize> {
        self.left.binary_search_by_key(&category?, |(id, _)| *id).ok()
    }

    fn fits(&self, category: Option<LabelId>) -> bool {
        self.place(category).is_none_or(|at| self.left[at].1 > 0)
    }

    fn take(&mut self, category: Option<LabelId>) {
        if let Some(at) = self.place(category) {
            self.left[at].1 = self.left[at].1.saturating_sub(1);
        }
    }
}

/// Places in `candidates`, which is not empty, of the best eligible ones and the fresh eligible
/// ones, in order.
fn explorable(candidates: &[Scored], room: &Room) -> Vec<usize> {
    let among = |eligible: &dyn Fn(&Scored) -> bool| {
        let mut found = Vec::with_capacity(EXPLORED);
        for (at, scored) in candidates.iter().enumerate() {
            if (found.len() < EXPLORED || scored.fresh) && eligible(scored) {
                found.push(at);
            }
        }
        found
    };
    let found = among(&|scored| room.fits(scored.category));
    if found.is_empty() { among(&|_| true) } else { found }
}

/// The chosen candidate of a place and its propensity; `explorable` is never empty.
fn choose(explorable: &[usize], place: usize, policy: &Policy) -> (usize, f32) {
    if place == 0 || policy.exploration <= 0.0 {
        return (explorable[0], 1.0);
    }
    let explored = policy.exploration / explorable.len() as f32;
    let (unit, at) = policy.key.draw(place, explorable.len());
    let at = if unit < policy.exploration { at } else { 0 };
    let exploited = if at == 0 { 1.0 - policy.exploration } else { 0.0 };
    (explorable[at], exploited + explored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::labels::{LabelKind, Labels};
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
    use std::collections::HashMap;

    fn categories() -> Vec<LabelId> {
        let mut labels = Labels::default();
        ["a", "b", "c"].map(|text| labels.intern(LabelKind::Category, text)).into()
    }

    fn candidates() -> impl Strategy<Value = Vec<Scored>> {
        let one = (-10i32..10, 0usize..4, any::<bool>());
        proptest::collection::vec(one, 0..60).prop_map(|all| {
            let categories = categories();
            let scored = |(at, (score, category, fresh)): (usize, (i32, usize, bool))| Scored {
                at,
                score: score as f32,
                category: categories.get(category).copied(),
                fresh,
                related: false,
            };
            all.into_iter().enumerate().map(scored).collect()
        })
    }

    fn policy(places: usize, max_per_category: usize, exploration: f32) -> Policy {
        Policy {
            places,
            max_per_category,
            exploration,
            related_every: None,
            key: DrawKey::new(7, "u1", 3),
        }
    }

    proptest! {
        #[test]
        fn an_answer_is_full_distinct_and_capped(
            pool in candidates(), places in 1usize..30, cap in 1usize..4, exploration in 0.0f32..1.0,
        ) {
            let picks = slate(pool.clone(), &policy(places, cap, exploration));
            prop_assert_eq!(picks.len(), places.min(pool.len()), "a cap never shortens an answer");
            let mut seen = std::collections::BTreeSet::new();
            let mut counts: HashMap<LabelId, usize> = HashMap::new();
            for pick in &picks {
                prop_assert!(seen.insert(pick.at));
                prop_assert!(pick.propensity > 0.0 && pick.propensity <= 1.0);
                if let Some(category) = pool[pick.at].category {
                    let count = counts.entry(category).or_default();
                    let others_left = pool.iter().any(|scored| {
                        !seen.contains(&scored.at) && scored.category.is_none()
                    });
                    prop_assert!(*count < cap || !others_left, "over the cap with others left");
                    *count += 1;
                }
            }
        }

        #[test]
        fn without_exploration_and_caps_it_is_a_sort(pool in candidates()) {
            let picks = slate(pool.clone(), &policy(60, 60, 0.0));
            let mut want = pool.clone();
            want.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.at.cmp(&b.at)));
            let want: Vec<Pick> = want.iter().map(|s| Pick { at: s.at, propensity: 1.0 }).collect();
            prop_assert_eq!(picks, want);
        }
    }

    #[test]
    fn propensities_are_the_frequencies() {
        let pool: Vec<Scored> = (0..10)
            .map(|at| Scored {
                at,
                score: -(at as f32),
                category: None,
                fresh: false,
                related: false,
            })
            .collect();
        let mut shown = [0u32; 10];
        let mut propensity = [0.0f32; 10];
        for epoch in 0..20_000 {
            let key = DrawKey::new(1, "u1", epoch);
            let policy = Policy { exploration: 0.2, key, ..policy(2, 5, 0.0) };
            let second = slate(pool.clone(), &policy)[1];
            shown[second.at] += 1;
            propensity[second.at] = second.propensity;
        }
        for at in 1..10 {
            let frequency = shown[at] as f32 / 20_000.0;
            assert!((frequency - propensity[at]).abs() < 0.01, "{at}: {frequency} {propensity:?}");
        }
    }

    #[test]
    fn of_every_three_places_one_is_related() {
        let one =
            |at| Scored { at, score: -(at as f32), category: None, fresh: false, related: at >= 7 };
        let shown = |related_every| {
            let policy = Policy { related_every, ..policy(7, 5, 0.0) };
            let picks = slate((0..10).map(one).collect(), &policy);
            picks.iter().map(|pick| pick.at).collect::<Vec<_>>()
        };
        assert_eq!(shown(Some(3)), [0, 1, 7, 2, 3, 8, 4]);
        assert_eq!(shown(None), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_is_not_a_number_comes_last() {
        let one = |at, score| Scored { at, score, category: None, fresh: false, related: false };
        let picks = slate(vec![one(0, f32::NAN), one(1, -5.0)], &policy(2, 5, 0.0));
        assert_eq!(picks.iter().map(|pick| pick.at).collect::<Vec<_>>(), [1, 0]);
    }
}
