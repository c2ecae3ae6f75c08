//! A replay on several processes. Process 0 reads history and says how it ended; the others fold what
//! it sends, need neither log nor archive, and end when it ends.

use eddyline_dataflows::{ClusterConfig, Workers, follow};

use crate::config::{Config, FlagValue};
use crate::exit::{Outcome, of_engine};
use crate::output::print_line;
use crate::roles::checked;

/// Which processes fold. Only flags say so: a configuration that live and replay share may name
/// those of live.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProcessesArgs {
    /// How many processes fold together [default: 1]
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub processes: usize,
    /// Which of them this is; 0 leads and alone needs the archive
    #[arg(long, value_name = "I", default_value_t = 0)]
    pub process: usize,
    /// HOST:PORT of each process, in order; each listens on its own and on no other
    #[arg(long, value_name = "HOST:PORT,…", requires = "processes")]
    pub hosts: Option<String>,
}

/// What a process has to do.
pub(super) enum Part {
    /// Read history and fold it, on these workers.
    Lead(Workers),
    /// It followed, and all is folded.
    Over,
}

impl ProcessesArgs {
    /// The flags, as keys of the configuration.
    pub(super) fn flags(&self) -> Vec<FlagValue> {
        vec![
            ("dataflow.processes", self.processes.to_string(), "--processes"),
            ("dataflow.process", self.process.to_string(), "--process"),
            ("dataflow.hosts", self.hosts.clone().unwrap_or_default(), "--hosts"),
        ]
    }

    /// Takes part as one that follows, if this process is one, until the replay is over.
    pub(super) fn take_part(&self, config: &Config, verb: &str) -> Outcome<Part> {
        let Some(cluster) = checked(config)? else {
            return Ok(Part::Lead(config.dataflow.workers.into()));
        };
        // No live dataflow is this replay, nor is another verb; those that follow have no log whose
        // name they could share.
        let cluster = ClusterConfig { deployment: format!("replay {verb}"), ..cluster };
        if cluster.index == 0 {
            return Ok(Part::Lead(Workers::Cluster(cluster)));
        }
        let (index, leader) = (cluster.index, &cluster.hosts[0]);
        print_line(&format!("eddyline replay {verb}: process {index} follows {leader}"))?;
        follow(&config.core, &cluster).map_err(of_engine)?;
        Ok(Part::Over)
    }
}
