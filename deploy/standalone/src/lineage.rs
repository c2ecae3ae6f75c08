//! `eddyline lineage …`: which histories are kept side by side, and which of them answers.
//!
//! A server that runs is asked; without one, what it would say is read from the registry itself, and
//! what takes no server is recorded there. To let a lineage answer takes a server: it must be known to
//! be at the head of the log.

mod show;

use std::path::PathBuf;
use std::sync::Arc;

use eddyline_connect::clock::{Clock, SystemClock};
use eddyline_connect::objects::{Access, ObjectStore};
use eddyline_model::config::CoreConfig;
use eddyline_replay::lineages::{Action, LineagesError, Registered, Registry};
use eddyline_schemas::lineage::{Lineage, find_lineage};
use serde_json::{Value, json};

use crate::client::Client;
use crate::config::{Config, ConfigArgs, load};
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::node::{exit_of_objects, open_place};
use crate::output::Format;
use crate::server_file;

/// What to do about lineages. One is named by its first hexadecimal digits, 8 at least.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum LineageVerb {
    /// List them, and how they are
    #[command(after_long_help = "Examples:
  eddyline lineage ls
  eddyline lineage ls --server http://127.0.0.1:8080 --output json")]
    Ls(LineageArgs),
    /// Compare the configurations of two
    #[command(after_long_help = "Examples:\n  eddyline lineage diff 5246f0a1 9b1c77d2")]
    Diff {
        /// One lineage
        a: String,
        /// The other
        b: String,
        #[command(flatten)]
        args: LineageArgs,
    },
    /// Let one answer, from now on and after every restart; it must be at the head of the log
    ///
    /// It is recorded first, then the server that is asked switches; others follow within a second.
    /// Documents in a feature store (features.url) stay those of the configured lineage: answers of
    /// another come from memory.
    #[command(after_long_help = "Examples:\n  eddyline lineage activate 9b1c77d2")]
    Activate {
        /// The lineage
        lineage: String,
        #[command(flatten)]
        args: LineageArgs,
    },
    /// Let the one answer again that did before
    #[command(after_long_help = "Examples:\n  eddyline lineage rollback")]
    Rollback(LineageArgs),
    /// Follow one no more; its snapshots stay until you remove them
    #[command(after_long_help = "Examples:\n  eddyline lineage retire 9b1c77d2")]
    Retire {
        /// The lineage
        lineage: String,
        #[command(flatten)]
        args: LineageArgs,
    },
}

/// Whom to ask, and how the answer is printed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LineageArgs {
    /// Address of the server, such as http://127.0.0.1:8080; without it, the one that runs on the
    /// data folder, and without one, the registry in snapshots.url
    #[arg(long, value_name = "URL", env = "EDDYLINE_SERVER")]
    pub server: Option<String>,
    /// Data folder [default: ./eddyline-data]
    #[arg(long, value_name = "DIR", env = "EDDYLINE__DATA__DIR")]
    pub data: Option<PathBuf>,
    /// API key, if the server wants one
    #[arg(long, value_name = "KEY", env = "EDDYLINE_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
}

/// Runs the verb.
pub(crate) fn run(verb: &LineageVerb, config: &ConfigArgs) -> Outcome {
    match verb {
        LineageVerb::Ls(args) => show::list(&Place::of(args, config)?.report()?, args.output),
        LineageVerb::Diff { a, b, args } => {
            show::difference(&Place::of(args, config)?.report()?, (a, b), args.output)
        }
        LineageVerb::Activate { lineage, args } => {
            let report = Place::of(args, config)?.change(&format!("/{lineage}:activate"))?;
            show::list(&report, args.output)
        }
        LineageVerb::Rollback(args) => {
            let report = Place::of(args, config)?.change(":rollback")?;
            show::list(&report, args.output)
        }
        LineageVerb::Retire { lineage, args } => {
            show::list(&Place::of(args, config)?.retire(lineage)?, args.output)
        }
    }
}

/// Who knows.
enum Place {
    Server(Client),
    Store(Box<Config>),
}

impl Place {
    fn of(args: &LineageArgs, config: &ConfigArgs) -> Outcome<Self> {
        if let Some(server) = &args.server {
            return Ok(Self::Server(Client::new(server, args.api_key.clone())));
        }
        let data = args.data.as_deref().map(|dir| dir.to_string_lossy().into_owned());
        let flags: Vec<_> = data.into_iter().map(|dir| ("data.dir", dir, "--data")).collect();
        let config = load(config, &flags)?;
        let noted = server_file::read(&config.data_dir);
        let client = noted
            .map(|noted| Client::new(&format!("http://{}", noted.listen), args.api_key.clone()));
        // After a kill the note stays behind.
        let client = client.filter(|client| client.try_get("/livez").is_ok());
        Ok(client.map_or_else(|| Self::Store(Box::new(config)), Self::Server))
    }

    /// As `GET /v1/lineages?core=true` has it.
    fn report(&self) -> Outcome<Value> {
        match self {
            Self::Server(client) => client.get("/v1/lineages?core=true"),
            Self::Store(config) => Ok(of_store(config, &registry(config)?)),
        }
    }

    /// What only a server can do.
    fn change(&self, what: &str) -> Outcome<Value> {
        match self {
            Self::Server(client) => client.post_once(&format!("/v1/lineages{what}")),
            Self::Store(config) => {
                let message = format!("no server runs on {}", config.data_dir.display());
                Err(Stop::new(Exit::Unavailable, message).remedy(
                    "start it with `eddyline up`, or name one with --server: a lineage must be at \
                     the head of the log before it answers",
                ))
            }
        }
    }

    fn retire(&self, lineage: &str) -> Outcome<Value> {
        match self {
            Self::Server(_) => self.change(&format!("/{lineage}:retire")),
            Self::Store(config) => {
                let mut registry = registry(config)?;
                let known = registry.lineages().entries().iter();
                let lineage = find_lineage(lineage, known.map(|entry| entry.registered.lineage))
                    .or_stop(Exit::Usage, || "nothing is retired".into())?;
                retire(config, &mut registry, lineage)?;
                Ok(of_store(config, &registry))
            }
        }
    }
}

fn retire(config: &Config, registry: &mut Registry, lineage: Lineage) -> Outcome {
    if lineage == config.core.lineage() {
        let message = format!("{lineage} is the lineage of the configuration");
        return Err(Stop::new(Exit::Failure, message)
            .remedy("write the [core] that is to stay into the configuration first"));
    }
    let changed = registry.change(SystemClock.now(), |lineages| {
        let is_kept = lineages.entry(lineage).is_none_or(|entry| !entry.is_retired);
        Ok::<_, LineagesError>(is_kept.then_some(Action::Retired(lineage)))
    });
    changed.map_err(of_lineages)
}

/// Registers the configured lineage, so that a process that runs on the same place follows it.
pub(crate) fn register(config: &Config) -> Outcome {
    let mut registry = open(config, Access::Write)?;
    let own = Registered::of(&config.core);
    let changed = registry.change(SystemClock.now(), |lineages| {
        let is_new = !lineages.is_kept(own.lineage);
        Ok::<_, LineagesError>(is_new.then(|| Action::Registered(own.clone())))
    });
    changed.map_err(of_lineages)?;
    tracing::info!(lineage = %own.lineage, "is registered: `eddyline lineage ls` shows it");
    Ok(())
}

/// The `[core]` table of a registered lineage, or of the one whose id begins so.
pub(crate) fn core_of(config: &Config, lineage: &str) -> Outcome<CoreConfig> {
    let registry = registry(config)?;
    let entries = registry.lineages().entries();
    let known = entries.iter().map(|entry| entry.registered.lineage);
    let found = find_lineage(lineage, known)
        .or_stop(Exit::Usage, || format!("{lineage:?} is no file and no registered lineage"))?;
    let entry = registry.lineages().entry(found).expect("it was found there");
    entry.core().or_stop(Exit::Config, || format!("cannot fold lineage {found}"))
}

fn registry(config: &Config) -> Outcome<Registry> {
    open(config, Access::Read)
}

fn open(config: &Config, access: Access) -> Outcome<Registry> {
    let objects: Arc<dyn ObjectStore> = open_place(config, access)?.ok_or_else(|| {
        Stop::new(Exit::Config, "snapshots.url is empty: there is no place for lineages")
            .remedy("set snapshots.url to the place that `eddyline up` starts from")
    })?;
    Registry::open(objects).map_err(of_lineages)
}

fn of_lineages(error: LineagesError) -> Stop {
    let exit = match &error {
        LineagesError::Objects(error) => exit_of_objects(error),
        LineagesError::Missing { .. }
        | LineagesError::Damaged { .. }
        | LineagesError::Version { .. } => Exit::BadData,
        LineagesError::Refused(_) => Exit::Failure,
        LineagesError::Crowded => Exit::Unavailable,
    };
    Stop { exit, error: error.into(), remedy: None }
}

/// In the form of the server's report, with what only a server knows left out.
fn of_store(config: &Config, registry: &Registry) -> Value {
    let (lineages, own) = (registry.lineages(), Registered::of(&config.core));
    let active = lineages.active().unwrap_or(own.lineage);
    let unregistered = lineages.entry(own.lineage).is_none().then_some((&own, false));
    let entries = lineages.entries().iter().map(|entry| (&entry.registered, entry.is_retired));
    let row = |(of, is_retired): (&Registered, bool)| {
        let state = match (of.lineage == active, is_retired) {
            (true, _) => "active",
            (false, true) => "retired",
            (false, false) => "registered",
        };
        let differs = eddyline_replay::lineages::Lineages::core_differs(&own, of);
        json!({
            "lineage": of.lineage,
            "state": state,
            "own": of.lineage == own.lineage,
            "parent": of.parent,
            "first_epoch": of.first_epoch,
            "core_differs": differs.into_iter().map(|(key, _, _)| key).collect::<Vec<_>>(),
            "core": of.core,
        })
    };
    let rows: Vec<Value> = unregistered.into_iter().chain(entries).map(row).collect();
    json!({"lineages": rows, "active": active, "previous": lineages.previous()})
}
