//! Handlers, asked through the whole router over a log in memory and a dataflow that tests steer.

mod answers;
mod erasures;
mod events;
mod hostile;
mod lineages;
mod pages;
mod problems;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use eddyline_connect::clock::{Clock, ManualClock};
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_connect::memory::MemoryLog;
use eddyline_schemas::decode::decode_record;
use eddyline_schemas::delta::PipelineCounts;
use eddyline_schemas::event::Event;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::door::{Door, DoorLimits};
use crate::http::lineages::OneLineage;
use crate::http::operations::{Dependency, DigestReport, Erasure, NotAvailable, PipelineReport};
use crate::http::{AppState, DemoInfo, HttpConfig, Operations, Persona, router};
use crate::state::{ServingConfig, ServingState};
use crate::switch::Switch;

/// 2026-03-01T12:00:00Z.
const NOW: TimestampMs = TimestampMs(1_772_366_400_000);

/// A dataflow that binds what it is told to bind.
#[derive(Default)]
struct SteeredOperations {
    /// Epoch that binds every position; 0 binds none.
    bound_epoch: AtomicU64,
}

impl Operations for SteeredOperations {
    fn pipeline(&self) -> PipelineReport {
        let bound = self.bound_epoch.load(Ordering::SeqCst);
        assert_ne!(bound, u64::MAX, "planted: the test asked for a panic");
        let counts = PipelineCounts { accepted: 3, applied: 2, duplicate: 1, ..Default::default() };
        PipelineReport {
            counts,
            bound_epoch: Epoch(bound),
            committed_epoch: Epoch(bound),
            snapshot_epoch: Epoch(0),
            archived_epoch: Epoch(0),
            lineage: None,
            lag: 7,
        }
    }

    fn bound_epoch_of(&self, _: TopicPartition, _: Offset) -> Option<Epoch> {
        Some(Epoch(self.bound_epoch.load(Ordering::SeqCst))).filter(|epoch| epoch.0 > 0)
    }

    fn erasure(&self, _: TopicPartition, _: Offset) -> Erasure {
        Erasure::NoArchive
    }

    fn digest(&self) -> Result<DigestReport, NotAvailable> {
        match self.bound_epoch.load(Ordering::SeqCst) {
            0 => Err(NotAvailable("there is no epoch yet".to_owned())),
            epoch => Ok(DigestReport {
                lineage: Lineage::root(Digest::of(b"core")),
                epoch: Epoch(epoch),
                state_digest: Digest::of(b"state"),
            }),
        }
    }

    fn readiness(&self) -> Vec<Dependency> {
        let ready = self.bound_epoch.load(Ordering::SeqCst) > 0;
        vec![Dependency { name: "dataflow", ready, detail: "epoch 0".to_owned() }]
    }
}

struct Fixture {
    log: Arc<dyn EventLog>,
    operations: Arc<SteeredOperations>,
    app: AppState,
    router: Router,
}

impl Fixture {
    fn new() -> Self {
        Self::with(memory_log(), DoorLimits::default(), HttpConfig::default())
    }

    fn with(log: Arc<dyn EventLog>, limits: DoorLimits, config: HttpConfig) -> Self {
        let operations = Arc::new(SteeredOperations::default());
        let door = Door::new(Arc::clone(&log), clock(), limits).expect("threads can be started");
        let persona = Persona {
            user_id: "u1".to_owned(),
            name: "Ada".to_owned(),
            description: "likes games".to_owned(),
        };
        let app = AppState {
            switch: Switch::new(Arc::new(ServingState::new(ServingConfig::default()))),
            lineages: Arc::new(OneLineage {
                core: ServingConfig::default().core,
                operations: Arc::clone(&operations) as Arc<dyn Operations>,
                why: "a test has one lineage",
            }),
            door: Arc::new(door),
            operations: Arc::clone(&operations) as Arc<dyn Operations>,
            metrics: Arc::default(),
            config,
            demo: Some(DemoInfo { personas: vec![persona], note: "simulated".to_owned() }),
        };
        Self { log, operations, router: router(app.clone()), app }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("a router never fails");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("the body is in memory");
        Answer { status: parts.status, headers: parts.headers, body: body.to_vec() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.post_as(path, "application/json", body).await
    }

    async fn post_as(&self, path: &str, media_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path).header("content-type", media_type);
        self.send(request.body(body.into()).expect("a request")).await
    }

    /// Every event on the log, by partition and offset.
    fn logged(&self) -> Vec<Event> {
        let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
        let all = Topic::INPUTS.into_iter().flat_map(|topic| {
            (0..self.log.partitions(topic))
                .map(move |partition| TopicPartition { topic, partition })
        });
        let read = |at: TopicPartition| {
            let batch = self.log.read(at, 0, limit).expect("the partition exists");
            let decode = move |(offset, record)| decode_record(at, offset, &record);
            batch.records.into_iter().map(decode)
        };
        all.flat_map(read).map(|event| event.expect("only valid events are logged")).collect()
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is text")
    }

    /// Checks the shape that every error has, and its type; returns the members.
    fn problem(&self, status: u16, slug: &str) -> Value {
        let body = self.json();
        assert_eq!(self.status.as_u16(), status, "{body}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(body["type"], format!("/problems/{slug}"), "{body}");
        assert_eq!(body["status"], status);
        for member in ["title", "detail", "request_id"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {body}");
        }
        assert_eq!(body["request_id"], self.headers["x-request-id"].to_str().expect("ASCII"));
        body
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(NOW))
}

fn memory_log() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(LogLayout::default(), clock()))
}

/// A view of an item by a user.
fn view(user: &str, item: &str) -> Value {
    serde_json::json!({"event_type": "view", "user_id": user, "item_id": item})
}
