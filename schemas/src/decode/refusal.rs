//! Why an event, or a whole request, was refused; and how a producer is told.
//!
//! The kinds are RFC 9457 problem types, `/problems/<slug>`: additive only.

/// Why one event was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The problem type.
    pub kind: RefusalKind,
    /// JSON pointer below the event, such as `/rating`; empty for the event itself.
    pub pointer: String,
    /// For the producer: what is wrong and what would be right.
    pub detail: String,
    /// The event's id, when it could be read.
    pub event_id: Option<String>,
}

/// The problem type of a refused event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// A member has the wrong type or a value outside its range.
    InvalidField,
    /// A member that this event type needs is absent.
    MissingField,
    /// A member is given twice.
    DuplicateField,
    /// The event, a text or a list is too large.
    TooLarge,
    /// JSON nested too deeply.
    TooDeep,
    /// Not JSON, or not a JSON object.
    MalformedJson,
    /// Not an `eddyline.v1.Event`.
    MalformedProtobuf,
    /// Neither a built-in type nor a custom one.
    UnknownEventType,
    /// Too far ahead of the clock, or not a time at all.
    TimestampOutOfRange,
    /// The event's type belongs to another topic.
    WrongTopic,
}

impl RefusalKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::InvalidField,
        Self::MissingField,
        Self::DuplicateField,
        Self::TooLarge,
        Self::TooDeep,
        Self::MalformedJson,
        Self::MalformedProtobuf,
        Self::UnknownEventType,
        Self::TimestampOutOfRange,
        Self::WrongTopic,
    ];

    /// The last segment of the problem type.
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Self::InvalidField => "invalid-field",
            Self::MissingField => "missing-field",
            Self::DuplicateField => "duplicate-field",
            Self::TooLarge => "too-large",
            Self::TooDeep => "too-deep",
            Self::MalformedJson => "malformed-json",
            Self::MalformedProtobuf => "malformed-protobuf",
            Self::UnknownEventType => "unknown-event-type",
            Self::TimestampOutOfRange => "timestamp-out-of-range",
            Self::WrongTopic => "wrong-topic",
        }
    }

    /// The title of the problem type.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidField => "Invalid field",
            Self::MissingField => "Missing field",
            Self::DuplicateField => "Field given twice",
            Self::TooLarge => "Too large",
            Self::TooDeep => "Nested too deeply",
            Self::MalformedJson => "Malformed JSON",
            Self::MalformedProtobuf => "Malformed protobuf",
            Self::UnknownEventType => "Unknown event type",
            Self::TimestampOutOfRange => "Timestamp out of range",
            Self::WrongTopic => "Wrong topic",
        }
    }

    /// The problem type, such as `/problems/invalid-field`.
    #[must_use]
    pub fn problem(self) -> String {
        format!("/problems/{}", self.slug())
    }
}

/// Why no event of a request could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefusal {
    /// The body is too large: send less at once.
    #[error("a request must be at most {most} bytes, got {bytes}", most = super::MAX_BATCH_BYTES)]
    TooLarge {
        /// Size of the body.
        bytes: usize,
    },
    /// Too many events: send fewer at once.
    #[error("a request must hold at most {most} events, got {events}",
            most = super::MAX_BATCH_EVENTS)]
    TooManyEvents {
        /// Events in the body.
        events: usize,
    },
    /// The body holds no event at all.
    #[error("a request must hold at least one event")]
    NoEvents,
    /// Not JSON, or JSON of another shape.
    #[error("line {line}, column {column}: {detail}")]
    Malformed {
        /// From 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
        /// What is wrong.
        detail: String,
    },
}

impl RequestRefusal {
    /// The problem type, such as `/problems/too-large`.
    #[must_use]
    pub fn problem(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "/problems/too-large",
            Self::TooManyEvents { .. } => "/problems/too-many-events",
            Self::NoEvents => "/problems/no-events",
            Self::Malformed { .. } => "/problems/malformed-json",
        }
    }

    /// The title of the problem type.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "Too large",
            Self::TooManyEvents { .. } => "Too many events",
            Self::NoEvents => "No events",
            Self::Malformed { .. } => "Malformed JSON",
        }
    }
}

/// A refusal of a member, before the event's id is known.
#[derive(Debug)]
pub(crate) struct Invalid {
    pub(super) kind: RefusalKind,
    pub(super) pointer: String,
    pub(super) detail: String,
}

impl Invalid {
    pub(super) fn new(kind: RefusalKind, pointer: impl Into<String>, detail: String) -> Self {
        Self { kind, pointer: pointer.into(), detail }
    }

    /// A value outside its range.
    pub(super) fn value(pointer: impl Into<String>, detail: String) -> Self {
        Self::new(RefusalKind::InvalidField, pointer, detail)
    }

    /// Adds the event's id.
    pub(super) fn of(self, event_id: Option<String>) -> Refusal {
        Refusal { kind: self.kind, pointer: self.pointer, detail: self.detail, event_id }
    }
}
