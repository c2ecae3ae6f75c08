//! Labels of items: categories, brands and tags, each with the items that carry it.
//!
//! A label's text becomes a dense number once, when a catalogue row is prepared; scoring compares
//! numbers. An item in `A > B` also carries the category `A`. Posting lists are compressed
//! bitmaps of slots, newest item last, tombstones left out.

use std::collections::HashMap;

use eddyline_index::store::Slot;
use eddyline_schemas::item::ItemDocument;
use roaring::RoaringBitmap;

use crate::state::standing::{Standing, StandingKeys};

/// What a label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelKind {
    /// A category, or one that contains it.
    Category,
    /// A maker.
    Brand,
    /// A free label.
    Tag,
}

/// Dense number of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelId(u32);

/// One label.
#[derive(Debug)]
pub struct Label {
    /// What it says.
    pub kind: LabelKind,
    /// Its text.
    pub text: Box<str>,
    /// Live items that carry it.
    pub slots: RoaringBitmap,
    /// Of a category: its most popular items.
    pub standing: Standing,
}

/// All labels.
#[derive(Debug, Default)]
pub struct Labels {
    by_text: [HashMap<Box<str>, LabelId>; 3],
    labels: Vec<Label>,
}

/// The labels that a catalogue row carries, each once, the main category first if there is one.
#[must_use]
pub fn labels_of(document: &ItemDocument) -> Vec<(LabelKind, String)> {
    let mut labels: Vec<(LabelKind, String)> = Vec::new();
    for category in &document.categories {
        labels.extend(with_ancestors(category).map(|text| (LabelKind::Category, text)));
    }
    labels.extend(document.brand.iter().map(|text| (LabelKind::Brand, text.clone())));
    labels.extend(document.tags.iter().map(|text| (LabelKind::Tag, text.clone())));
    let mut seen = std::collections::HashSet::new();
    labels.retain(|label| seen.insert(label.clone()));
    labels
}

/// The category itself, then what contains it, from near to far.
pub fn with_ancestors(category: &str) -> impl Iterator<Item = String> + '_ {
    let ends = category.match_indices('>').map(|(at, _)| at);
    let mut ends: Vec<usize> = ends.chain([category.len()]).collect();
    ends.reverse();
    ends.into_iter().map(|end| category[..end].trim().to_owned()).filter(|text| !text.is_empty())
}

impl Labels {
    /// The number of a label; `None` when no item ever carried it.
    #[must_use]
    pub fn find(&self, kind: LabelKind, text: &str) -> Option<LabelId> {
        self.by_text[kind as usize].get(text).copied()
    }

    /// The label of a number.
    #[must_use]
    pub fn get(&self, id: LabelId) -> &Label {
        &self.labels[id.0 as usize]
    }

    /// The number of a label, a new one if need be.
    pub fn intern(&mut self, kind: LabelKind, text: &str) -> LabelId {
        if let Some(id) = self.find(kind, text) {
            return id;
        }
        let id = LabelId(u32::try_from(self.labels.len()).expect("labels are fewer than items"));
        self.by_text[kind as usize].insert(text.into(), id);
        let (slots, standing) = (RoaringBitmap::new(), Standing::default());
        self.labels.push(Label { kind, text: text.into(), slots, standing });
        id
    }

    /// Puts an item on its lists.
    pub fn attach(&mut self, ids: &[LabelId], slot: Slot, keys: StandingKeys) {
        for id in ids {
            self.labels[id.0 as usize].slots.insert(slot.0);
        }
        self.update_standing(ids, slot, (StandingKeys::NONE, keys));
    }

    /// Takes an item off its lists. Names the categories that want a refill.
    pub fn detach(&mut self, ids: &[LabelId], slot: Slot, keys: StandingKeys) -> Vec<LabelId> {
        for id in ids {
            self.labels[id.0 as usize].slots.remove(slot.0);
        }
        self.update_standing(ids, slot, (keys, StandingKeys::NONE));
        ids.iter().copied().filter(|id| self.needs_refill(*id)).collect()
    }

    fn needs_refill(&self, id: LabelId) -> bool {
        let standing = &self.get(id).standing;
        standing.short.needs_refill() || standing.long.needs_refill()
    }

    /// Moves an item within the lists of its categories, from the old keys to the new ones.
    pub fn update_standing(
        &mut self,
        ids: &[LabelId],
        slot: Slot,
        (old, new): (StandingKeys, StandingKeys),
    ) {
        for id in ids {
            let label = &mut self.labels[id.0 as usize];
            if label.kind == LabelKind::Category {
                label.standing.update(slot, old, new);
            }
        }
    }

    /// Makes a category's lists anew; `keys` knows every slot's keys.
    pub fn refill(&mut self, id: LabelId, keys: impl Fn(Slot) -> StandingKeys) {
        let Label { slots, standing, .. } = &mut self.labels[id.0 as usize];
        standing.short.refill(slots.iter().map(|slot| (Slot(slot), keys(Slot(slot)).short)));
        standing.long.refill(slots.iter().map(|slot| (Slot(slot), keys(Slot(slot)).long)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_carries_what_contains_its_category() {
        let document = ItemDocument {
            categories: vec!["Electronics > Gaming > Mice".into(), "Electronics".into()],
            brand: Some("Acme".into()),
            tags: vec!["rgb".into(), "rgb".into()],
            ..ItemDocument::default()
        };
        let texts: Vec<String> = labels_of(&document).into_iter().map(|(_, text)| text).collect();
        let want =
            ["Electronics > Gaming > Mice", "Electronics > Gaming", "Electronics", "Acme", "rgb"];
        assert_eq!(texts, want);
    }

    #[test]
    fn a_brand_and_a_tag_of_one_text_are_two_labels() {
        let mut labels = Labels::default();
        let brand = labels.intern(LabelKind::Brand, "apple");
        let tag = labels.intern(LabelKind::Tag, "apple");
        assert_ne!(brand, tag);
        assert_eq!(labels.intern(LabelKind::Brand, "apple"), brand);
        labels.attach(&[brand], Slot(3), StandingKeys::NONE);
        assert!(labels.get(brand).slots.contains(3) && !labels.get(tag).slots.contains(3));
        assert!(labels.detach(&[brand], Slot(3), StandingKeys::NONE).is_empty());
        assert!(labels.get(brand).slots.is_empty());
    }
}
