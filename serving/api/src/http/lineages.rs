//! The lineages of a process: `GET /v1/lineages`, and what changes which of them answers.
//!
//! The composition root implements [`Lineages`]; a process that keeps one lineage uses
//! [`OneLineage`].

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use eddyline_schemas::lineage::{Epoch, Lineage, find_lineage};
use serde::Serialize;
use serde_json::Value;

use crate::http::Shared;
use crate::http::operations::Operations;
use crate::http::problem::{Kind, Problem};
use crate::http::query::Query;
use crate::http::reply;
use crate::http::request_id::RequestId;

/// What a process knows of its lineages: the body of `GET /v1/lineages`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LineagesReport {
    /// All of them.
    pub lineages: Vec<LineageReport>,
    /// The one that answers.
    pub active: Lineage,
    /// The one that a rollback goes back to.
    pub previous: Option<Lineage>,
}

/// One lineage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LineageReport {
    /// Which.
    pub lineage: Lineage,
    /// How it is.
    pub state: LineageState,
    /// Whether it is the one of the configuration.
    pub own: bool,
    /// The last epoch of it that can be asked.
    pub epoch: Epoch,
    /// Bound epochs that it lacks.
    pub lag_epochs: u64,
    /// What it leaves, unless it begins with the log.
    pub parent: Option<Lineage>,
    /// The first epoch that is not the parent's.
    pub first_epoch: Epoch,
    /// Keys of `[core]` that are not as in the configuration.
    pub core_differs: Vec<String>,
    /// Why it is not well, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Its `[core]` table, where it was asked for.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub core: Value,
}

/// How a lineage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineageState {
    /// It answers.
    Active,
    /// It is at the head of the log and can be activated.
    Beside,
    /// It is catching up.
    Following,
    /// It cannot be followed.
    Failed,
    /// It is not kept any more.
    Retired,
}

impl LineageState {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Beside => "beside",
            Self::Following => "following",
            Self::Failed => "failed",
            Self::Retired => "retired",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Let it answer.
    Activate(Lineage),
    /// Let the one answer that did before.
    Rollback,
    /// Keep it no more.
    Retire(Lineage),
}

/// Why nothing was changed, or it is not known whether it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// As things are it cannot be: 409.
    #[error("{0}")]
    Refused(String),
    /// The registry was not read or written: 503. Look before it is asked again.
    #[error("{0}")]
    Unavailable(String),
}

/// The lineages of the process, as seen by the HTTP layer.
pub trait Lineages: Send + Sync {
    /// How they are; quick.
    fn report(&self) -> LineagesReport;

    /// Makes a change, durably; may block.
    fn change(&self, change: Change) -> Result<(), ChangeError>;
}

/// Of a process that keeps one lineage.
pub struct OneLineage {
    /// The one.
    pub core: eddyline_model::config::CoreConfig,
    /// How far it is.
    pub operations: Arc<dyn Operations>,
    /// Why no other can be activated, and what to do.
    pub why: &'static str,
}

impl Lineages for OneLineage {
    fn report(&self) -> LineagesReport {
        let (pipeline, lineage) = (self.operations.pipeline(), self.core.lineage());
        let descent = self.core.descent;
        let one = LineageReport {
            lineage,
            state: LineageState::Active,
            own: true,
            epoch: pipeline.committed_epoch,
            lag_epochs: pipeline.bound_epoch.0.saturating_sub(pipeline.committed_epoch.0),
            parent: descent.map(|descent| descent.parent),
            first_epoch: descent.map_or(Epoch(0), |descent| descent.first_epoch),
            core_differs: Vec::new(),
            detail: None,
            core: serde_json::to_value(&self.core).unwrap_or_default(),
        };
        LineagesReport { lineages: vec![one], active: lineage, previous: None }
    }

    fn change(&self, _: Change) -> Result<(), ChangeError> {
        Err(ChangeError::Refused(self.why.to_owned()))
    }
}

/// Every lineage, and which of them answers.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    id: RequestId,
    mut query: Query,
) -> Result<Response, Problem> {
    let with_core = query.flag("core").unwrap_or(false);
    query.finish()?;
    let lineages = Arc::clone(&shared.app.lineages);
    let report = shared.compute.run(move || lineages.report()).await?;
    Ok(reply::ok(shown(report, with_core), &id))
}

fn shown(mut report: LineagesReport, with_core: bool) -> LineagesReport {
    if !with_core {
        report.lineages.iter_mut().for_each(|one| one.core = Value::Null);
    }
    report
}

/// `{lineage}:activate` or `{lineage}:retire`.
pub(crate) async fn change(
    State(shared): State<Arc<Shared>>,
    action: Result<Path<String>, PathRejection>,
    id: RequestId,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let Ok(Path(action)) = action else { return Err(no_such_action()) };
    let Some((name, verb)) = action.split_once(':') else { return Err(no_such_action()) };
    let known = shared.app.lineages.report().lineages.into_iter().map(|one| one.lineage);
    let lineage = find_lineage(name, known)
        .map_err(|error| Problem::new(Kind::NotFound, error.to_string()))?;
    let change = match verb {
        "activate" => Change::Activate(lineage),
        "retire" => Change::Retire(lineage),
        _ => return Err(no_such_action()),
    };
    make(&shared, change, &id).await
}

/// Back to the one that answered before.
pub(crate) async fn rollback(
    State(shared): State<Arc<Shared>>,
    id: RequestId,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    make(&shared, Change::Rollback, &id).await
}

fn no_such_action() -> Problem {
    let detail = "write /v1/lineages/LINEAGE:activate or /v1/lineages/LINEAGE:retire";
    Problem::new(Kind::NoSuchRoute, detail)
}

/// The report as it is after the change.
async fn make(shared: &Shared, change: Change, id: &RequestId) -> Result<Response, Problem> {
    let lineages = Arc::clone(&shared.app.lineages);
    let changed = shared.slow.run(move || lineages.change(change).map(|()| lineages.report()));
    match changed.await? {
        Ok(report) => Ok(reply::ok(shown(report, false), id)),
        Err(ChangeError::Refused(detail)) => Err(Problem::new(Kind::Conflict, detail)),
        Err(ChangeError::Unavailable(detail)) => {
            Err(Problem::new(Kind::Unavailable, detail).retry_after_ms(1_000))
        }
    }
}
