//! The table of routes: one row for each path and method, read by the router, by the metrics (their
//! labels must be static) and by the test that holds `openapi.json` to it.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter};

use crate::http::envelope::envelope;
use crate::http::problem::{Kind, Problem};
use crate::http::{
    Shared, erasures, events, health, items, lineages, lists, pages, pipeline, recommendations,
    users,
};

type Methods = MethodRouter<Arc<Shared>>;

/// One path and what it answers to.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) methods: Vec<Method>,
    handlers: Methods,
}

impl Route {
    fn at(path: &'static str) -> Self {
        Self { path, methods: Vec::new(), handlers: Methods::new() }
    }

    fn on<T, H>(mut self, method: Method, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("the table names known methods");
        self.methods.push(method);
        self.handlers = self.handlers.on(filter, handler);
        self
    }
}

/// All routes.
pub(crate) fn routes() -> Vec<Route> {
    let (get, post) = (Method::GET, Method::POST);
    let (put, delete) = (Method::PUT, Method::DELETE);
    vec![
        Route::at("/").on(get.clone(), pages::home),
        Route::at("/docs").on(get.clone(), pages::docs),
        Route::at("/assets/{name}").on(get.clone(), pages::asset),
        Route::at("/openapi.json").on(get.clone(), pages::openapi),
        Route::at("/livez").on(get.clone(), health::live),
        Route::at("/readyz").on(get.clone(), health::ready),
        Route::at("/healthz").on(get.clone(), health::ready),
        Route::at("/metrics").on(get.clone(), health::metrics),
        Route::at("/version").on(get.clone(), health::version),
        Route::at("/v1/events").on(post.clone(), events::submit),
        Route::at("/recommendations").on(get.clone(), recommendations::by_query),
        Route::at("/v1/recommendations")
            .on(get.clone(), recommendations::by_query)
            .on(post.clone(), recommendations::by_body),
        Route::at("/v1/items/{id}/similar")
            .on(get.clone(), lists::similar_by_query)
            .on(post.clone(), lists::similar_by_body),
        Route::at("/v1/popular").on(get.clone(), lists::popular),
        Route::at("/v1/new").on(get.clone(), lists::newest),
        Route::at("/v1/users/{id}/features").on(get.clone(), users::features),
        Route::at("/v1/users/{id}").on(post.clone(), erasures::erase),
        Route::at("/v1/jobs/{id}").on(get.clone(), erasures::job),
        Route::at("/v1/items/{id}")
            .on(get.clone(), items::read)
            .on(put, items::put)
            .on(delete, items::delete),
        Route::at("/v1/items:batch").on(post.clone(), items::batch),
        Route::at("/v1/lineages").on(get.clone(), lineages::list),
        Route::at("/v1/lineages/{action}").on(post.clone(), lineages::change),
        Route::at("/v1/lineages:rollback").on(post, lineages::rollback),
        Route::at("/v1/pipeline").on(get.clone(), pipeline::report),
        Route::at("/v1/digest").on(get.clone(), pipeline::digest),
        Route::at("/v1/stream").on(get.clone(), pipeline::stream),
        Route::at("/v1/demo/personas").on(get, users::personas),
    ]
}

/// The router over the table, with what every request goes through.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let table = routes().into_iter();
    table
        .fold(Router::new(), |router, route| router.route(route.path, route.handlers))
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&shared), envelope))
        .with_state(shared)
}

async fn no_such_route(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(128).collect();
    Problem::new(Kind::NoSuchRoute, format!("there is no route {path}: see /docs"))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(128).collect();
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{path} does not know {method}: the header allow names what it knows"),
    )
}
