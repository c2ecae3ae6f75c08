//! Members that the envelope does not know: kept as the text of one JSON object, in the producer's
//! order, members of `item` below a member of that name.

use super::draft::{Draft, Unknown, UnknownMember};
use super::json::is_member;
use super::locate::{Untyped, check_untyped, escape};
use super::refusal::{Invalid, RefusalKind};

/// The text to keep; `None` when all members are known.
pub(super) fn unknown_text(draft: &mut Draft<'_>) -> Result<Option<String>, Invalid> {
    let of_item = draft.item.as_mut().map(|item| std::mem::take(&mut item.unknown));
    let of_item = of_item.unwrap_or_default();
    match std::mem::take(&mut draft.unknown) {
        Unknown::Text(text) => check_text(&text).map(|()| Some(text)),
        Unknown::None if of_item.is_empty() => Ok(None),
        Unknown::None => join(&[], &of_item).map(Some),
        Unknown::Members(members) => join(&members, &of_item).map(Some),
    }
}

fn join(members: &[UnknownMember<'_>], of_item: &[UnknownMember<'_>]) -> Result<String, Invalid> {
    let mut out = String::from("{");
    write_members(&mut out, "", members)?;
    if !of_item.is_empty() {
        out.push_str(if members.is_empty() { "\"item\":{" } else { ",\"item\":{" });
        write_members(&mut out, "/item", of_item)?;
        out.push('}');
    }
    out.push('}');
    Ok(out)
}

fn write_members(
    out: &mut String,
    parent: &str,
    members: &[UnknownMember<'_>],
) -> Result<(), Invalid> {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let pointer = format!("{parent}/{}", escape(pair[0]));
        let detail = "a member is given twice".to_owned();
        return Err(Invalid::new(RefusalKind::DuplicateField, pointer, detail));
    }
    let depth = if parent.is_empty() { 1 } else { 2 };
    for (at, (name, value)) in members.iter().enumerate() {
        check_untyped(value.get(), depth)
            .map_err(|wrong| refused(&format!("{parent}/{}", escape(name)), &wrong))?;
        if at > 0 {
            out.push(',');
        }
        out.push_str(&serde_json::Value::from(name.as_ref()).to_string());
        out.push(':');
        out.push_str(value.get());
    }
    Ok(())
}

fn refused(pointer: &str, wrong: &Untyped) -> Invalid {
    match wrong {
        Untyped::TooDeep => {
            let detail = format!("nested more than {} levels deep", super::locate::MAX_DEPTH);
            Invalid::new(RefusalKind::TooDeep, pointer, detail)
        }
        Untyped::NotFinite => {
            let detail = "a number must fit into 64 bits of floating point".to_owned();
            Invalid::value(pointer, detail)
        }
    }
}

/// Checks text that protobuf carried: an object without members of the envelope.
fn check_text(text: &str) -> Result<(), Invalid> {
    let pointer = "/unknown_json";
    let invalid = |detail: String| Invalid::value(pointer, format!("unknown_json: {detail}"));
    // The parser ignores values without recursion, so depth is checked after well-formedness.
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| invalid(error.to_string()))?;
    check_untyped(text, 0).map_err(|wrong| refused(pointer, &wrong))?;
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    match members.keys().find(|name| is_member(name) && *name != "item") {
        Some(name) => Err(invalid(format!("{name} is a member of the envelope"))),
        None => Ok(()),
    }
}
