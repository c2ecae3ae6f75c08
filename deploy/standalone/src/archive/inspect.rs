//! `eddyline archive ls|verify|compact`, and the way to [`export`](super::export).

use std::sync::Arc;

use eddyline_connect::objects::{Access, ObjectStore};
use eddyline_replay::archive::{Catalogue, FileEntry, Nonce, VerifyReport, compact, verify};
use eddyline_replay::erased_from;
use serde_json::{Value, json};

use super::export::ExportArgs;
use super::{no_archive, of_archive, open_archive};
use crate::config::Config;
use crate::exit::{Exit, Outcome, Stop};
use crate::output::{Format, Progress, print_json, print_json_line, print_line, print_table};

/// What to do with an archive.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum ArchiveVerb {
    /// List the files that count
    #[command(after_long_help = "Examples:\n  eddyline archive ls --archive s3://bucket/archive")]
    Ls {
        /// How they are printed
        #[arg(long, value_enum, default_value = "table")]
        output: Format,
    },
    /// Read everything and check it: files, rows, chains, bindings; exit code 3 if anything is wrong
    #[command(
        after_long_help = "Examples:\n  eddyline archive verify --archive s3://bucket/archive"
    )]
    Verify {
        /// How the report is printed
        #[arg(long, value_enum, default_value = "table")]
        output: Format,
    },
    /// Write archived events as lines of JSON, which `eddyline ingest` takes
    #[command(after_long_help = "Examples:
  eddyline archive export --archive s3://bucket/archive --out events.ndjson
  eddyline archive export --after 2026-11-22T00:00:00Z --topic feedback | gzip > feedback.gz")]
    Export(ExportArgs),
    /// Merge small files; an archiver may run meanwhile
    #[command(
        after_long_help = "Examples:\n  eddyline archive compact --archive s3://bucket/archive"
    )]
    Compact {
        /// Size up to which files are merged, in MiB
        #[arg(long, value_name = "MIB", default_value_t = 128)]
        target_mib: u64,
    },
}

/// Runs the verb.
pub(super) fn run(verb: &ArchiveVerb, config: &Config) -> Outcome {
    match verb {
        ArchiveVerb::Export(args) => super::export::run(args, config),
        ArchiveVerb::Ls { output } => ls(config, *output),
        ArchiveVerb::Verify { output } => check(config, *output),
        ArchiveVerb::Compact { target_mib } => merge(config, *target_mib),
    }
}

fn catalogue(config: &Config, access: Access) -> Outcome<(Catalogue, Arc<dyn ObjectStore>)> {
    let objects = open_archive(config, access)?;
    let catalogue = Catalogue::open(&*objects).map_err(|error| of_archive(error, config))?;
    if catalogue.number() == 0 {
        return Err(no_archive(config));
    }
    Ok((catalogue, objects))
}

fn ls(config: &Config, format: Format) -> Outcome {
    let (catalogue, _) = catalogue(config, Access::Read)?;
    let files: Vec<&FileEntry> = catalogue.all_files().collect();
    match format {
        Format::Json => print_json(&json!({
            "epoch": catalogue.epoch(),
            "manifest": catalogue.number(),
            "erased_from": erased_from(catalogue.erasures()),
            "files": files.iter().map(|file| shown(file)).collect::<Vec<_>>(),
        })),
        Format::Ndjson => files.iter().try_for_each(|file| print_json_line(&shown(file))),
        Format::Table => {
            let row = |file: &&FileEntry| {
                let epochs = format!("{}..{}", file.first_epoch, file.last_epoch);
                let erased = file.erased.map_or(0, |erased| erased.rows);
                let numbers = [file.rows, erased, file.bytes].map(|number| number.to_string());
                [vec![file.name.to_string(), epochs], numbers.to_vec()].concat()
            };
            let rows: Vec<Vec<String>> = files.iter().map(row).collect();
            print_table(&["file", "epochs", "rows", "erased", "bytes"], &rows)?;
            print_line(&format!("archived up to epoch {}", catalogue.epoch()))
        }
    }
}

fn check(config: &Config, format: Format) -> Outcome {
    // Not through the catalogue: what is wrong with it is for the report.
    let objects = open_archive(config, Access::Read)?;
    let mut progress = None;
    let told = &mut |at: eddyline_replay::archive::Progress| {
        progress.get_or_insert_with(|| Progress::new("files", at.of)).set(at.files);
    };
    let report = verify(&*objects, told).map_err(|error| of_archive(error, config))?;
    progress.into_iter().for_each(Progress::finish);
    if report.manifests == 0 && report.findings.is_empty() {
        return Err(no_archive(config));
    }
    print_report(&report, format)?;
    match report.findings.first() {
        None => Ok(()),
        Some(first) => {
            let count = report.findings.len();
            let place = config.archive.url.clone().unwrap_or_default();
            let message = format!("{count} things are wrong in {place}, first: {first}");
            Err(Stop::new(Exit::Mismatch, message).remedy("restore what is named from a copy"))
        }
    }
}

fn print_report(report: &VerifyReport, format: Format) -> Outcome {
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let shown = json!({
        "epoch": report.epoch,
        "manifests": report.manifests,
        "files": report.files,
        "bytes": report.bytes,
        "rows": report.rows,
        "erased": report.erased,
        "ranges": report.ranges,
        "findings": findings,
    });
    match format {
        Format::Json => print_json(&shown),
        Format::Ndjson => print_json_line(&shown),
        Format::Table => {
            findings.iter().try_for_each(|finding| print_line(finding))?;
            let columns = ["epoch", "manifests", "files", "bytes", "rows", "erased", "ranges"];
            let row = columns.iter().map(|column| shown[*column].to_string()).collect();
            print_table(&columns, &[row])
        }
    }
}

fn shown(file: &FileEntry) -> Value {
    json!({
        "name": file.name.to_string(),
        "topic": file.partition.topic.name(),
        "partition": file.partition.partition,
        "first_offset": file.first,
        "last_offset": file.last,
        "first_epoch": file.first_epoch,
        "last_epoch": file.last_epoch,
        "rows": file.rows,
        "erased": file.erased.map_or(0, |erased| erased.rows),
        "first_erased_epoch": file.erased.map(|erased| erased.first_epoch),
        "bytes": file.bytes,
        "blake3": file.blake3,
        "row_digest": file.chain_after,
    })
}

fn merge(config: &Config, target_mib: u64) -> Outcome {
    let (mut catalogue, objects) = catalogue(config, Access::Write)?;
    let nonce = Nonce(eddyline_connect::random::bytes());
    let done = compact(&*objects, &mut catalogue, target_mib << 20, nonce)
        .map_err(|error| of_archive(error, config))?;
    print_line(&format!("{} files became {}", done.removed.len(), done.added.len()))
}
