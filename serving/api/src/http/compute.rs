//! Work of more than half a millisecond, away from the async runtime's threads.
//!
//! Two bounds: how many tasks run at once (about the number of cores: more only wait for each
//! other) and how many may be in here at all. Beyond the second a request is turned away at once,
//! so that the ones inside keep their budget.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::http::problem::{Kind, Problem};
use crate::metrics::Metrics;

/// When the same request may be sent again.
const RETRY_AFTER_MS: u64 = 250;

/// See the module doc.
#[derive(Debug)]
pub(crate) struct Compute {
    places: Semaphore,
    running: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Compute {
    pub(crate) fn new(running: usize, places: usize, metrics: Arc<Metrics>) -> Self {
        let running = Arc::new(Semaphore::new(running.max(1)));
        Self { places: Semaphore::new(places), running, metrics }
    }

    /// Runs `work` on a blocking thread. A panic in it is this request's alone.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(_place) = self.places.try_acquire() else {
            self.metrics.shed("compute");
            return Err(overloaded());
        };
        let turn = Arc::clone(&self.running).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        // The turn moves along: a caller that gives up must not let another task run beside this.
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        task.await.map_err(|error| {
            tracing::error!(%error, "a request's work panicked");
            Problem::internal()
        })
    }
}

fn overloaded() -> Problem {
    Problem::new(Kind::Overloaded, "too many requests are being answered: try again")
        .retry_after_ms(RETRY_AFTER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_next_task_runs() {
        let compute = Compute::new(1, 1, Arc::default());
        let panicked = compute.run(|| -> u8 { panic!("planted") }).await;
        assert_eq!(panicked.expect_err("it panicked").kind(), Kind::Internal);
        assert_eq!(compute.run(|| 7).await.expect("it runs"), 7);
    }

    #[tokio::test]
    async fn without_a_place_it_is_turned_away() {
        let compute = Compute::new(1, 0, Arc::default());
        assert_eq!(compute.run(|| 7).await.expect_err("no place").kind(), Kind::Overloaded);
    }
}
