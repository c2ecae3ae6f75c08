//! The validator: draft → [`Event`]. It alone decides what an event may say, whichever encoding
//! it came in.
//!
//! Limits beside those of [`crate::id`] and [`crate::time`]: text ≤ 1 KiB, member names ≤ 128
//! bytes, ≤ 100 items, ≤ 32 entries of `context` and `profile`, ≤ 64 attributes, tags and
//! categories. `rating` is 0 to 10: 1 to 5 stars are usual, and some public data sets use 0 to 10.
//! Amounts are bounded by 10^15 so that no sum of them can leave the finite numbers.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::draft::{Draft, RawTime, Text};
use super::event_type::check_event_type;
use super::refusal::{Invalid, Refusal, RefusalKind};
use super::required::check_required;
use super::unknown::unknown_text;
use crate::event::{Event, EventType, IdOrigin};
use crate::id::{EventId, InvalidId, ItemId};
use crate::item::ItemDocument;
use crate::time::{InvalidTimestamp, MINUTE_MS, TimestampMs};

/// Most items of one event.
pub const MAX_ITEMS: usize = 100;
/// Longest text in bytes of UTF-8: query, title, brand, category, values of `context`, ….
pub const MAX_TEXT_BYTES: usize = 1024;
/// Longest member name in `context`, `profile` and `attributes`, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Most entries of `context`, and of `profile`.
pub const MAX_ENTRIES: usize = 32;
/// Most attributes, tags or categories of an item.
pub const MAX_ITEM_ENTRIES: usize = 64;
/// Greatest rating; the least is 0.
pub const MAX_RATING: f64 = 10.0;
/// Bound of `value`, `price` and `quantity`.
pub const MAX_AMOUNT: f64 = 1e15;
/// Longest dwell and greatest position, exact in JSON.
const MAX_WHOLE: u64 = (1 << 53) - 1;
/// How far ahead of the clock an event may be.
pub const MAX_AHEAD_MS: i64 = 10 * MINUTE_MS;
/// Timestamps are below this, in milliseconds.
const TIME_END_MS: i64 = 100_000_000_000_000;

/// Which timestamps to take.
#[derive(Clone, Copy)]
pub(crate) enum When {
    /// No clock is known.
    Any,
    /// Up to [`MAX_AHEAD_MS`] after this: wall clock at the door, append time on the log.
    Near(TimestampMs),
}

/// Checks a draft. The flag says whether the event id is the producer's; if not, a placeholder
/// stands in its place, and [`Event::id_origin`] says how to make the id.
pub(crate) fn check_draft(draft: &mut Draft<'_>, when: When) -> Result<(Event, bool), Refusal> {
    check(draft, when).map_err(|invalid| {
        let id = draft.event_id.as_deref();
        invalid.of(id.map(|id| id.chars().take(128).collect()))
    })
}

fn check(draft: &mut Draft<'_>, when: When) -> Result<(Event, bool), Invalid> {
    let event_type = check_event_type(draft.event_type.as_deref())?;
    check_required(&event_type, draft)?;
    let timestamp = check_time(draft.timestamp.as_ref(), when)?;
    let given = id("event_id", draft.event_id.as_ref(), EventId::new)?;
    let id_origin = match (&given, timestamp) {
        (Some(_), _) => draft.id_origin.unwrap_or(IdOrigin::Producer),
        (None, Some(_)) => IdOrigin::Derived,
        (None, None) => IdOrigin::Random,
    };
    let id_given = given.is_some();
    let event = Event {
        event_id: given.unwrap_or_else(placeholder),
        id_origin,
        user_id: id("user_id", draft.user_id.as_ref(), crate::id::UserId::new)?,
        anonymous_id: id("anonymous_id", draft.anonymous_id.as_ref(), crate::id::UserId::new)?,
        session_id: id("session_id", draft.session_id.as_ref(), crate::id::SessionId::new)?,
        items: check_items(&event_type, draft)?,
        timestamp,
        value: number("/value", draft.value, -MAX_AMOUNT, MAX_AMOUNT)?,
        rating: number("/rating", draft.rating, 0.0, MAX_RATING)?,
        dwell_time_ms: whole("/dwell_time_ms", draft.dwell_time_ms, 0, MAX_WHOLE)?,
        price: number("/price", draft.price, 0.0, MAX_AMOUNT)?,
        currency: currency("/currency", owned(draft.currency.take()))?,
        quantity: number("/quantity", draft.quantity, 0.0, MAX_AMOUNT)?,
        query: text("/query", owned(draft.query.take()))?,
        recommendation_id: id(
            "recommendation_id",
            draft.recommendation_id.as_ref(),
            crate::id::RecommendationId::new,
        )?,
        position: whole("/position", draft.position, 1, u64::from(u32::MAX))?
            .map(|position| u32::try_from(position).expect("the range was checked")),
        context: entries("/context", std::mem::take(&mut draft.context), MAX_ENTRIES)?,
        profile: entries("/profile", draft.profile.take().unwrap_or_default(), MAX_ENTRIES)?,
        unknown: unknown_text(draft)?,
        item: draft.item.take().map(|item| check_item(item.document)).transpose()?,
        event_type,
    };
    Ok((event, id_given))
}

fn placeholder() -> EventId {
    EventId::new("-").expect("a dash is an id")
}

fn owned(text: Option<Text<'_>>) -> Option<String> {
    text.map(Text::into_owned)
}

fn id<T>(
    member: &str,
    text: Option<&Text<'_>>,
    new: fn(&str) -> Result<T, InvalidId>,
) -> Result<Option<T>, Invalid> {
    let Some(text) = text else { return Ok(None) };
    match new(text) {
        Ok(id) => Ok(Some(id)),
        Err(error) => Err(Invalid::value(format!("/{member}"), format!("{member}: {error}"))),
    }
}

fn check_items(event_type: &EventType, draft: &Draft<'_>) -> Result<Vec<ItemId>, Invalid> {
    let refused = |kind, detail: String| Err(Invalid::new(kind, "/items", detail));
    if let Some(item) = id("item_id", draft.item_id.as_ref(), ItemId::new)? {
        if draft.items.is_empty() {
            return Ok(vec![item]);
        }
        let detail = "an event has either item_id or items, not both".to_owned();
        return refused(RefusalKind::InvalidField, detail);
    }
    if draft.items.len() > MAX_ITEMS {
        let detail = format!("items must be at most {MAX_ITEMS}, got {}", draft.items.len());
        return refused(RefusalKind::TooLarge, detail);
    }
    if event_type.topic() == crate::topic::Topic::ItemEvents && draft.items.len() > 1 {
        let detail = format!("{} is about one item: use item_id", event_type.name());
        return refused(RefusalKind::InvalidField, detail);
    }
    let item = |(at, text): (usize, &Text<'_>)| {
        let refused = |error| Invalid::value(format!("/items/{at}"), format!("items: {error}"));
        ItemId::new(text).map_err(refused)
    };
    draft.items.iter().enumerate().map(item).collect()
}

fn check_time(time: Option<&RawTime<'_>>, when: When) -> Result<Option<TimestampMs>, Invalid> {
    let refused = |detail: &dyn Display| {
        let kind = RefusalKind::TimestampOutOfRange;
        Invalid::new(kind, "/timestamp", format!("timestamp: {detail}"))
    };
    let at = match time {
        None => return Ok(None),
        Some(RawTime::Integer(number)) => TimestampMs::from_integer(*number),
        Some(RawTime::Text(text)) => TimestampMs::from_rfc3339(text),
        Some(RawTime::Milliseconds(ms)) if (0..TIME_END_MS).contains(ms) => Ok(TimestampMs(*ms)),
        Some(RawTime::Milliseconds(ms)) => Err(InvalidTimestamp::OutOfRange(*ms)),
    };
    let at = at.map_err(|error| match error {
        InvalidTimestamp::NotRfc3339(_) => {
            Invalid::value("/timestamp", format!("timestamp: {error}"))
        }
        InvalidTimestamp::OutOfRange(_) | InvalidTimestamp::OutOfYears(_) => refused(&error),
    })?;
    match when {
        When::Near(now) if at > now.plus_ms(MAX_AHEAD_MS) => {
            let minutes = MAX_AHEAD_MS / MINUTE_MS;
            Err(refused(&format_args!("{at} is more than {minutes} minutes ahead of {now}")))
        }
        When::Near(_) | When::Any => Ok(Some(at)),
    }
}

fn number(
    pointer: &str,
    number: Option<f64>,
    least: f64,
    greatest: f64,
) -> Result<Option<f64>, Invalid> {
    let Some(number) = number else { return Ok(None) };
    // NaN is in no range.
    if (least..=greatest).contains(&number) {
        // Adding +0.0 turns −0.0 into +0.0 and changes no other number.
        return Ok(Some(number + 0.0));
    }
    let detail = format!("{} must be from {least} to {greatest}, got {number}", name_of(pointer));
    Err(Invalid::value(pointer, detail))
}

fn whole(
    pointer: &str,
    number: Option<u64>,
    least: u64,
    greatest: u64,
) -> Result<Option<u64>, Invalid> {
    match number {
        Some(number) if !(least..=greatest).contains(&number) => {
            let name = name_of(pointer);
            let detail = format!("{name} must be from {least} to {greatest}, got {number}");
            Err(Invalid::value(pointer, detail))
        }
        _ => Ok(number),
    }
}

fn name_of(pointer: &str) -> &str {
    pointer.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or(pointer)
}

fn text(pointer: &str, text: Option<String>) -> Result<Option<String>, Invalid> {
    if let Some(text) = &text {
        bounded(pointer, text, MAX_TEXT_BYTES)?;
    }
    Ok(text)
}

fn bounded(pointer: &str, text: &str, most: usize) -> Result<(), Invalid> {
    if text.len() <= most {
        return Ok(());
    }
    let detail = format!("{} must be at most {most} bytes, got {}", name_of(pointer), text.len());
    Err(Invalid::new(RefusalKind::TooLarge, pointer, detail))
}

fn currency(pointer: &str, currency: Option<String>) -> Result<Option<String>, Invalid> {
    match &currency {
        Some(code) if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            let code: String = code.chars().take(16).collect();
            let detail = format!("currency must be three capital letters as EUR, got {code:?}");
            Err(Invalid::value(pointer, detail))
        }
        _ => Ok(currency),
    }
}

fn entries(
    pointer: &str,
    entries: BTreeMap<String, String>,
    most: usize,
) -> Result<BTreeMap<String, String>, Invalid> {
    let refused = |detail| Err(Invalid::new(RefusalKind::TooLarge, pointer, detail));
    if entries.len() > most {
        let got = entries.len();
        return refused(format!("{} must be at most {most} entries, got {got}", name_of(pointer)));
    }
    for (name, value) in &entries {
        if name.len() > MAX_NAME_BYTES {
            return refused(format!("a name must be at most {MAX_NAME_BYTES} bytes"));
        }
        if value.len() > MAX_TEXT_BYTES {
            bounded(&format!("{pointer}/{}", super::locate::escape(name)), value, MAX_TEXT_BYTES)?;
        }
    }
    Ok(entries)
}

/// Checks a list of categories or tags: neither too many, nor an empty one.
fn labels(pointer: &str, labels: Vec<String>) -> Result<Vec<String>, Invalid> {
    if labels.len() > MAX_ITEM_ENTRIES {
        let (name, got) = (name_of(pointer), labels.len());
        let detail = format!("{name} must be at most {MAX_ITEM_ENTRIES}, got {got}");
        return Err(Invalid::new(RefusalKind::TooLarge, pointer, detail));
    }
    for label in &labels {
        label_of(pointer, label)?;
    }
    Ok(labels)
}

fn label_of(pointer: &str, label: &str) -> Result<(), Invalid> {
    if label.is_empty() {
        return Err(Invalid::value(pointer, format!("{} must not be empty", name_of(pointer))));
    }
    bounded(pointer, label, MAX_TEXT_BYTES)
}

fn check_item(item: ItemDocument) -> Result<ItemDocument, Invalid> {
    if let Some(brand) = &item.brand {
        label_of("/item/brand", brand)?;
    }
    Ok(ItemDocument {
        title: text("/item/title", item.title)?,
        categories: labels("/item/category", item.categories)?,
        brand: item.brand,
        tags: labels("/item/tags", item.tags)?,
        price: number("/item/price", item.price, 0.0, MAX_AMOUNT)?,
        currency: currency("/item/currency", item.currency)?,
        in_stock: item.in_stock,
        attributes: entries("/item/attributes", item.attributes, MAX_ITEM_ENTRIES)?,
    })
}
