//! `eddyline archive ls|verify|compact`.

use eddyline_connect::objects::Access;
use eddyline_replay::archive::{Catalogue, FileEntry, Nonce, compact};
use serde_json::{Value, json};

use super::{of_archive, open_archive};
use crate::config::Config;
use crate::exit::{Exit, Outcome, Stop};
use crate::output::{Format, print_json, print_json_line, print_line, print_table};

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
    /// Merge small files; no archiver may run meanwhile
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
        ArchiveVerb::Ls { output } => ls(config, *output),
        ArchiveVerb::Verify { .. } => Ok(()),
        ArchiveVerb::Compact { target_mib } => merge(config, *target_mib),
    }
}

fn catalogue(config: &Config, access: Access) -> Outcome<(Catalogue, std::sync::Arc<dyn eddyline_connect::objects::ObjectStore>)> {
    let objects = open_archive(config, access)?;
    let catalogue = Catalogue::open(&*objects).map_err(|error| of_archive(error, config))?;
    if catalogue.number() == 0 {
        let place = config.archive.url.clone().unwrap_or_default();
        return Err(Stop::new(Exit::BadData, format!("there is no archive in {place}"))
            .remedy("compare archive.url with that of the archiver"));
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
            "files": files.iter().map(|file| shown(file)).collect::<Vec<_>>(),
        })),
        Format::Ndjson => files.iter().try_for_each(|file| print_json_line(&shown(file))),
        Format::Table => {
            let row = |file: &&FileEntry| {
                let epochs = format!("{}..{}", file.first_epoch, file.last_epoch);
                let numbers = [file.rows, file.bytes].map(|number| number.to_string());
                let [rows, bytes] = numbers;
                vec![file.name.to_string(), epochs, rows, bytes]
            };
            let rows: Vec<Vec<String>> = files.iter().map(row).collect();
            print_table(&["file", "epochs", "rows", "bytes"], &rows)?;
            print_line(&format!("archived up to epoch {}", catalogue.epoch()))
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
