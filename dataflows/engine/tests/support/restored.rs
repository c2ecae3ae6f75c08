//! State straight from an export, without a store between.

use eddyline_dataflows::snapshot::{Export, Restored};
use eddyline_model::config::CoreConfig;

use super::position::position_at;

/// The state of an export, at a made-up position.
pub(crate) fn restored(core: &CoreConfig, export: &Export) -> Restored {
    Restored::from_export(core, export, position_at(export.epoch())).expect("can be read")
}
