//! Content: how well an item's labels fit what the user turned to lately.
//!
//! A profile gives labels a strength in 0..=1 per kind: the greatest category, brand or tag has 1.
//! The affinity of an item is ln(1 + Σ weight(kind) · strongest label of the kind + session), so
//! it is 0 for an item that shares nothing, and on the experts' logarithmic scale.
//! Pure: the same for every state with the same labels.

use std::collections::BTreeMap;

use eddyline_model::math::ln_f32;

use crate::state::items::ItemRow;
use crate::state::labels::{LabelId, LabelKind, Labels};

/// What the strongest shared category is worth.
const CATEGORY: f32 = 2.0;
/// What the strongest shared brand is worth.
const BRAND: f32 = 1.0;
/// What the strongest shared tag is worth.
const TAG: f32 = 1.0;
/// What being of the category that the visit is about is worth.
const SESSION: f32 = 1.5;

/// Strengths of labels, and the category of the current visit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Ascending by label.
    strengths: Vec<(LabelId, LabelKind, f32)>,
    /// From strong to weak, ties by kind and text: numbers depend on which item came first.
    ranked: Vec<LabelId>,
    session: Option<LabelId>,
}

/// Collects what a profile is made of.
#[derive(Clone, Debug, Default)]
pub struct ProfileBuilder {
    counts: BTreeMap<LabelId, f32>,
    session: Option<LabelId>,
}

impl ProfileBuilder {
    /// Counts a label.
    pub fn add(&mut self, label: LabelId, count: f32) {
        *self.counts.entry(label).or_default() += count;
    }

    /// Names the category of the visit.
    pub fn set_session(&mut self, category: Option<LabelId>) {
        self.session = category;
    }

    /// Scales each kind to a greatest strength of 1.
    #[must_use]
    pub fn build(self, labels: &Labels) -> Profile {
        let mut greatest = [0.0f32; 3];
        for (label, count) in &self.counts {
            let kind = labels.get(*label).kind as usize;
            greatest[kind] = greatest[kind].max(*count);
        }
        let scaled = self.counts.iter().filter(|(_, count)| **count > 0.0).map(|(label, count)| {
            let kind = labels.get(*label).kind;
            (*label, kind, count / greatest[kind as usize])
        });
        let strengths: Vec<(LabelId, LabelKind, f32)> = scaled.collect();
        let mut ranked = strengths.clone();
        let name = |label: LabelId| (labels.get(label).kind, &*labels.get(label).text);
        ranked.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| name(a.0).cmp(&name(b.0))));
        let ranked = ranked.into_iter().map(|(label, _, _)| label).collect();
        Profile { strengths, ranked, session: self.session }
    }
}

impl Profile {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.strengths.is_empty() && self.session.is_none()
    }

    /// Strength of a label, 0 if it has none.
    #[must_use]
    pub fn strength(&self, label: LabelId) -> f32 {
        let at = self.strengths.binary_search_by_key(&label, |(label, _, _)| *label);
        at.map_or(0.0, |at| self.strengths[at].2)
    }

    /// Labels from strong to weak, the visit's category first.
    #[must_use]
    pub fn strongest(&self) -> Vec<LabelId> {
        let others = self.ranked.iter().copied().filter(|id| Some(*id) != self.session);
        self.session.into_iter().chain(others).collect()
    }

    /// The affinity of an item with these labels.
    #[must_use]
    pub fn affinity(&self, labels: &[LabelId]) -> f32 {
        let mut strongest = [0.0f32; 3];
        let mut session = 0.0;
        for label in labels {
            if Some(*label) == self.session {
                session = SESSION;
            }
            let at = self.strengths.binary_search_by_key(label, |(label, _, _)| *label);
            if let Ok(at) = at {
                let (_, kind, strength) = self.strengths[at];
                let kind = kind as usize;
                strongest[kind] = strongest[kind].max(strength);
            }
        }
        let sum = CATEGORY * strongest[LabelKind::Category as usize]
            + BRAND * strongest[LabelKind::Brand as usize]
            + TAG * strongest[LabelKind::Tag as usize];
        ln_f32(1.0 + (sum + session))
    }
}

/// How alike two items are by their labels, 0 to 1: shared ones over all.
#[must_use]
pub fn overlap(a: &ItemRow, b: &ItemRow) -> f32 {
    let shared = a.labels.iter().filter(|label| b.labels.contains(label)).count();
    let all = a.labels.len() + b.labels.len() - shared;
    if all == 0 { 0.0 } else { shared as f32 / all as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinity_grows_with_what_is_shared() {
        let mut labels = Labels::default();
        let games = labels.intern(LabelKind::Category, "Games");
        let books = labels.intern(LabelKind::Category, "Books");
        let acme = labels.intern(LabelKind::Brand, "Acme");
        let mut builder = ProfileBuilder::default();
        builder.add(games, 6.0);
        builder.add(books, 3.0);
        builder.add(acme, 1.0);
        builder.set_session(Some(books));
        let profile = builder.build(&labels);
        assert_eq!(profile.affinity(&[]), 0.0);
        assert!(profile.affinity(&[games]) > profile.affinity(&[acme]));
        assert!(profile.affinity(&[games, acme]) > profile.affinity(&[games]));
        assert!(profile.affinity(&[books]) > profile.affinity(&[games]), "the visit counts most");
        assert_eq!(profile.strongest(), [books, games, acme]);
        assert_eq!(profile.strength(books), 0.5);
        assert_eq!(Profile::default().affinity(&[games]), 0.0);
    }
}
