//! `GET|POST /v1/items/{id}/similar`, `GET /v1/popular`, `GET /v1/new`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use eddyline_schemas::id::ItemId;
use serde::Deserialize;

use crate::contract::{DEFAULT_RESULTS, ItemList, MAX_RESULTS, PopularityWindow, RecommendError};
use crate::http::Shared;
use crate::http::body::read_json;
use crate::http::path::IdInPath;
use crate::http::problem::{Kind, Problem};
use crate::http::query::Query;
use crate::http::reply::{self, Form};
use crate::http::request_id::RequestId;
use crate::recommend::Recommender;

/// The body of `POST …/similar`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SimilarRequest {
    num_results: usize,
}

impl Default for SimilarRequest {
    fn default() -> Self {
        Self { num_results: DEFAULT_RESULTS }
    }
}

/// Items like one item, options as query parameters.
pub(crate) async fn similar_by_query(
    State(shared): State<Arc<Shared>>,
    IdInPath(item): IdInPath<ItemId>,
    id: RequestId,
    mut query: Query,
) -> Result<Response, Problem> {
    let (k, asked) = (results_of(&mut query), shared.asked(&mut query));
    query.finish()?;
    list((&shared, asked), Form::Query, &id, move |asked| asked.similar(&item, k)).await
}

/// Items like one item, options as JSON.
pub(crate) async fn similar_by_body(
    State(shared): State<Arc<Shared>>,
    IdInPath(item): IdInPath<ItemId>,
    (id, mut query): (RequestId, Query),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = shared.asked(&mut query);
    query.finish()?;
    let request: SimilarRequest =
        read_json(&headers, body, shared.app.config.max_body_bytes).await?;
    let k = request.num_results;
    if !(1..=MAX_RESULTS).contains(&k) {
        let detail = format!("num_results must be from 1 to {MAX_RESULTS}, got {k}");
        return Err(Problem::new(Kind::InvalidField, detail.clone()).at("/num_results", detail));
    }
    list((&shared, asked), Form::Body, &id, move |asked| asked.similar(&item, k)).await
}

/// What is popular in a window, overall or in a category.
pub(crate) async fn popular(
    State(shared): State<Arc<Shared>>,
    id: RequestId,
    mut query: Query,
) -> Result<Response, Problem> {
    let windows = [("24h", PopularityWindow::Day), ("30d", PopularityWindow::Month)];
    let window = query.choice("window", &windows).unwrap_or_default();
    let category = query.text("category");
    let (k, asked) = (results_of(&mut query), shared.asked(&mut query));
    query.finish()?;
    let ask = move |recommender: &Recommender| recommender.popular(window, category.as_deref(), k);
    list((&shared, asked), Form::Query, &id, ask).await
}

/// The newest items.
pub(crate) async fn newest(
    State(shared): State<Arc<Shared>>,
    id: RequestId,
    mut query: Query,
) -> Result<Response, Problem> {
    let (k, asked) = (results_of(&mut query), shared.asked(&mut query));
    query.finish()?;
    list((&shared, asked), Form::Query, &id, move |asked| asked.new_items(k)).await
}

fn results_of(query: &mut Query) -> usize {
    query.number("num_results", 1, MAX_RESULTS).unwrap_or(DEFAULT_RESULTS)
}

async fn list(
    (shared, recommender): (&Shared, Recommender),
    form: Form,
    id: &RequestId,
    ask: impl FnOnce(&Recommender) -> Result<ItemList, RecommendError> + Send + 'static,
) -> Result<Response, Problem> {
    let answered = shared.compute.run(move || ask(&recommender)).await?;
    let list = answered.map_err(|error| form.problem(&error))?;
    if let Some(fallback) = list.fallback {
        shared.app.metrics.fallback(fallback.tier);
    }
    Ok(reply::ok(list, id))
}
