//! The live vector store: one f32 row per slot, overwritten in place, with tombstones.
//!
//! Slots are dense and given out in order; none is ever used again. Rows lie flat in blocks of
//! [`BLOCK_ROWS`], so that growing never copies what is there. Every value is finite: a row that
//! is not is refused, so no structure ever meets a NaN.

use eddyline_model::kernel::LANES;

/// Rows of one block.
pub const BLOCK_ROWS: usize = 1_024;

/// Dense number of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// As a place in a table by slot.
    #[must_use]
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

/// Why a row was refused; the store is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRow {
    /// Not of the store's dimension.
    #[error("a row of {got} numbers does not fit a store of dimension {dim}")]
    Dimension {
        /// The store's.
        dim: usize,
        /// The row's.
        got: usize,
    },
    /// NaN or infinite.
    #[error("a row holds a number that is not finite")]
    NotFinite,
}

/// See the module doc.
#[derive(Clone, Debug)]
pub struct VectorStore {
    dim: usize,
    blocks: Vec<Box<[f32]>>,
    dead: Vec<bool>,
    live: usize,
}

impl VectorStore {
    /// An empty store for rows of `dim` numbers, a positive multiple of 16.
    ///
    /// # Panics
    /// If `dim` is anything else: configuration is checked before it comes here.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        assert!(dim > 0 && dim.is_multiple_of(LANES), "a dimension is a positive multiple of 16");
        Self { dim, blocks: Vec::new(), dead: Vec::new(), live: 0 }
    }

    /// Length of a row.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many slots are given out, tombstones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dead.len()
    }

    /// Whether no slot is given out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dead.is_empty()
    }

    /// How many slots are not tombstones.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// Whether `row` may be written.
    pub fn check(&self, row: &[f32]) -> Result<(), InvalidRow> {
        if row.len() != self.dim {
            return Err(InvalidRow::Dimension { dim: self.dim, got: row.len() });
        }
        if !row.iter().all(|value| value.is_finite()) {
            return Err(InvalidRow::NotFinite);
        }
        Ok(())
    }

    /// Appends a row of zeros: an item that is known and not learned yet.
    pub fn push_zero(&mut self) -> Slot {
        let slot = Slot(u32::try_from(self.len()).expect("an item number has 32 bits"));
        if self.len().is_multiple_of(BLOCK_ROWS) {
            self.blocks.push(vec![0.0; BLOCK_ROWS * self.dim].into_boxed_slice());
        }
        self.dead.push(false);
        self.live += 1;
        slot
    }

    /// Appends a row.
    pub fn push(&mut self, row: &[f32]) -> Result<Slot, InvalidRow> {
        self.check(row)?;
        let slot = self.push_zero();
        self.row_mut(slot).copy_from_slice(row);
        Ok(slot)
    }

    /// Replaces a row; the slot must be given out.
    pub fn overwrite(&mut self, slot: Slot, row: &[f32]) -> Result<(), InvalidRow> {
        self.check(row)?;
        self.row_mut(slot).copy_from_slice(row);
        Ok(())
    }

    /// Sets or lifts the tombstone of a slot: searches pass over it, its row stays.
    pub fn set_live(&mut self, slot: Slot, live: bool) {
        let dead = &mut self.dead[slot.place()];
        match (*dead, live) {
            (true, true) => self.live += 1,
            (false, false) => self.live -= 1,
            (true, false) | (false, true) => {}
        }
        *dead = !live;
    }

    /// Whether the slot is given out and no tombstone.
    #[must_use]
    pub fn is_live(&self, slot: Slot) -> bool {
        self.dead.get(slot.place()).is_some_and(|dead| !dead)
    }

    /// The row of a slot that is given out.
    #[must_use]
    pub fn row(&self, slot: Slot) -> &[f32] {
        let (block, at) = self.place(slot);
        &self.blocks[block][at..at + self.dim]
    }

    /// Flat rows of the given-out slots from `first` to the end of its block, tombstones included;
    /// empty at the end.
    #[must_use]
    pub fn run_from(&self, first: usize) -> &[f32] {
        if first >= self.len() {
            return &[];
        }
        let (block, within) = (first / BLOCK_ROWS, first % BLOCK_ROWS);
        let rows = (self.len() - block * BLOCK_ROWS).min(BLOCK_ROWS);
        &self.blocks[block][within * self.dim..rows * self.dim]
    }

    fn row_mut(&mut self, slot: Slot) -> &mut [f32] {
        let (block, at) = self.place(slot);
        &mut self.blocks[block][at..at + self.dim]
    }

    fn place(&self, slot: Slot) -> (usize, usize) {
        debug_assert!(slot.place() < self.len(), "the slot is given out");
        (slot.place() / BLOCK_ROWS, slot.place() % BLOCK_ROWS * self.dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_place_across_blocks() {
        let mut store = VectorStore::new(16);
        for k in 0..BLOCK_ROWS * 2 + 3 {
            let slot = store.push(&[k as f32; 16]).expect("a finite row of the right length");
            assert_eq!(slot.place(), k);
        }
        store.overwrite(Slot(5), &[-1.0; 16]).expect("a finite row of the right length");
        assert_eq!(store.row(Slot(5)), [-1.0; 16]);
        assert_eq!(store.row(Slot(2_050)), [2_050.0; 16]);
        let runs: Vec<usize> =
            [0, 1_020, 2_048, 2_051, 9_999].map(|at| store.run_from(at).len() / 16).into();
        assert_eq!(runs, [1_024, 4, 3, 0, 0]);
    }

    #[test]
    fn tombstones_are_counted_once_and_can_be_lifted() {
        let mut store = VectorStore::new(16);
        let slot = store.push_zero();
        store.set_live(slot, false);
        store.set_live(slot, false);
        assert_eq!((store.live(), store.len(), store.is_live(slot)), (0, 1, false));
        store.set_live(slot, true);
        assert_eq!((store.live(), store.is_live(slot)), (1, true));
        assert!(!store.is_live(Slot(1)), "a slot that is not given out is not live");
    }

    #[test]
    fn rows_that_would_poison_a_structure_are_refused() {
        let mut store = VectorStore::new(16);
        let mut row = [0.0; 16];
        row[7] = f32::NAN;
        assert_eq!(store.push(&row), Err(InvalidRow::NotFinite));
        assert_eq!(store.push(&[0.0; 32]), Err(InvalidRow::Dimension { dim: 16, got: 32 }));
        assert!(store.is_empty());
    }
}
