//! Read-your-writes: waits until serving reflects the log positions of a consistency token.
//!
//! A position is reflected when the epoch that binds it is applied. The wait is bounded by the
//! caller's `max_wait_ms`; past it the answer is given as it is and says that it is stale.

use std::time::{Duration, Instant};

use eddyline_schemas::lineage::Epoch;
use serde::Serialize;

use crate::contract::Consistency;
use crate::door::ConsistencyToken;
use crate::http::Shared;
use crate::http::problem::Problem;
use crate::http::reply::Form;
use crate::recommend::Recommender;

/// Longest wait that a request may ask for.
pub(crate) const MAX_WAIT_MS: u64 = 2_000;
/// The wait of a GET request that does not say.
pub(crate) const DEFAULT_WAIT_MS: u64 = 50;
/// How often bindings are looked at while no epoch is applied.
const POLL: Duration = Duration::from_millis(2);

/// How the wait ended; the member `consistency` of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Waited {
    /// Whether the answer may lack what the token names.
    pub(crate) stale: bool,
    /// The first epoch that covers the token; null while it is not bound.
    pub(crate) epoch: Option<Epoch>,
    /// How long the request was held back.
    pub(crate) waited_ms: u64,
}

/// Waits as the request asks for the state that will answer it; `form` is how it was written.
pub(crate) async fn wait(
    (shared, recommender): (&Shared, &Recommender),
    asked: &Consistency,
    form: Form,
) -> Result<Waited, Problem> {
    let token = ConsistencyToken::parse(&asked.after)
        .map_err(|error| form.invalid("/consistency/after", &error.to_string()))?;
    let began = Instant::now();
    let deadline = began + Duration::from_millis(asked.max_wait_ms.min(MAX_WAIT_MS));
    let mut progress = recommender.state().subscribe();
    loop {
        let epoch = covering_epoch(shared, &token);
        let applied = progress.borrow_and_update().epoch;
        let stale = epoch.is_none_or(|epoch| applied < epoch);
        let now = Instant::now();
        if !stale || now >= deadline {
            let waited_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Ok(Waited { stale, epoch, waited_ms });
        }
        let pause = POLL.min(deadline - now);
        // Either way the loop looks again; the channel stays open while the recommender lives.
        let _ = tokio::time::timeout(pause, progress.changed()).await;
    }
}

/// The first epoch that covers all positions; `None` while one of them is not bound.
fn covering_epoch(shared: &Shared, token: &ConsistencyToken) -> Option<Epoch> {
    let operations = &shared.app.operations;
    let mut covering = Epoch(0);
    for (partition, offset) in token.positions() {
        covering = covering.max(operations.bound_epoch_of(*partition, *offset)?);
    }
    Some(covering)
}
