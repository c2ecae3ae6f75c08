//! One lineage of several is asked, and one that cannot be is refused.

use std::sync::Arc;

use eddyline_schemas::delta::{EpochDeltas, PipelineCounts};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;

use super::{Fixture, NOW};
use crate::state::{ServingConfig, ServingState};

/// A state of another lineage than the fixture's, at an epoch of its own.
fn other() -> (Lineage, Arc<ServingState>) {
    let mut config = ServingConfig::default();
    config.core.seed += 1;
    let lineage = config.core.lineage();
    let state = ServingState::new(config);
    let deltas = EpochDeltas {
        lineage,
        epoch: Epoch(7),
        logical_time: NOW,
        deltas: Vec::new(),
        chain: Digest::of(b"chain"),
        counts: PipelineCounts::default(),
    };
    state.apply(deltas).expect("the first epoch may be any");
    (lineage, Arc::new(state))
}

#[tokio::test]
async fn a_request_is_answered_by_the_lineage_that_it_names() {
    let fixture = Fixture::new();
    let (lineage, state) = other();
    let name = lineage.to_string();
    for path in ["/recommendations", "/v1/recommendations", "/v1/popular", "/v1/new"] {
        let asked = format!("{path}?lineage={}", &name[..8]);
        let problem = fixture.get(&asked).await.problem(400, "invalid-parameter");
        assert_eq!(problem["errors"][0]["pointer"], "?lineage", "{problem}");
    }
    fixture.app.switch.add(state);
    for path in ["/recommendations", "/v1/recommendations", "/v1/popular", "/v1/new"] {
        let asked = fixture.get(&format!("{path}?lineage={}", &name[..8])).await.json();
        assert_eq!(asked["model"]["lineage"], name, "{path}");
        assert_eq!(asked["model"]["epoch"], 7, "{path}");
        assert_eq!(fixture.get(path).await.json()["model"]["epoch"], 0, "{path}");
    }
    let posted = fixture.post(&format!("/v1/recommendations?lineage={name}"), "{}").await.json();
    assert_eq!(posted["model"]["lineage"], name);
    fixture.post("/v1/recommendations?linage=x", "{}").await.problem(400, "invalid-parameter");
    fixture.get("/v1/popular?lineage=abc").await.problem(400, "invalid-parameter");

    assert!(fixture.app.switch.activate(lineage));
    assert_eq!(fixture.get("/v1/popular").await.json()["model"]["lineage"], name);
    assert_eq!(fixture.get("/version").await.json()["lineage"], name);
    let pipeline = fixture.get("/v1/pipeline").await.json();
    assert_eq!(
        (&pipeline["serving_lineage"], &pipeline["serving_epoch"]),
        (&name.into(), &7.into())
    );
}

#[tokio::test]
async fn a_process_with_one_lineage_lists_it_and_changes_nothing() {
    let fixture = Fixture::new();
    let report = fixture.get("/v1/lineages").await.json();
    let own = report["active"].as_str().expect("a lineage").to_owned();
    assert_eq!(report["lineages"][0]["lineage"], own.as_str());
    assert_eq!(report["lineages"][0]["state"], "active");
    assert!(report["lineages"][0].get("core").is_none(), "only where it is asked for");
    let report = fixture.get("/v1/lineages?core=true").await.json();
    assert_eq!(report["lineages"][0]["core"]["seed"], 1);

    let post = async |what: &str| fixture.post(&format!("/v1/lineages{what}"), "").await;
    post(&format!("/{}:activate", &own[..8])).await.problem(409, "conflict");
    post(&format!("/{own}:retire")).await.problem(409, "conflict");
    post(":rollback").await.problem(409, "conflict");
    post("/0123456789abcdef:activate").await.problem(404, "not-found");
    post("/abc:activate").await.problem(404, "not-found");
    post(&format!("/{own}:praise")).await.problem(404, "no-such-route");
    post(&format!("/{own}")).await.problem(404, "no-such-route");
    post("/%ff:activate").await.problem(404, "no-such-route");
    let metrics = fixture.get("/metrics").await.text();
    let line = format!("eddyline_lineage_active{{lineage=\"{own}\",state=\"active\"}} 1\n");
    assert!(metrics.contains(&line), "{metrics}");
}
