//! A user's row, in a section of a snapshot.

use eddyline_schemas::features::SessionContext;
use eddyline_schemas::id::SessionId;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::time::TimestampMs;

use super::{Told, UserRow};
use crate::state::section::{self, InvalidSection, Reader};

/// Between epochs: what an epoch has changed is not written.
pub(super) fn export(row: &UserRow, out: &mut Vec<u8>) {
    debug_assert!(!row.changed.any, "between epochs nothing has changed");
    out.push(u8::from(row.is_erased));
    section::items(out, row.recent_views.iter());
    section::items(out, row.history.iter());
    out.extend_from_slice(&row.history_length.to_le_bytes());
    section::items(out, row.seen_by_age.iter());
    section::items(out, row.disliked.iter());
    section::texts(out, row.recent_searches.iter().map(String::as_str));
    section::maybe(out, row.session.as_ref(), export_session);
    section::count(out, row.demographics.len());
    for (key, value) in &row.demographics {
        section::text(out, key);
        section::text(out, value);
    }
    out.extend_from_slice(&row.last_updated.0.to_le_bytes());
    export_told(&row.told, out);
}

pub(super) fn import(from: &mut Reader<'_, '_>) -> Result<UserRow, InvalidSection> {
    let mut row = UserRow {
        is_erased: from.flag()?,
        recent_views: from.items()?,
        history: from.items()?,
        history_length: from.u64()?,
        seen_by_age: from.items()?,
        disliked: from.items()?,
        recent_searches: from.list(4, Reader::string)?,
        session: from.maybe(import_session)?,
        demographics: from.list(8, |from| Ok((from.string()?, from.string()?)))?,
        last_updated: TimestampMs(from.i64()?),
        told: import_told(from)?,
        ..UserRow::default()
    };
    row.seen = row.seen_by_age.iter().copied().collect();
    row.seen.sort_unstable();
    Ok(row)
}

fn export_told(told: &Told, out: &mut Vec<u8>) {
    out.extend_from_slice(&told.epoch.0.to_le_bytes());
    out.push(u8::from(told.has_vector));
    section::maybe(out, told.price_range, |out, (low, high)| {
        out.extend_from_slice(&low.to_bits().to_le_bytes());
        out.extend_from_slice(&high.to_bits().to_le_bytes());
    });
}

fn import_told(from: &mut Reader<'_, '_>) -> Result<Told, InvalidSection> {
    Ok(Told {
        epoch: Epoch(from.u64()?),
        has_vector: from.flag()?,
        price_range: from.maybe(|from| Ok((from.f64()?, from.f64()?)))?,
    })
}

fn export_session(out: &mut Vec<u8>, session: &SessionContext) {
    section::maybe(out, session.session_id.as_ref().map(SessionId::as_str), section::text);
    out.extend_from_slice(&session.session_start.0.to_le_bytes());
    out.extend_from_slice(&session.last_event.0.to_le_bytes());
    out.extend_from_slice(&session.page_views_in_session.to_le_bytes());
    section::maybe(out, session.current_category.as_deref(), section::text);
}

fn import_session(from: &mut Reader<'_, '_>) -> Result<SessionContext, InvalidSection> {
    let session_id = from.maybe(Reader::text)?;
    let session_id = session_id.map(|id| SessionId::new(id).map_err(|_| from.invalid()));
    Ok(SessionContext {
        session_id: session_id.transpose()?,
        session_start: TimestampMs(from.i64()?),
        last_event: TimestampMs(from.i64()?),
        page_views_in_session: from.u32()?,
        current_category: from.maybe(Reader::name)?,
    })
}
