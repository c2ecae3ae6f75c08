//! Which log and which feature store a benchmark runs on, and its traces there.
//!
//! By default a log in a temporary folder inside the data folder, so that it is on the same disk as
//! real data, and no feature store. On servers each run has a namespace of its own: nothing that is
//! there is read or written. Its topics are deleted afterwards; keys of a feature store are named,
//! with the command that deletes them.

use eddyline_connect::url::{check_log_url, delete_log};

use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, Stop};

/// Flags of benchmarks that run on servers too.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct BackendArgs {
    /// Log to measure, such as kafka://HOST:PORT [default: an embedded one in a temporary folder]
    #[arg(long, value_name = "URL")]
    pub log: Option<String>,
    /// Feature store to keep equal meanwhile, such as redis://HOST:PORT [default: none]
    #[arg(long, value_name = "URL")]
    pub features: Option<String>,
    /// Leave the topics of the run where they are
    #[arg(long)]
    pub keep: bool,
}

/// What a run leaves on servers.
pub(crate) struct Traces {
    /// The log's own URL, where it is on servers.
    log: Option<String>,
    features: Option<String>,
    keep: bool,
}

impl BackendArgs {
    /// Puts the servers into `config`, under the name `run` that nobody else has.
    pub(crate) fn take(&self, config: &mut Config, run: &str) -> Outcome<Traces> {
        if let Some(url) = &self.log {
            config.log.url = named(url, run)?;
        }
        let features = self.features.as_ref().map(|url| {
            config.features.url.clone_from(url);
            config.features.namespace = format!("{run}:");
            config.features.namespace.clone()
        });
        let log = self.log.as_ref().map(|_| config.log.url.clone());
        Ok(Traces { log, features, keep: self.keep })
    }
}

impl Traces {
    /// Deletes what can be deleted, names the rest. The log must be closed.
    pub(crate) fn clean_up(self) -> Outcome {
        if let Some(namespace) = self.features {
            eprintln!(
                "keys of this run begin with {namespace}; to delete them: \
                 redis-cli --scan --pattern '{namespace}*' | xargs -n 1000 redis-cli unlink"
            );
        }
        match self.log {
            Some(url) if self.keep => eprintln!("the log of this run is {url}"),
            Some(url) => {
                delete_log(&url).or_stop(Exit::Unavailable, || format!("deleting {url}"))?;
            }
            None => {}
        }
        Ok(())
    }
}

/// A name that no other run has.
pub(crate) fn fresh_name() -> String {
    let random = u128::from_le_bytes(eddyline_connect::random::bytes());
    format!("bench-{:08x}", random as u32)
}

/// `url` with `run` at the end of its namespace.
fn named(url: &str, run: &str) -> Outcome<String> {
    let of_this_process = url.starts_with("embedded:");
    if of_this_process {
        let message = format!("--log {url}: a benchmark has an embedded log of its own");
        return Err(Stop::new(Exit::Usage, message).remedy("choose its disk with --data DIR"));
    }
    check_log_url(url).or_stop(Exit::Usage, || "--log".into())?;
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(url.to_owned()) };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(at, of)| (at, Some(of)));
    let (servers, namespace) = place.split_once('/').unwrap_or((place, ""));
    let dash = if namespace.is_empty() { "" } else { "-" };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{scheme}://{servers}/{namespace}{dash}{run}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_a_namespace_of_its_own() {
        let check = |url: &str, want: Result<&str, &str>| match (named(url, "bench-1"), want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want),
            (Err(got), Err(want)) => assert!(got.to_string().contains(want), "{got}"),
            (got, want) => panic!("{url}: {got:?}, expected {want:?}"),
        };
        check("kafka://a:1,b:2", Ok("kafka://a:1,b:2/bench-1"));
        check("kafka://a:1/shop", Ok("kafka://a:1/shop-bench-1"));
        check("kafka://a:1/?linger_ms=5", Ok("kafka://a:1/bench-1?linger_ms=5"));
        check("kafka://a:1/s?linger_ms=5", Ok("kafka://a:1/s-bench-1?linger_ms=5"));
        check("memory:", Ok("memory:"));
        check("embedded:./data", Err("choose its disk with --data"));
        check("kafka:nobody", Err("write kafka://host:port"));
        assert_ne!(fresh_name(), fresh_name());
    }
}
