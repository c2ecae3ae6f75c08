//! The supervisor: runs a command as a child and starts it again when starting again may help.
//!
//! One lost process stops all processes of a dataflow; with a supervisor over each they come back
//! together, under a new term. What no start can mend (a wrong flag or configuration, bad data,
//! digests that differ) ends the supervisor with the child's own exit code.

use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::up::Stopping;

/// Wait before the first start again; it doubles with each that follows at once.
const SHORTEST: Duration = Duration::from_millis(500);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// Between two looks at whether a signal has come.
const LOOK: Duration = Duration::from_millis(100);
/// A child that ran for so long had started well: the next wait is the shortest again.
const HEALTHY: Duration = Duration::from_secs(60);

/// Runs this very command line, but for `flag`, under supervision.
pub(crate) fn this_command_without(flag: &str) -> Outcome {
    let exe = std::env::current_exe().or_stop(Exit::Io, || "finding this program".into())?;
    let arguments: Vec<_> = std::env::args_os().skip(1).filter(|given| given != flag).collect();
    supervise(|| {
        let mut command = Command::new(&exe);
        command.args(&arguments).stdin(Stdio::null());
        command
    })
}

/// Runs what `command` makes until it ends well, or in a way that starting again cannot mend.
fn supervise(mut command: impl FnMut() -> Command) -> Outcome {
    let pass_on = PassOn::start()?;
    let mut wait = SHORTEST;
    loop {
        let began = Instant::now();
        let mut child = command().spawn().or_stop(Exit::Io, || "starting the process".into())?;
        pass_on.to(Some(child.id()));
        let status = child.wait().or_stop(Exit::Io, || "waiting for the process".into())?;
        pass_on.to(None);
        match next(status) {
            Next::Done => return Ok(()),
            Next::GiveUp(code) => {
                return Err(Stop::new(code, format!("the process ended with {status}"))
                    .remedy("see its own error above; starting it again would not help"));
            }
            Next::Again if pass_on.is_stopping() => return Ok(()),
            Next::Again => {}
        }
        if began.elapsed() >= HEALTHY {
            wait = SHORTEST;
        }
        tracing::error!(%status, wait_ms = wait.as_millis() as u64, "the process ended; starting it again");
        if pass_on.stops_within(wait) {
            return Ok(());
        }
        wait = (wait * 2).min(LONGEST);
    }
}

/// Passes SIGINT and SIGTERM on to the child, which ends well; the supervisor then ends too.
struct PassOn {
    child: Arc<Mutex<Option<u32>>>,
    stopping: Stopping,
}

impl PassOn {
    fn start() -> Outcome<Self> {
        let (child, stopping) = (Arc::<Mutex<Option<u32>>>::default(), Stopping::default());
        let (of, asked) = (Arc::clone(&child), stopping.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.or_stop(Exit::Io, || "starting the runtime".into())?;
        let wait = move || {
            runtime.block_on(asked.wait_for_signal());
            if let Some(id) = *of.lock() {
                terminate(id);
            }
        };
        let thread = std::thread::Builder::new().name("eddyline-signals".into());
        thread.spawn(wait).or_stop(Exit::Io, || "starting a thread".into())?;
        Ok(Self { child, stopping })
    }

    fn to(&self, id: Option<u32>) {
        *self.child.lock() = id;
        if let (true, Some(id)) = (self.is_stopping(), id) {
            terminate(id);
        }
    }

    /// Sleeps for so long, unless a signal says to end.
    fn stops_within(&self, wait: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < wait && !self.is_stopping() {
            std::thread::sleep(LOOK.min(wait));
        }
        self.is_stopping()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.is_stopping()
    }
}

fn terminate(id: u32) {
    if let Some(id) = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Done,
    Again,
    GiveUp(Exit),
}

fn next(status: ExitStatus) -> Next {
    const FINAL: [Exit; 4] = [Exit::Usage, Exit::Mismatch, Exit::BadData, Exit::Config];
    match status.code() {
        Some(0) => Next::Done,
        // A signal: killed, or crashed.
        None => Next::Again,
        Some(code) => {
            FINAL.into_iter().find(|exit| *exit as i32 == code).map_or(Next::Again, Next::GiveUp)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_process_is_started_again_until_it_ends_well() {
        let mut starts = 0;
        let ended = supervise(|| {
            starts += 1;
            shell(["exit 69", "kill -9 $$", "exit 0"][starts - 1])
        });
        assert!(ended.is_ok());
        assert_eq!(starts, 3);
    }

    #[test]
    fn what_starting_again_cannot_mend_ends_with_the_same_code() {
        for (script, want) in [("exit 78", Exit::Config), ("exit 3", Exit::Mismatch)] {
            let mut starts = 0;
            let ended = supervise(|| {
                starts += 1;
                shell(script)
            });
            assert_eq!(ended.expect_err("it failed").exit, want);
            assert_eq!(starts, 1, "{script}");
        }
    }
}
