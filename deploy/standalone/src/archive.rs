//! `eddyline archive`: the archiver of a fleet as a process of its own, and looks at what it wrote.

mod export;
mod inspect;

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::log::ReadError;
use eddyline_connect::objects::{Access, ObjectStore, open_objects};
use eddyline_replay::archive::ArchiveError;
use eddyline_replay::archiver::ArchiverError;
use tokio::runtime::Runtime;

use crate::config::{Config, ConfigArgs, FlagValue, load};
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::node::{Archiving, exit_of_objects, open_event_log};
use crate::output::print_line;
use crate::up::Stopping;

/// How often an archiver is asked whether it still goes on.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where an archive is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// The archive: s3://BUCKET/PREFIX, or file:DIR with DIR relative to the data folder
    #[arg(long, value_name = "URL", env = "EDDYLINE__ARCHIVE__URL", global = true)]
    pub archive: Option<String>,
    /// Folder of a log and of an archive that are in files [default: ./eddyline-data]
    #[arg(long, value_name = "DIR", env = "EDDYLINE__DATA__DIR", global = true)]
    pub data: Option<std::path::PathBuf>,
}

/// Flags of `archive`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ArchiveArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The log that is archived [default: the embedded one of the data folder]
    #[arg(long = "log-url", value_name = "URL", env = "EDDYLINE__LOG__URL")]
    pub log_url: Option<String>,
    /// Archive what is bound now, and end
    #[arg(long)]
    pub once: bool,
    #[command(subcommand)]
    pub verb: Option<inspect::ArchiveVerb>,
}

impl ArchiveArgs {
    fn load(&self, config: &ConfigArgs) -> Outcome<Config> {
        let data = self.place.data.as_deref().map(|dir| dir.to_string_lossy().into_owned());
        let all = [
            ("archive.url", self.place.archive.clone(), "--archive"),
            ("data.dir", data, "--data"),
            ("log.url", self.log_url.clone(), "--log-url"),
        ];
        let flags: Vec<FlagValue> =
            all.into_iter().filter_map(|(key, value, flag)| Some((key, value?, flag))).collect();
        load(config, &flags)
    }
}

/// Runs the verb.
pub(crate) fn run(args: &ArchiveArgs, config: &ConfigArgs) -> Outcome {
    let config = args.load(config)?;
    match &args.verb {
        Some(verb) => inspect::run(verb, &config),
        None => archive(&config, args.once),
    }
}

/// Archives until a signal, or until it cannot go on.
fn archive(config: &Config, once: bool) -> Outcome {
    let log = open_event_log(config)?;
    let Some(archiving) = Archiving::start(config, &log)? else { return Err(no_place()) };
    if !once {
        print_line(&format!("eddyline archive goes on from epoch {}", archiving.archived()))?;
        let runtime = Runtime::new().or_stop(Exit::Io, || "starting the runtime".into())?;
        let stopping = Stopping::default();
        runtime.block_on(async {
            tokio::select! {
                () = stopping.wait_for_signal() => {}
                () = until_over(&archiving) => {}
            }
        });
    }
    let archived = archiving.close().map_err(|error| of_archiver(error, config))?;
    print_line(&format!("archived up to epoch {archived}"))
}

async fn until_over(archiving: &Archiving) {
    while !archiving.is_over() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn no_place() -> Stop {
    Stop::new(Exit::Config, "archive.url is empty: there is no archive")
        .remedy("name it with --archive s3://BUCKET/PREFIX or --archive file:DIR")
}

/// Nobody has archived there.
pub(crate) fn no_archive(config: &Config) -> Stop {
    let place = config.archive.url.clone().unwrap_or_default();
    Stop::new(Exit::BadData, format!("there is no archive in {place}"))
        .remedy("compare archive.url with that of the archiver")
}

/// The objects of `archive.url`.
pub(crate) fn open_archive(config: &Config, access: Access) -> Outcome<Arc<dyn ObjectStore>> {
    let Some(url) = &config.archive.url else { return Err(no_place()) };
    let opened = open_objects(url, access);
    let exit = opened.as_ref().err().map_or(Exit::Io, exit_of_objects);
    opened.or_stop(exit, || "cannot use the archive of archive.url".into())
}

/// The exit code and the remedy of what an archiver says.
pub(crate) fn of_archiver(error: ArchiverError, config: &Config) -> Stop {
    match error {
        ArchiverError::Archive(error) => of_archive(error, config),
        error => {
            let exit = match &error {
                ArchiverError::Read(ReadError::Unavailable { .. }) => Exit::Unavailable,
                _ => Exit::Failure,
            };
            Stop { exit, error: error.into(), remedy: None }
        }
    }
}

/// The exit code and the remedy of what an archive says.
pub(crate) fn of_archive(error: ArchiveError, config: &Config) -> Stop {
    let exit = match &error {
        ArchiveError::Objects(error) => exit_of_objects(error),
        ArchiveError::Missing { .. } | ArchiveError::Damaged { .. } => Exit::Mismatch,
        ArchiveError::Version { .. } => Exit::BadData,
        ArchiveError::Superseded { .. } => Exit::Unavailable,
        ArchiveError::Discontinuous { .. } => Exit::Failure,
        ArchiveError::Encode { .. } => Exit::Bug,
    };
    let place = config.archive.url.clone().unwrap_or_default();
    let error = anyhow::Error::from(error).context(format!("the archive {place}"));
    Stop { exit, error, remedy: unavailable_remedy(exit) }
}

fn unavailable_remedy(exit: Exit) -> Option<String> {
    (exit == Exit::Unavailable).then(|| "start the object store, or correct archive.url".to_owned())
}
