//! `POST /v1/events`: events in, one verdict each.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use eddyline_schemas::decode::{BodyKind, RequestRefusal};

use crate::door::{Admitted, DoorAnswer, DoorError};
use crate::http::Shared;
use crate::http::body::{self, Packing};
use crate::http::problem::{Kind, Problem};
use crate::http::reply::WithRequestId;
use crate::http::request_id::RequestId;
use crate::metrics::{EventResult, Metrics};

/// Bodies up to this size are decoded on the runtime's thread: well below half a millisecond.
const INLINE_BYTES: usize = 16 * 1024;
/// When the same events may be sent again after a full queue.
const RETRY_AFTER_MS: u64 = 500;

/// 202 when all were taken, 200 when some were, 422 when none was.
pub(crate) async fn submit(
    State(shared): State<Arc<Shared>>,
    id: RequestId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let kind = kind_of(&headers)?;
    let packing = Packing::of(&headers)?;
    let packed = body::read(&headers, body, shared.app.config.max_body_bytes).await?;
    let admitted = admit(&shared, packed, packing, kind).await?;
    let answer = append(&shared, admitted).await?;
    Ok(reply(answer, &id))
}

fn kind_of(headers: &HeaderMap) -> Result<BodyKind, Problem> {
    match body::media_type(headers).as_deref() {
        None | Some("application/json") => Ok(BodyKind::Json),
        Some("application/x-ndjson" | "application/jsonl" | "application/ndjson") => {
            Ok(BodyKind::NdJson)
        }
        Some(other) => Err(Problem::new(
            Kind::UnsupportedMediaType,
            format!("content-type must be application/json or application/x-ndjson, got {other}"),
        )),
    }
}

async fn admit(
    shared: &Arc<Shared>,
    packed: Bytes,
    packing: Packing,
    kind: BodyKind,
) -> Result<Admitted, Problem> {
    let limit = shared.app.config.max_body_bytes;
    let door = Arc::clone(&shared.app.door);
    let inline = packing == Packing::Plain && packed.len() <= INLINE_BYTES;
    let work = move || {
        let body = packing.unpack(packed, limit)?;
        door.admit(&body, kind).map_err(|error| problem_of(&error))
    };
    if inline { work() } else { shared.compute.run(work).await? }
}

/// Appends and counts.
pub(crate) async fn append(shared: &Shared, admitted: Admitted) -> Result<DoorAnswer, Problem> {
    let offered = admitted.len() as u64;
    let appended = shared.app.door.append(admitted).await;
    count(&shared.app.metrics, &appended, offered);
    appended.map_err(|error| problem_of(&error))
}

fn count(metrics: &Metrics, appended: &Result<DoorAnswer, DoorError>, offered: u64) {
    match appended {
        Ok(answer) => {
            let duplicates = answer.duplicates as u64;
            metrics.events(EventResult::Accepted, answer.accepted as u64 - duplicates);
            metrics.events(EventResult::Duplicate, duplicates);
            metrics.events(EventResult::Rejected, answer.rejected as u64);
        }
        Err(error) => {
            metrics.events(EventResult::Failed, offered);
            if matches!(error, DoorError::Overloaded) {
                metrics.shed("door");
            }
        }
    }
}

/// The answer with the status that sums it up.
pub(crate) fn reply(answer: DoorAnswer, id: &RequestId) -> Response {
    if answer.accepted == 0 {
        return none_accepted(&answer).into_response();
    }
    let status = if answer.rejected == 0 { StatusCode::ACCEPTED } else { StatusCode::OK };
    let body = WithRequestId { body: answer, request_id: id.as_str() };
    (status, Json(body)).into_response()
}

/// The same members as any answer, as those of a problem.
fn none_accepted(answer: &DoorAnswer) -> Problem {
    let detail = match answer.errors.as_slice() {
        [one] => one.detail.clone(),
        several => format!("none of {} events was accepted, see errors", several.len()),
    };
    let members = serde_json::to_value(answer).ok();
    let members = members.and_then(|value| value.as_object().cloned()).unwrap_or_default();
    Problem::new(Kind::NoEventAccepted, detail).with_members(members)
}

pub(crate) fn problem_of(error: &DoorError) -> Problem {
    match error {
        DoorError::Refused(refusal) => {
            let kind = match refusal {
                RequestRefusal::TooLarge { .. } => Kind::TooLarge,
                RequestRefusal::TooManyEvents { .. } => Kind::TooManyEvents,
                RequestRefusal::NoEvents => Kind::NoEvents,
                RequestRefusal::Malformed { .. } => Kind::MalformedJson,
            };
            Problem::new(kind, refusal.to_string())
        }
        DoorError::Overloaded => {
            Problem::new(Kind::Overloaded, format!("{error}: send the same again"))
                .retry_after_ms(RETRY_AFTER_MS)
        }
        DoorError::Closed => Problem::new(
            Kind::Unavailable,
            "the server is shutting down, nothing was written: send the same again",
        )
        .retry_after_ms(5_000),
        DoorError::NotWritten(_) => Problem::new(
            Kind::Unavailable,
            "the log did not take the events, nothing was written: the operator must look",
        )
        .retry_after_ms(5_000),
        DoorError::Unknown(_) => Problem::new(
            Kind::Unavailable,
            "whether the log took the events is unknown: send them again with the same event ids",
        )
        .retry_after_ms(5_000),
    }
}
