//! `eddyline dlq ls|retry`: records that are no events, and another try at one.
//!
//! A dead letter stays where it was appended, on the log and in its archive; there is no second copy
//! of it that an erasure would have to find. So a list is a walk over what is bound, under the rule
//! that folds follow.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eddyline_connect::log::EventLog;
use eddyline_connect::objects::Access;
use eddyline_dataflows::{BoundContent, BoundRecord, EngineError, for_each_record};
use eddyline_replay::archive::ArchiveLog;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::{Topic, TopicPartition};
use serde_json::{Value, json};

use super::{check_folder, input_topic};
use crate::archive::{no_archive, of_archive, open_archive};
use crate::client::{Client, ClientArgs};
use crate::config::{Config, ConfigArgs, FlagValue, load};
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};
use crate::node::open_event_log;
use crate::output::{Format, print_json, print_json_line, print_line, print_table};

/// Where records are read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// Read the archive: s3://BUCKET/PREFIX, or file:DIR with DIR relative to the data folder; the
    /// only way while a server has an embedded log open
    #[arg(long, value_name = "URL", conflicts_with = "log_url")]
    pub archive: Option<String>,
    /// The log, where it is not in the data folder, such as kafka://broker:9092/shop
    #[arg(long = "log-url", value_name = "URL", env = "EDDYLINE__LOG__URL")]
    pub log_url: Option<String>,
}

/// Flags of `dlq ls`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Data folder [default: ./eddyline-data]
    #[arg(long, value_name = "DIR", env = "EDDYLINE__DATA__DIR")]
    pub data: Option<PathBuf>,
    /// Only one topic: user_events, feedback or item_events
    #[arg(long, value_name = "TOPIC", value_parser = input_topic)]
    pub topic: Option<Topic>,
    /// Only what was bound behind this epoch
    #[arg(long, value_name = "EPOCH", default_value_t = 0)]
    pub after: u64,
    /// At most so many, the oldest first
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: usize,
    /// How they are printed; json and ndjson have key, headers and value too
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
}

/// Flags of `dlq retry`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RetryArgs {
    /// user_events, feedback or item_events
    #[arg(value_parser = input_topic)]
    pub topic: Topic,
    /// Partition of the topic, from 0
    pub partition: u32,
    /// Offset of the record in its partition
    pub offset: Offset,
    /// Send the event in this file instead, as JSON; - is standard input
    #[arg(long, value_name = "FILE")]
    pub with: Option<PathBuf>,
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub client: ClientArgs,
}

fn open(
    place: &PlaceArgs,
    data: Option<&PathBuf>,
    config: &ConfigArgs,
) -> Outcome<Arc<dyn EventLog>> {
    let all = [
        ("data.dir", data.map(|dir| dir.to_string_lossy().into_owned()), "--data"),
        ("archive.url", place.archive.clone(), "--archive"),
        ("log.url", place.log_url.clone(), "--log-url"),
    ];
    let flags: Vec<FlagValue> =
        all.into_iter().filter_map(|(key, value, flag)| Some((key, value?, flag))).collect();
    let config = load(config, &flags)?;
    if place.archive.is_some() {
        return archived(&config);
    }
    check_folder(&config)?;
    open_event_log(&config)
}

fn archived(config: &Config) -> Outcome<Arc<dyn EventLog>> {
    let objects = open_archive(config, Access::Read)?;
    let log = ArchiveLog::open(objects).map_err(|error| of_archive(error, config))?;
    if log.catalogue().all_files().next().is_none() {
        return Err(no_archive(config));
    }
    Ok(Arc::new(log))
}

/// Why the walk ended.
enum Ended {
    Engine(EngineError),
    Enough,
}

impl From<EngineError> for Ended {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Gives every dead letter to `take`, until it says that it has enough.
fn letters(
    log: &Arc<dyn EventLog>,
    after: Epoch,
    mut take: impl FnMut(BoundRecord) -> bool,
) -> Outcome {
    let walked = for_each_record(log, (after, None), |bound| {
        let is_letter = match bound.content {
            BoundContent::DeadLetter(_) | BoundContent::Skipped => true,
            BoundContent::Event(_) | BoundContent::Erased => false,
        };
        if !is_letter || take(bound) { Ok(()) } else { Err(Ended::Enough) }
    });
    match walked {
        Ok(()) | Err(Ended::Enough) => Ok(()),
        Err(Ended::Engine(error)) => Err(of_engine(error)),
    }
}

/// Runs `dlq ls`.
pub(super) fn list(args: &ListArgs, config: &ConfigArgs) -> Outcome {
    let log = open(&args.place, args.data.as_ref(), config)?;
    let mut found = Vec::new();
    letters(&log, Epoch(args.after), |bound| {
        if args.topic.is_none_or(|topic| topic == bound.at.topic) && found.len() < args.limit {
            found.push(shown(&bound));
        }
        found.len() < args.limit
    })?;
    match args.output {
        Format::Json => print_json(&json!({ "dead_letters": found })),
        Format::Ndjson => found.iter().try_for_each(print_json_line),
        Format::Table => {
            let text = |letter: &Value, name: &str| match &letter[name] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            let columns = [
                "topic",
                "partition",
                "offset",
                "epoch",
                "append_time",
                "stage",
                "pointer",
                "reason",
            ];
            let row = |letter: &Value| columns.iter().map(|name| text(letter, name)).collect();
            print_table(&columns, &found.iter().map(row).collect::<Vec<_>>())?;
            print_line(&format!("{} dead letters", found.len()))
        }
    }
}

fn shown(bound: &BoundRecord) -> Value {
    let BoundRecord { epoch, at, offset, record, content } = bound;
    let (stage, refusal) = match content {
        BoundContent::DeadLetter(refusal) => ("validate", Some(&**refusal)),
        BoundContent::Event(_) | BoundContent::Skipped | BoundContent::Erased => ("skip", None),
    };
    let headers: Vec<Value> =
        record.headers.iter().map(|(name, value)| json!([name, text(value)])).collect();
    json!({
        "topic": at.topic.name(),
        "partition": at.partition,
        "offset": offset,
        "epoch": epoch,
        "append_time": record.append_time.to_string(),
        "stage": stage,
        "kind": refusal.map(|refusal| refusal.kind.slug()),
        "pointer": refusal.map(|refusal| &refusal.pointer),
        "reason": refusal.map_or("passed over by `eddyline dlq skip`", |refusal| &refusal.detail),
        "event_id": refusal.and_then(|refusal| refusal.event_id.as_ref()),
        "key": text(&record.key),
        "headers": headers,
        "value": text(&record.value),
        "value_base64": STANDARD.encode(&record.value),
    })
}

/// Bytes as text, if they are; all of them are in base64 beside it.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Runs `dlq retry`.
pub(super) fn retry(args: &RetryArgs, config: &ConfigArgs) -> Outcome {
    let at = TopicPartition { topic: args.topic, partition: args.partition };
    let log = open(&args.place, Some(&args.client.data), config)?;
    let mut found = None;
    letters(&log, Epoch(0), |bound| {
        if (bound.at, bound.offset) == (at, args.offset) {
            found = Some(bound.record);
        }
        found.is_none()
    })?;
    // An embedded log can be open once: the server that takes the event may be about to start.
    drop(log);
    let Some(record) = found else {
        let message = format!("offset {} of {at} is no dead letter", args.offset);
        return Err(Stop::new(Exit::Usage, message).remedy("`eddyline dlq ls` lists them"));
    };
    let event = match &args.with {
        Some(file) => read(file)?,
        None => as_json(&record, at)?,
    };
    send(&args.client.client(), &event)
}

fn read(file: &PathBuf) -> Outcome<Vec<u8>> {
    let context = || format!("reading {}", file.display());
    if file.as_os_str() == "-" {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).or_stop(Exit::Io, context)?;
        return Ok(text);
    }
    std::fs::read(file).or_stop(Exit::Io, context)
}

fn as_json(record: &Record, at: TopicPartition) -> Outcome<Vec<u8>> {
    if !record.is_protobuf() && text(&record.value).is_some() {
        return Ok(record.value.to_vec());
    }
    Err(Stop::new(Exit::BadData, format!("the record of {at} is not text that can be sent again"))
        .remedy("write the event as JSON and name it with --with FILE"))
}

/// The door decides, and says what is wrong.
fn send(client: &Client, event: &[u8]) -> Outcome {
    let answer = client.post_events(event)?;
    let accepted = answer["accepted"].as_u64().unwrap_or(0);
    if accepted == 0 {
        let why = answer["rejected"][0]["detail"].as_str().or(answer["detail"].as_str());
        let message = format!("it is refused again: {}", why.unwrap_or("for no stated reason"));
        return Err(
            Stop::new(Exit::BadData, message).remedy("correct it and send it with --with FILE")
        );
    }
    print_line("accepted as a new event; the dead letter stays where it is")
}
