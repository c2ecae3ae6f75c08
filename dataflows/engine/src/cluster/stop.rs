//! The end of a process that cannot go on, told once and at once.
//!
//! Timely leaves every other thread waiting for one that is gone, so nothing may be left to
//! unwinding: the first thread that learns of the end says why and ends the process.

use std::sync::atomic::{AtomicBool, Ordering};

/// Exit codes, as of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Another process is gone or hangs: starting all again may help.
    Unavailable = 69,
    /// A bug in Eddyline.
    Bug = 70,
}

static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// Ends the process, saying why on stderr.
pub(crate) fn stop(code: Code, why: &str, remedy: &str) -> ! {
    if IS_TOLD.swap(true, Ordering::SeqCst) {
        // The first to come here is about to end the process.
        loop {
            std::thread::park();
        }
    }
    eprintln!("error: {why}\n  try: {remedy}");
    std::process::exit(code as i32)
}

/// Ends the process because another one is gone.
pub(crate) fn lost(index: usize, address: &str, how: &str) -> ! {
    let why = format!(
        "lost process {index} ({address}): {how}; all processes of the dataflow stop together"
    );
    stop(Code::Unavailable, &why, "start all of them again, or run each with --supervise")
}
