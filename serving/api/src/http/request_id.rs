//! The id of a request: the caller's own `x-request-id` when it is fit to be logged, else ours.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};

/// The header that carries the id both ways.
pub(crate) const HEADER: &str = "x-request-id";
const MAX_BYTES: usize = 128;

/// Names one request in its answer and in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header.
    pub(crate) fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an id is visible ASCII")
    }

    /// The caller's id, if it is 1 to 128 characters of `A-Z a-z 0-9 . _ : -`.
    pub(crate) fn of_caller(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(HEADER)?.to_str().ok()?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let fits = (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.to_owned()))
    }
}

/// Makes ids: a random number for the process and a count.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u64,
    count: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self { process: RandomState::new().hash_one(std::process::id()), count: AtomicU64::new(1) }
    }
}

impl RequestIds {
    pub(crate) fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        RequestId(format!("{:016x}-{count:x}", self.process))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let set_by_envelope = parts.extensions.get::<Self>().cloned();
        Ok(set_by_envelope.unwrap_or_else(|| Self("unknown".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fit_ids_of_callers_are_kept() {
        let check = |text: &str, want: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_str(text).expect("a header"));
            assert_eq!(RequestId::of_caller(&headers).is_some(), want, "{text}");
        };
        check("abc-1.2_3:4", true);
        check("", false);
        check("a b", false);
        check("<script>", false);
        check(&"x".repeat(129), false);
    }

    #[test]
    fn ours_differ() {
        let ids = RequestIds::default();
        assert_ne!(ids.next(), ids.next());
    }
}
