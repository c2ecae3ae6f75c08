//! `eddyline snapshot …`: the states that are kept, and a state as plain Parquet.

use std::sync::Arc;

use eddyline_connect::objects::{Access, MemoryObjects, open_objects};
use eddyline_dataflows::snapshot::{Restored, SnapshotError, SnapshotStore, SnapshotWriter};
use eddyline_dataflows::{Replay, replay};
use eddyline_replay::export::{ExportError, Exported, export, folder};
use serde_json::{Value, json};

use super::HistoryArgs;
use super::span::{Span, last_epoch};
use crate::config::{Config, ConfigArgs};
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};
use crate::node::{exit_of_objects, open_snapshots};
use crate::output::{Format, Progress, print_json, print_json_line, print_table};

/// What to do with kept states.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum SnapshotVerb {
    /// List the snapshots that a start could go on from, newest first
    #[command(after_long_help = "Examples:\n  eddyline snapshot ls --data /srv/shop")]
    Ls {
        #[command(flatten)]
        history: HistoryArgs,
        /// How they are printed
        #[arg(long, value_enum, default_value = "table")]
        output: Format,
    },
    /// Write users, items, popularity and co-visitation as Parquet
    #[command(after_long_help = "Examples:
  eddyline snapshot export --parquet file:export
  eddyline snapshot export --parquet s3://bucket/export --archive s3://bucket/archive --epoch 4711")]
    Export(ExportArgs),
}

/// Flags of `snapshot export`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// Where to: s3://BUCKET/PREFIX, or file:DIR
    #[arg(long, value_name = "URL")]
    pub parquet: String,
    #[command(flatten)]
    pub history: HistoryArgs,
    /// The state at the end of this epoch, folded if need be [default: the newest snapshot]
    #[arg(long, value_name = "EPOCH")]
    pub epoch: Option<u64>,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
}

/// Runs the verb.
pub(crate) fn run(verb: &SnapshotVerb, config: &ConfigArgs) -> Outcome {
    match verb {
        SnapshotVerb::Ls { history, output } => list(&history.load(config)?, *output),
        SnapshotVerb::Export(args) => write(args, config),
    }
}

fn store(config: &Config) -> Outcome<SnapshotStore> {
    open_snapshots(config, Access::Read)?.ok_or_else(|| {
        Stop::new(Exit::Config, "snapshots.url is empty: no state is kept")
            .remedy("set snapshots.url to the place that `eddyline up` starts from")
    })
}

fn of_snapshots(error: SnapshotError) -> Stop {
    let exit = match &error {
        SnapshotError::Objects(error) => exit_of_objects(error),
        _ => Exit::BadData,
    };
    Stop { exit, error: error.into(), remedy: None }
}

fn list(config: &Config, output: Format) -> Outcome {
    let kept = store(config)?.kept(config.core.lineage()).map_err(of_snapshots)?;
    let row = |of: &eddyline_schemas::snapshot::SnapshotManifest| {
        json!({
            "lineage": of.lineage,
            "epoch": of.epoch,
            "records": of.counts.accepted,
            "bytes": of.parts.iter().map(|part| part.size).sum::<u64>(),
            "state_digest": of.state_digest,
        })
    };
    let rows: Vec<Value> = kept.iter().map(row).collect();
    match output {
        Format::Json => print_json(&json!({ "snapshots": rows })),
        Format::Ndjson => rows.iter().try_for_each(print_json_line),
        Format::Table => {
            let columns = ["epoch", "records", "bytes", "state_digest"];
            let text = |value: &Value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let cells = |row: &Value| columns.iter().map(|name| text(&row[*name])).collect();
            let table: Vec<Vec<String>> = rows.iter().map(cells).collect();
            print_table(&columns, &table)
        }
    }
}

fn write(args: &ExportArgs, config: &ConfigArgs) -> Outcome {
    let config = args.history.load(config)?;
    let opened = open_objects(&args.parquet, Access::Write);
    let exit = opened.as_ref().err().map_or(Exit::Io, exit_of_objects);
    let objects = opened.or_stop(exit, || format!("cannot write to {}", args.parquet))?;
    let (core, state) = match args.epoch {
        Some(epoch) => state_at(args, &config, epoch)?,
        None => {
            let lineage = config.core.lineage();
            let newest = store(&config)?.newest_valid(lineage).map_err(of_snapshots)?;
            let none = || {
                Stop::new(Exit::BadData, format!("no snapshot of lineage {lineage} is kept"))
                    .remedy("name an epoch with --epoch, which is then folded")
            };
            (config.core.clone(), newest.ok_or_else(none)?)
        }
    };
    let exported = export(&*objects, &core, state).map_err(of_export)?;
    print(&exported, args)
}

/// The state at the end of an epoch: a snapshot if there is one, else what follows it is folded.
fn state_at(
    args: &ExportArgs,
    config: &Config,
    epoch: u64,
) -> Outcome<(eddyline_model::config::CoreConfig, Restored)> {
    let history = args.history.open(config)?;
    let until = last_epoch(Some(epoch), &history.log)?;
    let core = history.core(&config.core, until);
    let folded = Config { core: core.clone(), ..config.clone() };
    let Span { from, until } = Span::choose(&folded, &history.log, until, true)?;
    let from = match from {
        Some(from) if from.epoch() == until => return Ok((core, from)),
        from => from,
    };
    let memory = Arc::new(MemoryObjects::new());
    let store = || SnapshotStore::new(Arc::<MemoryObjects>::clone(&memory), &core);
    let snapshots = SnapshotWriter::start(store(), u64::MAX, from.as_ref())
        .or_stop(Exit::Io, || "starting a thread".into())?;
    let workers = config.dataflow.workers;
    let mut progress = Progress::new("epochs", until.0);
    let told = move |committed: eddyline_dataflows::Committed| {
        progress.set(committed.deltas.epoch.0);
    };
    let how =
        Replay { from, until: Some(until), workers, snapshots: Box::new(snapshots), known: None };
    replay(&core, history.log, how, Box::new(told)).map_err(of_engine)?;
    let state = store().newest_valid(core.lineage()).map_err(of_snapshots)?;
    let state = state.filter(|state| state.epoch() == until);
    let lost = || Stop::new(Exit::Bug, format!("the state of epoch {until} was not kept"));
    Ok((core, state.ok_or_else(lost)?))
}

fn of_export(error: ExportError) -> Stop {
    let exit = match &error {
        ExportError::Objects(error) => exit_of_objects(error),
        ExportError::Encode { .. } => Exit::Bug,
    };
    let stop = Stop { exit, error: error.into(), remedy: None };
    stop.remedy("an export of another build is not overwritten: remove it, or name another place")
}

fn print(exported: &Exported, args: &ExportArgs) -> Outcome {
    let mut shown = json!(exported);
    let at = folder(exported.lineage, exported.epoch);
    shown["folder"] = json!(format!("{}/{at}", args.parquet.trim_end_matches('/')));
    match args.output {
        Format::Json => print_json(&shown),
        Format::Ndjson => print_json_line(&shown),
        Format::Table => {
            let rows = exported.rows.iter();
            let rows: Vec<Vec<String>> =
                rows.map(|(table, rows)| vec![(*table).to_owned(), rows.to_string()]).collect();
            print_table(&["table", "rows"], &rows)
        }
    }
}
