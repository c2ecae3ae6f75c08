//! Listens, answers, and stops without losing a request that was taken.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::http::{AppState, Shared, freshness, routes};

/// Serves `app` on `listener` until `shutdown` ends: then nothing new is accepted, streams end,
/// and requests that are being answered have [`grace`](crate::http::HttpConfig::grace) to finish.
/// The door stays open; whoever owns it closes it after this returns.
pub async fn serve(
    listener: TcpListener,
    app: AppState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let grace = app.config.grace;
    let watcher = tokio::spawn(freshness::watch(app.clone()));
    let shared = Arc::new(Shared::new(app));
    let mut closing = shared.closing.subscribe();
    let router = routes::router(Arc::clone(&shared));
    let signal = async move {
        shutdown.await;
        shared.closing.send_replace(true);
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(signal).into_future();
    let late = async {
        // The sender lives in the server's own signal, so this ends only by a shutdown.
        let _ = closing.wait_for(|closing| *closing).await;
        tokio::time::sleep(grace).await;
    };
    let served = tokio::select! {
        served = server => served,
        () = late => {
            tracing::warn!("requests were still open at the end of the grace period");
            Ok(())
        }
    };
    watcher.abort();
    served
}
