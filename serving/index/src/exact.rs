//! The exact scan: the oracle, and the index of small catalogues.

use eddyline_model::kernel::dot_rows;

use crate::search::{Hit, ItemIndex, Query, TopK};
use crate::store::{BLOCK_ROWS, Slot, VectorStore};

/// Scores every live row.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExactScan;

impl ItemIndex for ExactScan {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn search(&self, store: &VectorStore, query: &Query<'_>) -> Vec<Hit> {
        let mut top = TopK::new(query.k);
        scan_from(store, query, 0, &mut top);
        top.finish()
    }
}

/// Enters the live, kept slots from `first` on.
pub(crate) fn scan_from(store: &VectorStore, query: &Query<'_>, first: usize, top: &mut TopK) {
    debug_assert!(query.vector.len() == store.dim(), "the query is of the store's dimension");
    let mut scores = [0.0; BLOCK_ROWS];
    let mut at = first;
    loop {
        let rows = store.run_from(at);
        let count = rows.len() / store.dim();
        if count == 0 {
            return;
        }
        dot_rows(rows, query.vector, &mut scores[..count]);
        for (score, number) in scores[..count].iter().zip(at..) {
            let hit = Hit { slot: Slot(number as u32), score: *score };
            if top.admits(&hit) && store.is_live(hit.slot) && (query.keep)(hit.slot) {
                top.enter(hit);
            }
        }
        at += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eddyline_model::kernel::dot;

    #[test]
    fn it_is_the_sorted_list_of_all_kept_products() {
        let mut store = VectorStore::new(16);
        for k in 0..2_500u32 {
            let row: Vec<f32> = (0..16).map(|d| ((k * 37 + d * 11) % 101) as f32 - 50.0).collect();
            store.push(&row).expect("a finite row");
        }
        (0..2_500).step_by(7).for_each(|k| store.set_live(Slot(k), false));
        let vector: Vec<f32> = (0..16).map(|d| d as f32 - 6.0).collect();
        let keep = |slot: Slot| !slot.0.is_multiple_of(3);
        let mut want: Vec<Hit> = (0..2_500u32)
            .filter(|k| k % 7 != 0 && k % 3 != 0)
            .map(|k| Hit { slot: Slot(k), score: dot(store.row(Slot(k)), &vector) })
            .collect();
        want.sort_by(Hit::order);
        want.truncate(50);
        let got = ExactScan.search(&store, &Query { vector: &vector, k: 50, keep: &keep });
        assert_eq!(got, want);
    }
}
