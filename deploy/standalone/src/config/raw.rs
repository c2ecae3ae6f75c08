//! The configuration as it is written: every key, its type and its default, unchecked.
//!
//! `default.toml` beside this crate's manifest documents each key; a test keeps the two equal.

use std::path::PathBuf;

use eddyline_model::config::CoreConfig;
use eddyline_schemas::codec::StoredEncoding;
use serde::{Deserialize, Serialize};

/// The shipped, commented default file.
pub(crate) const DEFAULT_FILE: &str = include_str!("../../default.toml");

/// Keys whose values are never shown.
pub(crate) const SECRETS: [&str; 2] = ["server.api_key", LOGIN_IN_URL];

/// A URL that may hold a password: it is masked where it does.
pub(crate) const LOGIN_IN_URL: &str = "features.url";

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawConfig {
    pub data: RawData,
    pub log: RawLog,
    pub features: RawFeatures,
    pub snapshots: RawSnapshots,
    pub archive: RawArchive,
    pub lineages: RawLineages,
    pub server: RawServer,
    pub dataflow: RawDataflow,
    pub serving: RawServing,
    pub core: CoreConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawData {
    pub dir: PathBuf,
}

impl Default for RawData {
    fn default() -> Self {
        Self { dir: PathBuf::from("./eddyline-data") }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawLog {
    pub url: String,
    pub partitions: u32,
    pub feedback_partitions: u32,
    pub item_partitions: u32,
}

impl Default for RawLog {
    fn default() -> Self {
        Self {
            url: "embedded:log".into(),
            partitions: 4,
            feedback_partitions: 2,
            item_partitions: 1,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawFeatures {
    pub url: String,
    pub namespace: String,
    pub encoding: StoredEncoding,
}

impl Default for RawFeatures {
    fn default() -> Self {
        Self {
            url: "embedded:".into(),
            namespace: String::new(),
            encoding: StoredEncoding::Protobuf,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawSnapshots {
    pub url: String,
    pub every_events: u64,
}

impl Default for RawSnapshots {
    fn default() -> Self {
        Self { url: "file:snapshots".into(), every_events: 250_000 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawArchive {
    pub url: String,
    pub file_events: u64,
    pub file_seconds: u32,
    pub trim_log: bool,
}

impl Default for RawArchive {
    fn default() -> Self {
        Self { url: String::new(), file_events: 250_000, file_seconds: 60, trim_log: false }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawLineages {
    pub workers: usize,
}

impl Default for RawLineages {
    fn default() -> Self {
        Self { workers: 1 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawServer {
    pub listen: String,
    pub api_key: String,
    pub api_key_hashes: Vec<String>,
    pub insecure: bool,
    pub request_budget_ms: u64,
    pub grace_ms: u64,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            api_key: String::new(),
            api_key_hashes: Vec::new(),
            insecure: false,
            request_budget_ms: 10_000,
            grace_ms: 5_000,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawDataflow {
    pub workers: usize,
    pub processes: usize,
    pub process: usize,
    pub hosts: String,
    pub meeting_seconds: u32,
    pub epoch_events: usize,
    pub epoch_ms: u64,
    pub backlog_epoch_events: usize,
    pub stall_seconds: u32,
}

impl Default for RawDataflow {
    fn default() -> Self {
        Self {
            workers: 2,
            processes: 1,
            process: 0,
            hosts: String::new(),
            meeting_seconds: 60,
            epoch_events: 1024,
            epoch_ms: 10,
            backlog_epoch_events: 4096,
            stall_seconds: 60,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawServing {
    pub exact_scan_up_to: usize,
    pub rebuild_head_share: f32,
    pub rebuild_drift: f32,
    pub source_budget_ms: u64,
    pub content_prior: f32,
    pub content_prior_new: f32,
    pub content_prior_events: f32,
    pub ready_lag_records: u64,
}

impl Default for RawServing {
    fn default() -> Self {
        Self {
            exact_scan_up_to: 30_000,
            rebuild_head_share: 0.1,
            rebuild_drift: 0.5,
            source_budget_ms: 20,
            content_prior: 1.0,
            content_prior_new: 2.0,
            content_prior_events: 5.0,
            ready_lag_records: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_the_defaults() {
        let shipped: RawConfig = toml::from_str(DEFAULT_FILE).expect("the shipped file parses");
        assert_eq!(shipped, RawConfig::default());
    }

    #[test]
    fn the_shipped_file_names_every_key() {
        let written: toml::Table = DEFAULT_FILE.parse().expect("the shipped file parses");
        let known = toml::Table::try_from(RawConfig::default()).expect("the defaults serialise");
        let mut known = keys(&known, "");
        // A list of more than a hundred rows, described where it would stand.
        assert!(known.remove("core.gate.blends"), "there is such a key");
        assert_eq!(keys(&written, ""), known);
    }

    fn keys(table: &toml::Table, prefix: &str) -> std::collections::BTreeSet<String> {
        let mut all = std::collections::BTreeSet::new();
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value.as_table() {
                Some(inner) => all.extend(keys(inner, &format!("{key}."))),
                None => {
                    all.insert(key);
                }
            }
        }
        all
    }
}
