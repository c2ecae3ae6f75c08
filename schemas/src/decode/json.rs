//! JSON text → draft, in one pass and without a tree of values.
//!
//! A member given twice is refused: readers of JSON disagree on which of the two counts. Members
//! that the envelope does not know are kept as their text. When the pass fails, the position that
//! it stopped at is turned into a JSON pointer by [`super::locate`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::draft::{Draft, DraftItem, RawTime, Text, Unknown, UnknownMember};
use super::locate::{offset_of, pointer_at};
use super::refusal::{Invalid, RefusalKind};
use super::scalar::{
    JsonNumber, JsonScalars, JsonText, JsonTextOrTexts, JsonTexts, JsonWhole, TWICE, twice,
};

/// Reads one event.
pub(super) fn read_draft(text: &str) -> Result<Draft<'_>, Invalid> {
    let mut draft = Draft::default();
    let mut unknown = Vec::new();
    let mut from = serde_json::Deserializer::from_str(text);
    let read = EventSeed { draft: &mut draft, unknown: &mut unknown }
        .deserialize(&mut from)
        .and_then(|()| from.end());
    if let Err(error) = read {
        return Err(explain(text, &error));
    }
    if !unknown.is_empty() {
        draft.unknown = Unknown::Members(unknown);
    }
    Ok(draft)
}

/// The event's id, when the rest of the text does not let it be read.
pub(super) fn event_id_of(text: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct OnlyId {
        event_id: Option<String>,
    }
    serde_json::from_str::<OnlyId>(text).ok()?.event_id.map(|id| id.chars().take(128).collect())
}

/// A parser's error in the words of a producer.
fn explain(text: &str, error: &serde_json::Error) -> Invalid {
    let (line, column) = (error.line(), error.column());
    let full = error.to_string();
    let place = format!(" at line {line} column {column}");
    let message = full.strip_suffix(&place).unwrap_or(&full);
    let pointer = pointer_at(text, offset_of(text, line, column));
    if message == "number out of range" {
        return Invalid::value(pointer, "a number must fit into 64 bits of floating point".into());
    }
    if message == TWICE {
        return Invalid::new(
            RefusalKind::DuplicateField,
            pointer,
            "a member is given twice".into(),
        );
    }
    if !error.is_data() {
        let detail = format!("not JSON: {message} at line {line}, column {column}");
        return Invalid::new(RefusalKind::MalformedJson, "", detail);
    }
    let kind =
        if pointer.is_empty() { RefusalKind::MalformedJson } else { RefusalKind::InvalidField };
    let name = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or_default();
    let subject = if name.is_empty() { "an event" } else { name };
    Invalid::new(kind, pointer.clone(), reword(subject, message))
}

/// `invalid type: integer 5, expected text` → `user_id must be text, got integer 5`.
fn reword(subject: &str, message: &str) -> String {
    let body = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|body| body.rsplit_once(", expected "));
    match body {
        Some((got, expected)) => {
            let got: String = got.chars().take(100).collect();
            format!("{subject} must be {expected}, got {got}")
        }
        None => format!("{subject}: {message}"),
    }
}

macro_rules! members {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        enum $name { $($variant),* }

        impl $name {
            fn named(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

members!(
    /// Members of the envelope.
    Member {
        EventId = "event_id",
        EventType = "event_type",
        UserId = "user_id",
        AnonymousId = "anonymous_id",
        SessionId = "session_id",
        ItemId = "item_id",
        Items = "items",
        Timestamp = "timestamp",
        Value = "value",
        Rating = "rating",
        DwellTimeMs = "dwell_time_ms",
        Price = "price",
        Currency = "currency",
        Quantity = "quantity",
        Query = "query",
        RecommendationId = "recommendation_id",
        Position = "position",
        Context = "context",
        Profile = "profile",
        Item = "item",
    }
);

members!(
    /// Members of `item`.
    ItemMember {
        Title = "title",
        Category = "category",
        Brand = "brand",
        Tags = "tags",
        Price = "price",
        Currency = "currency",
        InStock = "in_stock",
        Attributes = "attributes",
    }
);

/// Which members were read so far.
#[derive(Default)]
struct Read(u32);

impl Read {
    /// Refuses the second reading of a member.
    fn note<E: Error>(&mut self, member: u8) -> Result<(), E> {
        let bit = 1 << member;
        if self.0 & bit != 0 {
            return Err(twice());
        }
        self.0 |= bit;
        Ok(())
    }
}

/// Whether a name is a member of the envelope.
pub(super) fn is_member(name: &str) -> bool {
    Member::named(name).is_some()
}

struct EventSeed<'d, 'a> {
    draft: &'d mut Draft<'a>,
    unknown: &'d mut Vec<UnknownMember<'a>>,
}

impl<'de> DeserializeSeed<'de> for EventSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EventSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut read = Read::default();
        while let Some(JsonText(name)) = map.next_key()? {
            match Member::named(&name) {
                Some(member) => {
                    read.note(member as u8)?;
                    fill(self.draft, member, &mut map)?;
                }
                None => self.unknown.push((name, map.next_value::<&'de RawValue>()?)),
            }
        }
        Ok(())
    }
}

fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Text<'de>>, A::Error> {
    Ok(map.next_value::<Option<JsonText<'de>>>()?.map(|JsonText(text)| text))
}

fn number<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<f64>, A::Error> {
    Ok(map.next_value::<Option<JsonNumber>>()?.map(|JsonNumber(number)| number))
}

fn whole<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<u64>, A::Error> {
    Ok(map.next_value::<Option<JsonWhole>>()?.map(|JsonWhole(number)| number))
}

fn fill<'de, A: MapAccess<'de>>(
    draft: &mut Draft<'de>,
    member: Member,
    map: &mut A,
) -> Result<(), A::Error> {
    match member {
        Member::EventId => draft.event_id = text(map)?,
        Member::EventType => draft.event_type = text(map)?,
        Member::UserId => draft.user_id = text(map)?,
        Member::AnonymousId => draft.anonymous_id = text(map)?,
        Member::SessionId => draft.session_id = text(map)?,
        Member::ItemId => draft.item_id = text(map)?,
        Member::Items => {
            let items: Option<JsonTexts<'de>> = map.next_value()?;
            draft.items = items.map(|JsonTexts(texts)| texts).unwrap_or_default();
        }
        Member::Timestamp => draft.timestamp = map.next_value::<Option<RawTime<'de>>>()?,
        Member::Value => draft.value = number(map)?,
        Member::Rating => draft.rating = number(map)?,
        Member::DwellTimeMs => draft.dwell_time_ms = whole(map)?,
        Member::Price => draft.price = number(map)?,
        Member::Currency => draft.currency = text(map)?,
        Member::Quantity => draft.quantity = number(map)?,
        Member::Query => draft.query = text(map)?,
        Member::RecommendationId => draft.recommendation_id = text(map)?,
        Member::Position => draft.position = whole(map)?,
        Member::Context => {
            let entries: Option<JsonScalars> = map.next_value()?;
            draft.context = entries.map(|JsonScalars(entries)| entries).unwrap_or_default();
        }
        Member::Profile => {
            let entries: Option<JsonScalars> = map.next_value()?;
            draft.profile = entries.map(|JsonScalars(entries)| entries);
        }
        Member::Item => draft.item = map.next_value::<Option<DraftItem<'de>>>()?,
    }
    Ok(())
}

impl<'de> serde::Deserialize<'de> for DraftItem<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = DraftItem<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that describes an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DraftItem<'de>, A::Error> {
        let mut item = DraftItem::default();
        let mut read = Read::default();
        while let Some(JsonText(name)) = map.next_key()? {
            match ItemMember::named(&name) {
                Some(member) => {
                    read.note(member as u8)?;
                    fill_item(&mut item, member, &mut map)?;
                }
                None => item.unknown.push((name, map.next_value::<&'de RawValue>()?)),
            }
        }
        Ok(item)
    }
}

fn fill_item<'de, A: MapAccess<'de>>(
    item: &mut DraftItem<'de>,
    member: ItemMember,
    map: &mut A,
) -> Result<(), A::Error> {
    let document = &mut item.document;
    let owned = |text: Option<Text<'de>>| text.map(Text::into_owned);
    match member {
        ItemMember::Title => document.title = owned(text(map)?),
        ItemMember::Category => {
            let texts: Option<JsonTextOrTexts> = map.next_value()?;
            document.categories = texts.map(|JsonTextOrTexts(texts)| texts).unwrap_or_default();
        }
        ItemMember::Brand => document.brand = owned(text(map)?),
        ItemMember::Tags => {
            let texts: Option<JsonTexts<'de>> = map.next_value()?;
            let texts = texts.map(|JsonTexts(texts)| texts).unwrap_or_default();
            document.tags = texts.into_iter().map(Text::into_owned).collect();
        }
        ItemMember::Price => document.price = number(map)?,
        ItemMember::Currency => document.currency = owned(text(map)?),
        ItemMember::InStock => document.in_stock = map.next_value()?,
        ItemMember::Attributes => {
            let entries: Option<JsonScalars> = map.next_value()?;
            document.attributes = entries.map(|JsonScalars(entries)| entries).unwrap_or_default();
        }
    }
    Ok(())
}
