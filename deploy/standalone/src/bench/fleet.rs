//! A fleet in one process: a dataflow that publishes its deltas, and a replica that takes events
//! and follows, with a log between them. What it is slower than one node on the same log is what
//! the topic of deltas costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::freshness::{self, Asked, FreshnessReport};
use super::ingest::{PATIENCE, post_all, rate};
use super::stream::{Bodies, StreamShape};
use super::while_serving;
use crate::client::Client;
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::node::{Publishing, Replica, open_event_log};
use crate::up::Stopping;

/// Between two looks at how far the replica has come.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What is posted.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) shape: StreamShape,
    /// Events that are timed.
    pub(super) events: u64,
    /// Samples of freshness afterwards.
    pub(super) asked: Option<Asked>,
}

/// What is printed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FleetReport {
    /// Over HTTP to the replica, until the replica shows them.
    http_events_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    freshness: Option<FreshnessReport>,
}

/// Catalogue, then the timed events that `post` sends, then samples of freshness.
pub(super) fn measure(
    config: Config,
    load: Load,
    post: impl FnOnce(&Client) -> Outcome + Send,
) -> Outcome<FleetReport> {
    let log = open_event_log(&config)?;
    let dataflow = Publishing::open(&config, Arc::clone(&log))?;
    // One of the two writes the feature store, the other one only reads it.
    let has_store = !config.features.is_in_process();
    let replica = Replica::open(config, log)?;
    let serve = |listener, stopping: Stopping| {
        replica.serve(listener, async move { stopping.wait_for_signal().await })
    };
    let measured = while_serving(serve, |client| run(client, load, (has_store, post)));
    replica.close();
    let closed = dataflow.close().or_stop(Exit::Failure, || "stopping the dataflow".into());
    let measured = measured?;
    closed.map(|_| measured)
}

fn run(
    client: &Client,
    load: Load,
    (has_store, post): (bool, impl FnOnce(&Client) -> Outcome),
) -> Outcome<FleetReport> {
    let mut catalogue =
        Bodies::catalogue(&load.shape).or_stop(Exit::Io, || "writing bodies".into())?;
    let items = load.shape.items as u64;
    eprintln!("fleet: loading {items} items");
    post_all(client, &mut catalogue, 1)?;
    wait_accepted(client, items)?;
    eprintln!("fleet: timing {} events over HTTP", load.events);
    let started = Instant::now();
    post(client)?;
    wait_accepted(client, items + load.events)?;
    let elapsed = started.elapsed();
    let measure = |asked| freshness::measure(client, load.shape, asked, has_store);
    Ok(FleetReport {
        http_events_per_second: rate(load.events, elapsed),
        freshness: load.asked.map(measure).transpose()?,
    })
}

/// Until the replica shows `records` records.
fn wait_accepted(client: &Client, records: u64) -> Outcome {
    let started = Instant::now();
    loop {
        let pipeline = client.get("/v1/pipeline")?;
        if pipeline["accepted"].as_u64().is_some_and(|shown| shown >= records) {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            let message = format!("{records} records are not visible in {PATIENCE:?}: {pipeline}");
            return Err(Stop::new(Exit::Failure, message));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
