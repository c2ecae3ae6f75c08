//! A live engine on a log in memory, and its archive.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_connect::objects::ObjectStore;
use eddyline_model::config::CoreConfig;
use eddyline_replay::archive::ArchiveLog;
use eddyline_replay::archiver::{Archiver, ArchiverError, ArchiverLimits};

pub(crate) fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core
}

/// Archives all that is bound, in files of about `rows` rows.
pub(crate) fn archive_all(
    log: &Arc<dyn EventLog>,
    objects: &Arc<dyn ObjectStore>,
    rows: u64,
) -> Result<(), ArchiverError> {
    let limits = ArchiverLimits { rows, ..ArchiverLimits::default() };
    let mut archiver = Archiver::open(Arc::clone(log), Arc::clone(objects), limits)?;
    loop {
        if archiver.is_full() {
            archiver.write()?;
        }
        if !archiver.read_on()? {
            break;
        }
    }
    if archiver.waits() { archiver.write() } else { Ok(()) }
}

/// The newest archive, as a log.
pub(crate) fn archived(objects: &Arc<dyn ObjectStore>) -> Arc<dyn EventLog> {
    Arc::new(ArchiveLog::open(Arc::clone(objects)).expect("the archive is sound"))
}
