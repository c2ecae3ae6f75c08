//! `eddyline config init | check | show`.

use std::io::Write;
use std::path::PathBuf;

use super::layers::{known_keys, lookup};
use super::raw::{DEFAULT_FILE, LOGIN_IN_URL, SECRETS};
use super::{ConfigArgs, load_raw, stop};
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::output::{Format, print_json};

/// Lists with more entries are not shown to people.
const LONG_LIST: usize = 16;

/// What to do with the configuration.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum ConfigVerb {
    /// Write the commented default file
    Init {
        /// Where to; an existing file is never overwritten
        #[arg(default_value = "eddyline.toml")]
        file: PathBuf,
    },
    /// Report everything that is wrong with file, environment and flags
    Check {
        /// The file to check, instead of --config
        file: Option<PathBuf>,
    },
    /// Print the configuration in force; secrets are masked
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        /// table prints TOML, json one object by dotted key
        #[arg(long, value_enum, default_value = "table")]
        output: Format,
    },
}

/// Runs one of the verbs.
pub(crate) fn run(verb: &ConfigVerb, args: &ConfigArgs) -> Outcome {
    match verb {
        ConfigVerb::Init { file } => init(file),
        ConfigVerb::Check { file } => {
            let mut args = args.clone();
            args.config = file.clone().or(args.config);
            check_all(&args)
        }
        ConfigVerb::Show { origin, output } => show(args, *origin, *output),
    }
}

fn init(file: &PathBuf) -> Outcome {
    let context = || format!("writing {}", file.display());
    let mut target = std::fs::File::create_new(file)
        .or_stop(Exit::Io, context)
        .map_err(|stop| stop.remedy("name another file, or remove the one that is there"))?;
    target.write_all(DEFAULT_FILE.as_bytes()).or_stop(Exit::Io, context)?;
    println!("wrote {}", file.display());
    Ok(())
}

fn check_all(args: &ConfigArgs) -> Outcome {
    load_raw(args, &[])?.check().map_err(|problems| stop(&problems))?;
    println!("the configuration is right");
    Ok(())
}

fn show(args: &ConfigArgs, with_origin: bool, format: Format) -> Outcome {
    let loaded = load_raw(args, &[])?;
    if !loaded.problems.is_empty() {
        return Err(stop(&loaded.problems));
    }
    let table = toml::Table::try_from(&loaded.raw)
        .map_err(|error| Stop::new(Exit::Bug, format!("writing the configuration: {error}")))?;
    let mut rows = Vec::new();
    for key in known_keys(&table) {
        let value = lookup(&table, &key).cloned().unwrap_or(toml::Value::Boolean(false));
        let value = if is_masked(&key, &value) { "********".into() } else { shortened(value) };
        let origin = loaded.origins.get(&key).map_or("default".to_owned(), ToString::to_string);
        rows.push((key, value, origin));
    }
    match format {
        Format::Table => print_toml(&rows, with_origin),
        Format::Json | Format::Ndjson => print_rows(&rows, with_origin)?,
    }
    Ok(())
}

fn is_masked(key: &str, value: &toml::Value) -> bool {
    let has_secret = |text: &str| match key {
        LOGIN_IN_URL => text.contains('@'),
        _ => !text.is_empty(),
    };
    SECRETS.contains(&key) && value.as_str().is_none_or(has_secret)
}

/// Single-precision keys were widened: shows the digits that were written.
fn shortened(value: toml::Value) -> toml::Value {
    match value {
        toml::Value::Float(wide) if f64::from(wide as f32).to_bits() == wide.to_bits() => {
            let digits = (wide as f32).to_string();
            toml::Value::Float(digits.parse().unwrap_or(wide))
        }
        toml::Value::Array(values) => {
            toml::Value::Array(values.into_iter().map(shortened).collect())
        }
        toml::Value::Table(members) => {
            let members = members.into_iter().map(|(name, value)| (name, shortened(value)));
            toml::Value::Table(members.collect())
        }
        other => other,
    }
}

fn print_toml(rows: &[(String, toml::Value, String)], with_origin: bool) {
    let mut section = "";
    for (key, value, origin) in rows {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        if table != section {
            println!("{}[{table}]", if section.is_empty() { "" } else { "\n" });
            section = table;
        }
        let note = if with_origin { format!("  # {origin}") } else { String::new() };
        match value.as_array().map(Vec::len).filter(|&entries| entries > LONG_LIST) {
            Some(entries) => println!("# {name} has {entries} entries, --output json shows them"),
            None => println!("{name} = {value}{note}"),
        }
    }
}

fn print_rows(rows: &[(String, toml::Value, String)], with_origin: bool) -> Outcome {
    let mut all = serde_json::Map::new();
    for (key, value, origin) in rows {
        let value = serde_json::to_value(value).or_stop(Exit::Bug, || format!("writing {key}"))?;
        let shown = match with_origin {
            true => serde_json::json!({"value": value, "origin": origin}),
            false => value,
        };
        all.insert(key.clone(), shown);
    }
    print_json(&serde_json::Value::Object(all))
}
