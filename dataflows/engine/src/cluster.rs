//! Several processes as one dataflow: who they are, how they meet, and how they part.
//!
//! Process 0 leads: it has the log, binds epochs and feeds them, and its commit operator gathers
//! all deltas. The others follow: they need no log, fold what reaches them, and hold the users of
//! their shards and the item side whole. Every process listens on its own address of the list,
//! and on no other; 127.0.0.1 unless the list says otherwise. The connections carry neither
//! authentication nor encryption: a private network is a must.
//!
//! A cluster that goes on from a snapshot gets its state from process 0, over the control
//! connections; the others need no object store.
//!
//! Before the first epoch every connection begins with a greeting, which says who speaks: wire and
//! algorithm version, deployment, `[core]` configuration, number of processes and workers, and the
//! run that process 0 drew. Whoever differs is refused, and told why.
//!
//! Timely can neither lose a process nor take one back. So a process that loses another stops at
//! once with exit code 69 and says which one it lost, and with it all stop; a supervisor starts
//! them again, under a new term. A peer that hangs is found by its silence on the control
//! connection, an epoch that hangs by the stall of the frontier.

mod control;
mod digests;
mod frames;
mod greeting;
mod handover;
mod link;
mod meeting;
mod stall;
pub(crate) mod stop;

use std::sync::Arc;

use eddyline_model::config::CoreConfig;
use eddyline_schemas::id::SHARDS;
use eddyline_schemas::record::Digest;

pub(crate) use control::{Leading, begun, followed};
pub(crate) use link::Link;
pub(crate) use meeting::meet;
pub(crate) use stall::{Pulse, watch};

/// How the processes of a dataflow find each other. The same for all of them but for `index`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Workers of each process.
    pub workers: usize,
    /// This process: 0 leads.
    pub index: usize,
    /// `host:port` of each process, in order. Each listens on its own.
    pub hosts: Vec<String>,
    /// What the processes of one deployment share and those of another do not: namespace and log.
    pub deployment: String,
    /// When to give up.
    pub patience: Patience,
}

/// How long to wait for other processes, in seconds. Counted in turns of waiting and not by the
/// clock, so that a machine that sleeps for a while is not mistaken for a peer that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For all processes to meet.
    pub meeting_seconds: u32,
    /// For a sign of life.
    pub silence_seconds: u32,
    /// For an epoch in flight to end, or another one.
    pub stall_seconds: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { meeting_seconds: 60, silence_seconds: 15, stall_seconds: 60 }
    }
}

/// Where the workers of a dataflow are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workers {
    /// So many threads of this process.
    Threads(usize),
    /// In this process, which leads, and in others, which [`follow`](crate::follow).
    Cluster(ClusterConfig),
}

impl From<usize> for Workers {
    fn from(threads: usize) -> Self {
        Self::Threads(threads)
    }
}

impl Workers {
    /// Threads of this process.
    pub(crate) fn here(&self) -> usize {
        match self {
            Self::Threads(threads) => *threads,
            Self::Cluster(cluster) => cluster.workers,
        }
    }
}

/// Why processes did not meet.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The lists cannot be right: change them.
    #[error("{0}")]
    Config(String),
    /// Two processes differ in what they must share: start them with the same.
    #[error("{address} refused this process: {reason}")]
    Refused {
        /// Who.
        address: String,
        /// What differs.
        reason: String,
    },
    /// A process of this deployment came that must not take part.
    #[error("process {index} must not take part: {reason}")]
    Unfit {
        /// Which.
        index: usize,
        /// What differs.
        reason: String,
    },
    /// Somebody is not there yet, or not any more: try again.
    #[error("{0}")]
    Unavailable(String),
    /// The own address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ClusterConfig {
    /// Processes on this machine, on ports that begin with `port`.
    #[must_use]
    pub fn on_loopback(processes: usize, workers: usize, port: u16) -> Self {
        let host = |index: usize| format!("127.0.0.1:{}", usize::from(port) + index);
        Self {
            workers,
            index: 0,
            hosts: (0..processes).map(host).collect(),
            deployment: String::new(),
            patience: Patience::default(),
        }
    }

    /// Processes in all.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.hosts.len()
    }

    /// Whether this can be a cluster at all; asked again when the processes meet.
    pub fn check(&self) -> Result<(), ClusterError> {
        let wrong = |text: String| Err(ClusterError::Config(text));
        let processes = self.processes();
        if self.index >= processes {
            let index = self.index;
            return wrong(format!("process {index} is not among {processes} hosts; count from 0"));
        }
        if self.workers == 0 || self.workers * processes > SHARDS {
            return wrong(format!(
                "{processes} processes with {} workers each: there must be 1 to {SHARDS} in all",
                self.workers
            ));
        }
        if let Some(host) = self.hosts.iter().find(|host| !is_address(host)) {
            return wrong(format!("{host} must be host:port, with a port from 1 to 65535"));
        }
        let mut sorted = self.hosts.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return wrong(format!("{} is listed twice; each process needs its own", pair[0]));
        }
        Ok(())
    }
}

fn is_address(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(name, port)| {
        !name.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// What all processes must have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) deployment: Digest,
    pub(crate) core: Digest,
    pub(crate) processes: usize,
    pub(crate) workers: usize,
}

impl Identity {
    pub(crate) fn new(config: &ClusterConfig, core: &Arc<CoreConfig>) -> Self {
        Self {
            deployment: Digest::of(config.deployment.as_bytes()),
            core: core.hash(),
            processes: config.processes(),
            workers: config.workers,
        }
    }
}
