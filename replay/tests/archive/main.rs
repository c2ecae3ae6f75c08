//! The archive: what is written is read, what is broken is found, and a refold of the archive is
//! that of the log.

mod compaction;
mod files;
mod golden;
mod manifests;
mod oracle;
mod speed;
mod verification;

mod support {
    pub(crate) mod archiving;
    pub(crate) mod rows;

    #[path = "../../../../dataflows/engine/tests/support/faulty_objects.rs"]
    pub(crate) mod faulty_objects;
    #[path = "../../../../dataflows/engine/tests/support/golden_stream.rs"]
    pub(crate) mod golden_stream;
    #[path = "../../../../dataflows/engine/tests/support/holey_log.rs"]
    pub(crate) mod holey_log;
    #[path = "../../../../dataflows/engine/tests/support/pinned_log.rs"]
    pub(crate) mod pinned_log;
    #[path = "../../../../dataflows/engine/tests/support/rebind.rs"]
    pub(crate) mod rebind;
    #[path = "../../../../dataflows/engine/tests/support/running.rs"]
    pub(crate) mod running;
}
