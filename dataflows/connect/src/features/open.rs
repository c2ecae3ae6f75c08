//! Which feature store, by URL: `embedded:`, `redis://[user:password@]host[:port][/db]`, or
//! `redis+cluster://[user:password@]host:port[,host:port…]`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_schemas::codec::StoredEncoding;
use eddyline_schemas::lineage::Lineage;
use redis::{ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, ServerErrorKind};

use super::breaker::BreakerPolicy;
use super::redis::{RedisFeatureStore, Servers, is_reply};
use super::{EmbeddedFeatureStore, FeatureStore, FeatureStoreError};

/// URLs that [`open_features`] understands.
pub const FEATURE_SCHEMES: [&str; 3] =
    ["embedded:", "redis://HOST:PORT", "redis+cluster://HOST:PORT"];

/// Time to find out at the start that a server answers.
const OPEN_TIME: Duration = Duration::from_secs(3);

/// What a store needs to know beside its URL.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureStoreOptions {
    /// Before every key, so that deployments may share servers; no braces.
    pub namespace: String,
    /// How values are written.
    pub encoding: StoredEncoding,
    /// The lineage of a store that is not the active one: its keys get a prefix.
    pub candidate: Option<Lineage>,
    /// Time after which a read fails, connecting included.
    pub read_budget: Duration,
    /// When reads are no longer tried.
    pub breaker: BreakerPolicy,
    /// Wall-clock time after which the server may drop what was not written again, to free memory;
    /// `None` keeps it. Whether a document still counts is for its `expires_at` to say.
    pub ttl: Option<Duration>,
    /// How often the servers are checked for lost data.
    pub check_every: Duration,
}

impl Default for FeatureStoreOptions {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            encoding: StoredEncoding::default(),
            candidate: None,
            read_budget: Duration::from_millis(20),
            breaker: BreakerPolicy::default(),
            ttl: None,
            check_every: Duration::from_secs(1),
        }
    }
}

/// Why a feature store cannot be used. Passwords are never shown.
#[derive(Debug, thiserror::Error)]
pub enum OpenFeaturesError {
    /// The URL or an option names nothing that this build can open.
    #[error("features.url {url}: {reason}")]
    Url {
        /// Without user and password.
        url: String,
        /// What is wrong, and what to write.
        reason: String,
    },
    /// No answer.
    #[error("no Redis answers at {server}: start it, or correct features.url")]
    Unreachable {
        /// Hosts and ports.
        server: String,
        /// What happened.
        #[source]
        source: RedisError,
    },
    /// The login failed.
    #[error("Redis at {server} refuses the login: correct user and password in features.url")]
    Login {
        /// Hosts and ports.
        server: String,
        /// What the server said.
        #[source]
        source: RedisError,
    },
    /// A server that answers, and cannot be used like this.
    #[error("Redis at {server} {reason}")]
    Unfit {
        /// Hosts and ports.
        server: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// It was opened, and what it holds cannot be used.
    #[error(transparent)]
    Store(#[from] FeatureStoreError),
    /// The system gives no thread.
    #[error("the thread that watches Redis cannot be started")]
    Thread(#[source] std::io::Error),
}

/// A URL that names a store this build can open.
#[derive(Debug)]
enum FeaturesUrl {
    Embedded,
    Redis(Servers),
}

/// Opens the store that `url` names, and finds out whether it answers.
pub fn open_features(
    url: &str,
    options: &FeatureStoreOptions,
) -> Result<Arc<dyn FeatureStore>, OpenFeaturesError> {
    match parse(url)? {
        FeaturesUrl::Embedded => Ok(Arc::new(EmbeddedFeatureStore::new())),
        FeaturesUrl::Redis(servers) => Ok(open_servers(servers, options)?),
    }
}

/// Opens a store in Redis, by a URL of `redis://` or `redis+cluster://`.
pub fn open_redis(
    url: &str,
    options: &FeatureStoreOptions,
) -> Result<Arc<RedisFeatureStore>, OpenFeaturesError> {
    match parse(url)? {
        FeaturesUrl::Redis(servers) => open_servers(servers, options),
        FeaturesUrl::Embedded => Err(refused(url, "it is no URL of Redis".to_owned())),
    }
}

/// Tells whether [`open_features`] would know what `url` means, without opening anything.
pub fn check_features_url(url: &str) -> Result<(), OpenFeaturesError> {
    parse(url).map(|_| ())
}

fn open_servers(
    servers: Servers,
    options: &FeatureStoreOptions,
) -> Result<Arc<RedisFeatureStore>, OpenFeaturesError> {
    if options.namespace.contains(['{', '}']) {
        let reason = "is asked for a namespace with braces: leave them out of features.namespace";
        return Err(OpenFeaturesError::Unfit {
            server: names(&servers),
            reason: reason.to_owned(),
        });
    }
    probe(&servers)?;
    let store = Arc::new(RedisFeatureStore::new(servers, options)?);
    store.watch(options.check_every).map_err(OpenFeaturesError::Thread)?;
    Ok(store)
}

/// `user:password@` taken out.
fn redacted(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://{}", &url[at + 1..]),
        _ => url.to_owned(),
    }
}

fn refused(url: &str, reason: String) -> OpenFeaturesError {
    OpenFeaturesError::Url { url: redacted(url), reason }
}

fn parse(url: &str) -> Result<FeaturesUrl, OpenFeaturesError> {
    let known = FEATURE_SCHEMES.join(", ");
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(refused(url, format!("it has no scheme, write one of {known}")));
    };
    match (scheme, rest.strip_prefix("//")) {
        ("embedded" | "memory", None) if rest.is_empty() => Ok(FeaturesUrl::Embedded),
        ("embedded" | "memory", _) => {
            Err(refused(url, "documents in memory have no place, write embedded:".to_owned()))
        }
        ("redis", Some(rest)) => servers(url, rest, false).map(FeaturesUrl::Redis),
        ("redis+cluster", Some(rest)) => servers(url, rest, true).map(FeaturesUrl::Redis),
        ("redis" | "redis+cluster", None) => {
            Err(refused(url, format!("write two slashes: {scheme}://HOST:PORT")))
        }
        ("rediss" | "rediss+cluster", _) => {
            let remedy = "run a tunnel, such as stunnel, and name its local end: redis://HOST:PORT";
            Err(refused(url, format!("TLS to Redis is not there yet: {remedy}")))
        }
        _ => Err(refused(url, format!("unknown scheme {scheme:?}, write one of {known}"))),
    }
}

fn servers(url: &str, rest: &str, cluster: bool) -> Result<Servers, OpenFeaturesError> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    if cluster && !path.is_empty() {
        return Err(refused(url, "a cluster has one database, leave out the path".to_owned()));
    }
    if !cluster && hosts.contains(',') {
        return Err(refused(url, "several hosts are a cluster: redis+cluster://".to_owned()));
    }
    if rest.contains('?') {
        return Err(refused(url, "options go into the table [features], not the URL".to_owned()));
    }
    if path.parse::<u32>().is_err() && !path.is_empty() {
        return Err(refused(url, format!("the database {path:?} is not a number")));
    }
    let seed = |host: &str| -> Result<ConnectionInfo, OpenFeaturesError> {
        if host.is_empty() {
            return Err(refused(url, "it names no host, write HOST:PORT".to_owned()));
        }
        let one = format!("redis://{login}{host}/{path}");
        let info = one.into_connection_info();
        let info = info.map_err(|error| refused(url, error.to_string()))?;
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        Ok(info.set_redis_settings(settings))
    };
    let seeds = hosts.split(',').map(seed).collect::<Result<Vec<_>, _>>()?;
    Ok(Servers { seeds, cluster })
}

fn names(servers: &Servers) -> String {
    let names = servers.seed_addresses().into_iter().map(|address| address.to_string());
    names.collect::<Vec<_>>().join(", ")
}

/// Logs in at the first seed that answers, and asks whether it is what the URL says.
fn probe(servers: &Servers) -> Result<(), OpenFeaturesError> {
    let server = || names(servers);
    let mut failure = None;
    let deadline = Instant::now() + OPEN_TIME;
    for seed in &servers.seeds {
        let left = deadline.saturating_duration_since(Instant::now());
        let asked = ask(seed, left.max(Duration::from_millis(100)));
        match asked {
            Ok(in_cluster) if in_cluster == servers.cluster => return Ok(()),
            Ok(in_cluster) => {
                let reason = if in_cluster {
                    "is a node of a cluster: write redis+cluster:// in features.url"
                } else {
                    "is no node of a cluster: write redis:// in features.url"
                };
                return Err(OpenFeaturesError::Unfit {
                    server: server(),
                    reason: reason.to_owned(),
                });
            }
            Err(error) => failure = Some(error),
        }
    }
    let source = failure.unwrap_or_else(|| (ErrorKind::Io, "no seed").into());
    Err(if is_login(&source) {
        OpenFeaturesError::Login { server: server(), source }
    } else if is_reply(&source) {
        OpenFeaturesError::Unfit { server: server(), reason: format!("says: {source}") }
    } else {
        OpenFeaturesError::Unreachable { server: server(), source }
    })
}

fn ask(seed: &ConnectionInfo, within: Duration) -> Result<bool, RedisError> {
    let mut connection = redis::Client::open(seed.clone())?.get_connection_with_timeout(within)?;
    connection.set_read_timeout(Some(within))?;
    connection.set_write_timeout(Some(within))?;
    let info: String = redis::cmd("INFO").arg("cluster").query(&mut connection)?;
    Ok(info.lines().any(|line| line == "cluster_enabled:1"))
}

fn is_login(error: &RedisError) -> bool {
    let denied = ErrorKind::Server(ServerErrorKind::NoPerm);
    error.kind() == ErrorKind::AuthenticationFailed
        || error.kind() == denied
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}
