//! The factors alone through the dataflow: the operators that learn, no other fold, no deltas, no
//! log. What the plain loop of [`super::baseline`] is compared with, over the same draws.

use std::sync::Arc;
use std::time::Instant;

use eddyline_dataflows::bound::{Bound, DecodedEvent, EpochInput, EventTimes, Header};
use eddyline_dataflows::{Folder, Folds};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::decode::{IdAssigner, decode_json_event};
use eddyline_schemas::time::{HOUR_MS, TimestampMs};
use eddyline_schemas::topic::TopicPartition;

use super::stream::{Stream, StreamShape};
use crate::exit::{Exit, OrStop, Outcome};

/// Events of an epoch.
const EPOCH: usize = 1_024;

/// Learns the first `events` events of the stream; events per second of the folder alone.
pub(crate) fn run(
    core: &CoreConfig,
    shape: &StreamShape,
    events: u64,
    workers: usize,
) -> Outcome<f64> {
    let mut core = core.clone();
    // The plain loop has no such bound either.
    core.users.learned_per_epoch = u32::MAX;
    let fold = Folder::start_partly(&core, workers, Folds::FactorsOnly, Box::new(drop));
    let mut folder = fold.or_stop(Exit::Bug, || "the dataflow did not start".into())?;
    let rows = (0..shape.items).map(|item| {
        format!(r#"{{"event_id":"c{item}","event_type":"item_upsert","item_id":"item-{item}","item":{{}}}}"#)
    });
    for epoch in epochs(rows)? {
        folder.feed(epoch);
    }
    folder.wait();
    let mut stream = Stream::new(shape);
    let texts = (0..events).map(|_| {
        let mut text = String::new();
        stream.write_next(TimestampMs(1_700_000_000_000), &mut text);
        text
    });
    let epochs = epochs(texts)?;
    // Freed after the clock has stopped: the plain loop has no events to free either.
    let events: Vec<Bound> = epochs.iter().flat_map(|epoch| epoch.events.clone()).collect();
    let started = Instant::now();
    for epoch in epochs {
        folder.feed(epoch);
    }
    folder.wait();
    let rate = events.len() as f64 / started.elapsed().as_secs_f64().max(1e-9);
    let _ = folder.end();
    Ok(rate)
}

fn epochs(texts: impl Iterator<Item = String>) -> Outcome<Vec<EpochInput>> {
    let now = TimestampMs(1_700_000_000_000);
    let mut epochs = Vec::new();
    let mut epoch = EpochInput::default();
    for (offset, text) in texts.enumerate() {
        let mut random = || [0; 16];
        let decoded = decode_json_event(text.as_bytes(), now, &mut IdAssigner::new(&mut random));
        let event = decoded.or_stop(Exit::Bug, || format!("row {offset} of the benchmark"))?;
        if event.event_type.name() == "search" {
            continue;
        }
        let at = TopicPartition { topic: event.event_type.topic(), partition: 0 };
        let times = EventTimes { event_time: now, clock_hour: now.0.div_euclid(HOUR_MS) };
        let event = Arc::new(DecodedEvent::new(at, offset as u64, times, event));
        epoch.events.push(Bound { seq: epoch.events.len() as u32, event });
        if epoch.events.len() == EPOCH {
            epochs.push(full(std::mem::take(&mut epoch), now));
        }
    }
    epochs.push(full(epoch, now));
    Ok(epochs)
}

fn full(mut epoch: EpochInput, logical_time: TimestampMs) -> EpochInput {
    let accepted = epoch.events.len() as u64;
    epoch.header = Header { logical_time, accepted, ..Header::default() };
    epoch
}
