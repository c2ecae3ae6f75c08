//! Parts of user documents: fixed bytes, nothing lost on the way, and small.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_schemas::codec::{StoredEncoding, decode_stored, encode_stored};
use eddyline_schemas::delta::Delta;
use eddyline_schemas::features::{SessionContext, UserFeatures};
use eddyline_schemas::id::{ItemRef, SessionId};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::stored::{LineageTag, PartBody, StoredPart, join_features, split_features};
use eddyline_schemas::time::TimestampMs;

use crate::golden::{hex, hold, lines_of, unhex};
use crate::samples;

/// Length of what the script of the feature store reads.
const HEADER_BYTES: usize = 19;

fn part(expires_at: Option<TimestampMs>, body: Option<PartBody>) -> StoredPart {
    let lineage = LineageTag::of(Lineage::root(Digest::of(b"stored")));
    StoredPart { lineage, epoch: Epoch(70_000), expires_at, body }
}

/// A part of each kind, with every member set, and a tombstone.
fn parts() -> Vec<(&'static str, StoredPart)> {
    let mut parts = vec![("tombstone", part(None, None))];
    for (_, delta) in samples::deltas() {
        match delta {
            Delta::UserFeatures { features: Some(features), .. } => {
                let (short, lists) = split_features(&features);
                let features_body = PartBody::Features(Arc::new(short));
                parts.push(("features", part(Some(features.expires_at), Some(features_body))));
                parts.push(("seen", part(Some(features.expires_at), Some(PartBody::Seen(lists)))));
            }
            Delta::UserPreferences { preferences, .. } => {
                parts.push(("preferences", part(None, Some(PartBody::Preferences(preferences)))));
            }
            Delta::UserVector { vector: Some(row), .. } => {
                parts.push(("vector", part(None, Some(PartBody::Vector(row)))));
            }
            Delta::Item { .. }
            | Delta::ItemVector { .. }
            | Delta::ItemContext { .. }
            | Delta::Popularity { .. }
            | Delta::Covisitation { .. }
            | Delta::UserVector { vector: None, .. }
            | Delta::UserFeatures { features: None, .. }
            | Delta::Gate { .. } => {}
        }
    }
    parts
}

#[test]
fn stored_parts_are_fixed() {
    let line = |(name, part): (&str, StoredPart)| {
        let json = encode_stored(&part, StoredEncoding::Json);
        let json = String::from_utf8(json).expect("JSON is text");
        format!("{name}\t{}\t{json}", hex(&encode_stored(&part, StoredEncoding::Protobuf)))
    };
    hold("stored.golden", &parts().into_iter().map(line).collect::<Vec<_>>());
}

#[test]
fn old_bytes_of_stored_parts_can_be_read() {
    let golden = include_str!("../../golden/v1/stored.golden");
    let lines: Vec<_> = lines_of(golden).collect();
    assert_eq!(lines.len(), parts().len());
    for (line, (name, part)) in lines.iter().zip(parts()) {
        for bytes in [unhex(line[1]), line[2].as_bytes().to_vec()] {
            let read = decode_stored(&bytes).expect("version 1 can be read");
            assert_eq!((line[0], &read), (name, &part));
        }
    }
}

#[test]
fn every_kind_begins_with_the_header() {
    let parts = parts();
    let tombstone = encode_stored(&parts[0].1, StoredEncoding::Protobuf);
    assert_eq!(tombstone.len(), HEADER_BYTES);
    assert_eq!(tombstone[..2], [0x0a, 8]);
    assert_eq!(tombstone[10], 0x11);
    assert_eq!(tombstone[11..], 70_000_u64.to_le_bytes());
    for (name, part) in &parts {
        let bytes = encode_stored(part, StoredEncoding::Protobuf);
        assert_eq!(bytes[..HEADER_BYTES], tombstone[..], "{name}");
        let json = encode_stored(part, StoredEncoding::Json);
        let start = format!("{{\"lineage\":\"{:?}\",\"epoch\":70000,", part.lineage);
        assert!(json.starts_with(start.as_bytes()), "{name}");
    }
    // An epoch of 0 is written too.
    let first = StoredPart { epoch: Epoch(0), ..parts[0].1.clone() };
    assert_eq!(encode_stored(&first, StoredEncoding::Protobuf).len(), HEADER_BYTES);
}

#[test]
fn features_are_split_and_joined() {
    let features = typical();
    let (short, lists) = split_features(&features);
    assert_eq!(join_features(&short, lists, features.expires_at), features);
}

/// Truncated or changed bytes are refused or read as something else, and nothing panics.
#[test]
fn damaged_parts_do_no_harm() {
    for (_, part) in parts() {
        for encoding in [StoredEncoding::Protobuf, StoredEncoding::Json] {
            let bytes = encode_stored(&part, encoding);
            for at in 0..bytes.len() {
                let _ = decode_stored(&bytes[..at]);
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                let _ = decode_stored(&flipped);
            }
        }
    }
}

/// A user in the middle of a visit: ten views, two searches, a profile.
fn typical() -> UserFeatures {
    let items = |n: u32| (0..n).map(|i| ItemRef::new((i * 37) as u8, 1_000 + i)).collect();
    let start = 1_772_366_400_000;
    let demographics = [("age_group", "25-34"), ("gender", "f"), ("location", "DE")];
    UserFeatures {
        recent_views: items(10),
        history: items(30),
        history_length: 41,
        seen: items(60).into(),
        disliked: items(2).into(),
        recent_searches: vec!["trail shoes".to_owned(), "rain jacket".to_owned()],
        session: Some(SessionContext {
            session_id: Some(SessionId::new("s-8f31c2").expect("a valid id")),
            session_start: TimestampMs(start),
            last_event: TimestampMs(start + 240_000),
            page_views_in_session: 7,
            current_category: Some(Arc::from("shoes")),
        }),
        demographics: demographics
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        price_range: Some((49.9, 129.0)),
        last_updated: TimestampMs(start + 240_000),
        expires_at: TimestampMs(start + 604_800_000),
    }
}

#[test]
fn typical_features_take_at_most_200_bytes() {
    let features = typical();
    let (short, lists) = split_features(&features);
    let expires_at = Some(features.expires_at);
    let short = part(expires_at, Some(PartBody::Features(Arc::new(short))));
    let lists = part(expires_at, Some(PartBody::Seen(lists)));
    let bytes = |part: &StoredPart, encoding| encode_stored(part, encoding).len();
    let protobuf = bytes(&short, StoredEncoding::Protobuf);
    println!(
        "typical user: features {protobuf} bytes of protobuf or {} of JSON, seen {} bytes",
        bytes(&short, StoredEncoding::Json),
        bytes(&lists, StoredEncoding::Protobuf),
    );
    assert!(protobuf <= 200, "{protobuf} bytes");
}
