//! `eddyline dataflow` and `eddyline serve`: the two halves of `up` as processes of their own,
//! with a log between them that processes can share.

mod processes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eddyline_serving::http::Operations;
use tokio::runtime::Runtime;

use crate::config::{Config, ConfigArgs, FlagValue, load};
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::node::{Publishing, Replica, crashes, open_event_log};
use crate::output::print_line;
use crate::server_file;
use crate::up::{Stopping, listen};
use processes::ProcessesArgs;

pub(crate) use processes::{checked, workers};

/// How often a dataflow is asked whether it still goes on.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Flags of both verbs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RoleArgs {
    /// The log that all processes share, such as kafka://broker:9092
    #[arg(long = "log-url", value_name = "URL", env = "EDDYLINE__LOG__URL")]
    pub log_url: Option<String>,
    /// Folder for what this process notes of itself [default: ./eddyline-data]
    #[arg(long, value_name = "DIR", env = "EDDYLINE__DATA__DIR")]
    pub data: Option<PathBuf>,
    /// Address of HTTP; port 0 picks one and prints it [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "EDDYLINE__SERVER__LISTEN")]
    pub listen: Option<String>,
    /// Listen on an address that others can reach, without an API key
    #[arg(long)]
    pub insecure: bool,
}

impl RoleArgs {
    fn flags(&self) -> Vec<FlagValue> {
        let data = self.data.as_deref().map(|dir| dir.to_string_lossy().into_owned());
        let all = [
            ("log.url", self.log_url.clone(), "--log-url"),
            ("data.dir", data, "--data"),
            ("server.listen", self.listen.clone(), "--listen"),
            ("server.insecure", self.insecure.then(|| "true".to_owned()), "--insecure"),
        ];
        all.into_iter().filter_map(|(key, value, flag)| Some((key, value?, flag))).collect()
    }

    fn load(&self, config: &ConfigArgs, more: &[FlagValue]) -> Outcome<Config> {
        let config = load(config, &[&self.flags()[..], more].concat())?;
        check_shared(&config.log.url)?;
        Ok(config)
    }
}

/// Flags of `dataflow`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DataflowArgs {
    #[command(flatten)]
    pub role: RoleArgs,
    #[command(flatten)]
    pub processes: ProcessesArgs,
}

/// A log of one process cannot be between two.
fn check_shared(url: &str) -> Outcome {
    let scheme = url.split(':').next().unwrap_or_default();
    if !matches!(scheme, "memory" | "embedded") {
        return Ok(());
    }
    let message =
        format!("log.url: {url:?} is a log of one process, and `dataflow` and `serve` are several");
    let remedy = "set log.url to a log that processes share, such as kafka://broker:9092, \
                  or run everything in one process with `eddyline up`";
    Err(Stop::new(Exit::Config, message).remedy(remedy))
}

/// Runs the verb `dataflow` until a signal, or until it cannot go on.
pub(crate) fn run_dataflow(args: &DataflowArgs, config: &ConfigArgs) -> Outcome {
    if args.processes.supervise {
        return crate::supervise::this_command_without("--supervise");
    }
    let config = args.role.load(config, &args.processes.flags())?;
    if let Some(cluster) = processes::checked(&config)?.filter(|cluster| cluster.index > 0) {
        return processes::run_follower(&config, cluster);
    }
    let runtime = Runtime::new().or_stop(Exit::Io, || "starting the runtime".into())?;
    let listener = runtime.block_on(listen(config.server.listen))?;
    let address = listener.local_addr().or_stop(Exit::Io, || "reading the port".into())?;
    let log = open_event_log(&config)?;
    let crashed = crashes::begin(&config, || Ok(Arc::clone(&log)))?;
    let dataflow = Arc::new(Publishing::open(&config, log)?);
    let committing: Arc<dyn Operations> = Arc::clone(&dataflow) as _;
    crashed.until_committed(Arc::downgrade(&committing))?;
    print_line(&format!("eddyline dataflow listens on http://{address}"))?;
    let (stopping, watched) = (Stopping::default(), Arc::clone(&dataflow));
    let probes =
        eddyline_serving::http::serve_probes(listener, Arc::clone(&dataflow) as _, async move {
            tokio::select! {
                () = stopping.wait_for_signal() => {}
                () = until_failed(&watched) => {}
            }
        });
    runtime.block_on(probes).or_stop(Exit::Io, || "serving HTTP".into())?;
    if let Some(failure) = dataflow.failure() {
        drop(dataflow.close());
        return Err(Stop::new(Exit::Failure, format!("the dataflow stopped: {failure}")));
    }
    let digest = dataflow.close().or_stop(Exit::Failure, || "not all is published".into())?;
    crashes::closed(&config, digest.epoch)?;
    tracing::info!(epoch = digest.epoch.0, state_digest = %digest.state_digest, "closed");
    Ok(())
}

async fn until_failed(dataflow: &Publishing) {
    while dataflow.failure().is_none() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Runs the verb `serve` until a signal.
pub(crate) fn run_serve(args: &RoleArgs, config: &ConfigArgs) -> Outcome {
    let config = args.load(config, &[])?;
    let runtime = Runtime::new().or_stop(Exit::Io, || "starting the runtime".into())?;
    let listener = runtime.block_on(listen(config.server.listen))?;
    let address = listener.local_addr().or_stop(Exit::Io, || "reading the port".into())?;
    let log = open_event_log(&config)?;
    let data_dir = config.data_dir.clone();
    let replica = Replica::open(config, log)?;
    server_file::write(&data_dir, address)?;
    print_line(&format!("eddyline serve listens on http://{address}"))?;
    let stopping = Stopping::default();
    let served = runtime.block_on(replica.serve(listener, async move {
        stopping.wait_for_signal().await;
        tracing::info!("draining");
    }));
    replica.close();
    server_file::remove(&data_dir)?;
    served
}
