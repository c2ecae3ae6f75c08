//! What is known of users: `GET /v1/users/{id}/features`, `GET /v1/demo/personas`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use eddyline_schemas::id::UserId;

use crate::http::Shared;
use crate::http::path::IdInPath;
use crate::http::problem::{Kind, Problem};
use crate::http::query::Query;
use crate::http::reply::{self, Form};
use crate::http::request_id::RequestId;

/// The feature document of a user.
pub(crate) async fn features(
    State(shared): State<Arc<Shared>>,
    IdInPath(user): IdInPath<UserId>,
    id: RequestId,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let recommender = shared.app.recommender.clone();
    let found = shared.compute.run(move || recommender.user_features(&user)).await?;
    found.map(|document| reply::ok(document, &id)).map_err(|error| Form::Query.problem(&error))
}

/// Whom to look at in the simulated shop.
pub(crate) async fn personas(
    State(shared): State<Arc<Shared>>,
    id: RequestId,
) -> Result<Response, Problem> {
    match &shared.app.demo {
        Some(demo) => Ok(reply::ok(demo, &id)),
        None => Err(Problem::new(Kind::NotFound, "there are personas in a demo only")),
    }
}
