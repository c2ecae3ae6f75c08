//! Forgetting a user: what lies on the log, and what the job says.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::Fixture;

#[tokio::test]
async fn a_request_is_an_event_on_the_log_and_its_job_is_told() {
    let fixture = Fixture::new();
    // Whatever an id may have, the verb itself too.
    let path = "/v1/users/Zo%C3%AB%20%22the%2Fone%22%20%5C%20a%3Aerase:erase";
    let answer = fixture.post(path, String::new()).await;
    let begun = answer.json();
    assert_eq!(answer.status, 202, "{begun}");
    let logged = fixture.logged();
    assert_eq!((logged.len(), logged[0].event_type.name()), (1, "erase"));
    assert_eq!(logged[0].key(), "Zoë \"the/one\" \\ a:erase");
    let receipt = begun["receipt"].as_str().expect("where it is");
    let job = fixture.get(receipt).await.json();
    assert_eq!((&job["job"], &job["state"]), (&begun["job"], &json!("pending")));
    assert_eq!(
        (&job["epoch"], &job["forgotten"], &job["receipt"]),
        (&json!(null), &json!(false), &json!(null))
    );
    fixture.operations.bound_epoch.store(9, Ordering::SeqCst);
    let job = fixture.get(receipt).await.json();
    assert_eq!((&job["epoch"], &job["forgotten"]), (&json!(9), &json!(false)), "{job}");
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let fixture = Fixture::new();
    for (path, status) in [
        ("/v1/users/u1", 404),
        ("/v1/users/u1:forget", 404),
        ("/v1/users/:erase", 400),
        ("/v1/users/%7Bu%7D:erase", 400),
        ("/v1/users/%FF:erase", 400),
    ] {
        assert_eq!(fixture.post(path, String::new()).await.status, status, "{path}");
    }
    assert_eq!(fixture.logged().len(), 0);
    for job in ["nonsense", "%FF"] {
        fixture.get(&format!("/v1/jobs/{job}")).await.problem(404, "not-found");
    }
    assert_eq!(fixture.get("/v1/users/u1").await.status, 405);
}
