//! The hand-written table of events under `golden/v1`, and what every test needs to decode.

use eddyline_schemas::decode::{self, IdAssigner, Refusal};
use eddyline_schemas::event::Event;
use eddyline_schemas::time::TimestampMs;
use serde_json::value::RawValue;

/// 2026-03-01T12:00:00Z: what the table's events take for now.
pub(crate) const NOW: TimestampMs = TimestampMs(1_772_366_400_000);

/// A row of the table.
#[derive(serde::Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    event: Option<Box<RawValue>>,
    text: Option<String>,
    /// Slug of the refusal.
    #[serde(default)]
    pub(crate) kind: String,
    /// Place of the refusal.
    #[serde(default)]
    pub(crate) pointer: String,
    /// What a JSON Schema cannot express.
    pub(crate) beyond_schema: Option<String>,
}

impl Case {
    /// The event as a producer wrote it.
    pub(crate) fn text(&self) -> &str {
        match (&self.event, &self.text) {
            (Some(event), _) => event.get(),
            (None, Some(text)) => text,
            (None, None) => panic!("{}: a case has an event or a text", self.name),
        }
    }

    /// Whether the text is there for what it is as text, not as a JSON value.
    pub(crate) fn is_about_text(&self) -> bool {
        self.text.is_some()
    }
}

fn read(text: &str) -> Vec<Case> {
    serde_json::from_str(text).expect("the table is JSON")
}

/// Events that must be accepted.
pub(crate) fn valid() -> Vec<Case> {
    read(include_str!("../../golden/v1/events.valid.json"))
}

/// Events that must be refused.
pub(crate) fn refused() -> Vec<Case> {
    read(include_str!("../../golden/v1/events.refused.json"))
}

/// Decodes one event at [`NOW`], with ids that count up where a random one is due.
pub(crate) fn decode(text: &[u8]) -> Result<Event, Refusal> {
    decode::decode_json_event(text, NOW, &mut IdAssigner::new(&mut counting()))
}

/// Not random, so that tests repeat.
pub(crate) fn counting() -> impl FnMut() -> [u8; 16] {
    let mut next = 0_u128;
    move || {
        next += 1;
        next.to_le_bytes()
    }
}
