//! The catalogue: `GET|PUT|DELETE /v1/items/{id}`, `POST /v1/items:batch`.
//!
//! A write is an event like any other: it passes the one validator and the log, and is visible
//! when its epoch is applied; the token in the answer waits for that.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use eddyline_schemas::decode::BodyKind;
use eddyline_schemas::id::ItemId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::door::Admitted;
use crate::http::Shared;
use crate::http::body::read_json;
use crate::http::events::{append, problem_of, reply as reply_to_events};
use crate::http::path::IdInPath;
use crate::http::problem::{Kind, Problem};
use crate::http::query::Query;
use crate::http::reply::{self, Form, WithRequestId};
use crate::http::request_id::RequestId;

/// An item as serving knows it.
pub(crate) async fn read(
    State(shared): State<Arc<Shared>>,
    IdInPath(item): IdInPath<ItemId>,
    id: RequestId,
    mut query: Query,
) -> Result<Response, Problem> {
    let asked = shared.asked(&mut query);
    query.finish()?;
    let found = asked.item(&item);
    found.map(|view| reply::ok(view, &id)).map_err(|error| Form::Query.problem(&error))
}

/// Sets an item's row; the body is the whole document.
pub(crate) async fn put(
    State(shared): State<Arc<Shared>>,
    IdInPath(item): IdInPath<ItemId>,
    id: RequestId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let limit = shared.app.config.max_body_bytes;
    let document: Map<String, Value> = read_json(&headers, body, limit).await?;
    let event = json!({"event_type": "item_upsert", "item_id": item, "item": document});
    write(&shared, &item, &event, &id).await
}

/// Takes an item out of the catalogue.
pub(crate) async fn delete(
    State(shared): State<Arc<Shared>>,
    IdInPath(item): IdInPath<ItemId>,
    id: RequestId,
) -> Result<Response, Problem> {
    let event = json!({"event_type": "item_delete", "item_id": item});
    write(&shared, &item, &event, &id).await
}

/// The answer to a write: it is durable, and visible once the token's epoch is applied.
#[derive(Serialize)]
struct Written<'a> {
    item_id: &'a ItemId,
    consistency_token: Option<String>,
}

async fn write(
    shared: &Arc<Shared>,
    item: &ItemId,
    event: &Value,
    id: &RequestId,
) -> Result<Response, Problem> {
    let admitted = admit(shared, event.to_string()).await?;
    if let Some(first) = admitted.errors().first() {
        let problem = Problem::new(Kind::InvalidField, first.detail.as_str());
        let place = first.pointer.strip_prefix("/item").unwrap_or(&first.pointer);
        return Err(problem.at(place, first.detail.as_str()));
    }
    let answer = append(shared, admitted).await?;
    let written = Written { item_id: item, consistency_token: answer.consistency_token };
    let body = WithRequestId { body: written, request_id: id.as_str() };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// Many items at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemsBatch {
    /// Documents, each with its `item_id`.
    items: Vec<Map<String, Value>>,
}

/// Sets the rows of many items, each with its own verdict.
pub(crate) async fn batch(
    State(shared): State<Arc<Shared>>,
    id: RequestId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let limit = shared.app.config.max_body_bytes;
    let batch: ItemsBatch = read_json(&headers, body, limit).await?;
    let events: Vec<Value> = batch.items.into_iter().map(upsert_of).collect();
    let mut admitted = admit(&shared, json!({ "events": events }).to_string()).await?;
    admitted.map_pointers(pointer_into_items);
    Ok(reply_to_events(append(&shared, admitted).await?, &id))
}

fn upsert_of(mut document: Map<String, Value>) -> Value {
    let item_id = document.shift_remove("item_id").unwrap_or(Value::Null);
    json!({"event_type": "item_upsert", "item_id": item_id, "item": document})
}

/// From `/events/3/item/price` to `/items/3/price`.
fn pointer_into_items(pointer: &str) -> String {
    let below = pointer.strip_prefix("/events/").unwrap_or(pointer);
    let (index, member) = below.split_once('/').unwrap_or((below, ""));
    match member.strip_prefix("item/").unwrap_or(member) {
        "" | "item" => format!("/items/{index}"),
        member => format!("/items/{index}/{member}"),
    }
}

async fn admit(shared: &Arc<Shared>, body: String) -> Result<Admitted, Problem> {
    let door = Arc::clone(&shared.app.door);
    let work = move || door.admit(body.as_bytes(), BodyKind::Json);
    shared.compute.run(work).await?.map_err(|error| problem_of(&error))
}

#[cfg(test)]
mod tests {
    use super::pointer_into_items;

    #[test]
    fn places_are_said_in_the_words_of_the_request() {
        let check = |event: &str, want: &str| assert_eq!(pointer_into_items(event), want);
        check("/events/3/item/price", "/items/3/price");
        check("/events/3/item/tags/1", "/items/3/tags/1");
        check("/events/3/item_id", "/items/3/item_id");
        check("/events/3/item", "/items/3");
        check("/events/3", "/items/3");
    }
}
