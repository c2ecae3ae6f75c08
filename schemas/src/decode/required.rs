//! Which members an event of each type must have.

use super::draft::Draft;
use super::refusal::{Invalid, RefusalKind};
use crate::event::EventType;

/// Refuses a draft that lacks a member its type needs.
pub(super) fn check_required(event_type: &EventType, draft: &Draft<'_>) -> Result<(), Invalid> {
    let actor = draft.user_id.is_some() || draft.anonymous_id.is_some();
    let item = draft.item_id.is_some() || !draft.items.is_empty();
    let need = |present: bool, member: &str| need(event_type, present, member);
    match event_type {
        EventType::View
        | EventType::Click
        | EventType::AddToCart
        | EventType::RemoveFromCart
        | EventType::Purchase
        | EventType::Impression
        | EventType::Like
        | EventType::Dislike
        | EventType::Skip => {
            need(actor, "user_id or anonymous_id")?;
            need(item, "item_id or items")
        }
        EventType::Dwell => {
            need(actor, "user_id or anonymous_id")?;
            need(item, "item_id or items")?;
            need(draft.dwell_time_ms.is_some(), "dwell_time_ms")
        }
        EventType::Rate => {
            need(actor, "user_id or anonymous_id")?;
            need(item, "item_id or items")?;
            need(draft.rating.is_some(), "rating")
        }
        EventType::Search => {
            need(actor, "user_id or anonymous_id")?;
            need(draft.query.is_some(), "query")
        }
        EventType::Custom(_) => need(actor, "user_id or anonymous_id"),
        EventType::Profile => {
            need(actor, "user_id or anonymous_id")?;
            need(draft.profile.as_ref().is_some_and(|profile| !profile.is_empty()), "profile")
        }
        EventType::Merge => {
            need(draft.user_id.is_some(), "user_id")?;
            need(draft.anonymous_id.is_some(), "anonymous_id")
        }
        EventType::Erase => need(draft.user_id.is_some(), "user_id"),
        EventType::ItemUpsert => {
            need(item, "item_id")?;
            need(draft.item.is_some(), "item")
        }
        EventType::ItemDelete => need(item, "item_id"),
    }
}

/// `members` begins with the member that the pointer names.
fn need(event_type: &EventType, present: bool, members: &str) -> Result<(), Invalid> {
    if present {
        return Ok(());
    }
    let first = members.split(' ').next().unwrap_or(members);
    let detail = format!("{} needs {members}", event_type.name());
    Err(Invalid::new(RefusalKind::MissingField, format!("/{first}"), detail))
}
