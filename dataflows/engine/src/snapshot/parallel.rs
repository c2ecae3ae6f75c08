//! Work over a list on a few threads, its results in the order of the list.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// More threads than this find disk, network or memory bus busy.
const MAX_THREADS: usize = 8;

/// `work` on each of `0..count`, each thread with a scratch space of its own. The first error ends
/// it soon.
pub(super) fn each<S: Default, R: Send, E: Send>(
    count: usize,
    work: impl Fn(&mut S, usize) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(count));
    let failure: Mutex<Option<E>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(MAX_THREADS).min(count) {
            scope.spawn(|| {
                let mut scratch = S::default();
                while failure.lock().is_none() {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    match work(&mut scratch, at) {
                        Ok(result) => results.lock().push((at, result)),
                        Err(error) => drop(failure.lock().get_or_insert(error)),
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    let mut results = results.into_inner();
    results.sort_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
