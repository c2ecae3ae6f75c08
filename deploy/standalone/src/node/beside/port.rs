//! The lineages as the HTTP layer asks for them.

use std::sync::Arc;

use eddyline_connect::clock::{Clock, SystemClock};
use eddyline_connect::log::with_sources;
use eddyline_model::config::CoreConfig;
use eddyline_replay::lineages::{Action, Lineages, LineagesError};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use eddyline_serving::http::Operations;
use eddyline_serving::http::lineages::{Change, ChangeError, LineagesReport, OneLineage};
use eddyline_serving::http::operations::{
    Dependency, DigestReport, Erasure, NotAvailable, PipelineReport,
};
use eddyline_serving::metrics::store::StoreMetrics;

use super::{Beside, Inner};

impl eddyline_serving::http::Lineages for Inner {
    fn report(&self) -> LineagesReport {
        self.report_all()
    }

    fn change(&self, change: Change) -> Result<(), ChangeError> {
        match change {
            Change::Activate(lineage) => self.activate(lineage),
            Change::Rollback => {
                self.read_on()?;
                let previous = self.known.read().previous();
                let none = "no other lineage was active before that is still kept";
                let previous = previous.ok_or_else(|| ChangeError::Refused(none.to_owned()))?;
                self.activate(previous)
            }
            Change::Retire(lineage) => self.retire(lineage),
        }
    }
}

impl Inner {
    /// Records it, then switches.
    fn activate(&self, lineage: Lineage) -> Result<(), ChangeError> {
        self.check_caught_up(lineage).map_err(ChangeError::Refused)?;
        self.record(|lineages| {
            let own = self.own.lineage;
            let answers = lineages.active().unwrap_or(own);
            if answers == lineage {
                return None;
            }
            Some(if !lineages.is_kept(own) {
                Action::Registered(self.own.clone())
            } else if lineages.active().is_none() {
                // Said explicitly, so that there is a way back.
                Action::Activated(own)
            } else {
                Action::Activated(lineage)
            })
        })?;
        self.around.switch.activate(lineage);
        tracing::info!(%lineage, "answers from now on");
        Ok(())
    }

    fn retire(&self, lineage: Lineage) -> Result<(), ChangeError> {
        if lineage == self.own.lineage {
            let own = "it is the lineage of the configuration, which binds what is folded";
            return Err(ChangeError::Refused(own.to_owned()));
        }
        self.record(|lineages| {
            let is_kept = lineages.entry(lineage).is_none_or(|entry| !entry.is_retired);
            is_kept.then_some(Action::Retired(lineage))
        })?;
        self.tend();
        Ok(())
    }

    fn read_on(&self) -> Result<(), ChangeError> {
        self.record(|_| None)
    }

    fn record(
        &self,
        mut decide: impl FnMut(&Lineages) -> Option<Action>,
    ) -> Result<(), ChangeError> {
        let mut registry = self.registry.lock();
        let changed =
            registry.change(SystemClock.now(), |lineages| Ok::<_, LineagesError>(decide(lineages)));
        *self.known.write() = registry.lineages().clone();
        changed.map_err(|error| match error {
            LineagesError::Refused(refused) => ChangeError::Refused(refused.to_string()),
            error => ChangeError::Unavailable(with_sources(&error)),
        })
    }
}

/// Why a process without `snapshots.url` keeps one lineage.
const NO_PLACE: &str = "lineages are recorded beside the snapshots, and snapshots.url is empty, or \
                        the log is in memory: set both to a place that lasts";

/// The dataflow and the lineages, as the HTTP layer asks them.
pub(in crate::node) fn lineages(
    beside: Option<&Beside>,
    dataflow: Arc<dyn Operations>,
    core: &CoreConfig,
) -> (Arc<dyn Operations>, Arc<dyn eddyline_serving::http::Lineages>) {
    match beside {
        Some(beside) => {
            let lineages = Arc::clone(beside.inner());
            (Arc::new(WithLineages { dataflow, lineages: Arc::clone(&lineages) }), lineages)
        }
        None => {
            let (core, operations) = (core.clone(), Arc::clone(&dataflow));
            (dataflow, Arc::new(OneLineage { core, operations, why: NO_PLACE }))
        }
    }
}

/// The dataflow, with the lineage that answers among what must be well.
struct WithLineages {
    dataflow: Arc<dyn Operations>,
    lineages: Arc<Inner>,
}

impl Operations for WithLineages {
    fn pipeline(&self) -> PipelineReport {
        self.dataflow.pipeline()
    }

    fn bound_epoch_of(&self, partition: TopicPartition, offset: Offset) -> Option<Epoch> {
        self.dataflow.bound_epoch_of(partition, offset)
    }

    fn erasure(&self, partition: TopicPartition, offset: Offset) -> Erasure {
        self.dataflow.erasure(partition, offset)
    }

    fn digest(&self) -> Result<DigestReport, NotAvailable> {
        self.dataflow.digest()
    }

    fn readiness(&self) -> Vec<Dependency> {
        let mut all = self.dataflow.readiness();
        all.push(self.lineages.readiness());
        all
    }

    fn store_metrics(&self) -> Option<&StoreMetrics> {
        self.dataflow.store_metrics()
    }
}
