//! Forgetting a user: `POST /v1/users/{id}:erase`, and how far that is: `GET /v1/jobs/{id}`.
//!
//! The request is an event of type `erase`, and the log keeps it: there is no other record of a job,
//! and its id is the position of the event. Whoever archives carries out the rest.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use eddyline_schemas::decode::BodyKind;
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::Epoch;
use serde::Serialize;
use serde_json::{Value, json};

use crate::door::ConsistencyToken;
use crate::http::operations::Erasure;
use crate::http::problem::{Kind, Problem};
use crate::http::query::Query;
use crate::http::reply::{self, WithRequestId};
use crate::http::request_id::RequestId;
use crate::http::{Shared, events};

/// What follows the id in the path.
const VERB: &str = ":erase";

#[derive(Debug, Serialize)]
struct Begun {
    job: String,
    receipt: String,
}

/// How far a job is.
#[derive(Debug, Serialize)]
struct Job {
    job: String,
    state: &'static str,
    /// The epoch that has the request; null while it is not bound.
    epoch: Option<Epoch>,
    /// Whether answers know the user no more.
    forgotten: bool,
    /// Where this process archives nothing: who writes the receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    /// What was done and what remains; null until all is.
    receipt: Option<Arc<Value>>,
}

/// 202 once the request is on the log.
pub(crate) async fn erase(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    id: RequestId,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let refused = |detail: String| {
        Problem::new(Kind::InvalidParameter, format!("the id in the path: {detail}"))
            .at("{id}", detail)
    };
    let Path(text) = path.map_err(|_| refused("must be percent-encoded UTF-8".to_owned()))?;
    let Some(user) = text.strip_suffix(VERB) else {
        let detail = "there is no such route: see /docs for POST /v1/users/{id}:erase";
        return Err(Problem::new(Kind::NoSuchRoute, detail));
    };
    let user = UserId::new(user).map_err(|error| refused(error.to_string()))?;
    let event = json!({"event_type": "erase", "user_id": user.as_str()}).to_string();
    let admitted = shared.app.door.admit(event.as_bytes(), BodyKind::Json);
    let admitted = admitted.map_err(|error| events::problem_of(&error))?;
    let answer = events::append(&shared, admitted).await?;
    let Some(job) = answer.consistency_token.clone() else {
        return Ok(events::reply(answer, &id));
    };
    let body = Begun { receipt: format!("/v1/jobs/{job}"), job };
    let body = WithRequestId { body, request_id: id.as_str() };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// How far the job is.
pub(crate) async fn job(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    id: RequestId,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let unknown = || Problem::new(Kind::NotFound, "there is no such job");
    let Path(job) = path.map_err(|_| unknown())?;
    let token = ConsistencyToken::parse(&job).map_err(|_| unknown())?;
    let [(partition, offset)] = token.positions() else { return Err(unknown()) };
    let operations = &shared.app.operations;
    let epoch = operations.bound_epoch_of(*partition, *offset);
    let applied = shared.app.switch.active().state().progress().epoch;
    let forgotten = epoch.is_some_and(|epoch| epoch <= applied);
    let (state, note, receipt) = match operations.erasure(*partition, *offset) {
        Erasure::Done(receipt) => ("done", None, Some(receipt)),
        Erasure::NoArchive if forgotten => {
            let note = "this process archives nothing: where there is an archive, its archiver \
                        erases the user there and writes the receipt";
            ("forgotten", Some(note), None)
        }
        Erasure::Pending | Erasure::NoArchive => ("pending", None, None),
    };
    Ok(reply::ok(Job { job, state, epoch, forgotten, note, receipt }, &id))
}
