//! The background thread that builds graphs and swaps them in.
//!
//! Rows are copied in short runs, each under its own read lock, so that an epoch never waits for a
//! build; rows of several epochs may meet in one graph, which only proposes. The thread rests after
//! every few rows, the longer the busier the machine is, so that it never slows folding or
//! answering down.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eddyline_index::exact::ExactScan;
use eddyline_index::graph::{GraphIndex, Snapshot, build};
use eddyline_index::policy::{Decision, GraphAge, decide};

use crate::state::{Installed, ServingState};

/// How often the policy is asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Shortest rest after a slice of a build: long enough for a reader's lock.
const SHORT_REST: Duration = Duration::from_millis(1);
/// How many times as long as it was kept waiting for a core the thread then rests. At low priority
/// alone a build still took a third of a core from a machine that was busy folding (15 % of the
/// throughput of ingestion); so it takes a tenth or less, and all of an idle one.
const YIELD_RATIO: u32 = 16;
/// The same to the whole time of a slice, where the time on the core is not known.
const REST_RATIO: u32 = 4;
/// Longest rest, after a slice that was held up itself.
const LONGEST_REST: Duration = Duration::from_millis(200);

/// Owns the thread; dropping it stops the thread within a slice.
#[derive(Debug)]
pub struct Reindexer {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reindexer {
    /// Starts the thread for `state`.
    pub fn start(state: Arc<ServingState>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("eddyline-reindex".to_owned())
            .spawn(move || run(&state, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Reindexer {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the index builder panicked; the last index stays in force");
        }
    }
}

/// Gives this thread the lowest priority, so that a build uses what folding and answering leave.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        let thread = rustix::thread::gettid();
        if let Err(error) = rustix::process::setpriority_process(Some(thread), 19) {
            tracing::debug!(%error, "the index builder runs at normal priority");
        }
    }
}

/// Time that this thread has had a core; `None` where the system does not tell.
fn core_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

/// A slice of a build, from its start.
struct Slice {
    started: Instant,
    core_time: Option<Duration>,
}

impl Slice {
    fn start() -> Self {
        Self { started: Instant::now(), core_time: core_time() }
    }

    /// How long to rest after it: the busier the machine, the longer.
    fn rest(&self) -> Duration {
        let took = self.started.elapsed();
        let rest = match (self.core_time, core_time()) {
            (Some(before), Some(now)) => took.saturating_sub(now - before) * YIELD_RATIO,
            _ => took * REST_RATIO,
        };
        rest.clamp(SHORT_REST, LONGEST_REST)
    }
}

fn run(state: &ServingState, stopped: &Receiver<()>) {
    step_back();
    loop {
        let pause = |rest| match stopped.recv_timeout(rest) {
            Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
        };
        if pause(LOOK_EVERY).is_break() {
            return;
        }
        let mut slice = Slice::start();
        let mut rest = |_| {
            let rested = pause(slice.rest());
            slice = Slice::start();
            rested
        };
        if refresh(state, &mut rest).is_break() {
            return;
        }
    }
}

/// Does what the policy says once; breaks when `pause` gave up.
pub(super) fn refresh(
    state: &ServingState,
    pause: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let installed = state.installed();
    let decision = {
        let tables = state.tables();
        let age = installed
            .graph()
            .map(|graph| GraphAge { built: graph.built(), drift: graph.drift(tables.vectors()) });
        decide(&state.config().index, tables.items().len(), age)
    };
    match decision {
        Decision::Keep => {}
        Decision::Exact => {
            if installed.graph().is_some() {
                state.install(Installed::Exact(ExactScan));
            }
        }
        Decision::Build => match build_graph(state, pause) {
            Some(graph) => state.install(Installed::Graph(Box::new(graph))),
            None => return ControlFlow::Break(()),
        },
    }
    ControlFlow::Continue(())
}

fn build_graph(
    state: &ServingState,
    pause: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Option<GraphIndex> {
    let begun = Instant::now();
    let mut snapshot = Snapshot::new(state.config().core.factors.dim);
    while snapshot.copy_run(state.tables().vectors()) {}
    let graph = build(&snapshot, &state.config().index.graph, pause)?;
    tracing::info!(items = graph.built(), seconds = begun.elapsed().as_secs_f64(), "graph built");
    Some(graph)
}
