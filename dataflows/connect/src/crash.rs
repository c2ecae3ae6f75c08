//! Crash points: named places where a process kills itself when it is told to, as hard as a power
//! cut would, to show that it may die there.
//!
//! `EDDYLINE_CRASH_AT=name:n` sends SIGKILL to the process when it reaches the point for the n-th
//! time. A process that did not call [`arm_from_env`], or was not told to crash, pays one relaxed
//! load per point.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static IS_ARMED: AtomicBool = AtomicBool::new(false);
static PLAN: OnceLock<Plan> = OnceLock::new();

/// The variable that is read.
pub const VARIABLE: &str = "EDDYLINE_CRASH_AT";

#[derive(Debug)]
struct Plan {
    name: String,
    left: AtomicU64,
}

/// The variable is not `name:n` with n ≥ 1, or names no point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}={text:?} is not the name of a crash point and a count, such as {example}:1")]
pub struct InvalidCrashPoint {
    text: String,
    example: &'static str,
}

/// Reads the variable; `known` are the names that there are.
pub fn arm_from_env(known: &[&'static str]) -> Result<(), InvalidCrashPoint> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    let plan = parse(&text, known)?;
    if PLAN.set(plan).is_ok() {
        IS_ARMED.store(true, Ordering::Relaxed);
    }
    Ok(())
}

fn parse(text: &str, known: &[&'static str]) -> Result<Plan, InvalidCrashPoint> {
    let example = known.first().copied().unwrap_or("emit");
    let invalid = || InvalidCrashPoint { text: text.to_owned(), example };
    let (name, count) = text.split_once(':').ok_or_else(invalid)?;
    let left = count.parse().ok().filter(|count| *count > 0).ok_or_else(invalid)?;
    if !known.contains(&name) {
        return Err(invalid());
    }
    Ok(Plan { name: name.to_owned(), left: AtomicU64::new(left) })
}

/// Whether this process was told to crash somewhere.
#[inline]
pub fn is_armed() -> bool {
    IS_ARMED.load(Ordering::Relaxed)
}

/// The process is at the point `name`; see [`crash_point!`](crate::crash_point).
#[cold]
pub fn reach(name: &str) {
    let Some(plan) = PLAN.get().filter(|plan| plan.name == name) else { return };
    if plan.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        eprintln!("crash point {name}: killing this process");
        let me = rustix::process::getpid();
        // Nothing after this line may run, whether the signal has arrived yet or not.
        let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Kills the process here if it was told to. See the module doc of [`crash`](crate::crash).
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        if $crate::crash::is_armed() {
            $crate::crash::reach($name);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_a_point_and_a_count() {
        let check = |text: &str, want: Option<u64>| {
            let plan = parse(text, &["emit", "fed"]).ok();
            assert_eq!(plan.map(|plan| plan.left.into_inner()), want, "{text}");
        };
        check("emit:1", Some(1));
        check("fed:20", Some(20));
        check("fed:0", None);
        check("fed", None);
        check("elsewhere:1", None);
    }
}
