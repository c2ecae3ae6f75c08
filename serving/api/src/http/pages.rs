//! The pages: static files built into the binary. They need no other host and run no inline
//! script, and the content security policy holds them to that.

use axum::extract::Path;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};

use crate::http::problem::{Kind, Problem};

/// The published description of every route.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

const POLICY: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page at `/`.
pub(crate) async fn home() -> Response {
    file(HTML, include_str!("../page/index.html"))
}

/// The routes, for people.
pub(crate) async fn docs() -> Response {
    file(HTML, include_str!("../page/docs.html"))
}

/// What the pages are made of.
pub(crate) async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    let (media_type, text) = match name.as_str() {
        "page.css" => (CSS, include_str!("../page/page.css")),
        "api.js" => (SCRIPT, include_str!("../page/api.js")),
        "compare.js" => (SCRIPT, include_str!("../page/compare.js")),
        "view.js" => (SCRIPT, include_str!("../page/view.js")),
        "page.js" => (SCRIPT, include_str!("../page/page.js")),
        "docs.js" => (SCRIPT, include_str!("../page/docs.js")),
        _ => return Err(Problem::new(Kind::NotFound, "there is no such file")),
    };
    Ok(file(media_type, text))
}

/// The OpenAPI document.
pub(crate) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

fn file(media_type: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
