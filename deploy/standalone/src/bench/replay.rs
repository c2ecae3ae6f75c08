//! `bench replay`: all state from the archive alone, against what else could be done with it.
//!
//! A stream goes through a whole node on an embedded log, with serving and the archiver beside the
//! dataflow (`live_events_per_second`, measured as `bench ingest` does). Then, from the archive:
//!
//! * `read_events_per_second`: every record of the inputs is read and nothing is done with it;
//! * `fold_events_per_second`: the same epochs, decoded and in memory, are folded;
//! * `events_per_second`: history is read and folded from nothing, as `replay rebuild` does it, by
//!   as many workers, without writing snapshots. `peak_memory_bytes` is of this alone;
//! * `verify_events_per_second`: the same with the deltas of every epoch made and held against what
//!   live recorded, as `replay verify` does it.
//!
//! The rebuilt state must be that of the node (`digest_equal`). Disks are warm.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_connect::objects::Access;
use eddyline_dataflows::{Folder, NoSnapshots, Replay, StateDigest, for_each_bound, replay};
use eddyline_model::config::CoreConfig;
use eddyline_replay::archive::ArchiveLog;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::topic::{Topic, TopicPartition};
use serde::Serialize;

use super::ingest::rate;
use super::recovery::bind;
use super::stream::StreamShape;
use super::{BenchArgs, memory};
use crate::archive::{of_archive, open_archive};
use crate::config::ConfigArgs;
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};
use crate::replay::rebuild::{CHECK_EVERY, recorded};

/// Flags of `bench replay`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReplayBenchArgs {
    #[command(flatten)]
    pub common: BenchArgs,
    /// Events of the stream
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub events: u64,
    /// Users that events are drawn for
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) users: usize,
    /// Items of the catalogue
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    pub items: usize,
    /// Leave out the fold of epochs in memory, which needs memory for all of them
    #[arg(long)]
    pub without_fold: bool,
}

/// What is printed.
#[derive(Clone, Debug, Serialize)]
struct Report {
    events_per_second: f64,
    verify_events_per_second: f64,
    live_events_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fold_events_per_second: Option<f64>,
    read_events_per_second: f64,
    digest_equal: bool,
    state_digest: String,
    peak_memory_bytes: u64,
    archive_bytes_per_event: f64,
    archive_files: usize,
    events: u64,
    users: usize,
    items: usize,
    epochs: u64,
    workers: usize,
}

/// Runs it.
pub(crate) fn run(args: &ReplayBenchArgs, config: &ConfigArgs) -> Outcome {
    let (mut config, folder) = args.common.config(config)?;
    config.archive.url = Some(format!("file:{}", folder.path().join("archive").display()));
    config.snapshots.url = None;
    let shape = StreamShape {
        users: args.users,
        items: args.items,
        user_skew: 1.0,
        item_skew: 1.0,
        seed: args.common.seed,
    };
    let (core, workers) = (config.core.clone(), config.dataflow.workers);
    let records = args.events + args.items as u64;
    let (live, digest) = bind(config.clone(), &shape, args.events)?;
    let opened = || {
        let objects = open_archive(&config, Access::Read)?;
        ArchiveLog::open(objects).map_err(|error| of_archive(error, &config))
    };
    let archive = opened()?;
    let files: Vec<u64> = archive.catalogue().all_files().map(|file| file.bytes).collect();
    eprintln!("reading the archive");
    let read = timed(records, || read_all(&archive))?;
    eprintln!("rebuilding from the archive");
    memory::forget_peak();
    let mut rebuilt = None;
    let log: Arc<dyn EventLog> = Arc::new(opened()?);
    let mut rebuild = |every| {
        let seconds = timed(records, || {
            rebuilt = Some(rebuild(&core, &log, workers, (digest.epoch, every))?);
            Ok(())
        })?;
        same(rebuilt, digest).map(|()| seconds)
    };
    let whole = rebuild(CHECK_EVERY)?;
    let peak_memory_bytes = memory::peak_bytes();
    eprintln!("verifying every epoch");
    let verified = rebuild(NonZeroU64::MIN)?;
    let fold = (!args.without_fold).then(|| fold(&core, &log, workers, records)).transpose()?;
    args.common.print(&Report {
        events_per_second: whole,
        verify_events_per_second: verified,
        live_events_per_second: live,
        fold_events_per_second: fold,
        read_events_per_second: read,
        digest_equal: true,
        state_digest: digest.state_digest.to_string(),
        peak_memory_bytes,
        archive_bytes_per_event: files.iter().sum::<u64>() as f64 / records as f64,
        archive_files: files.len(),
        events: args.events,
        users: args.users,
        items: args.items,
        epochs: digest.epoch.0,
        workers,
    })
}

fn same(rebuilt: Option<StateDigest>, live: StateDigest) -> Outcome {
    if rebuilt == Some(live) {
        return Ok(());
    }
    let message = format!("the archive gives another state: {rebuilt:?}, live had {live:?}");
    Err(Stop::new(Exit::Mismatch, message)
        .remedy("report it with the line above: it must never happen"))
}

fn timed(records: u64, work: impl FnOnce() -> Outcome) -> Outcome<f64> {
    let started = Instant::now();
    work()?;
    Ok(rate(records, started.elapsed()))
}

fn read_all(log: &ArchiveLog) -> Outcome {
    let limit = ReadLimit { records: 4_096, bytes: 8 << 20 };
    for topic in Topic::INPUTS {
        for partition in 0..log.partitions(topic) {
            let at = TopicPartition { topic, partition };
            let read = || "reading the archive".into();
            let (mut next, end) = (0, log.end_offset(at).or_stop(Exit::Io, read)?);
            while next < end {
                next = log.read(at, next, limit).or_stop(Exit::Io, read)?.next;
            }
        }
    }
    Ok(())
}

fn rebuild(
    core: &CoreConfig,
    log: &Arc<dyn EventLog>,
    workers: usize,
    (until, every): (Epoch, NonZeroU64),
) -> Outcome<StateDigest> {
    let known = Some(recorded(core, log, (None, until), every)?);
    let snapshots = Box::new(NoSnapshots);
    let how = Replay { from: None, until: Some(until), workers, snapshots, known };
    replay(core, Arc::clone(log), how, Box::new(drop)).map_err(of_engine)
}

fn fold(core: &CoreConfig, log: &Arc<dyn EventLog>, workers: usize, records: u64) -> Outcome<f64> {
    eprintln!("folding the same epochs from memory");
    let mut epochs = Vec::new();
    for_each_bound(core, Arc::clone(log), None, |_, input| epochs.push(input))
        .map_err(of_engine)?;
    timed(records, || {
        let mut folder = Folder::start(core, workers, Box::new(drop)).map_err(of_engine)?;
        epochs.into_iter().for_each(|input| {
            folder.feed(input);
        });
        folder.wait();
        let _ = folder.end();
        Ok(())
    })
}
