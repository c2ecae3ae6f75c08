//! Times how soon answers reflect what the door accepted: `eddyline_freshness_seconds`.
//!
//! The door keeps a sample of positions; whenever serving applies an epoch, the samples that it
//! covers are taken out and timed. An epoch applied between two looks is timed by the newest one,
//! so the metric errs to the slow side.

use crate::http::AppState;

/// Runs until it is aborted.
pub(crate) async fn watch(app: AppState) {
    let mut progress = app.switch.watch();
    loop {
        let seen = progress.changed().await;
        let visible = app.door.freshness().take(|sample| {
            let bound = app.operations.bound_epoch_of(sample.partition, sample.offset);
            bound.is_some_and(|epoch| epoch <= seen.epoch)
        });
        for sample in visible {
            app.metrics.freshness(seen.applied_at.saturating_duration_since(sample.accepted_at));
        }
    }
}
