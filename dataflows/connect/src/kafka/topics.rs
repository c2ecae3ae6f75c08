//! The topics that must be there, and how they must be set.
//!
//! Missing ones are created; existing ones are never changed, only checked: one report names every
//! setting, what it is, what it must be, and the command that changes it.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use eddyline_schemas::topic::Topic;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::address::Options;
use super::connection::{Connection, refused};
use super::context::Ears;
use super::native::Description;
use crate::layout::{LogLayout, MAX_PARTITIONS, TOPICS};
use crate::log::OpenError;

/// Rest between two looks at topics that were just made.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A setting of a topic and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    key: &'static str,
    must: Must,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Must {
    Be(String),
    BeAtLeast(i64),
}

impl Rule {
    fn holds(&self, value: &str) -> bool {
        match &self.must {
            Must::Be(wanted) => value == wanted,
            Must::BeAtLeast(least) => value.parse::<i64>().is_ok_and(|value| value >= *least),
        }
    }

    fn value(&self) -> String {
        match &self.must {
            Must::Be(wanted) => wanted.clone(),
            Must::BeAtLeast(least) => least.to_string(),
        }
    }
}

/// What `topic` needs so that a record that was acknowledged stays, as it was, where it was.
fn rules(topic: Topic, options: &Options) -> Vec<Rule> {
    let be = |key, wanted: &str| Rule { key, must: Must::Be(wanted.to_owned()) };
    let keeps_all = matches!(topic, Topic::Bindings | Topic::Digests);
    let retention = if keeps_all { -1 } else { options.retention_ms };
    let mut rules = vec![
        be("cleanup.policy", "delete"),
        be("message.timestamp.type", "LogAppendTime"),
        be("unclean.leader.election.enable", "false"),
        be("retention.ms", &retention.to_string()),
        be("retention.bytes", "-1"),
    ];
    if let Some(least) = options.min_insync_replicas {
        rules.push(Rule { key: "min.insync.replicas", must: Must::BeAtLeast(least) });
    }
    rules
}

/// What was found, fit to be used.
pub(super) struct Checked {
    /// In the order of [`TOPICS`].
    pub(super) ids: [[u8; 16]; TOPICS.len()],
    /// In the order of [`TOPICS`].
    pub(super) counts: [u32; TOPICS.len()],
    /// Longest record batch that all topics take.
    pub(super) max_message_bytes: usize,
}

/// Creates what is missing and checks everything.
pub(super) fn prepare(connection: &Connection, layout: LogLayout) -> Result<Checked, OpenError> {
    let admin = Admin::new(connection, layout)?;
    let mut report = String::new();
    let found = admin.describe()?;
    let missing: Vec<Topic> = TOPICS
        .into_iter()
        .zip(&found)
        .filter(|(_, found)| found.is_none())
        .map(|(topic, _)| topic)
        .collect();
    if !missing.is_empty() && connection.address.options.create {
        admin.create(&missing)?;
    }
    if !connection.address.options.create {
        missing.iter().for_each(|topic| admin.report_missing(*topic, &mut report));
    }
    let found = if report.is_empty() { admin.await_leaders()? } else { found };
    for (topic, found) in TOPICS.into_iter().zip(&found) {
        let Some(found) = found else { continue };
        admin.check_partitions(topic, found, &mut report);
    }
    let present = TOPICS.into_iter().zip(&found).filter(|(_, found)| found.is_some());
    let present: Vec<Topic> = present.map(|(topic, _)| topic).collect();
    let max_message_bytes = admin.check_settings(&present, &mut report)?;
    if !report.is_empty() {
        let servers = connection.address.servers.clone();
        return Err(OpenError::Topics { servers, report: report.trim_end().to_owned() });
    }
    let whole = |at: usize| found[at].as_ref().expect("every topic was found");
    Ok(Checked {
        ids: std::array::from_fn(|at| whole(at).id),
        counts: std::array::from_fn(|at| whole(at).partitions),
        max_message_bytes,
    })
}

/// Deletes all topics.
pub(super) fn delete(connection: &Connection) -> Result<(), OpenError> {
    let admin = Admin::new(connection, LogLayout::default())?;
    let names: Vec<&str> = connection.names.iter().map(String::as_str).collect();
    let deleted = block_on(admin.client.delete_topics(&names, &admin.options()))
        .map_err(|error| admin.failed("delete topics".to_owned(), &error))?;
    for one in deleted {
        match one {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((name, code)) => {
                let error = KafkaError::AdminOp(code);
                return Err(admin.failed(format!("delete the topic {name}"), &error));
            }
        }
    }
    Ok(())
}

struct Admin<'a> {
    connection: &'a Connection,
    layout: LogLayout,
    client: AdminClient<Ears>,
    deadline: Instant,
}

impl<'a> Admin<'a> {
    fn new(connection: &'a Connection, layout: LogLayout) -> Result<Self, OpenError> {
        let client = connection.admin_config().create_with_context(connection.ears.clone());
        let client = client.map_err(|error| refused(&connection.address, error))?;
        let deadline = Instant::now() + connection.address.options.open_timeout;
        Ok(Self { connection, layout, client, deadline })
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))
    }

    fn options(&self) -> AdminOptions {
        let left = self.left();
        AdminOptions::new().request_timeout(Some(left)).operation_timeout(Some(left))
    }

    fn failed(&self, what: String, error: &KafkaError) -> OpenError {
        let source = self.connection.explain(error).into();
        OpenError::Brokers { servers: self.connection.address.servers.clone(), what, source }
    }

    /// In the order of [`TOPICS`]; `None` for a topic that is missing.
    fn describe(&self) -> Result<Vec<Option<Description>>, OpenError> {
        let failed = |error| self.failed("describe the topics".to_owned(), &error);
        let answers = self.connection.describe(self.left()).map_err(failed)?;
        let names = self.connection.names.iter();
        let one = |(answer, name): (Result<_, _>, &String)| match answer {
            Ok(found) => Ok(Some(found)),
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(None),
            Err(code) => {
                Err(self.failed(format!("describe the topic {name}"), &KafkaError::AdminOp(code)))
            }
        };
        answers.into_iter().zip(names).map(one).collect()
    }

    /// Topics that were just made, by us or by a process that started at the same moment, are known
    /// a moment later, and lead a moment after that.
    fn await_leaders(&self) -> Result<Vec<Option<Description>>, OpenError> {
        loop {
            let found = self.describe();
            let waits = match &found {
                Ok(found) => self.without_leaders(found),
                Err(_) => Vec::new(),
            };
            match found {
                Ok(found) if waits.is_empty() => return Ok(found),
                Err(error) if Instant::now() >= self.deadline => return Err(error),
                Ok(_) if Instant::now() >= self.deadline => {
                    return Err(self.not_in_time(&waits.join(", ")));
                }
                Ok(_) | Err(_) => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    fn without_leaders(&self, found: &[Option<Description>]) -> Vec<&str> {
        let leads = |found: &Option<Description>| found.as_ref().is_some_and(|one| one.has_leaders);
        let names = self.connection.names.iter().zip(found);
        names.filter(|(_, found)| !leads(found)).map(|(name, _)| name.as_str()).collect()
    }

    fn not_in_time(&self, topics: &str) -> OpenError {
        let waited = self.connection.address.options.open_timeout.as_millis();
        let tool = self.tool("kafka-topics");
        let what = format!(
            "have a leader for each partition of {topics} within {waited} ms: look at them with \
             {tool} --describe, or raise open_timeout_ms in log.url"
        );
        self.failed(what, &KafkaError::Canceled)
    }

    fn create(&self, missing: &[Topic]) -> Result<(), OpenError> {
        let options = &self.connection.address.options;
        let names: Vec<String> = missing.iter().map(|topic| self.name(*topic)).collect();
        let rules: Vec<Vec<(&str, String)>> = missing
            .iter()
            .map(|topic| {
                rules(*topic, options).iter().map(|rule| (rule.key, rule.value())).collect()
            })
            .collect();
        let replicas = options.replication_factor.unwrap_or(-1);
        let new = |at: usize| NewTopic {
            name: &names[at],
            num_partitions: self.layout.partitions(missing[at]).cast_signed(),
            replication: TopicReplication::Fixed(replicas),
            config: rules[at].iter().map(|(key, value)| (*key, value.as_str())).collect(),
        };
        let topics: Vec<NewTopic<'_>> = (0..missing.len()).map(new).collect();
        let made = block_on(self.client.create_topics(&topics, &self.options()))
            .map_err(|error| self.failed("create topics".to_owned(), &error))?;
        for one in made {
            match one {
                // Another process was faster; what it made is checked like any other. One that was
                // made too slowly is waited for.
                Ok(_)
                | Err((
                    _,
                    RDKafkaErrorCode::TopicAlreadyExists | RDKafkaErrorCode::RequestTimedOut,
                )) => {}
                Err((name, code)) => {
                    let error = KafkaError::AdminOp(code);
                    return Err(self.failed(format!("create the topic {name}"), &error));
                }
            }
        }
        Ok(())
    }

    fn name(&self, topic: Topic) -> String {
        self.connection.address.topic(topic.name())
    }

    fn tool(&self, tool: &str) -> String {
        let server = self.connection.address.servers.split(',').next().unwrap_or_default();
        format!("{tool}.sh --bootstrap-server {server}")
    }

    fn report_missing(&self, topic: Topic, report: &mut String) {
        let (name, tool) = (self.name(topic), self.tool("kafka-topics"));
        let options = &self.connection.address.options;
        let mut command = format!("{tool} --create --topic {name}");
        let _ = write!(command, " --partitions {}", self.layout.partitions(topic));
        for rule in rules(topic, options) {
            let _ = write!(command, " --config {}={}", rule.key, rule.value());
        }
        let _ = writeln!(report, "{name}: is missing, and create=false\n  {command}");
    }

    fn check_partitions(&self, topic: Topic, found: &Description, report: &mut String) {
        let (name, count) = (self.name(topic), found.partitions);
        let asked = self.layout.partitions(topic);
        let most = match topic {
            // Their readers look for a row where the count says that it is.
            Topic::Bindings | Topic::Deltas | Topic::Digests => asked,
            Topic::UserEvents | Topic::Feedback | Topic::ItemEvents => MAX_PARTITIONS,
        };
        if count > most {
            let _ = writeln!(
                report,
                "{name}: has {count} partitions, must have at most {most}\n  \
                 partitions cannot be taken away: choose another namespace"
            );
        } else if count < asked {
            let tool = self.tool("kafka-topics");
            let _ = writeln!(
                report,
                "{name}: has {count} partitions, must have at least {asked}\n  \
                 {tool} --alter --topic {name} --partitions {asked}"
            );
        }
    }

    /// Checks the settings of `topics`; the longest record batch that all of them take.
    fn check_settings(&self, topics: &[Topic], report: &mut String) -> Result<usize, OpenError> {
        let names: Vec<String> = topics.iter().map(|topic| self.name(*topic)).collect();
        let asked: Vec<ResourceSpecifier<'_>> =
            names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let answers = self.settings(&asked)?;
        let mut max_bytes = crate::log::MAX_RECORD_BYTES;
        for found in answers {
            let OwnedResourceSpecifier::Topic(name) = &found.specifier else { continue };
            let Some(at) = names.iter().position(|known| known == name) else { continue };
            let value = |key: &str| found.get(key).and_then(|entry| entry.value.clone());
            if let Some(most) = value("max.message.bytes").and_then(|text| text.parse().ok()) {
                max_bytes = max_bytes.min(most);
            }
            let rules = rules(topics[at], &self.connection.address.options);
            self.check_rules(name, &rules, value, report);
        }
        Ok(max_bytes)
    }

    /// Brokers may know the settings of a topic that was just made later than the topic.
    fn settings(&self, of: &[ResourceSpecifier<'_>]) -> Result<Vec<ConfigResource>, OpenError> {
        loop {
            let asked = block_on(self.client.describe_configs(of.iter(), &self.options()));
            let all = asked.and_then(|answers| {
                let answers = answers.into_iter();
                answers.map(|one| one.map_err(KafkaError::AdminOp)).collect::<Result<Vec<_>, _>>()
            });
            match all {
                Ok(all) => return Ok(all),
                Err(_) if Instant::now() < self.deadline => std::thread::sleep(LOOK_AGAIN),
                Err(error) => {
                    return Err(self.failed("show the settings of topics".to_owned(), &error));
                }
            }
        }
    }

    fn check_rules(
        &self,
        name: &str,
        rules: &[Rule],
        value: impl Fn(&str) -> Option<String>,
        report: &mut String,
    ) {
        let mut changes = Vec::new();
        for rule in rules {
            let is = value(rule.key).unwrap_or_else(|| "not set".to_owned());
            if !rule.holds(&is) {
                let (key, must) = (rule.key, rule.value());
                let least = if matches!(rule.must, Must::BeAtLeast(_)) { "at least " } else { "" };
                let _ = writeln!(report, "{name}: {key} is {is}, must be {least}{must}");
                changes.push(format!("{key}={must}"));
            }
        }
        if !changes.is_empty() {
            let (tool, changes) = (self.tool("kafka-configs"), changes.join(","));
            let _ = writeln!(
                report,
                "  {tool} --alter --entity-type topics --entity-name {name} --add-config {changes}"
            );
        }
    }
}

/// Runs `future` to its end on this thread; the admin client's own thread wakes it.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
