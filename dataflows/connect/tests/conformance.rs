//! The conformance suites, run against every implementation of this crate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use eddyline_connect::clock::{Clock, SystemClock};
use eddyline_connect::conformance;
use eddyline_connect::embedded::EmbeddedLog;
use eddyline_connect::features::EmbeddedFeatureStore;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::EventLog;
use eddyline_connect::memory::MemoryLog;

/// Makes embedded logs, each in a folder of its own.
struct Folders {
    root: tempfile::TempDir,
    made: AtomicU32,
}

impl Folders {
    fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a folder"), made: AtomicU32::new(0) }
    }

    fn log(&self, clock: Arc<dyn Clock>) -> Box<dyn EventLog> {
        let name = self.made.fetch_add(1, Ordering::SeqCst).to_string();
        let folder = self.root.path().join(name).join("nested");
        let log = EmbeddedLog::open(&folder, LogLayout::default(), clock);
        Box::new(log.expect("a new log"))
    }
}

#[test]
fn memory_log_conforms() {
    let make =
        |clock| -> Box<dyn EventLog> { Box::new(MemoryLog::new(LogLayout::default(), clock)) };
    conformance::event_log::run(&|| make(Arc::new(SystemClock)));
    conformance::event_log::stamps::run(&make);
    conformance::event_log::trimming::run(&|| make(Arc::new(SystemClock)));
}

#[test]
fn embedded_log_conforms() {
    let folders = Folders::new();
    conformance::event_log::run(&|| folders.log(Arc::new(SystemClock)));
    conformance::event_log::stamps::run(&|clock| folders.log(clock));
    conformance::event_log::trimming::run(&|| folders.log(Arc::new(SystemClock)));
}

#[test]
fn embedded_feature_store_conforms() {
    conformance::feature_store::run(&|| Arc::new(EmbeddedFeatureStore::new()));
}
