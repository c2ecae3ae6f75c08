//! Defaults < file < environment < flags, key by key, with the origin of each value.
//!
//! Every assignment is tried on its own against the whole of [`RawConfig`], so that one wrong key
//! hides no other and each problem knows where it was written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::Loaded;
use super::raw::RawConfig;
use super::suggest::nearest;

/// Prefix of environment variables; sections and keys are joined by two underscores.
const ENV_PREFIX: &str = "EDDYLINE__";

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nowhere: the shipped default.
    Default,
    /// In a file, counted from 1.
    File {
        /// Which file.
        path: PathBuf,
        /// Line.
        line: usize,
        /// Column in characters.
        column: usize,
    },
    /// In an environment variable.
    Env(String),
    /// In the file that an environment variable names.
    SecretFile(String),
    /// On the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::SecretFile(name) => write!(f, "file named by env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where.
    pub origin: Origin,
    /// Dotted key; empty when the text is not TOML.
    pub key: String,
    /// What.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Problem {
    /// The text is not TOML.
    pub(crate) fn is_syntax(&self) -> bool {
        self.key.is_empty()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.is_syntax() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

/// The layers put together so far.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    tree: Table,
    defaults: Table,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

impl Default for Layers {
    fn default() -> Self {
        let defaults = Table::try_from(RawConfig::default()).expect("the defaults are TOML");
        Self { tree: defaults.clone(), defaults, origins: BTreeMap::new(), problems: Vec::new() }
    }
}

impl Layers {
    /// Lays the file `path` with content `text` over what is there.
    pub(crate) fn add_file(&mut self, path: &Path, text: &str) {
        let origin = |offset: usize| {
            let (line, column) = line_and_column(text, offset);
            Origin::File { path: path.to_owned(), line, column }
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let origin = origin(error.span().map_or(0, |span| span.start));
            let message = error.message().to_owned();
            self.problems.push(Problem { origin, key: String::new(), message, remedy: None });
        }
        let mut leaves = Vec::new();
        collect_leaves(table.get_ref(), "", &mut leaves);
        for (key, offset, value) in leaves {
            self.assign(&key, value, origin(offset));
        }
    }

    /// Lays variables named `EDDYLINE__SECTION__KEY` over what is there; with `_FILE` at the end
    /// of the name the value is the content of the file that the variable names.
    pub(crate) fn add_env(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let mut ours: Vec<(String, String)> =
            variables.into_iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
        ours.sort();
        for (name, text) in ours {
            let key = name[ENV_PREFIX.len()..].to_lowercase().replace("__", ".");
            match key.strip_suffix("_file").filter(|key| lookup(&self.defaults, key).is_some()) {
                Some(key) => self.add_secret_file(key, &name, &text),
                None => self.add_text(&key, &text, Origin::Env(name)),
            }
        }
    }

    /// Lays the value of one flag over what is there.
    pub(crate) fn add_flag(&mut self, key: &str, text: &str, flag: &str) {
        let variable = format!("{ENV_PREFIX}{}", key.to_uppercase().replace('.', "__"));
        // Flags that show an environment variable as their fallback have already read it.
        let from_env = std::env::var(&variable).is_ok_and(|value| value == text);
        let origin = if from_env { Origin::Env(variable) } else { Origin::Flag(flag.to_owned()) };
        self.add_text(key, text, origin);
    }

    /// The configuration with the origin of each key that is not a default, and all problems.
    pub(crate) fn finish(self) -> Loaded {
        let raw = Value::Table(self.tree).try_into().expect("each key was tried when assigned");
        Loaded { raw, origins: self.origins, problems: self.problems }
    }

    fn add_secret_file(&mut self, key: &str, variable: &str, path: &str) {
        let origin = Origin::SecretFile(variable.to_owned());
        match std::fs::read_to_string(path) {
            Ok(text) => self.assign(key, Value::String(text.trim_end().to_owned()), origin),
            Err(error) => self.problems.push(Problem {
                origin,
                key: key.to_owned(),
                message: format!("cannot read {path}: {error}"),
                remedy: Some("name a readable file, or unset the variable".into()),
            }),
        }
    }

    /// Text is TOML where that fits the key, else a string, so that `listen=0.0.0.0:80` works.
    fn add_text(&mut self, key: &str, text: &str, origin: Origin) {
        let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
        let string = Value::String(text.to_owned());
        let value = match parsed {
            Some(value) if self.fits(key, &value).is_ok() => value,
            Some(value) if self.fits(key, &string).is_err() => value,
            Some(_) | None => string,
        };
        self.assign(key, value, origin);
    }

    fn assign(&mut self, key: &str, value: Value, origin: Origin) {
        match self.fits(key, &value) {
            Ok(()) => {
                insert(&mut self.tree, key, value);
                self.origins.insert(key.to_owned(), origin);
            }
            Err(message) => {
                let problem = self.explain(key, message, origin);
                self.problems.push(problem);
            }
        }
    }

    /// Whether the defaults with this one key changed are a configuration.
    fn fits(&self, key: &str, value: &Value) -> Result<(), String> {
        let mut trial = self.defaults.clone();
        insert(&mut trial, key, value.clone());
        let tried: Result<RawConfig, _> = Value::Table(trial).try_into();
        tried.map(|_| ()).map_err(|error| error.message().trim().to_owned())
    }

    fn explain(&self, key: &str, message: String, origin: Origin) -> Problem {
        let key = key.to_owned();
        if let Some(default) = lookup(&self.defaults, &key) {
            let remedy = Some(format!("the default is {default}"));
            return Problem { origin, key, message, remedy };
        }
        let known = known_keys(&self.defaults);
        let remedy = match nearest(&key, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => "`eddyline config init` writes a file with all keys".into(),
        };
        Problem { origin, key, message: "unknown key".into(), remedy: Some(remedy) }
    }
}

/// All dotted keys of a table of tables: each table's own keys before its inner tables.
pub(crate) fn known_keys(table: &Table) -> Vec<String> {
    let (inner, own): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_table());
    let mut keys: Vec<String> = own.into_iter().map(|(name, _)| name.clone()).collect();
    for (name, value) in inner {
        let inner = value.as_table().map(known_keys).unwrap_or_default();
        keys.extend(inner.into_iter().map(|key| format!("{name}.{key}")));
    }
    keys
}

/// The value at a dotted key.
pub(crate) fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => lookup(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    let Some((section, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return;
    };
    let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if !inner.is_table() {
        *inner = Value::Table(Table::new());
    }
    insert(inner.as_table_mut().expect("made a table above"), rest, value);
}

/// Dotted key, byte offset of the key, and value of every leaf.
fn collect_leaves(table: &DeTable<'_>, prefix: &str, leaves: &mut Vec<(String, usize, Value)>) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => collect_leaves(inner, &format!("{key}."), leaves),
            _ => leaves.push((key, name.span().start, to_value(value))),
        }
    }
}

fn to_value(value: &Spanned<DeValue<'_>>) -> Value {
    let deserializer = toml::de::ValueDeserializer::from(value.clone());
    serde::Deserialize::deserialize(deserializer)
        .unwrap_or_else(|_| Value::String("out of range".into()))
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
