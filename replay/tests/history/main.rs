//! Recorded history, archived and folded again.

mod archiver;
mod beside;
mod following;
mod support {
    #[path = "../../../../dataflows/engine/tests/support/faulty_objects.rs"]
    pub(crate) mod faulty_objects;
    #[path = "../../../../dataflows/engine/tests/support/holey_log.rs"]
    pub(crate) mod holey_log;
    pub(crate) mod live;
    #[path = "../../../../dataflows/engine/tests/support/meddled_objects.rs"]
    pub(crate) mod meddled_objects;
    #[path = "../../../../dataflows/engine/tests/support/pinned_log.rs"]
    pub(crate) mod pinned_log;
    #[path = "../../../../dataflows/engine/tests/support/running.rs"]
    pub(crate) mod running;
    #[path = "../../../../dataflows/engine/tests/support/shop.rs"]
    pub(crate) mod shop;
}
mod verify;
