//! Answers out: recommendations with consistency, operations, metrics.

use std::sync::atomic::Ordering;
use std::time::Duration;

use eddyline_schemas::delta::{EpochDeltas, PipelineCounts};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;

use super::{Fixture, NOW, view};
use crate::http::freshness;

fn empty_epoch(epoch: u64) -> EpochDeltas {
    EpochDeltas {
        lineage: Lineage::root(Digest::of(b"core")),
        epoch: Epoch(epoch),
        logical_time: NOW,
        deltas: Vec::new(),
        chain: Digest::of(b"chain"),
        counts: PipelineCounts::default(),
    }
}

impl Fixture {
    /// Binds everything on the log to `epoch` and lets serving see it.
    fn commit(&self, epoch: u64) {
        self.operations.bound_epoch.store(epoch, Ordering::SeqCst);
        self.app.switch.active().state().apply(empty_epoch(epoch)).expect("the next epoch");
    }
}

#[tokio::test]
async fn both_routes_and_both_forms_answer_alike() {
    let fixture = Fixture::new();
    let query = "user_id=u1&context=homepage&num_results=5&exploration=0";
    let short = fixture.get(&format!("/recommendations?{query}")).await;
    let long = fixture.get(&format!("/v1/recommendations?{query}")).await;
    let body =
        r#"{"user_id":"u1","context":"homepage","num_results":5,"diversity":{"exploration":0}}"#;
    let posted = fixture.post("/v1/recommendations", body).await;
    for answer in [&short, &long, &posted] {
        let body = answer.json();
        assert_eq!(answer.status, 200, "{body}");
        assert!(body["items"].is_array() && body["model"]["epoch"].is_u64(), "{body}");
        assert_eq!(body["request_id"], answer.headers["x-request-id"].to_str().expect("ASCII"));
        assert_eq!(body.get("consistency"), None);
        let timing = answer.headers["server-timing"].to_str().expect("ASCII");
        assert!(timing.starts_with("total;dur=") && timing.contains("queue;dur="), "{timing}");
    }
    assert_eq!(short.json()["items"], posted.json()["items"]);
}

#[tokio::test]
async fn a_token_is_waited_for_and_else_the_answer_is_stale() {
    let fixture = Fixture::new();
    let ingest = fixture.post("/v1/events", view("u1", "i1").to_string()).await.json();
    let token = ingest["consistency_token"].as_str().expect("a token").to_owned();
    let ask = |max_wait_ms: u64| {
        let path = format!("/recommendations?user_id=u1&after={token}&max_wait_ms={max_wait_ms}");
        let fixture = &fixture;
        async move { fixture.get(&path).await.json()["consistency"].clone() }
    };
    assert_eq!(ask(1).await["stale"], true);
    fixture.operations.bound_epoch.store(1, Ordering::SeqCst);
    let bound = ask(1).await;
    assert_eq!((&bound["stale"], &bound["epoch"]), (&true.into(), &1.into()));
    let (waited, ()) = tokio::join!(ask(2_000), async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        fixture.commit(1);
    });
    assert_eq!((&waited["stale"], &waited["epoch"]), (&false.into(), &1.into()));
    assert_eq!(ask(0).await["stale"], false);
}

#[tokio::test]
async fn freshness_is_timed_from_acceptance_to_visibility() {
    let fixture = Fixture::new();
    let watcher = tokio::spawn(freshness::watch(fixture.app.clone()));
    fixture.post("/v1/events", view("u1", "i1").to_string()).await;
    let count = |text: &str| text.contains("eddyline_freshness_seconds_count 1\n");
    assert!(!count(&fixture.get("/metrics").await.text()));
    fixture.commit(1);
    while !count(&fixture.get("/metrics").await.text()) {
        tokio::task::yield_now().await;
    }
    watcher.abort();
}

#[tokio::test]
async fn operators_see_the_pipeline() {
    let fixture = Fixture::new();
    fixture.get("/v1/digest").await.problem(503, "unavailable");
    let ready = fixture.get("/readyz").await.problem(503, "unavailable");
    assert_eq!(ready["dependencies"][0]["name"], "dataflow");
    fixture.commit(1);
    assert_eq!(fixture.get("/readyz").await.json()["status"], "ready");
    let report = fixture.get("/v1/pipeline").await.json();
    for (member, want) in [("accepted", 3), ("duplicate", 1), ("lag", 7), ("serving_epoch", 1)] {
        assert_eq!(report[member], want, "{member}");
    }
    let digest = fixture.get("/v1/digest").await.json();
    assert_eq!(digest["state_digest"].as_str().map(str::len), Some(64));
    assert_eq!(fixture.get("/version").await.json()["demo"], true);
    assert_eq!(fixture.get("/v1/demo/personas").await.json()["personas"][0]["name"], "Ada");
    let metrics = fixture.get("/metrics").await.text();
    assert!(metrics.contains("eddyline_source_lag_records 7\n"), "{metrics}");
    assert!(
        metrics
            .contains("eddyline_request_seconds_count{route=\"/v1/pipeline\",stage=\"total\"} 1")
    );
}

#[tokio::test]
async fn lists_answer() {
    let fixture = Fixture::new();
    for path in ["/v1/popular?window=24h&category=Games", "/v1/popular?window=30d", "/v1/new"] {
        let answer = fixture.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let body = answer.json();
        assert!(body["items"].is_array() && body["request_id"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn a_stream_tells_each_epoch_and_ends_with_the_server() {
    let fixture = Fixture::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let server = tokio::spawn(crate::http::serve(listener, fixture.app.clone(), shutdown));
    let mut client = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET /v1/stream HTTP/1.1\r\nhost: {address}\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut client, request.as_bytes()).await.expect("it reads");
    fixture.commit(1);
    let mut text = String::new();
    while !text.contains("\"serving_epoch\":1") {
        let mut chunk = [0; 4_096];
        let read = tokio::io::AsyncReadExt::read(&mut client, &mut chunk).await.expect("it writes");
        assert!(read > 0, "the stream ended: {text}");
        text.push_str(&String::from_utf8_lossy(&chunk[..read]));
    }
    assert!(text.contains("event: epoch"), "{text}");
    stop.send(()).expect("the server waits for it");
    let served = tokio::time::timeout(Duration::from_secs(4), server).await;
    served.expect("it ends within the grace period").expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_client_that_sends_too_much_before_it_reads_gets_its_answer() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let fixture = Fixture::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let served = crate::http::serve(listener, fixture.app.clone(), std::future::pending());
    let server = tokio::spawn(served);
    let (length, chunk) = (6 << 20, "x".repeat(6 << 20));
    let announced = format!("content-length: {length}\r\n\r\n{chunk}");
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{chunk}\r\n0\r\n\r\n");
    for rest in [announced, chunked] {
        let mut client = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let head = format!("POST /v1/events HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        client.write_all((head + &rest).as_bytes()).await.expect("all of it is taken");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("it is not cut off");
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("/problems/too-large"), "{answer}");
    }
    server.abort();
}
