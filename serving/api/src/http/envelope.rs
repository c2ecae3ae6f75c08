//! What every request goes through, whatever its route: an id, the right to ask, a time budget,
//! a net under panics, `Server-Timing`, and the sums for Prometheus.
//!
//! Invariant: whatever happens inside, the caller gets an answer with the request's id, and an
//! error is `application/problem+json`.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::Shared;
use crate::http::problem::{Kind, Problem};
use crate::http::request_id::{self, RequestId};

/// The header that names the stages of an answer and their times.
const SERVER_TIMING: &str = "server-timing";
/// A request that only asks may simply be repeated; one that sends events has ids for that.
const NOT_DONE: &str = "the request was not done within its budget; events that it sent may have \
    been taken: send the same again, with the same event ids";

/// Times of the stages of an answer; a handler adds it to the response's extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stages(pub(crate) Vec<(&'static str, Duration)>);

/// The middleware of the module doc.
pub(crate) async fn envelope(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = RequestId::of_caller(request.headers()).unwrap_or_else(|| shared.ids.next());
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.and_then(|path| shared.route(path.as_str()));
    request.extensions_mut().insert(id.clone());
    let response = match shared.app.config.access.check(request.headers(), route) {
        Ok(()) => answer(next.run(request), shared.app.config.budget, &id).await,
        Err(problem) => problem.into_response(),
    };
    let response = finish(response, &id, began.elapsed());
    if response.status().is_server_error() {
        let status = response.status().as_u16();
        tracing::warn!(request_id = id.as_str(), route, status, "a request failed");
    }
    record(&shared, &response, route.unwrap_or("unknown"), began.elapsed());
    response
}

/// The handler's response, or a problem in its place.
async fn answer(
    handler: impl Future<Output = Response>,
    budget: Duration,
    id: &RequestId,
) -> Response {
    match tokio::time::timeout(budget, catch(handler)).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let (request_id, cause) = (id.as_str(), text_of(panic.as_ref()));
            tracing::error!(request_id, cause, "a handler panicked");
            Problem::internal().into_response()
        }
        Err(_) => Problem::new(Kind::TimedOut, NOT_DONE).retry_after_ms(1_000).into_response(),
    }
}

/// Runs `future` and catches its panic. It is not polled again after one.
async fn catch<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}

/// Writes the id and the times into the response, and the id into a problem's body.
fn finish(mut response: Response, id: &RequestId, took: Duration) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let body = problem.body(Some(id.as_str()));
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Body::from(body);
    }
    let timing = timing_header(response.extensions().get::<Stages>(), took);
    let headers = response.headers_mut();
    headers.insert(request_id::HEADER, id.to_header());
    headers.insert(SERVER_TIMING, timing);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn timing_header(stages: Option<&Stages>, took: Duration) -> HeaderValue {
    let ms = |took: &Duration| took.as_secs_f64() * 1_000.0;
    let mut text = format!("total;dur={:.3}", ms(&took));
    for (name, took) in stages.iter().flat_map(|stages| &stages.0) {
        text.push_str(&format!(", {name};dur={:.3}", ms(took)));
    }
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("total"))
}

fn record(shared: &Shared, response: &Response, route: &'static str, took: Duration) {
    let metrics = &shared.app.metrics;
    metrics.answer(response.status().as_u16());
    metrics.request(route, "total", took);
    if let Some(stages) = response.extensions().get::<Stages>() {
        for (stage, took) in &stages.0 {
            metrics.request(route, stage, *took);
        }
    }
}
