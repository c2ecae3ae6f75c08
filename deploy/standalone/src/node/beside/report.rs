//! How the lineages are.

use eddyline_replay::lineages::{Entry, Lineages, Registered};
use eddyline_schemas::lineage::Epoch;
use eddyline_serving::http::lineages::{LineageReport, LineageState, LineagesReport};
use eddyline_serving::http::operations::Dependency;

use super::follower::Follower;
use super::{CAUGHT_UP, Inner, TOO_OLD};

impl Inner {
    pub(super) fn report_all(&self) -> LineagesReport {
        self.note_progress();
        let (known, active) = (self.known.read().clone(), self.around.switch.active_lineage());
        let own = self.own.lineage;
        let others = known.entries().iter().filter(|entry| entry.registered.lineage != own);
        let mut lineages = vec![self.own_report()];
        lineages.extend(others.map(|entry| self.report_of(entry)));
        for one in lineages.iter_mut().filter(|one| one.lineage == active) {
            if one.state != LineageState::Failed {
                one.state = LineageState::Active;
            }
        }
        LineagesReport { lineages, active, previous: known.previous() }
    }

    fn own_report(&self) -> LineageReport {
        let epoch = (self.pipeline)().committed_epoch;
        let trouble = self.trouble.lock().clone();
        let detail = trouble.map(|trouble| format!("the registry cannot be read: {trouble}"));
        self.row(&self.own, (LineageState::Beside, epoch), detail)
    }

    fn report_of(&self, entry: &Entry) -> LineageReport {
        let followers = self.followers.lock();
        let follower = followers.get(&entry.registered.lineage).map(|one| &one.follower);
        let (state, epoch, detail) = match follower {
            _ if entry.is_retired => (LineageState::Retired, Epoch(0), None),
            None => (LineageState::Following, Epoch(0), None),
            Some(Err(error)) => (LineageState::Failed, Epoch(0), Some(error.clone())),
            Some(Ok(follower)) => self.of_follower(follower),
        };
        self.row(&entry.registered, (state, epoch), detail)
    }

    fn of_follower(&self, follower: &Follower) -> (LineageState, Epoch, Option<String>) {
        let epoch = follower.epoch();
        let is_near = follower.has_state() && self.lag(epoch) <= CAUGHT_UP;
        match follower.failure() {
            Some(failure) => (LineageState::Failed, epoch, Some(failure)),
            None if is_near => (LineageState::Beside, epoch, None),
            None => (LineageState::Following, epoch, None),
        }
    }

    fn row(
        &self,
        of: &Registered,
        (state, epoch): (LineageState, Epoch),
        detail: Option<String>,
    ) -> LineageReport {
        let differs = Lineages::core_differs(&self.own, of);
        LineageReport {
            lineage: of.lineage,
            state,
            own: of.lineage == self.own.lineage,
            epoch,
            lag_epochs: if state == LineageState::Retired { 0 } else { self.lag(epoch) },
            parent: of.parent,
            first_epoch: of.first_epoch,
            core_differs: differs.into_iter().map(|(key, _, _)| key).collect(),
            detail,
            core: of.core.clone(),
        }
    }

    /// Of a dataflow, which is well whatever becomes of what it follows.
    pub(in crate::node) fn followed(&self) -> Dependency {
        let others = self.report_all().lineages.into_iter().filter(|one| !one.own);
        let kept = others.filter(|one| one.state != LineageState::Retired);
        let shown: Vec<String> = kept
            .map(|one| {
                let state = if one.state == LineageState::Failed { "failed" } else { "followed" };
                let why = one.detail.unwrap_or_else(|| format!("{} behind", one.lag_epochs));
                format!("{} is {state}, {why}", one.lineage)
            })
            .collect();
        let detail = if shown.is_empty() { "no other is kept".into() } else { shown.join("; ") };
        Dependency { name: "lineages", ready: true, detail }
    }

    /// Whether the recorded lineage answers, has once been at the head, and is not far from it.
    pub(in crate::node) fn readiness(&self) -> Dependency {
        self.note_progress();
        let name = "lineage";
        let answers = self.around.switch.active_lineage();
        let recorded = self.recorded().unwrap_or(self.own.lineage);
        let not = |detail: String| Dependency { name, ready: false, detail };
        let followers = self.followers.lock();
        let follower = match followers.get(&recorded).map(|one| &one.follower) {
            _ if recorded == self.own.lineage => {
                let detail = format!("{answers} answers");
                return Dependency { name, ready: answers == recorded, detail };
            }
            None => return not(format!("active lineage {recorded} is not followed yet")),
            Some(Err(error)) => return not(format!("active lineage: {error}")),
            Some(Ok(follower)) => follower,
        };
        let behind = self.lag(follower.epoch());
        if let Some(failure) = follower.failure() {
            return not(format!("active lineage {recorded} failed: {failure}"));
        }
        let ready = answers == recorded && follower.has_caught_up() && behind < TOO_OLD;
        let detail = format!("{answers} answers, {recorded} is active, {behind} epochs behind");
        Dependency { name, ready, detail }
    }
}
