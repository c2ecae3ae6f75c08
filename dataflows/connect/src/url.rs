//! Which event log, by URL: `memory:`, or `embedded:` and a folder, such as `embedded:./data`, or
//! `kafka://host:port/namespace`, or, where the build has it, `fluvio://host:port/namespace`.

use std::path::Path;
use std::sync::Arc;

use crate::clock::SystemClock;
use crate::embedded::EmbeddedLog;
#[cfg(feature = "fluvio")]
use crate::fluvio::{self, FluvioAddress, FluvioLog};
use crate::kafka::{self, KafkaAddress, KafkaLog};
use crate::layout::LogLayout;
use crate::log::{EventLog, OpenError};
use crate::memory::MemoryLog;

/// Schemes that [`open_log`] can open.
pub const SCHEMES: &[&str] = &[
    "memory:",
    "embedded:FOLDER",
    "kafka://HOST:PORT/NAMESPACE",
    #[cfg(feature = "fluvio")]
    "fluvio://HOST:PORT/NAMESPACE",
];

/// A URL that names a log this build can open.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LogUrl<'a> {
    Memory,
    Embedded(&'a Path),
    Kafka(Box<KafkaAddress>),
    #[cfg(feature = "fluvio")]
    Fluvio(Box<FluvioAddress>),
}

/// Opens the log that `url` names, on the machine's clock; Kafka's brokers have clocks of their own.
pub fn open_log(url: &str, layout: LogLayout) -> Result<Arc<dyn EventLog>, OpenError> {
    let clock = Arc::new(SystemClock);
    Ok(match LogUrl::parse(url)? {
        LogUrl::Memory => Arc::new(MemoryLog::new(layout, clock)),
        LogUrl::Embedded(folder) => Arc::new(EmbeddedLog::open(folder, layout, clock)?),
        LogUrl::Kafka(address) => Arc::new(KafkaLog::open(*address, layout)?),
        #[cfg(feature = "fluvio")]
        LogUrl::Fluvio(address) => Arc::new(FluvioLog::open(*address, layout, clock)?),
    })
}

/// Deletes all topics of the log that `url` names, for ever: for who made them for a while only.
pub fn delete_log(url: &str) -> Result<(), OpenError> {
    match LogUrl::parse(url)? {
        LogUrl::Memory => Ok(()),
        LogUrl::Embedded(_) => Err(OpenError::Url {
            url: url.to_owned(),
            reason: "an embedded log is deleted with its folder".to_owned(),
        }),
        LogUrl::Kafka(address) => kafka::delete(*address),
        #[cfg(feature = "fluvio")]
        LogUrl::Fluvio(address) => fluvio::delete(*address),
    }
}

/// Tells whether [`open_log`] would know what `url` means, without opening anything.
pub fn check_log_url(url: &str) -> Result<(), OpenError> {
    LogUrl::parse(url).map(|_| ())
}

impl<'a> LogUrl<'a> {
    fn parse(url: &'a str) -> Result<Self, OpenError> {
        let known = SCHEMES.join(", ");
        let refused = |reason: String| OpenError::Url { url: url.to_owned(), reason };
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(refused(format!("it has no scheme, write one of {known}")));
        };
        match (scheme, rest) {
            ("memory", "") => Ok(Self::Memory),
            ("memory", _) => Err(refused("a log in memory has no name, write memory:".to_owned())),
            ("embedded", "") => Err(refused("name a folder, such as embedded:./data".to_owned())),
            ("embedded", rest) if rest.starts_with("//") => {
                Err(refused("write the folder right after the colon: embedded:./data".to_owned()))
            }
            ("embedded", folder) => Ok(Self::Embedded(Path::new(folder))),
            ("kafka", rest) => match KafkaAddress::parse(rest) {
                Ok(address) => Ok(Self::Kafka(Box::new(address))),
                Err(reason) => Err(refused(reason)),
            },
            #[cfg(feature = "fluvio")]
            ("fluvio", rest) => match FluvioAddress::parse(rest) {
                Ok(address) => Ok(Self::Fluvio(Box::new(address))),
                Err(reason) => Err(refused(reason)),
            },
            #[cfg(not(feature = "fluvio"))]
            ("fluvio", _) => {
                let remedy = "build it with cargo build --release --features fluvio";
                Err(refused(format!("this build has no Fluvio adapter: {remedy}")))
            }
            _ => Err(refused(format!("unknown scheme {scheme:?}, write one of {known}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_understood_or_refused_by_name() {
        let check = |url: &str, want: Result<LogUrl<'_>, &str>| match (LogUrl::parse(url), want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want, "{url}"),
            (Err(got), Err(want)) => {
                let got = got.to_string();
                assert!(got.contains(want) && got.contains(url), "{url}: {got}");
            }
            (got, want) => panic!("{url}: {got:?}, expected {want:?}"),
        };
        check("memory:", Ok(LogUrl::Memory));
        check("embedded:./data", Ok(LogUrl::Embedded(Path::new("./data"))));
        check("embedded:/var/lib/e", Ok(LogUrl::Embedded(Path::new("/var/lib/e"))));
        check("memory:x", Err("write memory:"));
        check("embedded:", Err("name a folder"));
        check("embedded://data", Err("right after the colon"));
        let address = KafkaAddress::parse("//broker:9092/shop").expect("valid");
        check("kafka://broker:9092/shop", Ok(LogUrl::Kafka(Box::new(address))));
        check("kafka:broker:9092", Err("write kafka://host:port"));
        #[cfg(not(feature = "fluvio"))]
        check("fluvio://sc:9003/shop", Err("no Fluvio adapter: build it with cargo build"));
        #[cfg(feature = "fluvio")]
        {
            let address = FluvioAddress::parse("//sc:9003/shop").expect("valid");
            check("fluvio://sc:9003/shop", Ok(LogUrl::Fluvio(Box::new(address))));
            check("fluvio:sc:9003", Err("write fluvio://host:port"));
        }
        check("redis://h", Err("unknown scheme \"redis\", write one of memory:, embedded:FOLDER"));
        check("data", Err("no scheme"));
    }

    #[test]
    fn memory_opens() {
        let log = open_log("memory:", LogLayout::default()).expect("nothing to go wrong");
        assert_eq!(log.partitions(eddyline_schemas::topic::Topic::UserEvents), 4);
    }
}
