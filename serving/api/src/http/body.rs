//! Request bodies, bounded before they are buffered and before they are unpacked.
//!
//! A body that says it is too large is refused unread; one that does not say is read up to the
//! limit and no further. `content-encoding: gzip` is unpacked up to the same limit, so that a
//! small body cannot become a large one. What is left of a refused body is thrown away, within
//! bounds, because many clients read the answer only after they have sent everything.

use std::io::Read as _;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::http::problem::{Kind, Problem};

/// Most bytes of a refused body that are thrown away.
const DRAIN_BYTES: u64 = 8 << 20;
/// Longest time that throwing away may take.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
}

impl Packing {
    /// Reads `content-encoding`.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
            None | Some(b"" | b"identity") => Ok(Self::Plain),
            Some(b"gzip" | b"x-gzip") => Ok(Self::Gzip),
            Some(_) => Err(Problem::new(
                Kind::UnsupportedMediaType,
                "content-encoding must be gzip or absent",
            )),
        }
    }

    /// Unpacks at most `limit` bytes.
    pub(crate) fn unpack(self, body: Bytes, limit: usize) -> Result<Bytes, Problem> {
        if self == Self::Plain {
            return Ok(body);
        }
        let mut plain = Vec::new();
        let mut bounded = MultiGzDecoder::new(body.as_ref()).take(limit as u64 + 1);
        bounded.read_to_end(&mut plain).map_err(|error| {
            Problem::new(Kind::MalformedJson, format!("the body is not gzip: {error}"))
        })?;
        if plain.len() > limit { Err(too_large(limit)) } else { Ok(plain.into()) }
    }
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    if let Some(bytes) = announced_bytes(headers).filter(|&bytes| bytes > limit as u64) {
        // A client that asks first has sent nothing; reading would invite it to.
        if bytes <= DRAIN_BYTES && !headers.contains_key(EXPECT) {
            drain(chunks).await;
        }
        return Err(too_large(limit));
    }
    let mut read = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(Kind::MalformedJson, format!("the body broke off: {error}"))
        })?;
        if read.len() + chunk.len() > limit {
            drain(chunks).await;
            return Err(too_large(limit));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

/// Throws away what is left of a body, or as much of it as the bounds let.
async fn drain(mut chunks: BodyDataStream) {
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            bytes += chunk.len() as u64;
            if bytes > DRAIN_BYTES {
                break;
            }
        }
    };
    // Out of time is out of bounds: the answer is the same.
    let _ = tokio::time::timeout(DRAIN_TIME, all).await;
}

/// Reads a JSON body into a checked type.
pub(crate) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<T, Problem> {
    refuse_other_than_json(headers)?;
    let packing = Packing::of(headers)?;
    let bytes = packing.unpack(read(headers, body, limit).await?, limit)?;
    parse_json(&bytes)
}

/// Syntax is 400; a member that does not fit is 422 and named.
fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer_of(error.path());
        let error = error.into_inner();
        match error.classify() {
            serde_json::error::Category::Data => {
                let text = error.to_string();
                let detail = text.split(" at line ").next().unwrap_or(&text);
                Problem::new(Kind::InvalidField, text.as_str()).at(pointer, detail)
            }
            _ => malformed(&error),
        }
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(parsed)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::MalformedJson, format!("the body is not JSON: {error}"))
}

/// RFC 6901.
fn pointer_of(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn refuse_other_than_json(headers: &HeaderMap) -> Result<(), Problem> {
    match media_type(headers).as_deref() {
        None | Some("application/json") => Ok(()),
        Some(other) => Err(Problem::new(
            Kind::UnsupportedMediaType,
            format!("content-type must be application/json, got {other}"),
        )),
    }
}

/// The media type without parameters, in lower case; `None` when absent or not text.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let bare = text.split(';').next().unwrap_or_default().trim();
    (!bare.is_empty()).then(|| bare.chars().take(64).collect::<String>().to_ascii_lowercase())
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("a body must be at most {limit} bytes: send less at once"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).expect("memory takes it");
        encoder.finish().expect("memory takes it").into()
    }

    #[test]
    fn a_member_that_does_not_fit_is_named() {
        let check = |json: &str, kind: Kind, pointer: &str| {
            let parsed: Result<crate::contract::RecommendRequest, _> = parse_json(json.as_bytes());
            let problem = parsed.expect_err(json);
            assert_eq!(problem.kind(), kind, "{json}");
            let body = String::from_utf8(problem.body(None)).expect("JSON is UTF-8");
            assert!(body.contains(pointer), "{body}");
        };
        check(r#"{"user_id":7}"#, Kind::InvalidField, r#""pointer":"/user_id""#);
        check(r#"{"user_id":" a"}"#, Kind::InvalidField, r#""pointer":"/user_id""#);
        check(r#"{"seed_items":["a",1]}"#, Kind::InvalidField, r#""pointer":"/seed_items/1""#);
        check(r#"{"nun_results":7}"#, Kind::InvalidField, "nun_results");
        check(r#"{"user_id":"#, Kind::MalformedJson, "EOF");
        check("{} x", Kind::MalformedJson, "trailing");
        check("", Kind::MalformedJson, "EOF");
    }

    #[test]
    fn gzip_is_unpacked_up_to_the_limit() {
        let packed = gzip(&[b'x'; 5_000]);
        let unpacked = Packing::Gzip.unpack(packed.clone(), 5_000).expect("it fits");
        assert_eq!(unpacked.len(), 5_000);
        let refused = Packing::Gzip.unpack(packed, 4_999).expect_err("one byte too many");
        assert_eq!(refused.kind(), Kind::TooLarge);
        let refused = Packing::Gzip.unpack(Bytes::from_static(b"no"), 9).expect_err("not gzip");
        assert_eq!(refused.kind(), Kind::MalformedJson);
    }
}
