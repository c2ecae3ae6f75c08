//! What the door says of a request: sums, and each refusal with its place.

use eddyline_schemas::decode::{BodyKind, Refusal};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::door::token::ConsistencyToken;

/// One event that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventError {
    /// Which event of the request, from 0.
    pub index: usize,
    /// Its id, when it could be read.
    pub event_id: Option<String>,
    /// Stable name of the reason, as a problem type.
    #[serde(rename = "type")]
    pub slug: String,
    /// The reason in two words.
    pub title: String,
    /// What is wrong, and the remedy.
    pub detail: String,
    /// JSON pointer into the request, `/events/7/rating`; of a line of NDJSON as if the lines were
    /// the list `events`, of a body that is one event `/rating`.
    pub pointer: String,
}

impl EventError {
    pub(crate) fn of(index: usize, refusal: Refusal) -> Self {
        Self {
            index,
            event_id: refusal.event_id,
            slug: refusal.kind.problem(),
            title: refusal.kind.title().to_owned(),
            detail: refusal.detail,
            pointer: format!("/events/{index}{}", refusal.pointer),
        }
    }

    /// The same place in a body that is the event itself.
    pub(crate) fn point_at_body(&mut self) {
        if let Some(below) = self.pointer.strip_prefix("/events/0") {
            self.pointer = below.to_owned();
        }
    }
}

/// Whether the body is one event, not a list of them.
pub(crate) fn is_single_event(body: &[u8], kind: BodyKind) -> bool {
    #[derive(Deserialize)]
    struct Envelope {
        events: Option<IgnoredAny>,
    }
    let envelope: Result<Envelope, _> = serde_json::from_slice(body);
    kind == BodyKind::Json && envelope.is_ok_and(|envelope| envelope.events.is_none())
}

/// The answer to a request whose body could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DoorAnswer {
    /// Durable on the log now; duplicates are among them.
    pub accepted: usize,
    /// Advisory: ids that the door saw a short while ago.
    pub duplicates: usize,
    /// Not taken.
    pub rejected: usize,
    /// Why, in the order of the request.
    pub errors: Vec<EventError>,
    /// Names the log positions of what was accepted; null when nothing was.
    pub consistency_token: Option<String>,
    /// Where each accepted event lies, in the order of the request.
    #[serde(skip)]
    pub positions: Vec<(TopicPartition, Offset)>,
}

impl DoorAnswer {
    pub(crate) fn new(
        positions: Vec<(TopicPartition, Offset)>,
        duplicates: usize,
        errors: Vec<EventError>,
    ) -> Self {
        let token = ConsistencyToken::of(positions.iter().copied());
        Self {
            accepted: positions.len(),
            duplicates,
            rejected: errors.len(),
            errors,
            consistency_token: (!positions.is_empty()).then(|| token.to_string()),
            positions,
        }
    }
}
