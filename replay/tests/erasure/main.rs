//! Erasure: what is left of a user in the archive, and what a replay makes of the rest.

mod crashes;
mod lineage;
mod receipts;
mod rows;

mod support {
    #[path = "../../../../dataflows/engine/tests/support/faulty_objects.rs"]
    pub(crate) mod faulty_objects;
    #[path = "../../history/support/live.rs"]
    pub(crate) mod live;
    #[path = "../../../../dataflows/engine/tests/support/pinned_log.rs"]
    pub(crate) mod pinned_log;
    #[path = "../../../../dataflows/engine/tests/support/rebind.rs"]
    pub(crate) mod rebind;
    #[path = "../../../../dataflows/engine/tests/support/running.rs"]
    pub(crate) mod running;
    #[path = "../../../../dataflows/engine/tests/support/shop.rs"]
    pub(crate) mod shop;
    pub(crate) mod story;
}
