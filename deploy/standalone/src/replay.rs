//! `eddyline replay …`: recorded history, folded again. It is read from the archive where there is
//! one, else from the log itself; what `eddyline_replay` makes of it is told here.

mod as_of;
mod processes;
mod quality;
pub(crate) mod rebuild;
pub(crate) mod snapshot;
mod span;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_connect::objects::Access;
use eddyline_model::config::CoreConfig;
use eddyline_replay::archive::ArchiveLog;
use eddyline_replay::{ReplayError, descended, erased_from};
use eddyline_schemas::lineage::Epoch;

use crate::archive::{no_archive, of_archive, open_archive};
use crate::config::{Config, ConfigArgs, FlagValue, load};
use crate::exit::{Exit, Outcome, Stop, of_engine};
use crate::node::open_event_log;

/// What to replay.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum ReplayVerb {
    /// Fold history into a snapshot, which `up` or `dataflow` then goes on from
    #[command(after_long_help = "Examples:
  eddyline replay rebuild --archive s3://bucket/archive
  eddyline replay rebuild --until 4711 --workers 2 --output json
  eddyline replay rebuild --processes 2 --process 0 --hosts 127.0.0.1:7000,127.0.0.1:7001
  eddyline replay rebuild --processes 2 --process 1 --hosts 127.0.0.1:7000,127.0.0.1:7001")]
    Rebuild(rebuild::RebuildArgs),
    /// Fold history and hold every epoch against what live recorded of it; exit code 3 if one differs
    #[command(after_long_help = "Examples:
  eddyline replay verify --archive s3://bucket/archive
  eddyline replay verify --log --workers 4
  eddyline replay verify --from-snapshot 4711")]
    Verify(verify::VerifyArgs),
    /// Ask the state as it was at an epoch or at a time
    #[command(after_long_help = "Examples:
  eddyline replay as-of 4711 --recommend u42
  eddyline replay as-of 2026-11-22T10:00:00Z --archive s3://bucket/archive --listen 127.0.0.1:0")]
    AsOf(as_of::AsOfArgs),
    /// Fold history under another configuration and compare what both would have recommended
    #[command(after_long_help = "Examples:
  eddyline replay what-if --set core.factors.item_rate=0.05 --test-one-in 1
  eddyline replay what-if --set core.popularity.short_half_life_ms=43200000 --last-days 7")]
    WhatIf(quality::QualityArgs),
    /// Quality over history: rank each positive event, then learn it (prequential-v1)
    #[command(after_long_help = "Examples:
  eddyline replay evaluate --archive s3://bucket/archive --test-one-in 1
  eddyline replay evaluate --last-days 7 --output json
  eddyline replay evaluate --against other.toml --test-one-in 1")]
    Evaluate(quality::EvaluateArgs),
}

/// Where history is, and how it is folded.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// The archive: s3://BUCKET/PREFIX, or file:DIR with DIR relative to the data folder
    #[arg(long, value_name = "URL", env = "EDDYLINE__ARCHIVE__URL")]
    pub archive: Option<String>,
    /// Read the log itself, not its archive; an embedded log must not be in use
    #[arg(long, conflicts_with = "archive")]
    pub log: bool,
    /// Folder of a log and of snapshots that are in files [default: ./eddyline-data]
    #[arg(long, value_name = "DIR", env = "EDDYLINE__DATA__DIR")]
    pub data: Option<PathBuf>,
    /// Worker threads; the result is the same for any number [default: 2]
    #[arg(long, value_name = "N", env = "EDDYLINE__DATAFLOW__WORKERS")]
    pub workers: Option<usize>,
}

impl HistoryArgs {
    fn load(&self, config: &ConfigArgs) -> Outcome<Config> {
        self.load_with(config, &[])
    }

    fn load_with(&self, config: &ConfigArgs, more: &[FlagValue]) -> Outcome<Config> {
        let data = self.data.as_deref().map(|dir| dir.to_string_lossy().into_owned());
        let workers = self.workers.map(|workers| workers.to_string());
        let all = [
            ("data.dir", data, "--data"),
            ("archive.url", self.archive.clone(), "--archive"),
            ("dataflow.workers", workers, "--workers"),
        ];
        let flags: Vec<FlagValue> =
            all.into_iter().filter_map(|(key, value, flag)| Some((key, value?, flag))).collect();
        load(config, &[&flags[..], more].concat())
    }

    /// What is folded.
    fn open(&self, config: &Config) -> Outcome<History> {
        if self.log || config.archive.url.is_none() {
            return Ok(History { log: open_event_log(config)?, erasures: Vec::new() });
        }
        let objects = open_archive(config, Access::Read)?;
        let log = ArchiveLog::open(objects).map_err(|error| of_archive(error, config))?;
        if log.catalogue().all_files().next().is_none() {
            return Err(no_archive(config));
        }
        let erasures = log.catalogue().erasures().to_vec();
        Ok(History { log: Arc::new(log), erasures })
    }
}

/// Recorded history as a log, and the first epochs that erasures changed of it.
struct History {
    log: Arc<dyn EventLog>,
    erasures: Vec<Epoch>,
}

impl History {
    /// The configuration under which it is folded up to `until`, and a word about it if it is no
    /// longer what live folded.
    fn core(&self, core: &CoreConfig, until: Epoch) -> CoreConfig {
        let child = descended(core, &self.erasures, Some(until));
        if child.descent.is_some() {
            let from = erased_from(&self.erasures).unwrap_or_default();
            let (lineage, parent) = (child.lineage(), core.lineage());
            tracing::info!(%lineage, %parent, "erased from epoch {from} on: a child lineage");
        }
        child
    }
}

/// Runs the verb.
pub(crate) fn run(verb: &ReplayVerb, config: &ConfigArgs) -> Outcome {
    match verb {
        ReplayVerb::Rebuild(args) => rebuild::run(args, config),
        ReplayVerb::Verify(args) => verify::run(args, config),
        ReplayVerb::AsOf(args) => as_of::run(args, config),
        ReplayVerb::WhatIf(args) => quality::what_if(args, config),
        ReplayVerb::Evaluate(args) => quality::evaluate(args, config),
    }
}

/// The exit code and the remedy of a replay that gave up.
pub(crate) fn of_replay(error: ReplayError) -> Stop {
    let (exit, remedy) = match error {
        ReplayError::Engine(error) => return of_engine(error),
        ReplayError::NothingRecorded { .. } => {
            (Exit::Config, Some("use the configuration that the live dataflow ran with"))
        }
        ReplayError::NoSuchEpoch { .. } => (Exit::Usage, None),
        ReplayError::Read(_) => (Exit::Io, None),
        ReplayError::Recorded { .. } | ReplayError::Event { .. } => (Exit::BadData, None),
    };
    let stop = Stop { exit, error: error.into(), remedy: None };
    remedy.into_iter().fold(stop, |stop, remedy| stop.remedy(remedy))
}
