//! Which Fluvio, as a URL says it, without opening anything.
//!
//! `fluvio://host:port/[namespace]?key=value&…`: the public address of the cluster's controller
//! (SC), the prefix of all topics (with a hyphen behind it), and options.

use std::time::Duration;

/// Longest namespace: Fluvio's names end at 63 bytes, and ours follow it.
const MAX_NAMESPACE: usize = 40;
/// Shortest retention that Fluvio takes, in seconds.
const MIN_RETENTION: u32 = 10;

/// A URL that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FluvioAddress {
    /// Host and port of the controller, as given.
    pub(crate) controller: String,
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
    /// Replicas of created topics; others must have at least as many.
    pub(crate) replication_factor: u32,
    /// How long the input topics keep records, in seconds.
    pub(crate) retention_s: u32,
    /// How long opening may take.
    pub(crate) open_timeout: Duration,
    /// How long an append or a read rides out an outage before it fails.
    pub(crate) patience: Duration,
    /// How often topics are looked at: ids and partitions.
    pub(crate) watch: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: true,
            replication_factor: 1,
            retention_s: u32::MAX,
            open_timeout: Duration::from_secs(15),
            patience: Duration::from_secs(60),
            watch: Duration::from_secs(2),
        }
    }
}

impl FluvioAddress {
    /// Reads what follows `fluvio:`; the error says what would be right.
    pub(crate) fn parse(rest: &str) -> Result<Self, String> {
        let form = "write fluvio://host:port/namespace";
        let rest = rest.strip_prefix("//").ok_or(form)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (controller, namespace) = place.split_once('/').unwrap_or((place, ""));
        let is_place = controller.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !is_place || controller.contains(['@', ',']) {
            return Err(format!("{controller:?} is no host and port, {form}"));
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_edged = namespace.starts_with('-') || namespace.ends_with('-');
        if !namespace.chars().all(allowed) || is_edged || namespace.len() > MAX_NAMESPACE {
            return Err(format!(
                "namespace {namespace:?} must be lower-case letters, digits and '-' between them, \
                 at most {MAX_NAMESPACE}"
            ));
        }
        let options = Options::parse(query)?;
        Ok(Self { controller: controller.to_owned(), namespace: namespace.to_owned(), options })
    }

    /// The topic called `name` of this namespace. Fluvio's names have hyphens only.
    pub(crate) fn topic(&self, name: &str) -> String {
        let name = name.replace(['_', '.'], "-");
        if self.namespace.is_empty() { name } else { format!("{}-{name}", self.namespace) }
    }
}

impl Options {
    fn parse(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(format!("option {pair:?} has no ="))?;
            options.set(key, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "create" => self.create = parse(key, value, "true or false")?,
            "replication_factor" => {
                let factor: u8 = parse(key, value, "a number from 1")?;
                self.replication_factor = u32::from(factor.max(1));
            }
            "retention_s" => {
                let seconds: u32 = parse(key, value, "seconds, or nothing to keep all")?;
                self.retention_s = seconds.max(MIN_RETENTION);
            }
            "open_timeout_ms" => self.open_timeout = millis(key, value)?,
            "patience_ms" => self.patience = millis(key, value)?,
            "watch_ms" => self.watch = millis(key, value)?,
            "tls" | "security" | "ca_file" => {
                return Err("TLS to Fluvio is not there yet: use a private network".into());
            }
            _ => {
                return Err(format!(
                    "unknown option {key:?}, there are: create, replication_factor, retention_s, \
                     open_timeout_ms, patience_ms, watch_ms"
                ));
            }
        }
        Ok(())
    }
}

fn parse<T: std::str::FromStr>(key: &str, value: &str, form: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{key}={value}: write {form}"))
}

/// From 1 ms to an hour.
fn millis(key: &str, value: &str) -> Result<Duration, String> {
    let millis: u64 = parse(key, value, "milliseconds")?;
    if (1..=3_600_000).contains(&millis) {
        Ok(Duration::from_millis(millis))
    } else {
        Err(format!("{key}={value}: write 1 to 3600000 milliseconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::TOPICS;

    #[test]
    fn addresses_are_understood() {
        let parsed = FluvioAddress::parse("//sc:9003/shop-1").expect("valid");
        assert_eq!((&*parsed.controller, &*parsed.namespace), ("sc:9003", "shop-1"));
        assert_eq!(parsed.options, Options::default());
        assert_eq!(parsed.topic("user_events"), "shop-1-user-events");
        let bare = FluvioAddress::parse("//[::1]:9003").expect("valid");
        assert_eq!((&*bare.controller, &*bare.topic("bindings")), ("[::1]:9003", "bindings"));
        let query = "create=false&replication_factor=3&retention_s=3600&open_timeout_ms=1\
                     &patience_ms=2&watch_ms=3";
        let options = FluvioAddress::parse(&format!("//sc:9003/a?{query}")).expect("valid").options;
        let want = Options {
            create: false,
            replication_factor: 3,
            retention_s: 3600,
            open_timeout: Duration::from_millis(1),
            patience: Duration::from_millis(2),
            watch: Duration::from_millis(3),
        };
        assert_eq!(options, want);
        assert_eq!(parsed.topic("deltas.v1"), "shop-1-deltas-v1");
        let long = FluvioAddress::parse(&format!("//sc:1/{}", "n".repeat(40))).expect("valid");
        for name in TOPICS.map(|topic| long.topic(topic.name())) {
            let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.len() <= 63 && name.chars().all(is_allowed), "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_remedy() {
        let check = |rest: &str, want: &str| {
            let got = FluvioAddress::parse(rest).expect_err(rest);
            assert!(got.contains(want), "{rest}: {got}");
        };
        check("sc:9003/a", "write fluvio://host:port");
        check("//sc", "\"sc\" is no host and port");
        check("//sc:0/a", "is no host and port");
        check("//:9003/a", "is no host and port");
        check("//user@sc:9003/a", "is no host and port");
        check("//a:1,b:2/a", "is no host and port");
        check("//sc:9003/Shop", "lower-case letters");
        check("//sc:9003/a_b", "lower-case letters");
        check("//sc:9003/-a", "'-' between them");
        check("//sc:9003/a-", "'-' between them");
        check(&format!("//sc:9003/{}", "n".repeat(41)), "at most 40");
        check("//sc:9003/a?create", "has no =");
        check("//sc:9003/a?create=1", "write true or false");
        check("//sc:9003/a?patience_ms=0", "1 to 3600000");
        check("//sc:9003/a?replication_factor=x", "a number from 1");
        check("//sc:9003/a?tls=true", "TLS to Fluvio is not there yet");
        check("//sc:9003/a?partitions=3", "unknown option \"partitions\", there are: create");
    }
}
