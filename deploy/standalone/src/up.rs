//! `eddyline up`: everything in one process, until SIGTERM or SIGINT drains it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use eddyline_serving::http::DemoInfo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, ConfigArgs, FlagValue, load};
use crate::exit::{Exit, OrStop, Outcome};
use crate::node::Node;
use crate::output::print_line;
use crate::server_file;

/// Flags of `up`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Folder for everything durable [default: ./eddyline-data]
    #[arg(long, value_name = "DIR", env = "EDDYLINE__DATA__DIR")]
    pub data: Option<PathBuf>,
    /// Address of HTTP; port 0 picks one and prints it [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "EDDYLINE__SERVER__LISTEN")]
    pub listen: Option<String>,
    /// Worker threads of the dataflow [default: 2]
    #[arg(long, value_name = "N", env = "EDDYLINE__DATAFLOW__WORKERS")]
    pub workers: Option<usize>,
    /// Listen on an address that others can reach, without an API key
    #[arg(long)]
    pub insecure: bool,
}

impl UpArgs {
    /// The flags that were given, as keys of the configuration.
    #[must_use]
    pub(crate) fn flags(&self) -> Vec<FlagValue> {
        let data = self.data.as_deref().map(|dir| dir.to_string_lossy().into_owned());
        let workers = self.workers.map(|workers| workers.to_string());
        let insecure = self.insecure.then(|| "true".to_owned());
        let all = [
            ("data.dir", data, "--data"),
            ("server.listen", self.listen.clone(), "--listen"),
            ("dataflow.workers", workers, "--workers"),
            ("server.insecure", insecure, "--insecure"),
        ];
        all.into_iter().filter_map(|(key, value, flag)| Some((key, value?, flag))).collect()
    }
}

/// Runs the verb.
pub(crate) fn run(args: &UpArgs, config: &ConfigArgs) -> Outcome {
    let config = load(config, &args.flags())?;
    run_until_signal(config, None, |address, _| {
        print_line(&format!("eddyline listens on http://{address}"))
    })
}

/// Opens a node, serves it, and closes it when a signal asks for it. `started` is called on a
/// thread of its own once requests are answered.
pub(crate) fn run_until_signal(
    config: Config,
    demo: Option<DemoInfo>,
    started: impl FnOnce(SocketAddr, &Stopping) -> Outcome + Send + 'static,
) -> Outcome {
    let runtime = Runtime::new().or_stop(Exit::Io, || "starting the runtime".into())?;
    let listener = runtime.block_on(listen(config.server.listen))?;
    let address = listener.local_addr().or_stop(Exit::Io, || "reading the port".into())?;
    let node = Node::open(config)?;
    let data_dir = node.config().data_dir.clone();
    let stopping = Stopping::default();
    server_file::write(&data_dir, address)?;
    let of_starter = stopping.clone();
    let starter = std::thread::Builder::new()
        .name("eddyline-started".into())
        .spawn(move || started(address, &of_starter))
        .or_stop(Exit::Io, || "starting a thread".into())?;
    let signals = stopping.clone();
    let served = runtime.block_on(node.serve(listener, demo, async move {
        signals.wait_for_signal().await;
        // Before the door closes, so that whoever is refused can tell why.
        signals.stop();
        tracing::info!("draining");
    }));
    stopping.stop();
    let closed = close(node, &data_dir);
    let starter = starter.join();
    served.and(closed)?;
    match starter {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn close(node: Node, data_dir: &Path) -> Outcome {
    let digest = node.close()?;
    server_file::remove(data_dir)?;
    tracing::info!(epoch = digest.epoch.0, state_digest = %digest.state_digest, "closed");
    Ok(())
}

/// Takes the address, or says that it is taken.
pub(crate) async fn listen(address: SocketAddr) -> Outcome<TcpListener> {
    TcpListener::bind(address)
        .await
        .or_stop(Exit::Unavailable, || format!("cannot listen on {address}"))
        .map_err(|stop| stop.remedy("choose another --listen ADDR; port 0 picks a free one"))
}

/// Whether the process is asked to end, for threads and tasks alike.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(tokio::sync::watch::Sender<bool>);

impl Default for Stopping {
    fn default() -> Self {
        Self(tokio::sync::watch::Sender::new(false))
    }
}

impl Stopping {
    /// Asks for the end.
    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub(crate) fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends with SIGINT, SIGTERM or [`Self::stop`].
    pub(crate) async fn wait_for_signal(&self) {
        let mut asked = self.0.subscribe();
        let terminated = async {
            match signal(SignalKind::terminate()) {
                Ok(mut terminate) => terminate.recv().await,
                // Without the handler SIGTERM ends the process at once, as kill -9 would.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated => {}
            _ = asked.wait_for(|asked| *asked) => {}
        }
        self.stop();
    }
}
