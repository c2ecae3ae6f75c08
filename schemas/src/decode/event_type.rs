//! The name of an event type: built in, or a producer's own.
//!
//! A producer's own type is written `custom.` and lower-case letters, digits, `_` and `.`, at most
//! 64 bytes in all. The prefix keeps the names apart from types that a later version builds in,
//! and lets a misspelt `puchase` be refused instead of being learned from as something new.

use super::refusal::{Invalid, RefusalKind};
use crate::event::EventType;

/// What a producer's own type begins with.
pub const CUSTOM_PREFIX: &str = "custom.";
/// Longest name of a type.
pub const MAX_TYPE_BYTES: usize = 64;

/// Reads the name of an event type.
pub(super) fn check_event_type(name: Option<&str>) -> Result<EventType, Invalid> {
    let refused = |kind, detail| Err(Invalid::new(kind, "/event_type", detail));
    let Some(name) = name else {
        return refused(RefusalKind::MissingField, "an event needs event_type".to_owned());
    };
    if let Some(event_type) = EventType::built_in(name) {
        return Ok(event_type);
    }
    let shown: String = name.chars().take(MAX_TYPE_BYTES).collect();
    let Some(own) = name.strip_prefix(CUSTOM_PREFIX) else {
        let hint = match nearest(name) {
            Some(event_type) => format!("did you mean {:?}?", event_type.name()),
            None => format!("a type of your own begins with {CUSTOM_PREFIX:?}"),
        };
        let detail = format!("no event type is called {shown:?}: {hint}");
        return refused(RefusalKind::UnknownEventType, detail);
    };
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
    if own.is_empty() || name.len() > MAX_TYPE_BYTES || !own.bytes().all(allowed) {
        let detail = format!(
            "a type of your own is {CUSTOM_PREFIX:?} and lower-case letters, digits, '_' and '.', \
             at most {MAX_TYPE_BYTES} bytes in all, got {shown:?}"
        );
        return refused(RefusalKind::UnknownEventType, detail);
    }
    Ok(EventType::Custom(name.to_owned()))
}

/// The built-in type that `name` most likely means.
fn nearest(name: &str) -> Option<EventType> {
    if name.len() > MAX_TYPE_BYTES {
        return None;
    }
    let plain = |name: &str| -> Vec<u8> {
        name.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase()).collect()
    };
    let name = plain(name);
    EventType::BUILT_IN
        .into_iter()
        .map(|event_type| (edits(&name, &plain(event_type.name())), event_type))
        .filter(|(edits, event_type)| *edits <= 2 && *edits * 2 < event_type.name().len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, event_type)| event_type)
}

/// Levenshtein's distance, a row at a time.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_built_in_custom_or_refused_with_a_hint() {
        let check = |name: &str, want: &str| {
            let got = match check_event_type(Some(name)) {
                Ok(event_type) => event_type.name().to_owned(),
                Err(invalid) => invalid.detail,
            };
            assert!(got.contains(want), "{name}: {got}");
        };
        for event_type in EventType::BUILT_IN {
            check(event_type.name(), event_type.name());
        }
        check("custom.share_link.v2", "custom.share_link.v2");
        check("puchase", "did you mean \"purchase\"?");
        check("AddToCart", "did you mean \"add_to_cart\"?");
        check("page-view", "begins with \"custom.\"");
        check("custom.", "lower-case letters");
        check("custom.Share", "lower-case letters");
        check(&format!("custom.{}", "x".repeat(58)), "at most 64 bytes");
    }
}
