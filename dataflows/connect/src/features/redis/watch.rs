//! Finds out that a server lost data before anyone reads or writes the slots in question.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use redis::Value;

use super::link::Address;
use super::{RedisFeatureStore, Writing, unavailable};
use crate::features::FeatureStoreError;

/// Time for the masters to say who they are.
const CHECK_TIME: Duration = Duration::from_secs(1);
/// Every so many checks, all watermarks are read even if every server is the one it was: keys may
/// have been deleted or evicted.
const FULL_EVERY: u64 = 30;

impl RedisFeatureStore {
    /// Asks each master for its run id; where one is new (restarted, promoted), or now and then,
    /// reads all watermarks. Slots that went back are [behind](super::FeatureStore::behind) after.
    pub fn check(&self) -> Result<(), FeatureStoreError> {
        let mut writing = self.writing.lock();
        writing.checks += 1;
        let changed = self.servers_changed(&mut writing)?;
        if changed || writing.checks.is_multiple_of(FULL_EVERY) {
            self.read_watermarks(&mut writing)?;
        }
        Ok(())
    }

    fn servers_changed(&self, writing: &mut Writing) -> Result<bool, FeatureStoreError> {
        let link = writing.writer.link();
        link.doubt_owners();
        let mut info = redis::cmd("INFO");
        info.arg("server");
        let replies = link.each_node(&info, Instant::now() + CHECK_TIME).map_err(unavailable)?;
        let run_id = |(address, info): (Address, Value)| {
            let info: String = redis::from_redis_value(info).ok()?;
            let id = info.lines().find_map(|line| line.strip_prefix("run_id:"))?;
            Some((address, id.to_owned()))
        };
        let run_ids = replies.into_iter().filter_map(run_id).collect();
        let changed = writing.run_ids != run_ids;
        writing.run_ids = run_ids;
        Ok(changed)
    }

    /// Checks every so often on a thread of its own, which ends with the store.
    pub(crate) fn watch(self: &Arc<Self>, every: Duration) -> std::io::Result<()> {
        let store: Weak<Self> = Arc::downgrade(self);
        let tick = move || {
            loop {
                thread::sleep(every);
                let Some(store) = store.upgrade() else { return };
                // A failure is seen by reads and writes too, which count and report it.
                let _ = store.check();
            }
        };
        thread::Builder::new().name("redis-watch".to_owned()).spawn(tick).map(|_| ())
    }
}
