//! The configuration: written as one TOML file, environment variables and flags; checked once.
//!
//! [`raw`] is what may be written, [`layers`] puts the sources over each other, [`mod@check`] turns
//! the result into a type that needs no more checks. `[core]` holds every key that changes state
//! and no other: it is hashed into the lineage.

pub(crate) mod check;
pub(crate) mod layers;
pub(crate) mod raw;
pub(crate) mod suggest;
pub(crate) mod verbs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) use check::Config;
use layers::{Layers, Origin, Problem};
use raw::RawConfig;

use crate::exit::{Exit, Outcome, Stop};

/// The file that is read when none is named.
const DEFAULT_NAME: &str = "eddyline.toml";

/// The flags that every verb with a configuration takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file; without it ./eddyline.toml is read if it exists
    #[arg(long, value_name = "FILE", env = "EDDYLINE_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// Set one key of the configuration over file and environment; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", global = true)]
    pub set: Vec<String>,
}

/// A flag that stands for a key: key, value, name of the flag.
pub(crate) type FlagValue = (&'static str, String, &'static str);

/// What was loaded, before the rules of [`mod@check`].
pub(crate) struct Loaded {
    /// The values.
    pub raw: RawConfig,
    /// Where those that are not defaults come from.
    pub origins: BTreeMap<String, Origin>,
    /// What was written wrong; the values have the defaults in its place.
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// Applies the rules too, so that one run reports all problems.
    pub(crate) fn check(mut self) -> Result<Config, Vec<Problem>> {
        if self.problems.iter().any(Problem::is_syntax) {
            // Half a file was read: rules about the other half would mislead.
            return Err(self.problems);
        }
        match check::check(&self.raw, &self.origins) {
            Ok(config) if self.problems.is_empty() => return Ok(config),
            Ok(_) => {}
            Err(broken) => self.problems.extend(broken),
        }
        Err(self.problems)
    }
}

/// Reads all layers and checks the whole; stops with all problems and exit code 78.
pub(crate) fn load(args: &ConfigArgs, flags: &[FlagValue]) -> Outcome<Config> {
    load_raw(args, flags)?.check().map_err(|problems| stop(&problems))
}

/// Reads all layers.
pub(crate) fn load_raw(args: &ConfigArgs, flags: &[FlagValue]) -> Outcome<Loaded> {
    let mut layers = Layers::default();
    if let Some(path) = file_to_read(args) {
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Stop::new(
                Exit::Config,
                format!("cannot read configuration {}: {error}", path.display()),
            )
            .remedy("name a readable file with --config, or write one with `eddyline config init`")
        })?;
        layers.add_file(&path, &text);
    }
    layers.add_env(std::env::vars());
    for (key, value, flag) in flags {
        layers.add_flag(key, value, flag);
    }
    for assignment in &args.set {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(Stop::new(Exit::Usage, format!("--set {assignment}: no = in it"))
                .remedy("write --set section.key=value"));
        };
        layers.add_flag(key.trim(), value.trim(), "--set");
    }
    Ok(layers.finish())
}

fn file_to_read(args: &ConfigArgs) -> Option<PathBuf> {
    let default = || Path::new(DEFAULT_NAME).exists().then(|| PathBuf::from(DEFAULT_NAME));
    args.config.clone().or_else(default)
}

/// All problems as one error.
fn stop(problems: &[Problem]) -> Stop {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    Stop::new(Exit::Config, format!("wrong configuration\n  {}", lines.join("\n  ")))
        .remedy("correct the keys named above; `eddyline config init` shows all keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str, env: &[(&str, &str)]) -> Vec<String> {
        let mut layers = Layers::default();
        layers.add_file(Path::new("a.toml"), text);
        layers.add_env(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        layers.finish().check().err().unwrap_or_default().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn all_problems_are_reported_with_place_key_and_suggestion() {
        let text = "[server]\nlisen = \"a\"\ninsecure = 3\n\n[dataflow]\n  workers = \"two\"\n";
        let found = problems(text, &[("EDDYLINE__LOG__PARTITION", "2")]);
        assert_eq!(found.len(), 4, "{found:#?}");
        let all = found.join("\n");
        for want in [
            "a.toml:2:1: server.lisen: unknown key; did you mean server.listen?",
            "a.toml:3:1: server.insecure: invalid type: integer `3`, expected a boolean",
            "a.toml:6:3: dataflow.workers: invalid type: string \"two\"",
            "env EDDYLINE__LOG__PARTITION: log.partition: unknown key; did you mean log.partitions?",
        ] {
            assert!(all.contains(want), "{want}\nnot in\n{all}");
        }
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let found = problems("[server\nlisten = 1\n", &[]);
        assert!(found.iter().any(|line| line.starts_with("a.toml:1:")), "{found:#?}");
    }

    #[test]
    fn rules_name_the_place_that_must_change() {
        let found =
            problems("[server]\nlisten = \"0.0.0.0:80\"\n[log]\nurl = \"kafka://x\"\n", &[]);
        assert!(found.iter().any(|p| p.starts_with("a.toml:2:1: server.listen: 0.0.0.0:80 is")));
        assert!(found.iter().any(|p| p.starts_with("a.toml:4:1: log.url: ")), "{found:#?}");
        let with_key = problems(
            "[server]\nlisten = \"0.0.0.0:80\"\n",
            &[("EDDYLINE__SERVER__API_KEY", "1234")],
        );
        assert_eq!(with_key, Vec::<String>::new(), "a key of digits is still text");
    }

    #[test]
    fn a_wrong_key_hides_no_broken_rule() {
        let text = "[server]\nlisten = \"nowhere\"\n[dataflow]\nworker = 2\nepoch_ms = 0\n";
        let all = problems(text, &[]).join("\n");
        for want in ["a.toml:4:1: dataflow.worker: unknown key", "a.toml:2:1: server.listen: "] {
            assert!(all.contains(want), "{want}\nnot in\n{all}");
        }
        assert!(all.contains("a.toml:5:1: dataflow.epoch_ms: must be between"), "{all}");
    }

    #[test]
    fn later_layers_win_and_are_remembered() {
        let mut layers = Layers::default();
        layers.add_file(Path::new("a.toml"), "dataflow.workers = 2\ndataflow.epoch_ms = 5\n");
        layers.add_env([("EDDYLINE__DATAFLOW__WORKERS".to_owned(), "3".to_owned())]);
        layers.add_flag("server.listen", "127.0.0.1:0", "--listen");
        let Loaded { raw, origins, problems } = layers.finish();
        assert_eq!(problems, []);
        assert_eq!((raw.dataflow.workers, raw.dataflow.epoch_ms), (3, 5));
        assert_eq!(raw.server.listen, "127.0.0.1:0");
        let origin = |key: &str| origins.get(key).map(ToString::to_string);
        let env = "env EDDYLINE__DATAFLOW__WORKERS";
        assert_eq!(origin("dataflow.workers").as_deref(), Some(env));
        assert_eq!(origin("dataflow.epoch_ms").as_deref(), Some("a.toml:2:10"));
        assert_eq!(origin("server.listen").as_deref(), Some("flag --listen"));
        assert_eq!(origin("server.insecure"), None);
    }

    #[test]
    fn secrets_come_from_files_too() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        std::fs::write(file.path(), "s3cret\n").expect("it can be written");
        let mut layers = Layers::default();
        let path = file.path().display().to_string();
        layers.add_env([("EDDYLINE__SERVER__API_KEY_FILE".to_owned(), path)]);
        assert_eq!(layers.finish().raw.server.api_key, "s3cret");
    }
}
