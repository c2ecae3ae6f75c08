//! From what is written to what is true: the checked configuration.
//!
//! All rules that need more than a key's own type live here; nothing downstream checks again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eddyline_connect::features::check_features_url;
use eddyline_connect::layout::{LogLayout, MAX_PARTITIONS};
use eddyline_connect::objects::check_objects_url;
use eddyline_connect::url::check_log_url;
use eddyline_dataflows::EpochLimits;
use eddyline_index::policy::IndexPolicy;
use eddyline_model::config::CoreConfig;
use eddyline_model::kernel::LANES;
use eddyline_schemas::codec::StoredEncoding;
use eddyline_schemas::record::Digest;
use eddyline_serving::state::ServingConfig;

use super::layers::{Origin, Problem};
use super::raw::{RawArchive, RawConfig, RawDataflow, RawFeatures, RawLog, RawServer};

/// Most workers that a process runs: one for each logical shard.
const MAX_WORKERS: u64 = 256;
/// Most records of an epoch.
const MAX_EPOCH_EVENTS: u64 = 1 << 20;
/// Most records that wait in memory for the files of an archive.
const MAX_FILE_EVENTS: u64 = 1 << 20;
/// Longest vectors.
const MAX_DIM: usize = 1_024;

/// A configuration that holds together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// Where everything durable lies.
    pub data_dir: PathBuf,
    /// The log.
    pub log: LogConfig,
    /// The feature store beside this process.
    pub features: FeaturesConfig,
    /// Where state is kept between two lives of the dataflow.
    pub snapshots: SnapshotsConfig,
    /// Where bound history is kept for good.
    pub archive: ArchiveConfig,
    /// Worker threads of each lineage beside the configured one.
    pub lineage_workers: usize,
    /// The HTTP server.
    pub server: ServerConfig,
    /// The dataflow.
    pub dataflow: DataflowConfig,
    /// Serving.
    pub serving: ServingConfig,
    /// Ready means that fewer records than this wait in the log.
    pub ready_lag_records: u64,
    /// Everything that changes state.
    pub core: CoreConfig,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// With paths under the data folder.
    pub url: String,
    /// Partitions.
    pub layout: LogLayout,
}

/// The feature store that user documents are written to, beside the one in this process.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct FeaturesConfig {
    /// May hold a password.
    pub url: String,
    /// Before every key.
    pub namespace: String,
    /// How values are written.
    pub encoding: StoredEncoding,
}

impl FeaturesConfig {
    /// Whether users are in the memory of this process only.
    #[must_use]
    pub(crate) fn is_in_process(&self) -> bool {
        ["embedded:", "memory:"].contains(&self.url.as_str())
    }
}

impl std::fmt::Debug for FeaturesConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeaturesConfig").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Where state is kept between two lives of the dataflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotsConfig {
    /// With paths under the data folder; `None` keeps it nowhere.
    pub url: Option<String>,
    /// Records bound between two snapshots; 0 writes none.
    pub every_events: u64,
}

/// Where bound history is archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveConfig {
    /// With paths under the data folder; `None` archives nowhere.
    pub url: Option<String>,
    /// Records after which files are written …
    pub file_events: u64,
    /// … or seconds, whichever comes first.
    pub file_seconds: u32,
    /// Whether the log forgets what is archived and behind two snapshots.
    pub trim_log: bool,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// BLAKE3 of the keys that are let in.
    pub api_key_hashes: Vec<Digest>,
    /// Without keys: everyone, and not this machine alone.
    pub insecure: bool,
    /// A request that takes longer is answered 503.
    pub request_budget: Duration,
    /// How long a shutdown waits for requests that are being answered.
    pub grace: Duration,
}

/// The dataflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataflowConfig {
    /// Worker threads of each process.
    pub workers: usize,
    /// Of a dataflow of several processes.
    pub processes: Option<ProcessesConfig>,
    /// How epochs are cut.
    pub epoch: EpochLimits,
    /// Of several processes: they stop when an epoch has not ended for so long.
    pub stall_seconds: u32,
}

/// Several processes that are one dataflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessesConfig {
    /// Which of them this is; 0 leads.
    pub index: usize,
    /// `host:port` of each, in order.
    pub hosts: Vec<String>,
    /// How long they wait for each other at the start.
    pub meeting_seconds: u32,
}

/// Checks `raw`; every problem names the place in `origins` that must change.
pub(crate) fn check(
    raw: &RawConfig,
    origins: &BTreeMap<String, Origin>,
) -> Result<Config, Vec<Problem>> {
    let mut checker = Checker { origins, problems: Vec::new() };
    let log = checker.log(&raw.log, &raw.data.dir);
    checker.features(&raw.features);
    let snapshots = checker.snapshots(raw);
    let archive = checker.archive(raw);
    let server = checker.server(&raw.server);
    let dataflow = checker.dataflow(&raw.dataflow);
    checker.within("lineages.workers", raw.lineages.workers as u64, 1, MAX_WORKERS);
    checker.core(&raw.core);
    match (log, server, checker.problems.is_empty()) {
        (Some(log), Some(server), true) => Ok(Config {
            data_dir: raw.data.dir.clone(),
            log,
            features: FeaturesConfig {
                url: raw.features.url.clone(),
                namespace: raw.features.namespace.clone(),
                encoding: raw.features.encoding,
            },
            snapshots,
            archive,
            lineage_workers: raw.lineages.workers,
            server,
            dataflow,
            serving: serving(raw),
            ready_lag_records: raw.serving.ready_lag_records,
            core: raw.core.clone(),
        }),
        _ => Err(checker.problems),
    }
}

fn serving(raw: &RawConfig) -> ServingConfig {
    ServingConfig {
        core: raw.core.clone(),
        index: IndexPolicy {
            exact_up_to: raw.serving.exact_scan_up_to,
            head_share: raw.serving.rebuild_head_share,
            drift: raw.serving.rebuild_drift,
            ..IndexPolicy::default()
        },
        source_budget: Duration::from_millis(raw.serving.source_budget_ms),
        content_prior: raw.serving.content_prior,
        content_prior_new: raw.serving.content_prior_new,
        content_prior_events: raw.serving.content_prior_events,
    }
}

struct Checker<'a> {
    origins: &'a BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn refuse(&mut self, key: &str, message: String, remedy: &str) {
        let origin = self.origins.get(key).cloned().unwrap_or(Origin::Default);
        let (key, remedy) = (key.to_owned(), Some(remedy.to_owned()));
        self.problems.push(Problem { origin, key, message, remedy });
    }

    fn within(&mut self, key: &str, value: u64, least: u64, most: u64) {
        if !(least..=most).contains(&value) {
            let message = format!("must be between {least} and {most}, got {value}");
            self.refuse(key, message, "change the value or remove the key");
        }
    }

    fn dataflow(&mut self, raw: &RawDataflow) -> DataflowConfig {
        let (events, backlog) = (raw.epoch_events as u64, raw.backlog_epoch_events as u64);
        self.within("dataflow.workers", raw.workers as u64, 1, MAX_WORKERS);
        self.within("dataflow.epoch_events", events, 1, MAX_EPOCH_EVENTS);
        self.within("dataflow.epoch_ms", raw.epoch_ms, 1, 60_000);
        self.within("dataflow.backlog_epoch_events", backlog, events.max(1), MAX_EPOCH_EVENTS);
        self.within("dataflow.stall_seconds", u64::from(raw.stall_seconds), 1, 3_600);
        let processes = self.processes(raw);
        let epoch = EpochLimits {
            events: raw.epoch_events,
            wait: Duration::from_millis(raw.epoch_ms),
            backlog_events: raw.backlog_epoch_events,
        };
        DataflowConfig { workers: raw.workers, processes, epoch, stall_seconds: raw.stall_seconds }
    }

    fn processes(&mut self, raw: &RawDataflow) -> Option<ProcessesConfig> {
        let hosts: Vec<String> = raw
            .hosts
            .split(',')
            .map(str::trim)
            .filter(|host| !host.is_empty())
            .map(Into::into)
            .collect();
        let (processes, index) = (raw.processes, raw.process);
        self.within("dataflow.processes", processes as u64, 1, MAX_WORKERS);
        self.within("dataflow.meeting_seconds", u64::from(raw.meeting_seconds), 1, 3_600);
        if processes > 1 && hosts.is_empty() {
            let message = format!("{processes} processes need an address each, and there is none");
            let remedy = "set dataflow.hosts (--hosts HOST:PORT,HOST:PORT), the same for all";
            self.refuse("dataflow.processes", message, remedy);
        } else if processes != hosts.len() && !hosts.is_empty() {
            let message = format!("names {} addresses for {processes} processes", hosts.len());
            let remedy = "name one HOST:PORT for each process, or change dataflow.processes";
            self.refuse("dataflow.hosts", message, remedy);
        }
        if index >= processes {
            let message =
                format!("must be below {processes}, the number of processes, got {index}");
            self.refuse("dataflow.process", message, "processes are counted from 0");
        }
        let meeting_seconds = raw.meeting_seconds;
        (processes > 1).then_some(ProcessesConfig { index, hosts, meeting_seconds })
    }

    fn core(&mut self, core: &CoreConfig) {
        let dim = core.factors.dim;
        if dim == 0 || !dim.is_multiple_of(LANES) || dim > MAX_DIM {
            let message = format!("must be a multiple of {LANES} up to {MAX_DIM}, got {dim}");
            self.refuse("core.factors.dim", message, "use 64 or 128");
        }
    }

    fn log(&mut self, raw: &RawLog, data_dir: &Path) -> Option<LogConfig> {
        let counts = [
            ("log.partitions", raw.partitions),
            ("log.feedback_partitions", raw.feedback_partitions),
            ("log.item_partitions", raw.item_partitions),
        ];
        for (key, count) in counts {
            self.within(key, u64::from(count), 1, u64::from(MAX_PARTITIONS));
        }
        if let Err(error) = check_log_url(&raw.url) {
            let remedy = "use embedded:DIR, where DIR is relative to data.dir, or kafka://HOST:PORT/NAMESPACE";
            self.refuse("log.url", error.to_string(), remedy);
            return None;
        }
        let url = match raw.url.strip_prefix("embedded:") {
            Some(folder) => format!("embedded:{}", data_dir.join(folder).display()),
            None => raw.url.clone(),
        };
        let layout =
            LogLayout::new(raw.partitions, raw.feedback_partitions, raw.item_partitions).ok()?;
        Some(LogConfig { url, layout })
    }

    fn features(&mut self, raw: &RawFeatures) {
        if let Err(error) = check_features_url(&raw.url) {
            // The error names the key itself.
            let message = error.to_string();
            let message = message.strip_prefix("features.url ").unwrap_or(&message).to_owned();
            let remedy = "use embedded:, redis://HOST:PORT or redis+cluster://HOST:PORT,HOST:PORT";
            self.refuse("features.url", message, remedy);
        }
        if raw.namespace.contains(['{', '}']) {
            let message = format!("{:?} has braces, which mark the user in a key", raw.namespace);
            self.refuse("features.namespace", message, "leave them out");
        }
    }

    fn snapshots(&mut self, raw: &RawConfig) -> SnapshotsConfig {
        let (url, every_events) = (&raw.snapshots.url, raw.snapshots.every_events);
        // State that outlives its log would be ahead of it for ever.
        if url.is_empty() || raw.log.url == "memory:" {
            return SnapshotsConfig { url: None, every_events };
        }
        SnapshotsConfig {
            url: Some(self.objects("snapshots.url", url, &raw.data.dir)),
            every_events,
        }
    }

    fn archive(&mut self, raw: &RawConfig) -> ArchiveConfig {
        let &RawArchive { ref url, file_events, file_seconds, trim_log } = &raw.archive;
        self.within("archive.file_events", file_events, 1, MAX_FILE_EVENTS);
        self.within("archive.file_seconds", u64::from(file_seconds), 1, 86_400);
        let url = (!url.is_empty()).then(|| self.objects("archive.url", url, &raw.data.dir));
        if trim_log && (url.is_none() || raw.snapshots.url.is_empty()) {
            let why = "nothing is forgotten without an archive and snapshots".to_owned();
            self.refuse("archive.trim_log", why, "set archive.url and snapshots.url, or unset it");
        }
        ArchiveConfig { url, file_events, file_seconds, trim_log }
    }

    /// A place for objects, with a path under the data folder.
    fn objects(&mut self, key: &str, url: &str, dir: &Path) -> String {
        if let Err(error) = check_objects_url(url) {
            let remedy =
                "use file:DIR, where DIR is relative to data.dir, s3://BUCKET/PREFIX, or nothing";
            self.refuse(key, error.to_string(), remedy);
        }
        match url.strip_prefix("file:") {
            Some(folder) => format!("file:{}", dir.join(folder).display()),
            None => url.to_owned(),
        }
    }

    fn server(&mut self, raw: &RawServer) -> Option<ServerConfig> {
        let keys = self.api_keys(raw);
        let Ok(listen) = raw.listen.parse::<SocketAddr>() else {
            let message = format!("{:?} is not an address and a port", raw.listen);
            self.refuse("server.listen", message, "write it like 127.0.0.1:8080 or [::1]:8080");
            return None;
        };
        if !listen.ip().is_loopback() && keys.is_empty() && !raw.insecure {
            let message = format!("{listen} is reachable from outside and no API key is set");
            let remedy = "set server.api_key, listen on 127.0.0.1, or accept it with --insecure";
            self.refuse("server.listen", message, remedy);
        }
        self.within("server.request_budget_ms", raw.request_budget_ms, 1, 600_000);
        self.within("server.grace_ms", raw.grace_ms, 0, 600_000);
        Some(ServerConfig {
            listen,
            api_key_hashes: keys,
            insecure: raw.insecure,
            request_budget: Duration::from_millis(raw.request_budget_ms),
            grace: Duration::from_millis(raw.grace_ms),
        })
    }

    fn api_keys(&mut self, raw: &RawServer) -> Vec<Digest> {
        let mut keys = Vec::new();
        for text in &raw.api_key_hashes {
            match Digest::from_hex(text) {
                Some(hash) => keys.push(hash),
                None => self.refuse(
                    "server.api_key_hashes",
                    "an entry is not 64 hexadecimal digits".into(),
                    "write the BLAKE3 hash of each key, as b3sum prints it",
                ),
            }
        }
        if !raw.api_key.is_empty() {
            keys.push(Digest::of(raw.api_key.as_bytes()));
        }
        keys
    }
}
