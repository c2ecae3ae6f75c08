//! The topics: made when they are missing, checked when they are there, told apart when they are
//! made again.
//!
//! Fluvio gives a topic no identity. Ours is in a setting that has no other effect: the most bytes
//! of a partition, from 2^62 up (4 EiB, never reached), with 61 random bits below. It is fixed when
//! the topic is made, goes with it, and costs no record. By default Fluvio would drop records after
//! a week or 100 GB, so topics without such a setting are refused anyway.

use std::fmt::Write as _;
use std::time::Instant;

use eddyline_schemas::topic::Topic;
use fluvio::metadata::topic::{
    CleanupPolicy, CompressionAlgorithm, SegmentBasedPolicy, TopicSpec, TopicStorageConfig,
};

use super::client::{Client, Description, left};
use crate::known::index;
use crate::layout::{LogLayout, MAX_PARTITIONS, TOPICS};
use crate::log::{BoxError, OpenError};

/// Least that the setting with the identity may be.
const LEAST_LIMIT: u64 = 1 << 62;
/// How often the controller is asked whether topics are ready.
const STEP: std::time::Duration = std::time::Duration::from_millis(50);

/// What opening found.
pub(super) struct Topics {
    pub(super) ids: [[u8; 16]; TOPICS.len()],
    pub(super) counts: [u32; TOPICS.len()],
}

/// Makes what is missing, waits until all partitions have a leader, checks the settings.
pub(super) fn prepare(client: &Client, layout: LogLayout) -> Result<Topics, OpenError> {
    let deadline = Instant::now() + client.address.options.open_timeout;
    let missing = await_controller(client, deadline)?;
    if client.address.options.create {
        for topic in missing {
            create(client, layout, topic, deadline)?;
        }
    }
    let found = await_leaders(client, deadline)?;
    let servers = client.address.controller.clone();
    let mut report = String::new();
    let mut topics = Topics { ids: Default::default(), counts: Default::default() };
    for (topic, found) in TOPICS.into_iter().zip(found) {
        let Some(found) = found else {
            let command = creation(client, layout, topic);
            let name = client.name(topic);
            let _ = writeln!(report, "{name}: is missing, and create=false\n  {command}");
            continue;
        };
        for wrong in check(client, layout, topic, &found.spec) {
            let _ = writeln!(report, "{}: {wrong}", client.name(topic));
        }
        topics.ids[index(topic)] = id(client, topic, &found.spec);
        topics.counts[index(topic)] = found.spec.partitions();
    }
    if report.is_empty() {
        return Ok(topics);
    }
    Err(OpenError::Topics { servers, report: report.trim_end().to_owned() })
}

/// The identity of `topic`: see the module doc.
pub(super) fn id(client: &Client, topic: Topic, spec: &TopicSpec) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(client.name(topic).as_bytes());
    hasher.update(&limit(spec).to_le_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}

fn limit(spec: &TopicSpec) -> u64 {
    spec.get_storage().and_then(|storage| storage.max_partition_size).unwrap_or(0)
}

/// Asks until the controller answers; which topics are missing.
fn await_controller(client: &Client, deadline: Instant) -> Result<Vec<Topic>, OpenError> {
    loop {
        match client.describe() {
            Ok(found) => {
                let missing = TOPICS.into_iter().zip(found).filter(|(_, found)| found.is_none());
                return Ok(missing.map(|(topic, _)| topic).collect());
            }
            Err(_) if Instant::now() < deadline => std::thread::sleep(STEP),
            Err(error) => {
                return Err(OpenError::Unreachable {
                    servers: client.address.controller.clone(),
                    waited: client.address.options.open_timeout,
                    reason: error.to_string(),
                });
            }
        }
    }
}

fn create(
    client: &Client,
    layout: LogLayout,
    topic: Topic,
    deadline: Instant,
) -> Result<(), OpenError> {
    let (name, spec) = (client.name(topic), spec(client, layout, topic));
    loop {
        let made = client.administer(left(deadline), async |admin| {
            admin.create(name.clone(), false, spec.clone()).await
        });
        let Err(error) = made else { return Ok(()) };
        // Another process may have been faster; what it made is checked like any other.
        match client.describe() {
            Ok(found) if found[index(topic)].is_some() => return Ok(()),
            _ if Instant::now() < deadline => std::thread::sleep(STEP),
            _ => return Err(failed(client, format!("create the topic {name}"), error)),
        }
    }
}

/// Deletes all topics that are there.
pub(super) fn delete(client: &Client) -> Result<(), OpenError> {
    let deadline = Instant::now() + client.address.options.open_timeout;
    let missing = await_controller(client, deadline)?;
    for topic in TOPICS.into_iter().filter(|topic| !missing.contains(topic)) {
        let name = client.name(topic);
        let deleted = client.administer(left(deadline), async |admin| {
            admin.delete::<TopicSpec>(name.clone()).await
        });
        deleted.map_err(|error| failed(client, format!("delete the topic {name}"), error))?;
    }
    Ok(())
}

fn await_leaders(
    client: &Client,
    deadline: Instant,
) -> Result<[Option<Description>; TOPICS.len()], OpenError> {
    loop {
        let found = client.describe();
        let is_ready = |found: &Option<Description>| {
            found.as_ref().is_none_or(|found| found.online >= found.spec.partitions())
        };
        match found {
            Ok(found) if found.iter().all(is_ready) => return Ok(found),
            _ if Instant::now() < deadline => std::thread::sleep(STEP),
            Err(error) => return Err(failed(client, "describe the topics".to_owned(), error)),
            Ok(_) => {
                let reason = "some have none: are there enough SPUs for replication_factor?";
                let what = "give all partitions a leader".to_owned();
                return Err(failed(client, what, reason.into()));
            }
        }
    }
}

fn failed(client: &Client, what: String, source: BoxError) -> OpenError {
    OpenError::Brokers { servers: client.address.controller.clone(), what, source }
}

/// How long `topic` keeps records, in seconds.
fn retention(client: &Client, topic: Topic) -> u32 {
    let keeps_all = matches!(topic, Topic::Bindings | Topic::Digests);
    if keeps_all { u32::MAX } else { client.address.options.retention_s }
}

fn spec(client: &Client, layout: LogLayout, topic: Topic) -> TopicSpec {
    let replicas = client.address.options.replication_factor;
    let mut spec = TopicSpec::new_computed(layout.partitions(topic), replicas, None);
    let time_in_seconds = retention(client, topic);
    spec.set_cleanup_policy(CleanupPolicy::Segment(SegmentBasedPolicy { time_in_seconds }));
    spec.set_compression_type(CompressionAlgorithm::None);
    let max_partition_size = Some(random_limit());
    spec.set_storage(TopicStorageConfig { segment_size: None, max_partition_size });
    spec
}

fn random_limit() -> u64 {
    let random = u128::from_le_bytes(crate::random::bytes());
    LEAST_LIMIT | (random as u64 & (LEAST_LIMIT / 2 - 1))
}

/// The command that makes `topic` as it must be.
fn creation(client: &Client, layout: LogLayout, topic: Topic) -> String {
    format!(
        "fluvio topic create {} --partitions {} --replication {} --retention-time {}s \
         --compression-type none --max-partition-size {}",
        client.name(topic),
        layout.partitions(topic),
        client.address.options.replication_factor,
        retention(client, topic),
        random_limit(),
    )
}

/// What is wrong with a topic that is there.
fn check(client: &Client, layout: LogLayout, topic: Topic, spec: &TopicSpec) -> Vec<String> {
    let mut wrong = Vec::new();
    let (count, asked) = (spec.partitions(), layout.partitions(topic));
    let most = if matches!(topic, Topic::Bindings | Topic::Digests) { 1 } else { MAX_PARTITIONS };
    if count > most {
        wrong.push(format!("has {count} partitions, must have at most {most}"));
    } else if count < asked {
        let name = client.name(topic);
        let remedy = format!("fluvio topic add-partition {name} --count {}", asked - count);
        wrong.push(format!("has {count} partitions, must have at least {asked}\n  {remedy}"));
    }
    let mut made = Vec::new();
    let (keeps, must) = (spec.retention_secs(), retention(client, topic));
    if keeps < must {
        made.push(format!("keeps records for {keeps} s, must be at least {must} s"));
    }
    let limit = limit(spec);
    if limit < LEAST_LIMIT {
        made.push(format!("max-partition-size is {limit}, must be at least {LEAST_LIMIT}"));
    }
    if *spec.get_compression_type() != CompressionAlgorithm::None {
        let kind = spec.get_compression_type();
        made.push(format!("compression-type is {kind}, must be none"));
    }
    if spec.get_deduplication().is_some() {
        made.push("drops what it takes for duplicates, must not".to_owned());
    }
    let factor = client.address.options.replication_factor;
    if spec.replication_factor().is_some_and(|replicas| replicas < factor) {
        made.push(format!("has less than {factor} replicas"));
    }
    if !made.is_empty() {
        let command = creation(client, layout, topic);
        let remedy = "fixed when it is made: choose another namespace, or make it anew with";
        wrong.push(format!("{}\n  {remedy}\n  {command}", made.join("; ")));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluvio::address::FluvioAddress;

    fn client(rest: &str) -> Client {
        Client::new(FluvioAddress::parse(rest).expect("valid"))
    }

    #[test]
    fn what_we_make_passes_our_own_check_and_has_an_identity() {
        let client = client("//sc:9003/shop?replication_factor=2");
        let layout = LogLayout::default();
        for topic in TOPICS {
            let (one, other) = (spec(&client, layout, topic), spec(&client, layout, topic));
            assert_eq!(check(&client, layout, topic, &one), [""; 0]);
            assert_eq!(one.validate_config(), None, "Fluvio takes it");
            assert!(limit(&one) <= i64::MAX as u64);
            assert_eq!(id(&client, topic, &one), id(&client, topic, &one.clone()));
            assert_ne!(id(&client, topic, &one), id(&client, topic, &other), "made again");
        }
    }

    #[test]
    fn topics_that_would_lose_records_are_refused_with_the_remedy() {
        let client = client("//sc:9003/shop?replication_factor=2");
        let layout = LogLayout::default();
        let check = |topic, spec: &TopicSpec| check(&client, layout, topic, spec).join("\n");
        let plain = check(Topic::UserEvents, &TopicSpec::new_computed(4, 1, None));
        for want in [
            "keeps records for 604800 s",
            "max-partition-size is 0",
            "compression-type is any",
            "less than 2 replicas",
            "fluvio topic create shop-user-events --partitions 4 --replication 2",
        ] {
            assert!(plain.contains(want), "{want} is not in {plain}");
        }
        let mut few = spec(&client, layout, Topic::UserEvents);
        few.set_replicas(fluvio::metadata::topic::ReplicaSpec::new_computed(3, 2, None));
        let few = check(Topic::UserEvents, &few);
        assert!(few.contains("fluvio topic add-partition shop-user-events --count 1"), "{few}");
        assert!(!few.contains("create"), "{few}");
        let mut many = spec(&client, layout, Topic::Bindings);
        many.set_replicas(fluvio::metadata::topic::ReplicaSpec::new_computed(2, 2, None));
        assert!(check(Topic::Bindings, &many).contains("at most 1"));
    }
}
