//! Requests: single events, batches, lines; limits; ids for events without one.

use eddyline_schemas::decode::{
    BodyKind, MAX_BATCH_BYTES, Refusal, RefusalKind, RequestRefusal, decode_request,
};
use eddyline_schemas::event::{Event, IdOrigin};
use proptest::prelude::{ProptestConfig, any, proptest};

use crate::arbitrary::any_json;
use crate::cases::{NOW, counting};

type Verdicts = Result<Vec<Result<Event, Refusal>>, RequestRefusal>;

fn decode(body: &str, kind: BodyKind) -> Verdicts {
    decode_request(body.as_bytes(), kind, NOW, &mut counting())
}

const VIEW: &str = r#"{"event_type":"view","user_id":"u","item_id":"i"}"#;
const DATED: &str = r#"{"event_type":"view","user_id":"u","item_id":"i","timestamp":1772366400}"#;

fn batch(events: &[&str]) -> String {
    format!(r#"{{"sent_by":"test","events":[{}]}}"#, events.join(", "))
}

fn accepted(verdicts: Verdicts) -> Vec<Event> {
    let verdicts = verdicts.expect("a good request");
    verdicts.into_iter().map(|verdict| verdict.expect("a good event")).collect()
}

#[test]
fn one_event_a_batch_and_lines_read_alike() {
    let one = accepted(decode(&format!(" {DATED}\n"), BodyKind::Json));
    assert_eq!(one, accepted(decode(&batch(&[DATED]), BodyKind::Json)));
    assert_eq!(one, accepted(decode(&format!("\n{DATED}\r\n\n"), BodyKind::NdJson)));
}

#[test]
fn a_bad_event_leaves_its_neighbours_alone() {
    let bad = r#"{"event_type":"view","user_id":5}"#;
    for body in [batch(&[VIEW, bad, "7", VIEW]), batch(&[VIEW, bad, "[]", VIEW])] {
        let verdicts = decode(&body, BodyKind::Json).expect("a good request");
        let ok: Vec<bool> = verdicts.iter().map(Result::is_ok).collect();
        assert_eq!(ok, [true, false, false, true]);
        assert_eq!(verdicts[1].as_ref().expect_err("bad").pointer, "/user_id");
    }
    let lines = format!("{VIEW}\n{{\"broken\n{VIEW}");
    let verdicts = decode(&lines, BodyKind::NdJson).expect("a good request");
    let kinds: Vec<_> = verdicts.iter().map(|v| v.as_ref().err().map(|r| r.kind)).collect();
    assert_eq!(kinds, [None, Some(RefusalKind::MalformedJson), None]);
}

#[test]
fn equal_events_of_a_request_stay_apart_and_a_retry_repeats_their_ids() {
    let body = batch(&[DATED, DATED, VIEW]);
    let (first, retry) = (decode(&body, BodyKind::Json), decode(&body, BodyKind::Json));
    let (first, retry) = (accepted(first), accepted(retry));
    assert_ne!(first[0].event_id, first[1].event_id);
    assert_eq!(first, retry, "and the random id of the third comes from the test's counter");
    let origins: Vec<IdOrigin> = first.iter().map(|event| event.id_origin).collect();
    assert_eq!(origins, [IdOrigin::Derived, IdOrigin::Derived, IdOrigin::Random]);
    assert_eq!(first[2].event_id.as_str(), "01000000000000000000000000000000");
}

#[test]
fn requests_are_bounded() {
    let check = |body: &str, kind, want: RequestRefusal| {
        assert_eq!(decode(body, kind).expect_err("a bad request"), want);
    };
    let events = vec![VIEW; 1001];
    assert_eq!(accepted(decode(&batch(&events[..1000]), BodyKind::Json)).len(), 1000);
    let many = RequestRefusal::TooManyEvents { events: 1001 };
    check(&batch(&events), BodyKind::Json, many.clone());
    check(&events.join("\n"), BodyKind::NdJson, many);
    let bytes = MAX_BATCH_BYTES + 1;
    check(&" ".repeat(bytes), BodyKind::Json, RequestRefusal::TooLarge { bytes });
    check(r#"{"events":[]}"#, BodyKind::Json, RequestRefusal::NoEvents);
    check("\n\n", BodyKind::NdJson, RequestRefusal::NoEvents);
}

#[test]
fn a_request_that_is_not_json_says_where() {
    let check = |body: &[u8], want: (usize, usize)| {
        let refusal = decode_request(body, BodyKind::Json, NOW, &mut counting());
        let Err(RequestRefusal::Malformed { line, column, detail }) = refusal else {
            panic!("{refusal:?}");
        };
        assert_eq!((line, column), want, "{detail}");
    };
    check(b"", (1, 0));
    check(b"{\n\"events\": [{}, {]}", (2, 17));
    check(b"{\"events\": 5}", (1, 12));
    check(b"{\"events\": [1], \"events\": [1]}", (1, 24));
    check(b"[{}]", (1, 0));
    check(b"{\n  \"a\": \"\xff\"}", (2, 9));
    check("[".repeat(100_000).as_bytes(), (1, 0));
    check(format!("{{\"events\":{}", "[".repeat(100_000)).as_bytes(), (1, 100_010));
}

#[test]
fn nesting_without_end_is_refused_without_recursion() {
    let deep = "[".repeat(15_000) + &"]".repeat(15_000);
    let event = format!(r#"{{"event_type":"view","user_id":"u","item_id":"i","x":{deep}}}"#);
    let verdicts = decode(&batch(&[&event]), BodyKind::Json).expect("a good request");
    let refusal = verdicts[0].as_ref().expect_err("too deep");
    assert_eq!((refusal.kind, refusal.pointer.as_str()), (RefusalKind::TooDeep, "/x"));
    let known = format!(r#"{{"event_type":"view","context":{{"a":{deep}}}}}"#);
    let verdicts = decode(&known, BodyKind::Json).expect("a good request");
    assert_eq!(verdicts[0].as_ref().expect_err("not a scalar").pointer, "/context/a");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_body_is_read_or_refused(bytes in any::<Vec<u8>>(), json in any_json()) {
        let body = format!(r#"{{"events":[{json},{json}]}}"#);
        for kind in [BodyKind::Json, BodyKind::NdJson] {
            let _ = decode_request(&bytes, kind, NOW, &mut counting());
            let _ = decode(&body, kind);
        }
    }
}
