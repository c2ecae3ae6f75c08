//! `/livez /readyz /healthz /metrics /version`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use eddyline_schemas::lineage::ALGORITHM_VERSION;
use serde_json::{Map, Value, json};

use crate::http::Shared;
use crate::http::lineages::{LineageReport, LineageState, LineagesReport};
use crate::http::operations::Dependency;
use crate::http::probes::pipeline_gauges;
use crate::http::problem::{Kind, Problem};
use crate::http::reply;
use crate::http::request_id::RequestId;
use crate::metrics::Gauge;
use crate::metrics::lineages::{LineageRow, render};
use crate::metrics::store::StoreMetrics;

/// The process runs.
pub(crate) async fn live() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// Every dependency is well, else 503 with each one's own word.
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let mut dependencies = shared.app.operations.readiness();
    dependencies.push(door(&shared));
    let waiting: Vec<&str> =
        dependencies.iter().filter(|one| !one.ready).map(|one| one.name).collect();
    if waiting.is_empty() {
        let body = json!({"status": "ready", "dependencies": dependencies});
        return Ok(Json(body).into_response());
    }
    let detail = format!("not ready: {}", waiting.join(", "));
    let mut members = Map::new();
    members.insert("dependencies".to_owned(), json!(dependencies));
    Err(Problem::new(Kind::Unavailable, detail).with_members(members).retry_after_ms(1_000))
}

fn door(shared: &Shared) -> Dependency {
    let ready = shared.app.door.is_open();
    let detail = if ready { "takes events" } else { "is closed" };
    Dependency { name: "door", ready, detail: detail.to_owned() }
}

/// Prometheus text.
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let progress = shared.app.switch.active().state().progress();
    let mut gauges = pipeline_gauges(&*shared.app.operations).to_vec();
    gauges.push((Gauge::ServingEpoch, progress.epoch.0));
    gauges.push((Gauge::IndexItems, progress.items as u64));
    let store = shared.app.operations.store_metrics().map(StoreMetrics::render);
    let lineages = metrics_of(&shared.app.lineages.report());
    let text = shared.app.metrics.render(&gauges) + &lineages + &store.unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Of each lineage that is kept.
fn metrics_of(report: &LineagesReport) -> String {
    let row = |one: &LineageReport| LineageRow {
        lineage: one.lineage,
        state: one.state.name(),
        epoch: one.epoch,
        lag_epochs: one.lag_epochs,
        is_active: one.lineage == report.active,
    };
    let kept = report.lineages.iter().filter(|one| one.state != LineageState::Retired);
    render(&kept.map(row).collect::<Vec<_>>())
}

/// What runs here.
pub(crate) async fn version(State(shared): State<Arc<Shared>>, id: RequestId) -> Response {
    let progress = shared.app.switch.active().state().progress();
    let body: Value = json!({
        "name": "eddyline",
        "version": env!("CARGO_PKG_VERSION"),
        "algorithm_version": ALGORITHM_VERSION,
        "lineage": progress.lineage,
        "demo": shared.app.demo.is_some(),
    });
    reply::ok(body, &id)
}
