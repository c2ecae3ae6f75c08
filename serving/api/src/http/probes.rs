//! The few routes of a process that answers no requests of users: a dataflow of a fleet.
//!
//! `/livez /readyz /metrics /v1/pipeline`, over [`Operations`] alone.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use crate::http::health::live;
use crate::http::operations::Operations;
use crate::metrics::store::StoreMetrics;
use crate::metrics::{Gauge, Metrics};

type Shared = Arc<dyn Operations>;

/// Serves the routes on `listener` until `shutdown` ends.
pub async fn serve_probes(
    listener: TcpListener,
    operations: Arc<dyn Operations>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(operations)).with_graceful_shutdown(shutdown).await
}

fn router(operations: Shared) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/v1/pipeline", get(pipeline))
        .with_state(operations)
}

async fn ready(State(operations): State<Shared>) -> Response {
    let dependencies = operations.readiness();
    let is_ready = dependencies.iter().all(|one| one.ready);
    let (code, status) = match is_ready {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    (code, Json(json!({"status": status, "dependencies": dependencies}))).into_response()
}

async fn pipeline(State(operations): State<Shared>) -> Response {
    Json(operations.pipeline()).into_response()
}

async fn metrics(State(operations): State<Shared>) -> Response {
    let store = operations.store_metrics().map(StoreMetrics::render);
    let text =
        Metrics::default().render(&pipeline_gauges(&*operations)) + &store.unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// How far the dataflow is, as gauges.
pub(crate) fn pipeline_gauges(operations: &dyn Operations) -> [(Gauge, u64); 10] {
    let pipeline = operations.pipeline();
    let counts = pipeline.counts;
    [
        (Gauge::SourceLag, pipeline.lag),
        (Gauge::BoundEpoch, pipeline.bound_epoch.0),
        (Gauge::CommittedEpoch, pipeline.committed_epoch.0),
        (Gauge::SnapshotEpoch, pipeline.snapshot_epoch.0),
        (Gauge::ArchivedEpoch, pipeline.archived_epoch.0),
        (Gauge::PipelineAccepted, counts.accepted),
        (Gauge::PipelineApplied, counts.applied),
        (Gauge::PipelineDuplicate, counts.duplicate),
        (Gauge::PipelineLate, counts.late),
        (Gauge::PipelineDeadLetter, counts.dead_letter),
    ]
}
