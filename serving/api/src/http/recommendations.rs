//! `GET|POST /v1/recommendations`, and `GET /recommendations`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use eddyline_schemas::id::{ItemId, SessionId, UserId};
use serde::Serialize;

use crate::contract::{
    Consistency, DEFAULT_RESULTS, Diversity, MAX_RESULTS, RecommendRequest, RecommendResponse,
    Retrieval, Returns,
};
use crate::http::Shared;
use crate::http::body::read_json;
use crate::http::consistency::{DEFAULT_WAIT_MS, MAX_WAIT_MS, Waited, wait};
use crate::http::envelope::Stages;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::reply::Form;
use crate::http::request_id::RequestId;
use crate::recommend::Recommender;

/// The answer, and how the wait for a consistency token ended.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    response: RecommendResponse,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistency: Option<Waited>,
}

/// All options as query parameters.
pub(crate) async fn by_query(
    State(shared): State<Arc<Shared>>,
    id: RequestId,
    mut query: Query,
) -> Result<Response, Problem> {
    let asked = shared.asked(&mut query);
    let request = request_of(query)?;
    answer(&shared, (asked, request), Form::Query, &id).await
}

/// All options as JSON.
pub(crate) async fn by_body(
    State(shared): State<Arc<Shared>>,
    (id, mut query): (RequestId, Query),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = shared.asked(&mut query);
    query.finish()?;
    let request = read_json(&headers, body, shared.app.config.max_body_bytes).await?;
    answer(&shared, (asked, request), Form::Body, &id).await
}

fn request_of(mut query: Query) -> Result<RecommendRequest, Problem> {
    let usual = RecommendRequest::default();
    let request = RecommendRequest {
        user_id: query.id("user_id", UserId::new),
        anonymous_id: query.id("anonymous_id", UserId::new),
        session_id: query.id("session_id", SessionId::new),
        context: query.text("context"),
        num_results: query.number("num_results", 1, MAX_RESULTS).unwrap_or(DEFAULT_RESULTS),
        seed_items: query.ids("seed_items", ItemId::new),
        filter: query.text("filter"),
        exclude_items: query.ids("exclude_items", ItemId::new),
        exclude_seen: query.flag("exclude_seen").unwrap_or(usual.exclude_seen),
        diversity: diversity_of(&mut query, usual.diversity),
        returns: returns_of(&mut query, &usual.returns),
        consistency: consistency_of(&mut query),
        retrieval: query
            .choice("retrieval", &[("auto", Retrieval::Auto), ("exact", Retrieval::Exact)])
            .unwrap_or(usual.retrieval),
    };
    query.finish()?;
    Ok(request)
}

fn diversity_of(query: &mut Query, usual: Diversity) -> Diversity {
    Diversity {
        max_per_category: query
            .number("max_per_category", 1, MAX_RESULTS)
            .unwrap_or(usual.max_per_category),
        exploration: query.number("exploration", 0.0, 1.0).unwrap_or(usual.exploration),
    }
}

fn returns_of(query: &mut Query, usual: &Returns) -> Returns {
    let attributes = query.text("attributes").unwrap_or_default();
    let names = attributes.split(',').filter(|name| !name.is_empty());
    Returns {
        attributes: names.map(str::to_owned).collect(),
        explanations: query.flag("explanations").unwrap_or(usual.explanations),
        trace: query.flag("trace").unwrap_or(usual.trace),
    }
}

fn consistency_of(query: &mut Query) -> Option<Consistency> {
    let after = query.text("after");
    let max_wait_ms = query.number("max_wait_ms", 0, MAX_WAIT_MS).unwrap_or(DEFAULT_WAIT_MS);
    after.map(|after| Consistency { after, max_wait_ms })
}

async fn answer(
    shared: &Arc<Shared>,
    (recommender, request): (Recommender, RecommendRequest),
    form: Form,
    id: &RequestId,
) -> Result<Response, Problem> {
    let mut stages = Stages::default();
    let consistency = match &request.consistency {
        Some(asked) => {
            let began = Instant::now();
            let waited = wait((shared, &recommender), asked, form).await?;
            stages.0.push(("wait", began.elapsed()));
            Some(waited)
        }
        None => None,
    };
    let asked_at = Instant::now();
    let (queued, answered) =
        shared.compute.run(move || (asked_at.elapsed(), recommender.recommend(&request))).await?;
    let mut response = answered.map_err(|error| form.problem(&error))?;
    stages.0.push(("queue", queued));
    let timed = response.timings.iter();
    stages.0.extend(timed.map(|time| (time.stage, Duration::from_micros(time.micros))));
    if let Some(fallback) = response.fallback {
        shared.app.metrics.fallback(fallback.tier);
    }
    id.as_str().clone_into(&mut response.request_id);
    let mut reply = Json(Answer { response, consistency }).into_response();
    reply.extensions_mut().insert(stages);
    Ok(reply)
}
