//! The states of several lineages in one process, and which of them answers.
//!
//! A request takes one [`Recommender`] at its beginning and asks nothing else. So an answer is of one
//! lineage whatever is switched meanwhile, and a switch waits for nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_schemas::lineage::{Lineage, NoSuchLineage, find_lineage};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::recommend::Recommender;
use crate::state::{Progress, ServingState};

/// See the module doc. Cheap to clone; clones are the same switch.
#[derive(Clone, Debug)]
pub struct Switch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    active: watch::Sender<Recommender>,
    all: RwLock<BTreeMap<Lineage, Recommender>>,
}

/// The lineage whose deltas a state takes.
fn lineage_of(state: &ServingState) -> Lineage {
    state.config().core.lineage()
}

impl Switch {
    /// One state, which answers.
    #[must_use]
    pub fn new(state: Arc<ServingState>) -> Self {
        let lineage = lineage_of(&state);
        let recommender = Recommender::new(state);
        let all = RwLock::new(BTreeMap::from([(lineage, recommender.clone())]));
        Self(Arc::new(Inner { active: watch::Sender::new(recommender), all }))
    }

    /// What answers now. It stays what it is.
    #[must_use]
    pub fn active(&self) -> Recommender {
        self.0.active.borrow().clone()
    }

    /// The lineage that answers now.
    #[must_use]
    pub fn active_lineage(&self) -> Lineage {
        lineage_of(self.0.active.borrow().state())
    }

    /// The one whose hexadecimal digits begin so.
    pub fn find(&self, text: &str) -> Result<Recommender, NoSuchLineage> {
        let all = self.0.all.read();
        let lineage = find_lineage(text, all.keys().copied())?;
        Ok(all[&lineage].clone())
    }

    /// Adds a state, which can be asked by name from now on.
    pub fn add(&self, state: Arc<ServingState>) {
        let lineage = lineage_of(&state);
        let recommender = self.0.active.borrow().of(state);
        self.0.all.write().insert(lineage, recommender);
    }

    /// Takes a state away, unless it answers; whether it is gone.
    pub fn remove(&self, lineage: Lineage) -> bool {
        let mut all = self.0.all.write();
        if self.active_lineage() == lineage {
            return false;
        }
        all.remove(&lineage);
        true
    }

    /// Lets a lineage answer from now on; false when there is no state of it.
    pub fn activate(&self, lineage: Lineage) -> bool {
        let all = self.0.all.read();
        let Some(recommender) = all.get(&lineage) else { return false };
        self.0.active.send_if_modified(|active| {
            let is_other = lineage_of(active.state()) != lineage;
            if is_other {
                *active = recommender.clone();
            }
            is_other
        });
        true
    }

    /// Tells how far answers have come.
    #[must_use]
    pub fn watch(&self) -> Watched {
        let switched = self.0.active.subscribe();
        let progress = self.active().state().subscribe();
        Watched { switched, progress }
    }
}

/// The progress of whatever answers.
#[derive(Debug)]
pub struct Watched {
    switched: watch::Receiver<Recommender>,
    progress: watch::Receiver<Progress>,
}

impl Watched {
    /// Ends when answers have come further, or come from another lineage; then, how far they are.
    pub async fn changed(&mut self) -> Progress {
        let is_switched = tokio::select! {
            switched = self.switched.changed() => switched.is_ok(),
            progressed = self.progress.changed() => progressed.is_err(),
        };
        if is_switched {
            // Before the state is looked at, so that a later switch is not missed.
            let active = self.switched.borrow_and_update().clone();
            self.progress = active.state().subscribe();
        }
        *self.progress.borrow_and_update()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ServingConfig;

    fn state(seed: u64) -> Arc<ServingState> {
        let mut config = ServingConfig::default();
        config.core.seed = seed;
        Arc::new(ServingState::new(config))
    }

    #[test]
    fn one_answers_and_the_others_can_be_asked_by_name() {
        let (one, two) = (state(1), state(2));
        let (first, second) = (lineage_of(&one), lineage_of(&two));
        let switch = Switch::new(one);
        assert!(!switch.activate(second), "there is no such state");
        switch.add(two);
        assert_eq!(switch.active_lineage(), first);
        let asked = switch.find(&second.to_string()[..8]).expect("it is there");
        assert_eq!(lineage_of(asked.state()), second);
        let taken = switch.active();
        assert!(switch.activate(second) && switch.activate(second));
        assert_eq!(lineage_of(taken.state()), first, "what was taken stays");
        assert_eq!(switch.active_lineage(), second);
        assert!(!switch.remove(second), "it answers");
        assert!(switch.remove(first));
        assert!(switch.find(&first.to_string()).is_err());
    }
}
