//! The process's memory allocator and the one setting of it that matters here.
//!
//! Deltas are allocated by one thread and freed by another, which is glibc's slow path: a fifth of
//! the time of `bench ingest`. mimalloc gives pages that were free for a second back to the
//! system; an epoch's memory comes and goes all the time, and taking it back costs a tenth of the
//! throughput, because the system zeroes each page again. So it waits longer.

use std::ffi::c_long;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`; the binding does not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Milliseconds that memory stays free before the system gets it back.
const PURGE_DELAY_MS: c_long = 20_000;

/// Sets the delay, unless the environment variable `MIMALLOC_PURGE_DELAY` does.
#[expect(unsafe_code, reason = "mimalloc has no safe interface to its options")]
pub(crate) fn keep_memory_longer() {
    // SAFETY: it stores a number in the allocator's table of options, at an index inside it, as
    // the test below shows.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) }
}

#[cfg(test)]
mod tests {
    use super::{PURGE_DELAY, PURGE_DELAY_MS, keep_memory_longer};

    #[test]
    #[expect(unsafe_code, reason = "mimalloc has no safe interface to its options")]
    fn the_option_is_the_purge_delay() {
        // SAFETY: it reads a number from the allocator's table of options.
        let get = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // mimalloc 3 is built in: its default is a second, and no other option's is.
        assert_eq!(get(), 1_000);
        keep_memory_longer();
        assert_eq!(get(), PURGE_DELAY_MS);
    }
}
