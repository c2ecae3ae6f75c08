//! `eddyline dlq`: records that cannot be folded. [`letters`] lists them and tries one again.
//!
//! `skip` says that a record is passed over, durably, in every fold of the log. It stays on the log and counts as a dead letter. A dataflow that runs meanwhile on a log that
//! processes share stops, since it has folded the record or may have; started again, it folds
//! without. There is no way back but to send the event again, corrected, as a new one.

mod letters;

use std::path::{Path, PathBuf};

use eddyline_connect::log::EventLog;
use eddyline_dataflows::RecordAt;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::config::{Config, ConfigArgs, load};
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::node::{crashes, open_event_log};
use crate::output::{Format, print_json, print_json_line, print_line};

/// What to do about events that cannot be folded.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum DlqVerb {
    /// Pass over one record from now on, in every fold of the log
    Skip(SkipArgs),
    /// List bound records that are no events, with the reasons
    Ls(letters::ListArgs),
    /// Send one of them again, corrected maybe, as a new event
    Retry(letters::RetryArgs),
}

/// Flags of `dlq skip`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SkipArgs {
    /// user_events, feedback or item_events
    #[arg(value_parser = input_topic)]
    pub topic: Topic,
    /// Partition of the topic, from 0
    pub partition: u32,
    /// Offset of the record in its partition
    pub offset: Offset,
    /// Data folder [default: ./eddyline-data]
    #[arg(long, value_name = "DIR", env = "EDDYLINE__DATA__DIR")]
    pub data: Option<PathBuf>,
    /// The log, where it is not in the data folder, such as kafka://broker:9092/shop
    #[arg(long = "log-url", value_name = "URL", env = "EDDYLINE__LOG__URL")]
    pub log_url: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
}

/// One of the topics that events are sent to.
pub(crate) fn input_topic(name: &str) -> Result<Topic, String> {
    let topic = Topic::from_name(name).filter(|topic| Topic::INPUTS.contains(topic));
    let names = Topic::INPUTS.map(Topic::name).join(", ");
    topic.ok_or_else(|| format!("events lie in {names}"))
}

/// Runs one of the verbs.
pub(crate) fn run(verb: &DlqVerb, config: &ConfigArgs) -> Outcome {
    match verb {
        DlqVerb::Skip(args) => skip(args, config),
        DlqVerb::Ls(args) => letters::list(args, config),
        DlqVerb::Retry(args) => letters::retry(args, config),
    }
}

fn skip(args: &SkipArgs, config: &ConfigArgs) -> Outcome {
    let mut flags = Vec::new();
    if let Some(dir) = &args.data {
        flags.push(("data.dir", dir.to_string_lossy().into_owned(), "--data"));
    }
    if let Some(url) = &args.log_url {
        flags.push(("log.url", url.clone(), "--log-url"));
    }
    let config = load(config, &flags)?;
    check_folder(&config)?;
    let log = open_event_log(&config)?;
    let partition = TopicPartition { topic: args.topic, partition: args.partition };
    let record = RecordAt { partition, offset: args.offset };
    check_is_there(&*log, record)?;
    let is_new = crashes::say(&log, record)?;
    crashes::forget(&config, record)?;
    print(record, is_new, args.output)
}

/// Opening would make a new, empty log where there is none.
fn check_folder(config: &Config) -> Outcome {
    let Some(folder) = config.log.url.strip_prefix("embedded:") else { return Ok(()) };
    if Path::new(folder).is_dir() {
        return Ok(());
    }
    Err(Stop::new(Exit::Io, format!("there is no log in {folder}"))
        .remedy("name the data folder with --data DIR, or the log with --log-url URL"))
}

/// What is not there yet could not be told from a slip of the pen.
fn check_is_there(log: &dyn EventLog, record: RecordAt) -> Outcome {
    let RecordAt { partition, offset } = record;
    let partitions = log.partitions(partition.topic);
    if partition.partition >= partitions {
        let topic = partition.topic;
        let message = format!(
            "{topic} has {partitions} partitions, there is no partition {}",
            partition.partition
        );
        return Err(Stop::new(Exit::Usage, message).remedy("count from 0"));
    }
    let context = || format!("reading where {partition} begins and ends");
    let start = log.start_offset(partition).or_stop(Exit::Io, context)?;
    let end = log.end_offset(partition).or_stop(Exit::Io, context)?;
    if (start..end).contains(&offset) {
        return Ok(());
    }
    let message = match start == end {
        true => format!("there is no offset {offset} in {partition}: it is empty"),
        false => format!(
            "there is no offset {offset} in {partition}: it has {start} to {}",
            end.saturating_sub(1)
        ),
    };
    Err(Stop::new(Exit::Usage, message)
        .remedy("the error of the dataflow that crashed names topic, partition and offset"))
}

fn print(record: RecordAt, is_new: bool, format: Format) -> Outcome {
    let RecordAt { partition, offset } = record;
    let printed = serde_json::json!({
        "topic": partition.topic.name(),
        "partition": partition.partition,
        "offset": offset,
        "said_before": !is_new,
    });
    match format {
        Format::Json => print_json(&printed),
        Format::Ndjson => print_json_line(&printed),
        Format::Table if is_new => print_line(&format!(
            "{record} is passed over from now on, in every fold of this log, and counts as a dead \
             letter; a dataflow that runs now stops and has to be started again"
        )),
        Format::Table => print_line(&format!("{record} was to be passed over already")),
    }
}
