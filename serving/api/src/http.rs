//! REST in front of the door and the recommender: the router, and the server around it.
//!
//! Handlers are thin: parameters become checked types, one call into the door or the recommender,
//! and the answer becomes JSON. Every route is in `openapi.json`, by a test. Whatever goes wrong is
//! an RFC 9457 problem ([`problem`]); what every request goes through is in `envelope`. The layer
//! knows the dataflow as [`Operations`] alone.

mod body;
mod compute;
mod consistency;
mod envelope;
mod erasures;
mod events;
mod freshness;
mod guard;
mod health;
mod items;
pub mod lineages;
mod lists;
pub mod operations;
mod pages;
mod path;
mod pipeline;
mod probes;
pub mod problem;
mod query;
mod recommendations;
mod reply;
mod request_id;
mod routes;
mod server;
mod users;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use crate::door::Door;
use crate::metrics::Metrics;
use crate::recommend::Recommender;
use crate::switch::Switch;

pub use guard::{Access, HashedKey};
pub use lineages::Lineages;
pub use operations::Operations;
pub use probes::serve_probes;
pub use server::serve;

use compute::Compute;
use query::Query;
use request_id::RequestIds;

/// Most requests for work that takes seconds.
const SLOW_PLACES: usize = 4;

/// Bounds of the HTTP layer, and who may ask.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Who may ask.
    pub access: Access,
    /// A request that takes longer is answered 503.
    pub budget: Duration,
    /// Largest body, as sent and unpacked.
    pub max_body_bytes: usize,
    /// Pieces of work of more than half a millisecond that run at once.
    pub compute_running: usize,
    /// Such pieces that run or wait; beyond it requests are turned away.
    pub compute_places: usize,
    /// Most open event streams.
    pub max_streams: usize,
    /// How long a shutdown waits for requests that are being answered.
    pub grace: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            access: Access::Loopback,
            budget: Duration::from_secs(10),
            max_body_bytes: eddyline_schemas::decode::MAX_BATCH_BYTES,
            compute_running: cores.max(2),
            compute_places: 512,
            max_streams: 64,
            grace: Duration::from_secs(5),
        }
    }
}

/// Someone of the simulated shop whose page can be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Persona {
    /// The user.
    pub user_id: String,
    /// For people.
    pub name: String,
    /// What they like, in a sentence.
    pub description: String,
}

/// What the page says when the data is simulated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DemoInfo {
    /// Whom to look at.
    pub personas: Vec<Persona>,
    /// What is simulated, in a sentence.
    pub note: String,
}

/// All that the routes need.
#[derive(Clone)]
pub struct AppState {
    /// Answers, by lineage.
    pub switch: Switch,
    /// The lineages, and what changes which of them answers.
    pub lineages: Arc<dyn Lineages>,
    /// The way in.
    pub door: Arc<Door>,
    /// The dataflow.
    pub operations: Arc<dyn Operations>,
    /// Sums.
    pub metrics: Arc<Metrics>,
    /// Bounds.
    pub config: HttpConfig,
    /// Set when the data is simulated.
    pub demo: Option<DemoInfo>,
}

/// What the handlers share.
pub(crate) struct Shared {
    app: AppState,
    compute: Compute,
    /// For the rare work that takes seconds, so that it never stands in the way of answers.
    slow: Compute,
    ids: RequestIds,
    paths: Vec<&'static str>,
    streams: Arc<Semaphore>,
    /// True once the server is shutting down: streams end then.
    closing: watch::Sender<bool>,
}

impl Shared {
    fn new(app: AppState) -> Self {
        let config = &app.config;
        let compute = |running, places| Compute::new(running, places, Arc::clone(&app.metrics));
        Self {
            compute: compute(config.compute_running, config.compute_places),
            slow: compute(1, SLOW_PLACES),
            ids: RequestIds::default(),
            paths: routes::routes().iter().map(|route| route.path).collect(),
            streams: Arc::new(Semaphore::new(config.max_streams)),
            closing: watch::Sender::new(false),
            app,
        }
    }

    /// What answers a request: the lineage that it names, else the active one. To be asked once, at
    /// its beginning.
    fn asked(&self, query: &mut Query) -> Recommender {
        let Some(text) = query.text("lineage") else { return self.app.switch.active() };
        self.app.switch.find(&text).unwrap_or_else(|error| {
            query.refuse("lineage", format!("is not one that can be asked: {error}"));
            self.app.switch.active()
        })
    }

    /// The route's path as static text, for labels.
    fn route(&self, matched: &str) -> Option<&'static str> {
        self.paths.iter().find(|path| **path == matched).copied()
    }
}

/// The routes over `app`. Use [`serve`] to listen.
pub fn router(app: AppState) -> Router {
    routes::router(Arc::new(Shared::new(app)))
}

#[cfg(test)]
mod tests;
