//! The lineage of a history from which something was erased: a child of the one it was.
//!
//! Each erasure leaves the lineage before it at the first epoch that it changed; so two archives
//! that were erased from differently have other lineages, and so has one archive before and after.
//! What ends before the first erased row is history as it was.

use eddyline_model::config::{CoreConfig, Descent};
use eddyline_schemas::lineage::Epoch;

/// The configuration under which a history is folded up to `until` of which these epochs were the
/// first that each erasure changed: see [`crate::archive::Catalogue::erasures`].
#[must_use]
pub fn descended(core: &CoreConfig, erasures: &[Epoch], until: Option<Epoch>) -> CoreConfig {
    let mut core = core.clone();
    let is_in = |first: &&Epoch| **first > Epoch(0) && until.is_none_or(|until| **first <= until);
    for &first_epoch in erasures.iter().filter(is_in) {
        core.descent = Some(Descent { parent: core.lineage(), first_epoch });
    }
    core
}

/// The first epoch that is no longer what it was.
#[must_use]
pub fn erased_from(erasures: &[Epoch]) -> Option<Epoch> {
    erasures.iter().copied().filter(|first| *first > Epoch(0)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_erasure_makes_another_lineage_and_one_that_found_nothing_makes_none() {
        let core = CoreConfig::default();
        let lineage = |erasures: &[u64], until: Option<u64>| {
            let erasures: Vec<Epoch> = erasures.iter().copied().map(Epoch).collect();
            descended(&core, &erasures, until.map(Epoch)).lineage()
        };
        assert_eq!(lineage(&[], None), core.lineage());
        assert_eq!(lineage(&[0], None), core.lineage());
        assert_eq!(lineage(&[5, 7], Some(4)), core.lineage());
        assert_eq!(lineage(&[5, 7], Some(6)), lineage(&[5], None));
        let all = [lineage(&[5], None), lineage(&[5, 5], None), lineage(&[5, 7], None)];
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != core.lineage());
        assert_eq!(erased_from(&[Epoch(0), Epoch(7), Epoch(5)]), Some(Epoch(5)));
        assert_eq!(erased_from(&[Epoch(0)]), None);
    }
}
