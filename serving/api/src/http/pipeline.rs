//! The dataflow as operators see it: `GET /v1/pipeline`, `/v1/digest`, `/v1/stream`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use eddyline_schemas::lineage::{Epoch, Lineage};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::http::Shared;
use crate::http::operations::PipelineReport;
use crate::http::problem::{Kind, Problem};
use crate::http::query::Query;
use crate::http::reply;
use crate::http::request_id::RequestId;
use crate::switch::Watched;

/// Least time between two messages of a stream.
const STREAM_SPACING: Duration = Duration::from_millis(100);

/// The dataflow's report, and how far serving has followed it.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    pipeline: PipelineReport,
    serving_epoch: Epoch,
    /// Of the answers; `lineage` is the one that the dataflow folds.
    serving_lineage: Option<Lineage>,
    items: usize,
}

fn report_of(shared: &Shared) -> Report {
    let progress = shared.app.switch.active().state().progress();
    Report {
        pipeline: shared.app.operations.pipeline(),
        serving_epoch: progress.epoch,
        serving_lineage: progress.lineage,
        items: progress.items,
    }
}

/// Where every accepted event ended up.
pub(crate) async fn report(
    State(shared): State<Arc<Shared>>,
    id: RequestId,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    Ok(reply::ok(report_of(&shared), &id))
}

/// Digest of the dataflow's state now.
pub(crate) async fn digest(
    State(shared): State<Arc<Shared>>,
    id: RequestId,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let operations = Arc::clone(&shared.app.operations);
    let digest = shared.slow.run(move || operations.digest()).await?;
    digest
        .map(|report| reply::ok(report, &id))
        .map_err(|error| Problem::new(Kind::Unavailable, error.to_string()).retry_after_ms(1_000))
}

struct StreamState {
    shared: Arc<Shared>,
    progress: Watched,
    closing: watch::Receiver<bool>,
    first: bool,
    _place: OwnedSemaphorePermit,
}

/// One server-sent event `epoch` for what was committed, at most ten a second.
pub(crate) async fn stream(
    State(shared): State<Arc<Shared>>,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let Ok(place) = Arc::clone(&shared.streams).try_acquire_owned() else {
        shared.app.metrics.shed("streams");
        let full = "too many streams are open: poll /v1/pipeline instead";
        return Err(Problem::new(Kind::Overloaded, full).retry_after_ms(5_000));
    };
    let state = StreamState {
        progress: shared.app.switch.watch(),
        closing: shared.closing.subscribe(),
        first: true,
        _place: place,
        shared,
    };
    Ok(Sse::new(events_of(state)).keep_alive(KeepAlive::default()).into_response())
}

fn events_of(state: StreamState) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(state, |mut state| async move {
        if !std::mem::take(&mut state.first) {
            tokio::select! {
                () = next_change(&mut state.progress) => {}
                _ = state.closing.wait_for(|closing| *closing) => return None,
            }
        }
        let report = report_of(&state.shared);
        let event = Event::default().event("epoch").json_data(report);
        let event = event.expect("numbers and text always serialise");
        Some((Ok(event), state))
    })
}

/// Ends with the first change after the spacing.
async fn next_change(progress: &mut Watched) {
    tokio::time::sleep(STREAM_SPACING).await;
    progress.changed().await;
}
