//! One folding of the stream: its digests, its rate, and its followers.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::{
    Arrival, ClusterConfig, Committed, Refold, Sink, StateDigest, Workers, refold_on,
};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::codec::encode_user_features;
use eddyline_schemas::delta::canonical::write_canonical;
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::record::DigestBuilder;
use parking_lot::Mutex;

use super::{ClusterFile, Run};
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};

/// How to fold.
pub(super) struct Folding<'a> {
    pub(super) core: &'a CoreConfig,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) arrival: Arrival,
}

impl Folding<'_> {
    pub(super) fn run(self, workers: Workers) -> Outcome<Run> {
        let seen = Seen::default();
        let how = Refold { workers: 1, until: None, arrival: self.arrival };
        let digest = refold_on(self.core, self.log, (workers, how), seen.sink());
        Ok(seen.run(&digest.map_err(of_engine)?))
    }

    pub(super) fn run_with_followers(self, cluster: ClusterConfig, folder: &Path) -> Outcome<Run> {
        let followers = Followers::start(self.core, &cluster, folder)?;
        let run = self.run(Workers::Cluster(cluster))?;
        followers.end()?;
        Ok(run)
    }
}

/// All processes of a cluster but the first, which is this one; killed when dropped.
pub(in crate::bench) struct Followers(Vec<Follower>);

impl Followers {
    /// Starts them; what they must know lies in `folder`.
    pub(in crate::bench) fn start(
        core: &CoreConfig,
        cluster: &ClusterConfig,
        folder: &Path,
    ) -> Outcome<Self> {
        let ClusterConfig { workers, hosts, deployment, .. } = cluster.clone();
        let followers = 1..hosts.len();
        let path = folder.join("cluster.json");
        let file = ClusterFile { core: core.clone(), workers, hosts, deployment };
        let json = serde_json::to_vec(&file).or_stop(Exit::Bug, || "writing JSON".into())?;
        std::fs::write(&path, json).or_stop(Exit::Io, || format!("writing {}", path.display()))?;
        let followers: Outcome<Vec<Follower>> =
            followers.map(|index| Follower::start(&path, index)).collect();
        followers.map(Self)
    }

    /// Waits for their end, which follows that of the first process.
    pub(in crate::bench) fn end(self) -> Outcome {
        self.0.into_iter().try_for_each(Follower::end)
    }
}

/// A child that folds; killed when it is dropped before its end.
struct Follower(Child);

impl Follower {
    fn start(cluster: &Path, index: usize) -> Outcome<Self> {
        let started = std::env::current_exe().and_then(|exe| {
            Command::new(exe)
                .args(["bench", "follower", "--cluster"])
                .arg(cluster)
                .args(["--index", &index.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
        });
        started.map(Self).or_stop(Exit::Io, || format!("starting process {index}"))
    }

    fn end(mut self) -> Outcome {
        let status = self.0.wait().or_stop(Exit::Io, || "waiting for a process".into())?;
        if status.success() {
            return Ok(());
        }
        Err(Stop::new(Exit::Failure, format!("a follower ended with {status}")))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Fails when it has ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a sink has seen.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    features: DigestBuilder,
    bytes: Vec<u8>,
    /// When the first epoch was committed, and how many records it had; the same of the last.
    first: Option<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

impl Seen {
    pub(super) fn sink(&self) -> Sink {
        let inner = Arc::clone(&self.0);
        Box::new(move |committed: Committed| inner.lock().see(&committed.deltas))
    }

    pub(super) fn run(&self, digest: &StateDigest) -> Run {
        let inner = self.0.lock();
        let rate = match (inner.first, inner.last) {
            (Some((began, before)), Some((ended, after))) => {
                (after - before) as f64 / (ended - began).as_secs_f64().max(1e-9)
            }
            _ => 0.0,
        };
        Run {
            run: String::new(),
            workers: 0,
            processes: 0,
            state_digest: digest.state_digest.to_string(),
            delta_digest: digest.delta_digest.to_string(),
            feature_digest: inner.features.finish().to_string(),
            events_per_second: rate,
        }
    }
}

impl Inner {
    fn see(&mut self, epoch: &EpochDeltas) {
        let now = (Instant::now(), epoch.counts.accepted);
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.bytes.clear();
        self.bytes.extend_from_slice(&epoch.epoch.0.to_le_bytes());
        for delta in &epoch.deltas {
            match delta {
                // The very bytes that a feature store is given.
                Delta::UserFeatures { user, features: Some(features) } => {
                    self.bytes.extend_from_slice(user.as_str().as_bytes());
                    self.bytes.extend_from_slice(&encode_user_features(features));
                }
                Delta::UserFeatures { .. }
                | Delta::UserPreferences { .. }
                | Delta::Popularity { .. } => write_canonical(delta, &mut self.bytes),
                Delta::Item { .. }
                | Delta::ItemVector { .. }
                | Delta::ItemContext { .. }
                | Delta::Covisitation { .. }
                | Delta::UserVector { .. }
                | Delta::Gate { .. } => {}
            }
        }
        self.features.update(&self.bytes);
    }
}
