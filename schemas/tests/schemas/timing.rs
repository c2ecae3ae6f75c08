//! How long decoding takes. Run with
//! `cargo test --release -p eddyline-schemas timing -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use eddyline_schemas::codec::{decode_event, encode_event};
use eddyline_schemas::decode::{BodyKind, decode_request};
use eddyline_schemas::delta::{Delta, canonical::write_canonical};
use eddyline_schemas::id::ItemRef;

use crate::cases::{NOW, counting, decode};

const EVENT: &str = r#"{"event_id":"0190b7e4-7d1c-7cc1-9d3c-0f2b7b1f0001","event_type":"view","user_id":"user-184467","session_id":"session-77120","item_id":"sku-0048213","timestamp":1772366340123,"context":{"device":"phone","referrer":"homepage","location":"DE"}}"#;

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn time(what: &str, rounds: u32, mut work: impl FnMut()) {
    work();
    let start = Instant::now();
    (0..rounds).for_each(|_| work());
    let nanoseconds = start.elapsed().as_nanos() / u128::from(rounds);
    println!("{what}: {nanoseconds} ns");
}

#[test]
#[ignore = "measures; wants a release build"]
fn timing() {
    let bytes = encode_event(&decode(EVENT.as_bytes()).expect("valid"));
    println!("JSON {} bytes, protobuf {} bytes", EVENT.len(), bytes.len());
    time("JSON to event", 200_000, || {
        black_box(decode(black_box(EVENT.as_bytes()))).expect("valid");
    });
    let event = decode(EVENT.as_bytes()).expect("valid");
    time("event to protobuf", 200_000, || {
        black_box(encode_event(black_box(&event)));
    });
    time("protobuf to event", 200_000, || {
        black_box(decode_event(black_box(&bytes))).expect("valid");
    });
    let body = format!(r#"{{"events":[{}]}}"#, vec![EVENT; 1000].join(","));
    time("a request of 1,000 events", 200, || {
        let mut random = counting();
        let verdicts = decode_request(body.as_bytes(), BodyKind::Json, NOW, &mut random);
        assert_eq!(verdicts.expect("valid").len(), 1000);
    });
    let delta = Delta::ItemVector { item: ItemRef(7), vector: vec![0.5_f32; 128].into() };
    let mut out = Vec::new();
    time("canonical row of a vector", 1_000_000, || {
        out.clear();
        write_canonical(black_box(&delta), &mut out);
        black_box(&out);
    });
}
