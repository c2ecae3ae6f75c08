//! Which Kafka, as a URL says it, without opening anything.
//!
//! `kafka://host:port[,host:port…]/[namespace]?key=value&…`: the bootstrap servers, the prefix of
//! all topics (with a dot behind it), and options. A password never stands in the URL, since URLs
//! are shown in logs: it is read from a file.

use std::path::PathBuf;
use std::time::Duration;

/// Longest namespace: Kafka's names end at 249 bytes, and ours follow it.
const MAX_NAMESPACE: usize = 200;

/// A URL that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KafkaAddress {
    /// Bootstrap servers, comma-separated, as given.
    pub(crate) servers: String,
    /// Prefix of all topics; may be empty.
    pub(crate) namespace: String,
    /// Everything that has a default.
    pub(crate) options: Options,
}

/// What may stand behind the question mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Whether missing topics are created.
    pub(crate) create: bool,
    /// Replicas of created topics; `None` leaves it to the brokers.
    pub(crate) replication_factor: Option<i32>,
    /// What `min.insync.replicas` must be at least.
    pub(crate) min_insync_replicas: Option<i64>,
    /// What `retention.ms` of the input topics must be; -1 keeps everything.
    pub(crate) retention_ms: i64,
    /// How long opening may take.
    pub(crate) open_timeout: Duration,
    /// How long an append or a read rides out an outage before it fails.
    pub(crate) patience: Duration,
    /// How long a record waits for others before it is sent.
    pub(crate) linger: Duration,
    /// How often topics are looked at: ids, partitions, starts.
    pub(crate) watch: Duration,
    /// Consumer group that progress is shown under.
    pub(crate) group: Option<String>,
    /// How to speak to the brokers.
    pub(crate) security: Security,
}

/// Encryption and authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Security {
    /// `security.protocol` of Kafka.
    pub(crate) protocol: Protocol,
    /// `sasl.mechanism` of Kafka.
    pub(crate) mechanism: Option<String>,
    /// User name for SASL.
    pub(crate) user: Option<String>,
    /// File with the password for SASL, and nothing else.
    pub(crate) password_file: Option<PathBuf>,
    /// File with the certificates that are trusted.
    pub(crate) ca_file: Option<PathBuf>,
}

/// `security.protocol` of Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Plaintext,
    SaslPlaintext,
    Ssl,
    SaslSsl,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: true,
            replication_factor: None,
            min_insync_replicas: None,
            retention_ms: -1,
            open_timeout: Duration::from_secs(15),
            patience: Duration::from_secs(60),
            linger: Duration::ZERO,
            watch: Duration::from_secs(2),
            group: None,
            security: Security::default(),
        }
    }
}

impl KafkaAddress {
    /// Reads what follows `kafka:`; the error says what would be right.
    pub(crate) fn parse(rest: &str) -> Result<Self, String> {
        let form = "write kafka://host:port[,host:port]/namespace";
        let rest = rest.strip_prefix("//").ok_or(form)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (servers, namespace) = place.split_once('/').unwrap_or((place, ""));
        if servers.contains('@') {
            let remedy = "a URL is shown in logs, name the user and a file instead: \
                          ?security=sasl_ssl&user=NAME&password_file=PATH";
            return Err(format!("credentials must not stand before the host: {remedy}"));
        }
        for server in servers.split(',') {
            if !is_host_and_port(server) {
                return Err(format!("{server:?} is no host and port, {form}"));
            }
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !namespace.chars().all(allowed) || namespace.len() > MAX_NAMESPACE {
            return Err(format!(
                "namespace {namespace:?} must be letters, digits, '.', '_' and '-', \
                 at most {MAX_NAMESPACE}"
            ));
        }
        let options = Options::parse(query)?;
        Ok(Self { servers: servers.to_owned(), namespace: namespace.to_owned(), options })
    }

    /// The topic called `name` of this namespace.
    pub(crate) fn topic(&self, name: &str) -> String {
        if self.namespace.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.namespace)
        }
    }

    /// The consumer group that progress is shown under.
    pub(crate) fn group(&self) -> String {
        self.options.group.clone().unwrap_or_else(|| self.topic("eddyline"))
    }
}

fn is_host_and_port(server: &str) -> bool {
    server
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}

impl Options {
    fn parse(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(format!("option {pair:?} has no ="))?;
            options.set(key, value)?;
        }
        options.security.check()?;
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "create" => self.create = parse(key, value, "true or false")?,
            "replication_factor" => {
                let factor: u8 = parse(key, value, "a number from 1")?;
                self.replication_factor = Some(i32::from(factor.max(1)));
            }
            "min_insync_replicas" => {
                self.min_insync_replicas = Some(parse(key, value, "a number from 1")?);
            }
            "retention_ms" => self.retention_ms = parse(key, value, "milliseconds, or -1")?,
            "open_timeout_ms" => self.open_timeout = millis(key, value)?,
            "patience_ms" => self.patience = millis(key, value)?,
            "linger_ms" if value == "0" => self.linger = Duration::ZERO,
            "linger_ms" => self.linger = millis(key, value)?,
            "watch_ms" => self.watch = millis(key, value)?,
            "group" => self.group = Some(value.to_owned()),
            "security" => self.security.protocol = Protocol::parse(value)?,
            "mechanism" => self.security.mechanism = Some(value.to_owned()),
            "user" => self.security.user = Some(value.to_owned()),
            "password_file" => self.security.password_file = Some(value.into()),
            "ca_file" => self.security.ca_file = Some(value.into()),
            "password" => return Err("write the password to a file: password_file=PATH".into()),
            _ => {
                return Err(format!(
                    "unknown option {key:?}, there are: create, replication_factor, \
                     min_insync_replicas, retention_ms, open_timeout_ms, patience_ms, linger_ms, watch_ms, \
                     group, security, mechanism, user, password_file, ca_file"
                ));
            }
        }
        Ok(())
    }
}

impl Security {
    /// Whether user and password are asked for.
    pub(crate) fn is_sasl(&self) -> bool {
        matches!(self.protocol, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }

    fn check(&self) -> Result<(), String> {
        if self.is_sasl() && (self.user.is_none() || self.password_file.is_none()) {
            return Err("SASL needs user=NAME and password_file=PATH".into());
        }
        if !self.is_sasl() && (self.user.is_some() || self.password_file.is_some()) {
            return Err("user and password_file need security=sasl_plaintext or sasl_ssl".into());
        }
        let is_tls = matches!(self.protocol, Protocol::Ssl | Protocol::SaslSsl);
        let needs_tls = is_tls || self.mechanism.as_ref().is_some_and(|name| name != "PLAIN");
        if needs_tls && !cfg!(feature = "kafka-tls") {
            let remedy = "build with --features kafka-tls";
            return Err(format!("TLS and SCRAM are not in this build: {remedy}"));
        }
        Ok(())
    }
}

impl Protocol {
    /// As Kafka calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::Ssl => "ssl",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    fn parse(name: &str) -> Result<Self, String> {
        [Self::Plaintext, Self::SaslPlaintext, Self::Ssl, Self::SaslSsl]
            .into_iter()
            .find(|protocol| protocol.name() == name)
            .ok_or_else(|| {
                format!("security={name}: write plaintext, sasl_plaintext, ssl or sasl_ssl")
            })
    }
}

fn parse<T: std::str::FromStr>(key: &str, value: &str, form: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{key}={value}: write {form}"))
}

/// From 1 ms to an hour.
fn millis(key: &str, value: &str) -> Result<Duration, String> {
    let form = "milliseconds from 1 to 3600000";
    let given: u64 = parse(key, value, form)?;
    if !(1..=3_600_000).contains(&given) {
        return Err(format!("{key}={value}: write {form}"));
    }
    Ok(Duration::from_millis(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        let plain = KafkaAddress::parse("//h:9092").expect("the least");
        assert_eq!(
            (plain.servers.as_str(), plain.topic("bindings").as_str()),
            ("h:9092", "bindings")
        );
        assert_eq!(plain.options, Options::default());
        let full = "//a:1,[::1]:2/shop?create=false&replication_factor=3&patience_ms=250&group=g";
        let full = KafkaAddress::parse(full).expect("valid");
        assert_eq!((full.servers.as_str(), full.topic("x").as_str()), ("a:1,[::1]:2", "shop.x"));
        assert_eq!(full.options.replication_factor, Some(3));
        assert!(!full.options.create);
        assert_eq!(full.options.patience, Duration::from_millis(250));
        assert_eq!((full.group().as_str(), plain.group().as_str()), ("g", "eddyline"));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_right() {
        let check = |rest: &str, want: &str| {
            let got = KafkaAddress::parse(rest).expect_err(rest);
            assert!(got.contains(want), "{rest}: {got}");
        };
        check("h:1", "write kafka://host:port");
        check("//h", "\"h\" is no host and port");
        check("//h:0", "\"h:0\" is no host and port");
        check("//h:1,/ns", "\"\" is no host and port");
        check("//me:secret@h:1", "password_file=PATH");
        check("//h:1/a/b", "namespace \"a/b\" must be letters");
        check("//h:1?nope=1", "unknown option \"nope\", there are: create");
        check("//h:1?create=maybe", "create=maybe: write true or false");
        check("//h:1?patience_ms=0", "patience_ms=0: write milliseconds");
        check("//h:1?password=x", "write the password to a file");
        check("//h:1?security=sasl_plaintext", "SASL needs user=NAME");
        check("//h:1?user=me", "need security=sasl");
        check("//h:1?security=tls", "write plaintext, sasl_plaintext, ssl or sasl_ssl");
        if !cfg!(feature = "kafka-tls") {
            check("//h:1?security=ssl", "--features kafka-tls");
        }
    }
}
