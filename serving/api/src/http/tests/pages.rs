//! The pages work offline, and the OpenAPI document and the router say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Fixture;
use crate::http::pages::OPENAPI;
use crate::http::routes::routes;

#[tokio::test]
async fn pages_and_all_they_load_are_there_and_nothing_else_is_loaded() {
    let fixture = Fixture::new();
    for page in ["/", "/docs"] {
        let answer = fixture.get(page).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        assert!(answer.headers.contains_key("content-security-policy"));
        let html = answer.text();
        let loaded = html.split(['"', '\'']).filter(|text| text.starts_with("/assets/"));
        let loaded: BTreeSet<&str> = loaded.collect();
        assert!(loaded.contains("/assets/page.css"), "{page}");
        for asset in loaded {
            let answer = fixture.get(asset).await;
            assert_eq!(answer.status, 200, "{asset}");
            let text = answer.text();
            assert!(!text.contains("://"), "{asset} names another host");
            for unsafe_sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"] {
                assert!(!text.contains(unsafe_sink), "{asset} uses {unsafe_sink}");
            }
        }
        assert!(!html.contains("://") && !html.contains("<style") && !html.contains("onclick"));
    }
    for module in ["api.js", "compare.js", "view.js", "page.js", "docs.js"] {
        assert_eq!(fixture.get(&format!("/assets/{module}")).await.status, 200);
    }
    fixture.get("/assets/nope.js").await.problem(404, "not-found");
}

fn document() -> Value {
    serde_json::from_str(OPENAPI).expect("the document is JSON")
}

#[test]
fn every_route_is_described_and_every_description_is_routed() {
    let document = document();
    let paths = document["paths"].as_object().expect("there are paths");
    let described: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("an object").keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let routed: BTreeSet<String> = routes()
        .iter()
        .flat_map(|route| {
            route.methods.iter().map(move |method| format!("{method} {}", route.path))
        })
        .collect();
    assert_eq!(described, routed);
}

#[test]
fn references_lead_somewhere_and_operations_have_unique_names() {
    let document = document();
    let mut names = BTreeSet::new();
    for_each_object(&document, &mut |object| {
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        if let Some(name) = object.get("operationId").and_then(Value::as_str) {
            assert!(names.insert(name.to_owned()), "{name} is used twice");
        }
    });
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn answers_have_the_members_that_are_described() {
    let fixture = Fixture::new();
    let document = document();
    let check = async |path: &str, schema: &str| {
        let answer = fixture.get(path).await.json();
        let described = &document["components"]["schemas"][schema];
        let required = described["required"].as_array().expect("required members are named");
        for member in required {
            let member = member.as_str().expect("a name");
            assert!(answer.get(member).is_some(), "{path} lacks {member}: {answer}");
        }
        for member in answer.as_object().expect("an object").keys() {
            assert!(described["properties"].get(member).is_some(), "{schema} lacks {member}");
        }
    };
    check("/recommendations?user_id=u1", "RecommendResponse").await;
    check("/v1/popular", "ItemList").await;
    check("/v1/new", "ItemList").await;
    check("/v1/pipeline", "Pipeline").await;
    check("/v1/lineages", "Lineages").await;
    check("/version", "Version").await;
    check("/v1/demo/personas", "Personas").await;
    check("/nope", "Problem").await;
}

fn for_each_object(value: &Value, see: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            see(object);
            object.values().for_each(|value| for_each_object(value, see));
        }
        Value::Array(list) => list.iter().for_each(|value| for_each_object(value, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
