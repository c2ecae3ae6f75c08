//! What is known of users: `GET /v1/users/{id}/features`, `GET /v1/demo/personas`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use eddyline_schemas::id::UserId;

use crate::contract::UserFeaturesDocument;
use crate::http::Shared;
use crate::http::path::IdInPath;
use crate::http::problem::{Kind, Problem};
use crate::http::query::Query;
use crate::http::reply::{self, Form};
use crate::http::request_id::RequestId;

/// Which copy of a document is asked for.
#[derive(Clone, Copy)]
enum Source {
    Memory,
    Store,
}

/// The feature document of a user.
pub(crate) async fn features(
    State(shared): State<Arc<Shared>>,
    IdInPath(user): IdInPath<UserId>,
    id: RequestId,
    mut query: Query,
) -> Result<Response, Problem> {
    let choices = [("memory", Source::Memory), ("store", Source::Store)];
    let source = query.choice("source", &choices).unwrap_or(Source::Memory);
    let recommender = shared.asked(&mut query);
    query.finish()?;
    let read = move || match source {
        Source::Memory => recommender.user_features(&user),
        Source::Store => recommender.stored_features(&user),
    };
    let found = shared.compute.run(read).await?;
    if let Ok(UserFeaturesDocument { fallback: Some(fallback), .. }) = &found {
        shared.app.metrics.fallback(fallback.tier);
    }
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
