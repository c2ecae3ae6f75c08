//! A log whose offsets have holes: what is bound is read again as it was bound, by every reader.

mod support {
    pub(crate) mod holey_log;
    pub(crate) mod pinned_log;
    pub(crate) mod running;
    pub(crate) mod shop;
}

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_model::config::CoreConfig;

use support::holey_log::HoleyLog;
use support::pinned_log::PinnedLog;
use support::running::{bind_all, refolded};
use support::shop::Shop;

#[test]
fn a_range_ends_where_it_was_bound_and_not_so_many_records_later() {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    let mut shop = Shop::new(61);
    let pinned = PinnedLog::holding(&shop.records(400));
    let log: Arc<dyn EventLog> = Arc::new(HoleyLog(Arc::<PinnedLog>::clone(&pinned) as _));
    for _ in 0..2 {
        let live = bind_all(&core, &log, 50);
        assert_eq!(refolded(&core, &log, 2, None).expect("as it was bound").0, live);
        shop.records(200).iter().for_each(|stored| pinned.store(stored));
    }
}
