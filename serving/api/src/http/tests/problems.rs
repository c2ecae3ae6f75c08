//! Whatever goes wrong is a problem with a request id, and only that request's matter.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;

use super::{Fixture, memory_log};
use crate::door::DoorLimits;
use crate::http::{Access, HashedKey, HttpConfig};

#[tokio::test]
async fn unknown_routes_and_methods() {
    let fixture = Fixture::new();
    fixture.get("/nope").await.problem(404, "no-such-route");
    let answer = fixture.get("/v1/events").await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test]
async fn parameters_are_named_with_their_remedy() {
    let fixture = Fixture::new();
    let check = async |path: &str, pointer: &str| {
        let body = fixture.get(path).await.problem(400, "invalid-parameter");
        assert_eq!(body["errors"][0]["pointer"], pointer, "{body}");
    };
    check("/recommendations?num_results=0", "?num_results").await;
    check("/recommendations?num_results=many", "?num_results").await;
    check("/recommendations?user_id=%7B", "?user_id").await;
    check("/recommendations?exploration=NaN", "?exploration").await;
    check("/recommendations?retrieval=fast", "?retrieval").await;
    check("/recommendations?usr_id=u1", "?usr_id").await;
    check("/recommendations?user_id=u1&after=xyz", "?after").await;
    check("/v1/popular?window=1h", "?window").await;
    check("/v1/items/%ff/similar", "{id}").await;
    let body = fixture.post("/v1/recommendations", r#"{"consistency":{"after":"x"}}"#).await;
    let body = body.problem(422, "invalid-field");
    assert_eq!(body["errors"][0]["pointer"], "/consistency/after");
    let body = fixture.post("/v1/recommendations", r#"{"user_id":1}"#).await;
    assert_eq!(body.problem(422, "invalid-field")["errors"][0]["pointer"], "/user_id");
}

#[tokio::test]
async fn unknown_items_and_users_are_not_found() {
    let fixture = Fixture::new();
    fixture.get("/v1/items/nope").await.problem(404, "not-found");
    fixture.get("/v1/items/nope/similar").await.problem(404, "not-found");
    fixture.post("/v1/items/nope/similar", "{}").await.problem(404, "not-found");
    fixture.get("/v1/users/nope/features").await.problem(404, "not-found");
}

#[tokio::test]
async fn a_panic_is_one_request_s_matter() {
    let fixture = Fixture::new();
    fixture.operations.bound_epoch.store(u64::MAX, Ordering::SeqCst);
    let body = fixture.get("/v1/pipeline").await.problem(500, "internal");
    assert!(!body.to_string().contains("planted"), "the inside is not shown");
    fixture.operations.bound_epoch.store(1, Ordering::SeqCst);
    assert_eq!(fixture.get("/v1/pipeline").await.status, 200);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered() {
    let config = HttpConfig { budget: Duration::from_millis(20), ..HttpConfig::default() };
    let fixture = Fixture::with(memory_log(), DoorLimits::default(), config);
    let never = Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
    fixture.post("/v1/events", never).await.problem(503, "timed-out");
}

#[tokio::test]
async fn without_a_place_a_request_is_turned_away() {
    let config = HttpConfig { compute_places: 0, ..HttpConfig::default() };
    let fixture = Fixture::with(memory_log(), DoorLimits::default(), config);
    let answer = fixture.get("/recommendations?user_id=u1").await;
    answer.problem(503, "overloaded");
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn ids_of_callers_come_back() {
    let fixture = Fixture::new();
    let ask = async |id: &str| {
        let request = Request::get("/nope").header("x-request-id", id);
        let answer = fixture.send(request.body(Body::empty()).expect("a request")).await;
        answer.problem(404, "no-such-route")["request_id"].clone()
    };
    assert_eq!(ask("mine-1").await, "mine-1");
    assert_ne!(ask("not fit").await, "not fit");
}

#[tokio::test]
async fn other_hosts_and_missing_keys_are_refused() {
    let fixture = Fixture::new();
    let request = Request::get("/version").header("host", "evil.example");
    let answer = fixture.send(request.body(Body::empty()).expect("a request")).await;
    answer.problem(421, "misdirected-request");

    let access = Access::Keys(vec![HashedKey::of("secret")]);
    let config = HttpConfig { access, ..HttpConfig::default() };
    let fixture = Fixture::with(memory_log(), DoorLimits::default(), config);
    let answer = fixture.get("/v1/pipeline").await;
    answer.problem(401, "unauthorized");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    fixture.get("/nope").await.problem(401, "unauthorized");
    assert_eq!(fixture.get("/livez").await.status, 200);
    let request = Request::get("/v1/pipeline").header("authorization", "Bearer secret");
    let answer = fixture.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, 200);
}
