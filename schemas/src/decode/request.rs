//! Bodies of requests: one event, `{"events": […]}`, or a line each.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::ids::IdAssigner;
use super::locate::line_and_column;
use super::refusal::{Refusal, RequestRefusal};
use super::scalar::JsonText;
use crate::event::Event;
use crate::time::TimestampMs;

/// Most events of one request.
pub const MAX_BATCH_EVENTS: usize = 1_000;
/// Largest request.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// One event, or an object whose member `events` lists them.
    Json,
    /// One event a line; blank lines do not count.
    NdJson,
}

/// Reads the events of a request, each with its own verdict, in order. A line of NDJSON that is
/// not JSON is a refused event; a JSON body that is not JSON is a refused request.
pub fn decode_request(
    body: &[u8],
    kind: BodyKind,
    now: TimestampMs,
    random: &mut dyn FnMut() -> [u8; 16],
) -> Result<Vec<Result<Event, Refusal>>, RequestRefusal> {
    if body.len() > MAX_BATCH_BYTES {
        return Err(RequestRefusal::TooLarge { bytes: body.len() });
    }
    let events = match kind {
        BodyKind::Json => split_json(body)?,
        BodyKind::NdJson => split_lines(body),
    };
    match events.len() {
        0 => return Err(RequestRefusal::NoEvents),
        1..=MAX_BATCH_EVENTS => {}
        events => return Err(RequestRefusal::TooManyEvents { events }),
    }
    let mut ids = IdAssigner::new(random);
    let decode = |text: &[u8]| super::decode_json_event(text, now, &mut ids);
    Ok(events.into_iter().map(decode).collect())
}

fn split_lines(body: &[u8]) -> Vec<&[u8]> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).collect()
}

fn split_json(body: &[u8]) -> Result<Vec<&[u8]>, RequestRefusal> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let (line, column) = line_and_column(body, error.valid_up_to());
        RequestRefusal::Malformed { line, column, detail: "not UTF-8".to_owned() }
    })?;
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let full = error.to_string();
        let place = format!(" at line {line} column {column}");
        let detail = full.strip_suffix(&place).unwrap_or(&full).to_owned();
        RequestRefusal::Malformed { line, column, detail }
    })?;
    let Some(Events(events)) = envelope.events else { return Ok(vec![body.trim_ascii()]) };
    Ok(events.into_iter().map(|event| event.get().as_bytes()).collect())
}

/// A body: `events` is `None` if it is a single event.
struct Envelope<'a> {
    events: Option<Events<'a>>,
}

/// The unread elements of `events`.
struct Events<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event or an object with a list `events`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope { events: None };
        while let Some(JsonText(name)) = map.next_key()? {
            if name != "events" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if envelope.events.is_some() {
                return Err(serde::de::Error::custom("events is given twice"));
            }
            envelope.events = Some(map.next_value()?);
        }
        Ok(envelope)
    }
}

impl<'de> Deserialize<'de> for Events<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(EventsVisitor)
    }
}

struct EventsVisitor;

impl<'de> Visitor<'de> for EventsVisitor {
    type Value = Events<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Events<'de>, A::Error> {
        let mut events = Vec::new();
        while let Some(event) = list.next_element::<&'de RawValue>()? {
            events.push(event);
        }
        Ok(Events(events))
    }
}
