//! Who may ask: API keys, and the `host` header on loopback.
//!
//! Keys are kept as BLAKE3 hashes and compared in constant time. Without keys the process listens
//! on loopback only; then a web page of another origin could still reach it, by rebinding its own
//! name to 127.0.0.1 or by posting blindly across origins, so a request whose `host` or `origin`
//! is not a name of this machine is refused.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};

use crate::http::problem::{Kind, Problem};

/// Routes that answer without a key: they say nothing of users and items.
const OPEN_ROUTES: [&str; 8] =
    ["/", "/docs", "/assets/{name}", "/openapi.json", "/livez", "/readyz", "/healthz", "/version"];

/// The hash of an API key; the key itself is not kept.
#[derive(Clone, Debug)]
pub struct HashedKey(blake3::Hash);

impl HashedKey {
    /// Hashes a key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(blake3::hash(key.as_bytes()))
    }

    /// A key of which only the BLAKE3 hash is known.
    #[must_use]
    pub fn from_hash(hash: [u8; 32]) -> Self {
        Self(blake3::Hash::from_bytes(hash))
    }

    /// Compares in constant time, as `blake3::Hash` does.
    fn fits(&self, presented: &str) -> bool {
        self.0 == blake3::hash(presented.as_bytes())
    }
}

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Anyone on this machine, under one of its loopback names.
    #[default]
    Loopback,
    /// Anyone at all: the operator said so.
    Insecure,
    /// Holders of one of these keys.
    Keys(Vec<HashedKey>),
}

impl Access {
    /// Refuses a request that may not be answered. `route` is `None` for an unknown one.
    pub(crate) fn check(&self, headers: &HeaderMap, route: Option<&str>) -> Result<(), Problem> {
        match self {
            Self::Insecure => Ok(()),
            Self::Loopback => check_names(headers),
            Self::Keys(_) if route.is_some_and(|route| OPEN_ROUTES.contains(&route)) => Ok(()),
            Self::Keys(keys) => check_key(keys, headers),
        }
    }
}

fn check_key(keys: &[HashedKey], headers: &HeaderMap) -> Result<(), Problem> {
    let presented = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim());
    let Some(presented) = presented else {
        return Err(Problem::new(
            Kind::Unauthorized,
            "send the header authorization: Bearer <key>",
        ));
    };
    // All keys are compared, so that the time taken does not tell which one nearly fits.
    let fitting = keys.iter().filter(|key| key.fits(presented)).count();
    if fitting > 0 { Ok(()) } else { Err(Problem::new(Kind::Unauthorized, "the key is not known")) }
}

fn check_names(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    // In-process callers and old clients send no host; browsers always do.
    let host = text(&HOST);
    // Browsers say where a page that posts comes from; an opaque origin is `null`.
    let origin = text(&ORIGIN).map(|url| url.split_once("://").map_or(url, |(_, name)| name));
    if [host, origin].into_iter().flatten().all(is_loopback_name) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::MisdirectedRequest,
        "this server answers to localhost only: use that name, or start it with an API key",
    ))
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, axum::http::HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn loopback_answers_to_its_own_names_only() {
        let check = |host: &'static str, want: bool| {
            let answer = Access::Loopback.check(&headers("host", host), Some("/version"));
            assert_eq!(answer.is_ok(), want, "{host}");
            let origin: &'static str = format!("http://{host}").leak();
            let answer = Access::Loopback.check(&headers("origin", origin), Some("/v1/events"));
            assert_eq!(answer.is_ok(), want, "{origin}");
        };
        check("localhost:8080", true);
        check("LOCALHOST", true);
        check("127.0.0.1:8080", true);
        check("[::1]:8080", true);
        check("evil.example", false);
        check("localhost.evil.example", false);
        check("127.0.0.1.evil.example", false);
        check("10.0.0.1", false);
        check("", false);
        check("null", false);
    }

    #[test]
    fn a_key_must_be_known() {
        let access = Access::Keys(vec![HashedKey::of("a"), HashedKey::of("b")]);
        let check = |value: &'static str, want: bool| {
            let answer = access.check(&headers("authorization", value), Some("/v1/pipeline"));
            assert_eq!(answer.is_ok(), want, "{value}");
        };
        check("Bearer b", true);
        check("bearer a", true);
        check("Bearer c", false);
        check("Basic a", false);
        check("", false);
        assert!(access.check(&HeaderMap::new(), Some("/livez")).is_ok());
        assert!(access.check(&HeaderMap::new(), None).is_err());
    }
}
