//! What the folds keep of the items of one logical shard: rows by rank, numbers flat.

mod document;

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_model::covisit::{CovisitList, Entry};
use eddyline_model::popularity::{Decayed, Popularity};
use eddyline_schemas::id::{ItemId, ItemRef};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::lineage::Epoch;

use super::canonical;
use super::registry::Registry;
use super::section::{self, InvalidSection, Reader};

/// Members of a category that a shard offers for the centroid of a new item.
const CENTROID_MEMBERS: usize = 16;

/// One item, its numbers apart.
#[derive(Debug)]
pub struct ItemRow {
    /// The producer's id.
    pub id: ItemId,
    /// Items are old in this order.
    pub first_seen: (Epoch, u32),
    /// Catalogue row.
    pub document: Option<Arc<ItemDocument>>,
    /// Main category, shared by all who name it.
    pub category: Option<Arc<str>>,
    /// Taken out of the catalogue.
    pub deleted: bool,
    /// Decayed sums.
    pub popularity: Popularity,
    /// Positive events.
    pub events: u64,
    /// What follows it.
    pub covisitation: CovisitList,
}

impl ItemRow {
    fn export(&self, out: &mut Vec<u8>) {
        section::text(out, self.id.as_str());
        out.extend_from_slice(&self.first_seen.0.0.to_le_bytes());
        out.extend_from_slice(&self.first_seen.1.to_le_bytes());
        out.push(u8::from(self.deleted));
        section::maybe(out, self.document.as_deref(), document::export);
        self.popularity.write_canonical(out);
        out.extend_from_slice(&self.events.to_le_bytes());
        let neighbours = self.covisitation.entries();
        section::count(out, neighbours.len());
        for entry in neighbours {
            out.extend_from_slice(&entry.target.0.to_le_bytes());
            out.extend_from_slice(&entry.weight.to_bits().to_le_bytes());
        }
        let (total, exponent) = self.covisitation.parts();
        out.extend_from_slice(&total.to_bits().to_le_bytes());
        out.extend_from_slice(&exponent.to_le_bytes());
    }

    fn import(from: &mut Reader<'_, '_>) -> Result<Self, InvalidSection> {
        let id = ItemId::new(from.text()?).map_err(|_| InvalidSection("the id of an item"))?;
        let first_seen = (Epoch(from.u64()?), from.u32()?);
        let deleted = from.flag()?;
        let document = from.maybe(document::import)?.map(Arc::new);
        let main = document.as_ref().and_then(|document| document.categories.first());
        let category = main.map(|name| from.shared(name));
        let short = Decayed::from_parts(from.f64()?, from.i64()?);
        let long = Decayed::from_parts(from.f64()?, from.i64()?);
        let events = from.u64()?;
        let entry =
            |from: &mut Reader<'_, '_>| Ok(Entry { target: from.item()?, weight: from.f32()? });
        let entries = from.list(8, entry)?;
        let covisitation = CovisitList::from_parts(entries, from.f32()?, from.i64()?);
        let popularity = Popularity { short, long };
        Ok(Self { id, first_seen, document, category, deleted, popularity, events, covisitation })
    }
}

/// The items of one logical shard. Index = rank.
#[derive(Debug, Default)]
pub struct ItemShard {
    /// Rows.
    pub rows: Vec<ItemRow>,
    /// Whether a row may be recommended: not taken out of the catalogue.
    pub live: Vec<bool>,
    /// v, `dim` numbers a row.
    pub vectors: Vec<f32>,
    /// c, `dim` numbers a row.
    pub contexts: Vec<f32>,
    /// Optimiser state of v.
    pub vector_accumulators: Vec<f32>,
    /// Optimiser state of c.
    pub context_accumulators: Vec<f32>,
    /// Contributions that each context row took in this epoch, and which rows took any.
    contributions: Vec<u8>,
    contributed: Vec<u32>,
    /// Ranks by main category, ascending.
    members: BTreeMap<Arc<str>, Vec<u32>>,
}

impl ItemShard {
    /// Appends a row; `vector` is its first v.
    pub fn push(&mut self, row: ItemRow, vector: &[f32]) {
        self.vectors.extend_from_slice(vector);
        self.contexts.resize(self.contexts.len() + vector.len(), 0.0);
        self.vector_accumulators.push(0.0);
        self.context_accumulators.push(0.0);
        self.contributions.push(0);
        self.live.push(!row.deleted);
        self.rows.push(row);
    }

    /// Whether a context row may take one more contribution in this epoch.
    pub fn admit_context(&mut self, rank: u32, limit: u8) -> bool {
        let Some(taken) = self.contributions.get_mut(rank as usize) else { return false };
        if *taken == 0 {
            self.contributed.push(rank);
        }
        let admitted = *taken < limit;
        *taken += u8::from(admitted);
        admitted
    }

    /// Forgets the contributions of the epoch.
    pub fn end_epoch(&mut self) {
        for rank in self.contributed.drain(..) {
            self.contributions[rank as usize] = 0;
        }
    }

    /// Sets the catalogue row of an item, or takes the item out of the catalogue.
    pub fn set_document(&mut self, rank: u32, document: Option<Arc<ItemDocument>>) {
        let row = &mut self.rows[rank as usize];
        if let Some(members) = row.category.take().and_then(|name| self.members.get_mut(&name)) {
            members.retain(|&member| member != rank);
        }
        row.deleted = document.is_none();
        self.live[rank as usize] = document.is_some();
        row.category =
            document.as_ref().and_then(|d| d.categories.first()).map(|c| c.as_str().into());
        row.document = document;
        if let Some(category) = &row.category {
            let members = self.members.entry(Arc::clone(category)).or_default();
            let at = members.partition_point(|&member| member < rank);
            members.insert(at, rank);
        }
    }

    /// Adds up to a few vectors of a category's newest members to `sum`; how many.
    pub fn add_members(&self, category: &str, dim: usize, sum: &mut [f32]) -> usize {
        let members = self.members.get(category).map_or(&[][..], Vec::as_slice);
        let newest = members.iter().rev().take(CENTROID_MEMBERS);
        newest.map(|&rank| self.vector(rank, dim)).fold(0, |count, vector| {
            eddyline_model::kernel::add_scaled(sum, 1.0, vector);
            count + 1
        })
    }

    /// v of a row.
    #[must_use]
    pub fn vector(&self, rank: u32, dim: usize) -> &[f32] {
        &self.vectors[rank as usize * dim..(rank as usize + 1) * dim]
    }

    /// c of a row.
    #[must_use]
    pub fn context(&self, rank: u32, dim: usize) -> &[f32] {
        &self.contexts[rank as usize * dim..(rank as usize + 1) * dim]
    }

    /// Writes the shard's part of a section.
    pub(crate) fn export(&self, out: &mut Vec<u8>) {
        section::count(out, self.rows.len());
        self.rows.iter().for_each(|row| row.export(out));
        for numbers in
            [&self.vectors, &self.contexts, &self.vector_accumulators, &self.context_accumulators]
        {
            section::floats(out, numbers);
        }
    }

    /// Reads what [`Self::export`] wrote: the rows, and their numbers by id.
    pub(crate) fn import(
        from: &mut Reader<'_, '_>,
        dim: usize,
    ) -> Result<(Self, Registry), InvalidSection> {
        from.part = "items";
        let rows: Vec<ItemRow> = from.list(60, ItemRow::import)?;
        let count = rows.len();
        let numbers = count.checked_mul(dim).ok_or(InvalidSection("items"))?;
        let vectors = from.floats(numbers)?;
        let contexts = from.floats(numbers)?;
        let vector_accumulators = from.floats(count)?;
        let context_accumulators = from.floats(count)?;
        let mut members: BTreeMap<Arc<str>, Vec<u32>> = BTreeMap::new();
        for (rank, row) in (0..).zip(&rows) {
            if let Some(category) = &row.category {
                members.entry(Arc::clone(category)).or_default().push(rank);
            }
        }
        let registry = Registry::of(rows.iter().map(|row| row.id.hash()));
        let shard = Self {
            live: rows.iter().map(|row| !row.deleted).collect(),
            contributions: vec![0; count],
            contributed: Vec::new(),
            rows,
            vectors,
            contexts,
            vector_accumulators,
            context_accumulators,
            members,
        };
        Ok((shard, registry.ok_or(InvalidSection("an item that comes twice"))?))
    }

    /// Rows in order of rank: a rank is part of state.
    pub fn write_canonical(&self, dim: usize, out: &mut Vec<u8>) {
        for (at, row) in self.rows.iter().enumerate() {
            canonical::texts(out, [row.id.as_str()]);
            out.extend_from_slice(&row.first_seen.0.0.to_le_bytes());
            out.extend_from_slice(&row.first_seen.1.to_le_bytes());
            out.push(u8::from(row.deleted));
            if let Some(document) = &row.document {
                write_document(document, out);
            }
            row.popularity.write_canonical(out);
            out.extend_from_slice(&row.events.to_le_bytes());
            row.covisitation.write_canonical(out);
            canonical::floats(out, self.vector(at as u32, dim));
            canonical::floats(out, self.context(at as u32, dim));
            canonical::floats(out, &self.vector_accumulators[at..=at]);
            canonical::floats(out, &self.context_accumulators[at..=at]);
        }
    }
}

fn write_document(document: &ItemDocument, out: &mut Vec<u8>) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let plain = [text(&document.title), text(&document.brand), text(&document.currency)];
    canonical::texts(out, plain.iter().map(String::as_str));
    canonical::texts(out, document.categories.iter().map(String::as_str));
    canonical::texts(out, document.tags.iter().map(String::as_str));
    let attributes = document.attributes.iter().flat_map(|(key, value)| [key.as_str(), value]);
    canonical::texts(out, attributes);
    out.extend_from_slice(&document.price.unwrap_or(f64::INFINITY).to_bits().to_le_bytes());
    out.push(document.in_stock.map_or(2, u8::from));
}

/// An item's number from its shard and rank.
#[must_use]
pub fn item_ref(shard: usize, rank: usize) -> ItemRef {
    ItemRef::new(shard as u8, rank as u32)
}
