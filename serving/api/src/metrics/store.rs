//! What the feature store beside this process does: how far the mirror is behind, what it wrote,
//! whether reads are refused.

use std::sync::Arc;

use eddyline_connect::features::mirror::MirrorReport;
use eddyline_connect::features::redis::FEATURE_STORE_COUNTERS;

use super::{Description, Histogram, head, line, row};

const VISIBLE: Description = row(
    "eddyline_feature_store_visible_seconds",
    "histogram",
    "time from the commit of an epoch until the feature store shows it",
);
const BREAKER: Description =
    row("eddyline_feature_store_breaker_open", "gauge", "1 while reads of a server are refused");

/// Every metric here but those of the store itself ([`FEATURE_STORE_COUNTERS`]).
pub const STORE_TABLE: [Description; 8] = [
    VISIBLE,
    BREAKER,
    row("eddyline_feature_store_lag_epochs", "gauge", "committed epochs that it does not show yet"),
    row("eddyline_feature_store_whole", "gauge", "1 while it has all of it, as far as is known"),
    row("eddyline_feature_store_refills_total", "counter", "times that it was refilled"),
    row("eddyline_feature_store_refilled_rows_total", "counter", "users written anew by refills"),
    row("eddyline_feature_store_failures_total", "counter", "writes and refills that failed"),
    row(
        "eddyline_feature_store_merged_epochs_total",
        "counter",
        "epochs merged because it was slower than the dataflow",
    ),
];

/// The numbers of one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreReport {
    /// Of the mirror, in a process that writes.
    pub mirror: Option<MirrorReport>,
    /// Whether reads of some server are refused for now.
    pub breaker_is_open: bool,
    /// Values of [`FEATURE_STORE_COUNTERS`].
    pub counters: [u64; FEATURE_STORE_COUNTERS.len()],
}

/// Where the numbers come from.
pub struct StoreMetrics {
    visible: Arc<Histogram>,
    report: Box<dyn Fn() -> StoreReport + Send + Sync>,
}

impl StoreMetrics {
    /// `visible` is what the mirror observes.
    pub fn new(
        visible: Arc<Histogram>,
        report: impl Fn() -> StoreReport + Send + Sync + 'static,
    ) -> Self {
        Self { visible, report: Box::new(report) }
    }

    /// The exposition.
    #[must_use]
    pub fn render(&self) -> String {
        let StoreReport { mirror, breaker_is_open, counters } = (self.report)();
        let mut to = String::new();
        let mut add = |description: Description, value: u64| {
            head(&mut to, description);
            line(&mut to, description.name, "", "", &value);
        };
        add(BREAKER, u64::from(breaker_is_open));
        for ((name, help), value) in FEATURE_STORE_COUNTERS.into_iter().zip(counters) {
            add(row(name, "counter", help), value);
        }
        if let Some(mirror) = mirror {
            STORE_TABLE[2..].iter().zip(values(&mirror)).for_each(|(row, value)| add(*row, value));
            head(&mut to, VISIBLE);
            self.visible.render(&mut to, VISIBLE.name, "");
        }
        to
    }
}

/// In the order of the table.
fn values(mirror: &MirrorReport) -> [u64; STORE_TABLE.len() - 2] {
    [
        mirror.offered.0.saturating_sub(mirror.stored.0),
        u64::from(mirror.is_whole),
        mirror.refills,
        mirror.refilled_rows,
        mirror.failures,
        mirror.merged,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use eddyline_schemas::lineage::Epoch;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn names_keep_the_house_rules() {
        let of_store = FEATURE_STORE_COUNTERS.map(|(name, help)| row(name, "counter", help));
        let all = super::super::TABLE.into_iter().chain(STORE_TABLE).chain(of_store);
        let mut names = BTreeSet::new();
        for Description { name, kind, .. } in all {
            assert!(name.starts_with("eddyline_"), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert_eq!(kind == "histogram", name.ends_with("_seconds"), "{name}");
            assert!(names.insert(name), "{name} is there twice");
        }
    }

    #[test]
    fn a_process_that_writes_tells_how_far_the_store_is() {
        let visible = Arc::new(Histogram::default());
        visible.observe(Duration::from_millis(3));
        let mirror = MirrorReport { offered: Epoch(9), stored: Epoch(7), ..Default::default() };
        let report = StoreReport { mirror: Some(mirror), ..StoreReport::default() };
        let text = StoreMetrics::new(visible, move || report).render();
        assert!(text.contains("eddyline_feature_store_lag_epochs 2\n"), "{text}");
        assert!(text.contains("eddyline_feature_store_visible_seconds_count 1\n"), "{text}");
        assert!(text.contains("eddyline_feature_store_reads_total 0\n"), "{text}");
        let reader = StoreMetrics::new(Arc::default(), StoreReport::default).render();
        assert!(!reader.contains("lag_epochs"), "a reader has no mirror: {reader}");
    }
}
