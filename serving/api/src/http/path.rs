//! The id in a path, percent-decoded and checked.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use eddyline_schemas::id::{InvalidId, ItemId, UserId};

use crate::http::problem::{Kind, Problem};

/// The path parameter `{id}` as an id.
#[derive(Debug)]
pub(crate) struct IdInPath<T>(pub(crate) T);

/// Makes an id from text.
pub(crate) trait FromText: Sized {
    fn from_text(text: &str) -> Result<Self, InvalidId>;
}

impl FromText for ItemId {
    fn from_text(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl FromText for UserId {
    fn from_text(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl<S: Send + Sync, T: FromText> FromRequestParts<S> for IdInPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |detail: String| {
            Problem::new(Kind::InvalidParameter, format!("the id in the path: {detail}"))
                .at("{id}", detail)
        };
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| refused("must be percent-encoded UTF-8".to_owned()))?;
        T::from_text(&text).map(Self).map_err(|error| refused(error.to_string()))
    }
}
