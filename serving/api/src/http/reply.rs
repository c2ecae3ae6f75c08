//! Answers as JSON with the request's id, and the recommender's refusals as problems.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::contract::RecommendError;
use crate::http::problem::{Kind, Problem};
use crate::http::request_id::RequestId;

/// A body with `request_id` added.
#[derive(Debug, Serialize)]
pub(crate) struct WithRequestId<'a, T> {
    #[serde(flatten)]
    pub(crate) body: T,
    pub(crate) request_id: &'a str,
}

/// 200 with `body` and the request's id.
pub(crate) fn ok<T: Serialize>(body: T, id: &RequestId) -> Response {
    Json(WithRequestId { body, request_id: id.as_str() }).into_response()
}

/// Where a request's members were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As query parameters.
    Query,
    /// As a JSON body.
    Body,
}

impl Form {
    /// The recommender's refusal, pointing at what the caller wrote.
    pub(crate) fn problem(self, error: &RecommendError) -> Problem {
        match error {
            RecommendError::Invalid { pointer, detail } => self.invalid(pointer, detail),
            RecommendError::UnsupportedFilter { .. } => self.invalid("/filter", &error.to_string()),
            RecommendError::UnknownItem(_) | RecommendError::UnknownUser(_) => {
                Problem::new(Kind::NotFound, error.to_string())
            }
        }
    }

    /// A refused member; `pointer` is its place in the JSON form.
    pub(crate) fn invalid(self, pointer: &str, detail: &str) -> Problem {
        let name = pointer.rsplit('/').next().unwrap_or(pointer);
        let (kind, place) = match self {
            Self::Body => (Kind::InvalidField, pointer.to_owned()),
            Self::Query => (Kind::InvalidParameter, format!("?{name}")),
        };
        Problem::new(kind, format!("{name}: {detail}")).at(place, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_points_at_what_the_caller_wrote() {
        let error = RecommendError::Invalid {
            pointer: "/diversity/exploration",
            detail: "must be from 0 to 1".to_owned(),
        };
        let check = |form: Form, kind: Kind, pointer: &str| {
            let problem = form.problem(&error);
            assert_eq!(problem.kind(), kind);
            let body = String::from_utf8(problem.body(None)).expect("JSON is UTF-8");
            assert!(body.contains(&format!("\"pointer\":\"{pointer}\"")), "{body}");
        };
        check(Form::Query, Kind::InvalidParameter, "?exploration");
        check(Form::Body, Kind::InvalidField, "/diversity/exploration");
    }
}
