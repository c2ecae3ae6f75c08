//! Every error answer: `application/problem+json` after RFC 9457.
//!
//! A handler returns a [`Problem`]; it renders itself, and the envelope writes the request's id
//! into it on the way out. `type` is a relative reference that is stable for ever, one per thing
//! that the caller may do next; `errors[]` names each offending place as a JSON pointer (`/a/b` in
//! a body) or as `?name` for a query parameter, and says the remedy. Nothing of the inside of the
//! process (paths, source chains, panics) is ever shown: that goes to the log.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The media type of every error answer.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, one variant for each reaction of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The body is not the JSON that its content type says: send another body.
    MalformedJson,
    /// The body holds no event: send at least one.
    NoEvents,
    /// The body holds more events than are taken at once: send fewer.
    TooManyEvents,
    /// The body's shape or a member's value is wrong: correct the members named.
    InvalidField,
    /// A query or path parameter is wrong: correct the parameters named.
    InvalidParameter,
    /// No key, or not one of ours: send `authorization: Bearer <key>`.
    Unauthorized,
    /// The `host` header is not of this machine.
    MisdirectedRequest,
    /// No such route.
    NoSuchRoute,
    /// Nothing is known under this id.
    NotFound,
    /// The route does not know this method.
    MethodNotAllowed,
    /// It cannot be done as things are: change them first.
    Conflict,
    /// More than the limit: send less at once.
    TooLarge,
    /// Neither of the content types or encodings that the route takes.
    UnsupportedMediaType,
    /// Not one event of the request was taken.
    NoEventAccepted,
    /// A queue is full: send the same again after a while.
    Overloaded,
    /// Not done within the budget: send the same again.
    TimedOut,
    /// The log did not take the events, or a part is not there (yet).
    Unavailable,
    /// A bug.
    Internal,
}

impl Kind {
    /// All of them, for the documentation.
    pub const ALL: [Self; 18] = [
        Self::MalformedJson,
        Self::NoEvents,
        Self::TooManyEvents,
        Self::InvalidField,
        Self::InvalidParameter,
        Self::Unauthorized,
        Self::MisdirectedRequest,
        Self::NoSuchRoute,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::NoEventAccepted,
        Self::Overloaded,
        Self::TimedOut,
        Self::Unavailable,
        Self::Internal,
    ];

    const fn row(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::MalformedJson => {
                ("/problems/malformed-json", "Malformed JSON", StatusCode::BAD_REQUEST)
            }
            Self::NoEvents => ("/problems/no-events", "No events", StatusCode::BAD_REQUEST),
            Self::TooManyEvents => {
                ("/problems/too-many-events", "Too many events", StatusCode::PAYLOAD_TOO_LARGE)
            }
            Self::InvalidField => {
                ("/problems/invalid-field", "Invalid field", StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::InvalidParameter => {
                ("/problems/invalid-parameter", "Invalid parameter", StatusCode::BAD_REQUEST)
            }
            Self::Unauthorized => {
                ("/problems/unauthorized", "Unauthorized", StatusCode::UNAUTHORIZED)
            }
            Self::MisdirectedRequest => (
                "/problems/misdirected-request",
                "Misdirected request",
                StatusCode::MISDIRECTED_REQUEST,
            ),
            Self::NoSuchRoute => {
                ("/problems/no-such-route", "No such route", StatusCode::NOT_FOUND)
            }
            Self::NotFound => ("/problems/not-found", "Not found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => (
                "/problems/method-not-allowed",
                "Method not allowed",
                StatusCode::METHOD_NOT_ALLOWED,
            ),
            Self::Conflict => ("/problems/conflict", "Conflict", StatusCode::CONFLICT),
            Self::TooLarge => ("/problems/too-large", "Too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => (
                "/problems/unsupported-media-type",
                "Unsupported media type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ),
            Self::NoEventAccepted => (
                "/problems/no-event-accepted",
                "No event accepted",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::Overloaded => {
                ("/problems/overloaded", "Overloaded", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::TimedOut => ("/problems/timed-out", "Timed out", StatusCode::SERVICE_UNAVAILABLE),
            Self::Unavailable => {
                ("/problems/unavailable", "Unavailable", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::Internal => {
                ("/problems/internal", "Internal error", StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// The `type` member.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        self.row().0
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().2
    }
}

/// One offending place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// JSON pointer, or `?name` for a query parameter.
    pub pointer: String,
    /// What is wrong there, and the remedy.
    pub detail: String,
}

/// An error answer.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: Kind,
    detail: String,
    places: Vec<Place>,
    retry_after_ms: Option<u64>,
    allow: Option<HeaderValue>,
    members: serde_json::Map<String, serde_json::Value>,
}

impl Problem {
    /// `detail` is for people: what happened and what to do.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            places: Vec::new(),
            retry_after_ms: None,
            allow: None,
            members: serde_json::Map::new(),
        }))
    }

    /// A bug; the cause is in the log, not in the answer.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(Kind::Internal, "this is a bug; the server's log tells more by the request id")
    }

    /// Names an offending place.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.places.push(Place { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Says when the same request may be sent again.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.0.retry_after_ms = Some(ms);
        self
    }

    /// Says which methods the route knows.
    #[must_use]
    pub fn allow(mut self, methods: Option<HeaderValue>) -> Self {
        self.0.allow = methods;
        self
    }

    /// Adds extension members (RFC 9457 section 3.2).
    #[must_use]
    pub fn with_members(mut self, members: serde_json::Map<String, serde_json::Value>) -> Self {
        self.0.members = members;
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The body, with the request's id if it is known.
    #[must_use]
    pub fn body(&self, request_id: Option<&str>) -> Vec<u8> {
        let (slug, title, status) = self.0.kind.row();
        let rendered = Rendered {
            slug,
            title,
            status: status.as_u16(),
            detail: &self.0.detail,
            errors: &self.0.places,
            retry_after_ms: self.0.retry_after_ms,
            members: &self.0.members,
            request_id,
        };
        serde_json::to_vec(&rendered).expect("text, numbers and JSON values always serialise")
    }
}

#[derive(Serialize)]
struct Rendered<'a> {
    #[serde(rename = "type")]
    slug: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[Place]>::is_empty")]
    errors: &'a [Place],
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(flatten)]
    members: &'a serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body(None)));
        *response.status_mut() = self.0.kind.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(ms) = self.0.retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000).max(1)));
        }
        if self.0.kind == Kind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(methods) = self.0.allow.clone() {
            headers.insert(ALLOW, methods);
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_those_of_the_rfc() {
        let problem = Problem::new(Kind::InvalidParameter, "one parameter is wrong")
            .at("?num_results", "must be from 1 to 100");
        let body: serde_json::Value =
            serde_json::from_slice(&problem.body(Some("r1"))).expect("it is JSON");
        let want = serde_json::json!({
            "type": "/problems/invalid-parameter", "title": "Invalid parameter", "status": 400,
            "detail": "one parameter is wrong",
            "errors": [{"pointer": "?num_results", "detail": "must be from 1 to 100"}],
            "request_id": "r1"
        });
        assert_eq!(body, want);
    }

    #[test]
    fn retry_is_said_in_whole_seconds() {
        let response = Problem::new(Kind::Overloaded, "full").retry_after_ms(50).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }

    #[test]
    fn slugs_are_unique() {
        let mut slugs: Vec<&str> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }
}
