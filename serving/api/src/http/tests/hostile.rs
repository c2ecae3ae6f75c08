//! Whatever bytes come: no 5xx, no panic, and nothing else affected.

use axum::body::Body;
use axum::http::Request;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, proptest};
use proptest::prop_oneof;

use super::{Fixture, view};

/// Bytes, text, JSON of a wrong shape, and valid bodies with a few bytes changed.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let valid = serde_json::json!({"events": [view("u1", "i1"), view("u2", "i2")]}).to_string();
    let damaged =
        (Just(valid.into_bytes()), any::<Vec<(u16, u8)>>()).prop_map(|(mut body, changes)| {
            for (at, byte) in changes {
                let at = usize::from(at) % body.len();
                body[at] = byte;
            }
            body
        });
    let nested = (1_usize..4_000).prop_map(|depth| {
        format!("{{\"event_type\":\"view\",\"x\":{}", "[".repeat(depth)).into_bytes()
    });
    let numbers = any::<f64>().prop_map(|number| {
        format!(
            "{{\"event_type\":\"rate\",\"user_id\":\"u\",\"item_id\":\"i\",\"rating\":{number}}}"
        )
        .into_bytes()
    });
    let text = "[\\[\\]{}\":,0-9a-z\\\\\\n -]{0,200}".prop_map(String::into_bytes);
    prop_oneof![any::<Vec<u8>>(), text, damaged, nested, numbers]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn arbitrary_bodies_never_break_the_door(
        body in bodies(), lines in any::<bool>(), gzip in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let fixture = Fixture::new();
        let media_type = if lines { "application/x-ndjson" } else { "application/json" };
        let mut request = Request::post("/v1/events").header("content-type", media_type);
        if gzip {
            request = request.header("content-encoding", "gzip");
        }
        let request = request.body(Body::from(body)).expect("a request");
        let answer = runtime.block_on(fixture.send(request));
        prop_assert!(!answer.status.is_server_error(), "{}", answer.text());
        let well = runtime.block_on(fixture.post("/v1/events", view("u", "i").to_string()));
        prop_assert!(well.status == 202, "{}", well.text());
    }

    #[test]
    fn arbitrary_queries_never_break_the_answers(query in "[a-z_=&%0-9+\\PC]{0,80}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let fixture = Fixture::new();
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let ascii: String = query.chars().filter(char::is_ascii_graphic).collect();
        for query in [encoded, ascii.replace(['#', '"', '<', '>', '`', '{', '}'], "")] {
            let Ok(request) = Request::get(format!("/recommendations?{query}")).body(Body::empty())
            else {
                continue;
            };
            let answer = runtime.block_on(fixture.send(request));
            prop_assert!(!answer.status.is_server_error(), "{}", answer.text());
        }
    }
}
