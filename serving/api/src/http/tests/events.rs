//! Events in: verdicts, statuses, pointers, tokens, and a log that is slow or gone.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use eddyline_connect::log::{
    Append, AppendError, AppendVersion, EventLog, ReadBatch, ReadError, ReadLimit,
};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::{Condvar, Mutex};
use serde_json::json;

use super::{Fixture, memory_log, view};
use crate::door::{ConsistencyToken, DoorLimits};
use crate::http::HttpConfig;

#[tokio::test]
async fn one_event_is_accepted_and_on_the_log() {
    let fixture = Fixture::new();
    let answer = fixture.post("/v1/events", view("u1", "i1").to_string()).await;
    let body = answer.json();
    assert_eq!(answer.status, 202, "{body}");
    assert_eq!((&body["accepted"], &body["rejected"]), (&json!(1), &json!(0)));
    assert_eq!(body["request_id"], answer.headers["x-request-id"].to_str().expect("ASCII"));
    let token = body["consistency_token"].as_str().expect("a token");
    let token = ConsistencyToken::parse(token).expect("our own token");
    assert_eq!(token.positions().len(), 1);
    let logged = fixture.logged();
    assert_eq!(logged.len(), 1);
    assert_eq!(logged[0].key(), "u1");
}

#[tokio::test]
async fn a_batch_is_taken_in_part_and_each_refusal_is_named() {
    let fixture = Fixture::new();
    let rate = |rating: f64| json!({"event_type": "rate", "user_id": "u1", "item_id": "i1", "rating": rating});
    let events = json!({"events": [view("u1", "i1"), rate(9e9), {"event_type": "view"},
        {"event_id": "e3", "event_type": "like", "user_id": "u{", "item_id": "i1"}, rate(4.0)]});
    let answer = fixture.post("/v1/events", events.to_string()).await;
    let body = answer.json();
    assert_eq!(answer.status, 200, "{body}");
    assert_eq!((&body["accepted"], &body["rejected"]), (&json!(2), &json!(3)));
    let place =
        |at: usize| (body["errors"][at]["index"].clone(), body["errors"][at]["pointer"].clone());
    assert_eq!(place(0), (json!(1), json!("/events/1/rating")));
    assert_eq!(place(1), (json!(2), json!("/events/2/user_id")));
    assert_eq!(place(2), (json!(3), json!("/events/3/user_id")));
    assert_eq!(body["errors"][0]["type"], "/problems/invalid-field");
    assert_eq!(body["errors"][2]["event_id"], "e3");
    assert_eq!(fixture.logged().len(), 2);
}

#[tokio::test]
async fn none_accepted_is_a_problem_with_the_same_members() {
    let fixture = Fixture::new();
    let check = async |event: serde_json::Value, slug: &str, pointer: &str| {
        let answer = fixture.post("/v1/events", event.to_string()).await;
        let body = answer.problem(422, "no-event-accepted");
        assert_eq!(body["accepted"], 0);
        assert_eq!(body["rejected"], 1);
        assert_eq!(body["errors"][0]["type"], format!("/problems/{slug}"), "{body}");
        assert_eq!(body["errors"][0]["pointer"], pointer, "{body}");
    };
    let with = |member: &str, value: serde_json::Value| {
        let mut event = view("u1", "i1");
        event[member] = value;
        event
    };
    check(with("user_id", json!("x".repeat(129))), "invalid-field", "/user_id").await;
    check(with("user_id", json!(7)), "invalid-field", "/user_id").await;
    check(with("timestamp", json!("3026-03-01T12:00:00Z")), "timestamp-out-of-range", "/timestamp")
        .await;
    check(with("timestamp", json!("yesterday")), "invalid-field", "/timestamp").await;
    check(with("timestamp", json!(-1)), "timestamp-out-of-range", "/timestamp").await;
    check(with("event_type", json!("veiw")), "unknown-event-type", "/event_type").await;
    check(json!({"events": [with("value", json!("1"))]}), "invalid-field", "/events/0/value").await;
    assert!(fixture.logged().is_empty());
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_whole() {
    let fixture = Fixture::new();
    let check = async |body: &str, status: u16, slug: &str| {
        fixture.post("/v1/events", body.to_owned()).await.problem(status, slug);
    };
    check("", 400, "malformed-json").await;
    check("{\"event_type\":", 400, "malformed-json").await;
    check("[]", 400, "malformed-json").await;
    check("{\"events\": 7}", 400, "malformed-json").await;
    check("{\"events\": [{\"event_type\": \"view\", \"value\": NaN}]}", 400, "malformed-json")
        .await;
    check("{\"events\": []}", 400, "no-events").await;
    let many = json!({"events": vec![json!({}); 1_001]}).to_string();
    check(&many, 413, "too-many-events").await;
    check(&"x".repeat((1 << 20) + 1), 413, "too-large").await;
    let xml = fixture.post_as("/v1/events", "text/xml", "<a/>").await;
    xml.problem(415, "unsupported-media-type");
    let request = Request::post("/v1/events").header("content-encoding", "zstd");
    let zstd = fixture.send(request.body(Body::from("x")).expect("a request")).await;
    zstd.problem(415, "unsupported-media-type");
    assert!(fixture.logged().is_empty());
}

#[tokio::test]
async fn lines_are_events_and_a_bad_line_is_its_own_matter() {
    let fixture = Fixture::new();
    let lines = format!("{}\n\nnot json\n{}\n", view("u1", "i1"), view("u2", "i2"));
    let answer = fixture.post_as("/v1/events", "application/x-ndjson; charset=utf-8", lines).await;
    let body = answer.json();
    assert_eq!(answer.status, 200, "{body}");
    assert_eq!(body["errors"][0]["index"], 1);
    assert_eq!(body["errors"][0]["type"], "/problems/malformed-json");
    assert_eq!(fixture.logged().len(), 2);
}

#[tokio::test]
async fn gzip_is_understood() {
    use std::io::Write as _;
    let fixture = Fixture::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(view("u1", "i1").to_string().as_bytes()).expect("memory takes it");
    let packed = encoder.finish().expect("memory takes it");
    let request = Request::post("/v1/events").header("content-encoding", "gzip");
    let answer = fixture.send(request.body(Body::from(packed)).expect("a request")).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(fixture.logged().len(), 1);
}

#[tokio::test]
async fn a_repeated_id_is_accepted_and_said_to_be_a_duplicate() {
    let fixture = Fixture::new();
    let mut event = view("u1", "i1");
    event["event_id"] = json!("e1");
    assert_eq!(fixture.post("/v1/events", event.to_string()).await.json()["duplicates"], 0);
    let again = fixture.post("/v1/events", event.to_string()).await;
    assert_eq!((again.status.as_u16(), &again.json()["duplicates"]), (202, &json!(1)));
    let metrics = fixture.get("/metrics").await.text();
    assert!(metrics.contains("eddyline_events_total{result=\"duplicate\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn the_catalogue_is_written_through_the_log() {
    let fixture = Fixture::new();
    let put = |path: &str, body: &str| {
        let request = Request::put(path).header("content-type", "application/json");
        request.body(Body::from(body.to_owned())).expect("a request")
    };
    let answer = fixture.send(put("/v1/items/a%2Fb%20c", r#"{"title":"T","price":2}"#)).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.json()["item_id"], "a/b c");
    assert!(answer.json()["consistency_token"].is_string());
    let refused = fixture.send(put("/v1/items/i1", r#"{"price":"two"}"#)).await;
    assert_eq!(refused.problem(422, "invalid-field")["errors"][0]["pointer"], "/price");
    fixture.send(put("/v1/items/i1", "")).await.problem(400, "malformed-json");
    fixture.send(put("/v1/items/%7B", "{}")).await.problem(400, "invalid-parameter");
    let request = Request::delete("/v1/items/i1").body(Body::empty()).expect("a request");
    assert_eq!(fixture.send(request).await.status, 202);
    let names: Vec<String> =
        fixture.logged().iter().map(|event| event.event_type.name().to_owned()).collect();
    assert_eq!(names, ["item_upsert", "item_delete"]);
}

#[tokio::test]
async fn a_batch_of_items_has_a_verdict_each() {
    let fixture = Fixture::new();
    let items = json!({"items": [{"item_id": "i1", "title": "T"}, {"item_id": "i2", "price": "x"},
        {"title": "no id"}]});
    let answer = fixture.post("/v1/items:batch", items.to_string()).await;
    let body = answer.json();
    assert_eq!(answer.status, 200, "{body}");
    assert_eq!(body["errors"][0]["pointer"], "/items/1/price");
    assert_eq!(body["errors"][1]["pointer"], "/items/2/item_id");
    assert_eq!(fixture.logged().len(), 1);
}

#[test]
fn in_process_producers_take_the_same_way() {
    let fixture = Fixture::new();
    let door = &fixture.app.door;
    let body = json!({"events": [view("u1", "i1"), {"event_type": "view"}]}).to_string();
    let kind = eddyline_schemas::decode::BodyKind::Json;
    let answer = door.submit_body_blocking(body.as_bytes(), kind).expect("the log takes it");
    assert_eq!((answer.accepted, answer.rejected), (1, 1));
    let again = door.submit_blocking(&fixture.logged()).expect("the log takes it");
    assert_eq!((again.accepted, again.duplicates), (1, 1));
    door.close();
    assert!(door.submit_blocking(&fixture.logged()).is_err());
}

/// A log whose appends wait until the gate is open, or fail.
struct GatedLog {
    inner: Arc<dyn EventLog>,
    shut: Mutex<bool>,
    opened: Condvar,
    failure: Mutex<Option<AppendError>>,
}

impl GatedLog {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: memory_log(),
            shut: Mutex::new(false),
            opened: Condvar::new(),
            failure: Mutex::new(None),
        })
    }

    fn shut(&self, shut: bool) {
        *self.shut.lock() = shut;
        self.opened.notify_all();
    }
}

impl EventLog for GatedLog {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        self.opened.wait_while(&mut self.shut.lock(), |shut| *shut);
        match self.failure.lock().take() {
            Some(failure) => Err(failure),
            None => self.inner.append(batch),
        }
    }

    fn read(
        &self,
        at: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        self.inner.read(at, from, limit)
    }

    fn start_offset(&self, at: TopicPartition) -> Result<Offset, ReadError> {
        self.inner.start_offset(at)
    }

    fn end_offset(&self, at: TopicPartition) -> Result<Offset, ReadError> {
        self.inner.end_offset(at)
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.inner.topic_id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.inner.wait(seen, timeout)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_what_was_taken_is_written() {
    let log = GatedLog::new();
    let limits = DoorLimits { appenders: 1, max_queued_requests: 1, ..DoorLimits::default() };
    let fixture = Arc::new(Fixture::with(Arc::clone(&log) as _, limits, HttpConfig::default()));
    log.shut(true);
    // One is being appended and one waits; of the next ones at least one finds no place.
    let send = |number: usize| {
        let fixture = Arc::clone(&fixture);
        let event = view(&format!("u{number}"), "i1").to_string();
        tokio::spawn(async move { fixture.post("/v1/events", event).await })
    };
    let mut waiting = Vec::new();
    let refused = loop {
        let mut task = send(waiting.len());
        match tokio::time::timeout(Duration::from_millis(200), &mut task).await {
            Ok(answer) => break answer.expect("the handler does not panic"),
            Err(_) => waiting.push(task),
        }
        assert!(waiting.len() <= 2, "a queue of one holds no three");
    };
    let body = refused.problem(503, "overloaded");
    assert!(refused.headers.contains_key("retry-after"));
    assert!(body["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0));
    log.shut(false);
    let taken = waiting.len();
    for task in waiting {
        assert_eq!(task.await.expect("the handler does not panic").status, 202);
    }
    assert_eq!(fixture.logged().len(), taken, "the refused event is not on the log");
}

#[tokio::test]
async fn a_log_that_fails_says_what_may_be_done() {
    let log = GatedLog::new();
    let fixture =
        Fixture::with(Arc::clone(&log) as _, DoorLimits::default(), HttpConfig::default());
    let check = async |failure: AppendError, says: &str| {
        *log.failure.lock() = Some(failure);
        let answer = fixture.post("/v1/events", view("u1", "i1").to_string()).await;
        let body = answer.problem(503, "unavailable");
        assert!(body["detail"].as_str().is_some_and(|text| text.contains(says)), "{body}");
    };
    check(AppendError::Stopped("disk full".to_owned()), "nothing was written").await;
    check(AppendError::Unknown("torn".into()), "same event ids").await;
    assert_eq!(fixture.post("/v1/events", view("u1", "i1").to_string()).await.status, 202);
}
