//! The stream of the benchmark on a log in memory, bound by the live engine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eddyline_connect::clock::ManualClock;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{Append, EventLog};
use eddyline_connect::memory::MemoryLog;
use eddyline_dataflows::{EngineConfig, EpochLimits, Workers, last_bound_epoch, start};
use eddyline_schemas::time::{DAY_MS, TimestampMs};
use eddyline_schemas::topic::{Topic, TopicPartition, partition_for};

use super::super::stream::{Stream, StreamShape};
use super::Run;
use super::folding::Seen;
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};

/// Event time of the stream's end: fixed, so that a seed gives one stream for ever.
const END: TimestampMs = TimestampMs(1_700_000_000_000);
/// Records of one append.
const BATCH: usize = 1_000;
/// Every so many events one is repeated, as a producer that retries does.
const REPEATED: u64 = 40;
/// Records of an epoch: small, so that there are many.
const EPOCH: usize = 512;
/// Turns of waiting for the live engine, each at most [`TURN`].
const TURNS: usize = 60_000;
const TURN: Duration = Duration::from_millis(10);

/// Writes catalogue and events.
pub(super) fn write(shape: &StreamShape, events: u64) -> Outcome<Arc<dyn EventLog>> {
    let layout = LogLayout::new(4, 2, 1).or_stop(Exit::Bug, || "laying out the log".into())?;
    let log = MemoryLog::new(layout, Arc::new(ManualClock::new(END)));
    let mut batch = Vec::with_capacity(BATCH);
    let mut add = |append: Option<Append>| -> Outcome {
        let is_last = append.is_none();
        batch.extend(append);
        if is_last || batch.len() == BATCH {
            let full = std::mem::take(&mut batch);
            log.append(full).or_stop(Exit::Bug, || "appending to memory".into())?;
        }
        Ok(())
    };
    for item in 0..shape.items {
        add(Some(catalogue_row(item)))?;
    }
    let mut stream = Stream::new(shape);
    for number in 0..events {
        let passed = (DAY_MS as f64 * number as f64 / events as f64) as i64;
        let mut text = String::new();
        stream.write_next(TimestampMs(END.0 - DAY_MS + passed), &mut text);
        let append = event(&text)?;
        if number.is_multiple_of(REPEATED) {
            add(Some(append.clone()))?;
        }
        add(Some(append))?;
    }
    add(None)?;
    Ok(Arc::new(log))
}

fn catalogue_row(item: usize) -> Append {
    let value = format!(
        r#"{{"event_id":"row-{item}","event_type":"item_upsert","item_id":"item-{item}","item":{{"category":["category-{}"],"brand":"brand-{}","price":{}.5}}}}"#,
        item % 40,
        item % 90,
        5 + item % 200
    );
    append(Topic::ItemEvents, &format!("item-{item}"), 1, value)
}

fn event(text: &str) -> Outcome<Append> {
    let json: serde_json::Value =
        serde_json::from_str(text).or_stop(Exit::Bug, || "reading the stream".into())?;
    let user = json["user_id"].as_str().unwrap_or_default();
    Ok(append(Topic::UserEvents, user, 4, text.to_owned()))
}

fn append(topic: Topic, key: &str, partitions: u32, value: String) -> Append {
    let partition = partition_for(key.as_bytes(), partitions);
    Append {
        partition: TopicPartition { topic, partition },
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::from(value),
        headers: Vec::new(),
    }
}

/// Lets the live engine bind the log; its run, and how many records it bound.
pub(super) fn bind(config: &Config, log: &Arc<dyn EventLog>) -> Outcome<(Run, u64)> {
    let workers = Workers::Threads(config.dataflow.workers);
    let wait = Duration::from_millis(5);
    let epoch = EpochLimits { events: EPOCH, wait, backlog_events: EPOCH };
    let engine = EngineConfig { core: config.core.clone(), workers, epoch };
    let seen = Seen::default();
    let engine = start(engine, Arc::clone(log), seen.sink()).map_err(of_engine)?;
    for _ in 0..TURNS {
        let status = engine.status();
        if let Some(failure) = status.failure {
            return Err(Stop::new(Exit::Failure, format!("the dataflow stopped: {failure}")));
        }
        if status.is_recovered && status.lag_records == 0 {
            let records = engine.status().counts.accepted;
            let digest = engine.shutdown().map_err(of_engine)?;
            let workers = config.dataflow.workers;
            let run = Run { run: "live".into(), workers, processes: 1, ..seen.run(&digest) };
            return Ok((run, records));
        }
        let _ = engine.wait_committed(status.committed_epoch.next(), TURN);
    }
    Err(Stop::new(Exit::Failure, "the live engine did not bind the stream in time"))
}

/// Epochs that are bound.
pub(super) fn epochs(log: &Arc<dyn EventLog>) -> Outcome<u64> {
    last_bound_epoch(Arc::clone(log)).map(|epoch| epoch.0).map_err(of_engine)
}
