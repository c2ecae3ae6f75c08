//! How the program ends: exit codes, and an error that knows its code and its remedy.
//!
//! The codes are those of `sysexits.h` where it has one. An error is printed once, at the top, as
//! one chain on stderr, with the remedy on a line of its own; nothing else prints errors.

use std::fmt;
use std::io;

use eddyline_dataflows::{ClusterError, EngineError};

/// Exit codes, part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something failed that fits none of the others.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Two things that must be equal are not.
    Mismatch = 3,
    /// The user's data cannot be read.
    BadData = 65,
    /// A server does not answer, or answers that it cannot.
    Unavailable = 69,
    /// A bug in Eddyline.
    Bug = 70,
    /// Reading or writing failed.
    Io = 74,
    /// The configuration is wrong.
    Config = 78,
}

/// Why a verb stopped.
#[derive(Debug)]
pub(crate) struct Stop {
    /// What the shell sees.
    pub exit: Exit,
    /// What happened, outermost first.
    pub error: anyhow::Error,
    /// What the user can do about it.
    pub remedy: Option<String>,
}

/// What verbs return.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

impl Stop {
    /// Stops with `message`.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{message}"), remedy: None }
    }

    /// Adds what the user can do.
    #[must_use]
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {:#}", self.error)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  try: {remedy}"),
            None => Ok(()),
        }
    }
}

impl From<anyhow::Error> for Stop {
    /// Errors of the operating system are I/O, all others a plain failure.
    fn from(error: anyhow::Error) -> Self {
        let io = error.chain().any(|cause| cause.is::<io::Error>());
        Self { exit: if io { Exit::Io } else { Exit::Failure }, error, remedy: None }
    }
}

/// Gives a foreign error its exit code and its place in the chain.
pub(crate) trait OrStop<T> {
    /// Stops with `exit`, saying `context` first.
    fn or_stop(self, exit: Exit, context: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Into<anyhow::Error>> OrStop<T> for Result<T, E> {
    fn or_stop(self, exit: Exit, context: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Stop { exit, error: error.into().context(context()), remedy: None })
    }
}

/// The code and the remedy of a dataflow that does not start.
pub(crate) fn of_start(error: EngineError) -> Stop {
    let stop = of_engine(error);
    Stop { error: stop.error.context("cannot start the dataflow"), ..stop }
}

/// The code and the remedy of what the dataflow says.
pub(crate) fn of_engine(error: EngineError) -> Stop {
    let (exit, remedy) = match &error {
        EngineError::Cluster(error) => of_cluster(error),
        EngineError::Config(_) => (Exit::Config, None),
        EngineError::Differs { .. } => {
            (Exit::Mismatch, Some("`eddyline replay verify` says where; the state was not written"))
        }
        _ => (Exit::Failure, None),
    };
    Stop { exit, error: error.into(), remedy: remedy.map(str::to_owned) }
}

fn of_cluster(error: &ClusterError) -> (Exit, Option<&'static str>) {
    match error {
        ClusterError::Unavailable(_) => (
            Exit::Unavailable,
            Some("start all processes, each with the same --hosts; --supervise starts them again"),
        ),
        ClusterError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            (Exit::Unavailable, Some("choose another port in --hosts, the same in all processes"))
        }
        ClusterError::Listen { .. } => {
            (Exit::Unavailable, Some("name an address of this machine at its place in --hosts"))
        }
        ClusterError::Config(_) | ClusterError::Refused { .. } | ClusterError::Unfit { .. } => {
            (Exit::Config, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_chain_with_its_remedy() {
        let cause: Result<(), io::Error> = Err(io::Error::other("disk is full"));
        let stop = cause.or_stop(Exit::Io, || "writing a.json".into()).expect_err("failed above");
        let shown = stop.remedy("free some space").to_string();
        assert_eq!(shown, "error: writing a.json: disk is full\n  try: free some space");
    }

    #[test]
    fn system_errors_are_io_even_when_wrapped() {
        let wrapped = anyhow::Error::from(io::Error::other("gone")).context("reading");
        assert_eq!(Stop::from(wrapped).exit, Exit::Io);
        assert_eq!(Stop::from(anyhow::anyhow!("no")).exit, Exit::Failure);
    }
}
