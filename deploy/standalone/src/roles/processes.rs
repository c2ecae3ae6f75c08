//! Several processes that are one dataflow: who this one is, and what it does when it follows.
//!
//! Process 0 leads: it alone has the log, binds epochs, publishes what they change and has probes.
//! The others fold what it sends, and end when it ends. None of them can leave alone: a loss stops
//! all at once, with exit code 69.

use std::sync::Arc;
use std::time::Duration;

use eddyline_dataflows::{ClusterConfig, EngineError, Patience, Workers, follow, newest_epoch};
use tokio::sync::oneshot;

use crate::config::{Config, FlagValue};
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};
use crate::node::{crashes, open_event_log};
use crate::output::print_line;
use crate::up::Stopping;

/// Flags of a dataflow of several processes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProcessesArgs {
    /// Worker threads of each process [default: 2]
    #[arg(long, value_name = "W", env = "EDDYLINE__DATAFLOW__WORKERS")]
    pub workers: Option<usize>,
    /// How many processes are one dataflow [default: 1]
    #[arg(long, value_name = "N", env = "EDDYLINE__DATAFLOW__PROCESSES")]
    pub processes: Option<usize>,
    /// Which of them this is; 0 leads and alone needs the log [default: 0]
    #[arg(long, value_name = "I", env = "EDDYLINE__DATAFLOW__PROCESS")]
    pub process: Option<usize>,
    /// HOST:PORT of each process, in order; each listens on its own and on no other
    #[arg(long, value_name = "HOST:PORT,…", env = "EDDYLINE__DATAFLOW__HOSTS")]
    pub hosts: Option<String>,
    /// Start again, after a growing wait, when the dataflow stopped in a way that this may mend
    #[arg(long)]
    pub supervise: bool,
}

impl ProcessesArgs {
    /// The flags that were given, as keys of the configuration.
    pub(super) fn flags(&self) -> Vec<FlagValue> {
        let number = |number: Option<usize>| number.map(|number| number.to_string());
        let all = [
            ("dataflow.workers", number(self.workers), "--workers"),
            ("dataflow.processes", number(self.processes), "--processes"),
            ("dataflow.process", number(self.process), "--process"),
            ("dataflow.hosts", self.hosts.clone(), "--hosts"),
        ];
        all.into_iter().filter_map(|(key, value, flag)| Some((key, value?, flag))).collect()
    }
}

/// Where the workers of `config` are, this process among them.
pub(crate) fn workers(config: &Config) -> Workers {
    cluster(config).map_or(config.dataflow.workers.into(), Workers::Cluster)
}

/// The processes of `config`, checked; `None` for one alone.
pub(crate) fn checked(config: &Config) -> Outcome<Option<ClusterConfig>> {
    let cluster = cluster(config);
    let checked = cluster.as_ref().map_or(Ok(()), ClusterConfig::check);
    checked.map(|()| cluster).map_err(|error| of_engine(EngineError::from(error)))
}

fn cluster(config: &Config) -> Option<ClusterConfig> {
    let processes = config.dataflow.processes.as_ref()?;
    let url = &config.log.url;
    Some(ClusterConfig {
        workers: config.dataflow.workers,
        index: processes.index,
        hosts: processes.hosts.clone(),
        // What is behind the question mark says how to reach the log, not which one it is.
        deployment: url.split('?').next().unwrap_or(url).to_owned(),
        patience: Patience {
            meeting_seconds: processes.meeting_seconds,
            stall_seconds: config.dataflow.stall_seconds,
            ..Patience::default()
        },
    })
}

/// Takes part until process 0 says that it is over, or until a signal.
pub(super) fn run_follower(config: &Config, cluster: ClusterConfig) -> Outcome {
    // It needs the log only to say that a record is passed over.
    crashes::begin(config, || open_event_log(config))?.until_passed()?;
    let (index, leader) = (cluster.index, cluster.hosts[0].clone());
    print_line(&format!("eddyline dataflow: process {index} follows {leader}"))?;
    let (to, ended) = oneshot::channel();
    let core = Arc::new(config.core.clone());
    let fold = move || drop(to.send(follow(&core, &cluster)));
    let thread = std::thread::Builder::new().name("eddyline-follower".into());
    thread.spawn(fold).or_stop(Exit::Io, || "starting a thread".into())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.or_stop(Exit::Io, || "starting the runtime".into())?;
    if runtime.block_on(until_over(ended, config.server.grace))? {
        crashes::closed(config, newest_epoch())?;
    }
    Ok(())
}

/// Whether all that was fed is folded.
async fn until_over(
    mut ended: oneshot::Receiver<Result<(), EngineError>>,
    grace: Duration,
) -> Outcome<bool> {
    let stopping = Stopping::default();
    tokio::select! {
        over = &mut ended => return outcome(over).map(|()| true),
        () = stopping.wait_for_signal() => {}
    }
    // Whoever stops all processes at once does not want one of them to break the end of the others.
    tracing::warn!(
        grace_ms = grace.as_millis() as u64,
        "a process that follows cannot leave alone: it waits for process 0 to end the dataflow, \
         then leaves, and all other processes stop with exit code 69"
    );
    match tokio::time::timeout(grace, ended).await {
        Ok(over) => outcome(over).map(|()| true),
        Err(_) => {
            tracing::warn!("leaves; all other processes of the dataflow stop");
            Ok(false)
        }
    }
}

fn outcome(over: Result<Result<(), EngineError>, oneshot::error::RecvError>) -> Outcome {
    match over {
        Ok(ended) => ended.map_err(of_engine),
        Err(_) => Err(Stop::new(Exit::Bug, "the thread that follows is gone")),
    }
}
