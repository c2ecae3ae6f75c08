//! `eddyline digest`: lineage, epoch and digest of the state of a data folder.
//!
//! In order: a server that runs on the folder is asked; else what the last clean close noted is
//! believed if it is of the configured lineage; else, and with `--recompute`, the log is folded
//! from its start under its recorded bindings.

use std::path::PathBuf;

use eddyline_schemas::lineage::Epoch;
use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::config::{Config, ConfigArgs, load};
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::node::{digest_path, open_event_log};
use crate::output::{Format, print_json, print_json_line, print_table};
use crate::server_file;

/// Flags of `digest`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DigestArgs {
    /// Data folder [default: ./eddyline-data]
    #[arg(long, value_name = "DIR", env = "EDDYLINE__DATA__DIR")]
    pub data: Option<PathBuf>,
    /// Fold the log from its start instead of asking anyone; no server may run on the folder
    #[arg(long)]
    pub recompute: bool,
    /// Worker threads for folding [default: 1]
    #[arg(long, value_name = "N", env = "EDDYLINE__DATAFLOW__WORKERS")]
    pub workers: Option<usize>,
    /// The state at the end of this epoch instead of the last one; needs --recompute
    #[arg(long, value_name = "EPOCH", requires = "recompute")]
    pub epoch: Option<u64>,
    /// API key, if the server wants one
    #[arg(long, value_name = "KEY", env = "EDDYLINE_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value = "json")]
    pub output: Format,
}

/// What is printed.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Printed {
    lineage: String,
    epoch: u64,
    state_digest: String,
    /// `server`, `clean close` or `recomputed`.
    source: &'static str,
}

impl Printed {
    /// Reads the three members of a digest; `None` when one is missing.
    fn read(json: &Value, source: &'static str) -> Option<Self> {
        Some(Self {
            lineage: json["lineage"].as_str()?.to_owned(),
            epoch: json["epoch"].as_u64()?,
            state_digest: json["state_digest"].as_str()?.to_owned(),
            source,
        })
    }
}

/// Runs the verb.
pub(crate) fn run(args: &DigestArgs, config: &ConfigArgs) -> Outcome {
    let mut flags = Vec::new();
    if let Some(dir) = &args.data {
        flags.push(("data.dir", dir.to_string_lossy().into_owned(), "--data"));
    }
    if let Some(workers) = args.workers {
        flags.push(("dataflow.workers", workers.to_string(), "--workers"));
    }
    let config = load(config, &flags)?;
    let known = if args.recompute {
        None
    } else {
        of_server(args, &config)?.or_else(|| of_clean_close(&config))
    };
    let printed = match known {
        Some(printed) => printed,
        None => recompute(&config, args.epoch)?,
    };
    print(&printed, args.output)?;
    compare(&printed, of_clean_close(&config))
}

/// A recomputed digest must be the one that the last clean close noted, if that is of its epoch.
fn compare(printed: &Printed, noted: Option<Printed>) -> Outcome {
    let same_place =
        |noted: &Printed| noted.epoch == printed.epoch && noted.lineage == printed.lineage;
    match noted.filter(same_place) {
        Some(noted) if noted.state_digest != printed.state_digest => {
            let message = format!(
                "epoch {} was {} at the last clean close and is {} now",
                noted.epoch, noted.state_digest, printed.state_digest
            );
            Err(Stop::new(Exit::Mismatch, message)
                .remedy("keep the data folder as it is and report this: it must never happen"))
        }
        Some(_) | None => Ok(()),
    }
}

/// The server's word; `None` when none answers at the noted address.
fn of_server(args: &DigestArgs, config: &Config) -> Outcome<Option<Printed>> {
    let Some(noted) = server_file::read(&config.data_dir) else { return Ok(None) };
    let client = Client::new(&format!("http://{}", noted.listen), args.api_key.clone());
    if client.try_get("/livez").is_err() {
        return Ok(None);
    }
    Ok(Printed::read(&client.get("/v1/digest")?, "server"))
}

fn of_clean_close(config: &Config) -> Option<Printed> {
    let bytes = std::fs::read(digest_path(&config.data_dir)).ok()?;
    let noted = Printed::read(&serde_json::from_slice(&bytes).ok()?, "clean close")?;
    let lineage = config.core.lineage().to_string();
    (noted.lineage == lineage).then_some(noted)
}

fn recompute(config: &Config, epoch: Option<u64>) -> Outcome<Printed> {
    let log = open_event_log(config)?;
    let workers = config.dataflow.workers;
    let digest = eddyline_replay::recompute(log, &config.core, workers, epoch.map(Epoch))
        .or_stop(Exit::Failure, || "cannot fold the log".into())?;
    Ok(Printed {
        lineage: digest.lineage.to_string(),
        epoch: digest.epoch.0,
        state_digest: digest.state_digest.to_string(),
        source: "recomputed",
    })
}

fn print(printed: &Printed, format: Format) -> Outcome {
    let Printed { lineage, epoch, state_digest, source } = printed;
    match format {
        Format::Json => print_json(printed),
        Format::Ndjson => print_json_line(printed),
        Format::Table => print_table(
            &["lineage", "epoch", "state digest", "source"],
            &[vec![lineage.clone(), epoch.to_string(), state_digest.clone(), (*source).into()]],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_digest_of_the_same_epoch_is_a_mismatch() {
        let printed = |epoch: u64, state_digest: &str| Printed {
            lineage: "l".into(),
            epoch,
            state_digest: state_digest.into(),
            source: "recomputed",
        };
        let exit = |noted| compare(&printed(7, "a"), noted).err().map(|stop| stop.exit);
        assert_eq!(exit(Some(printed(7, "b"))), Some(Exit::Mismatch));
        assert_eq!(exit(Some(printed(7, "a"))), None);
        assert_eq!(exit(Some(printed(6, "b"))), None);
        assert_eq!(exit(None), None);
    }
}
