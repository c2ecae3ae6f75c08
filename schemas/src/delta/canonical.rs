//! Canonical rows: the bytes of a delta that digests are taken over.
//!
//! A row is the kind's tag (a byte), the key, then the values in the order of their declaration.
//! Integers and the bits of floats are little-endian; text and lists begin with their length as
//! u32; an `Option` is a byte 0 or 1 and, after 1, the value; maps are lists of pairs by name.
//! Rows need no delimiter, since each says how long it is. They hold no lineage, term or writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Delta;
use crate::features::{
    CovisitationList, DecayedSum, ItemPopularity, SessionContext, UserFeatures, UserPreferences,
};
use crate::id::ItemRef;
use crate::item::ItemDocument;
use crate::lineage::Epoch;

/// Appends the canonical row of `delta`.
pub fn write_canonical(delta: &Delta, out: &mut Vec<u8>) {
    out.push(delta.kind());
    match delta {
        Delta::Item { item, id, document, first_seen, deleted } => {
            write_u32(out, item.0);
            write_text(out, id.as_str());
            write_option(out, document.as_deref(), write_document);
            let (Epoch(epoch), seq) = *first_seen;
            write_u64(out, epoch);
            write_u32(out, seq);
            out.push(u8::from(*deleted));
        }
        Delta::ItemVector { item, vector: row } | Delta::ItemContext { item, context: row } => {
            write_u32(out, item.0);
            write_row(out, row);
        }
        Delta::Popularity { item, popularity } => {
            write_u32(out, item.0);
            write_popularity(out, popularity);
        }
        Delta::Covisitation { item, list } => {
            write_u32(out, item.0);
            write_covisitation(out, list);
        }
        Delta::UserVector { user, vector } => {
            write_text(out, user.as_str());
            write_option(out, vector.as_deref(), write_row);
        }
        Delta::UserFeatures { user, features } => {
            write_text(out, user.as_str());
            write_option(out, features.as_deref(), write_features);
        }
        Delta::UserPreferences { user, preferences } => {
            write_text(out, user.as_str());
            write_preferences(out, preferences);
        }
        Delta::Gate { values } => {
            write_length(out, values.len());
            values.iter().for_each(|value| write_f64(out, *value));
        }
    }
}

fn write_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn write_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn write_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn write_f32(out: &mut Vec<u8>, number: f32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn write_f64(out: &mut Vec<u8>, number: f64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn write_length(out: &mut Vec<u8>, length: usize) {
    write_u32(out, u32::try_from(length).expect("a document has fewer than 2^32 parts"));
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn write_option<T: ?Sized>(
    out: &mut Vec<u8>,
    value: Option<&T>,
    write: impl FnOnce(&mut Vec<u8>, &T),
) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(out, value);
    }
}

/// Four bytes a number, in one sweep that the compiler turns into a copy.
fn write_words<T: Copy>(out: &mut Vec<u8>, words: &[T], bytes_of: impl Fn(T) -> [u8; 4]) {
    write_length(out, words.len());
    let start = out.len();
    out.resize(start + 4 * words.len(), 0);
    for (to, word) in out[start..].chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&bytes_of(*word));
    }
}

fn write_row(out: &mut Vec<u8>, row: &[f32]) {
    write_words(out, row, f32::to_le_bytes);
}

fn write_refs(out: &mut Vec<u8>, items: &[ItemRef]) {
    write_words(out, items, |item| item.0.to_le_bytes());
}

fn write_map(out: &mut Vec<u8>, map: &BTreeMap<String, String>) {
    write_length(out, map.len());
    for (name, value) in map {
        write_text(out, name);
        write_text(out, value);
    }
}

fn write_texts(out: &mut Vec<u8>, texts: &[String]) {
    write_length(out, texts.len());
    texts.iter().for_each(|text| write_text(out, text));
}

fn write_document(out: &mut Vec<u8>, item: &ItemDocument) {
    let ItemDocument { title, categories, brand, tags, price, currency, in_stock, attributes } =
        item;
    write_option(out, title.as_deref(), write_text);
    write_texts(out, categories);
    write_option(out, brand.as_deref(), write_text);
    write_texts(out, tags);
    write_option(out, price.as_ref(), |out, price| write_f64(out, *price));
    write_option(out, currency.as_deref(), write_text);
    write_option(out, in_stock.as_ref(), |out, in_stock| out.push(u8::from(*in_stock)));
    write_map(out, attributes);
}

fn write_sum(out: &mut Vec<u8>, sum: DecayedSum) {
    write_f64(out, sum.mantissa);
    write_i64(out, sum.exponent);
}

fn write_popularity(out: &mut Vec<u8>, popularity: &ItemPopularity) {
    write_sum(out, popularity.short);
    write_sum(out, popularity.long);
    write_u64(out, popularity.events);
}

fn write_covisitation(out: &mut Vec<u8>, list: &CovisitationList) {
    write_length(out, list.neighbours.len());
    for (item, weight) in &list.neighbours {
        write_u32(out, item.0);
        write_f32(out, *weight);
    }
    write_f32(out, list.total);
    write_i64(out, list.exponent);
}

fn write_features(out: &mut Vec<u8>, features: &UserFeatures) {
    let UserFeatures { recent_views, history, history_length, seen, disliked, .. } = features;
    write_refs(out, recent_views);
    write_refs(out, history);
    write_u64(out, *history_length);
    write_refs(out, seen);
    write_refs(out, disliked);
    write_texts(out, &features.recent_searches);
    write_option(out, features.session.as_ref(), write_session);
    write_map(out, &features.demographics);
    write_option(out, features.price_range.as_ref(), |out, (least, greatest)| {
        write_f64(out, *least);
        write_f64(out, *greatest);
    });
    write_i64(out, features.last_updated.0);
    write_i64(out, features.expires_at.0);
}

fn write_session(out: &mut Vec<u8>, session: &SessionContext) {
    write_option(out, session.session_id.as_ref(), |out, id| write_text(out, id.as_str()));
    write_i64(out, session.session_start.0);
    write_i64(out, session.last_event.0);
    write_u32(out, session.page_views_in_session);
    write_option(out, session.current_category.as_deref(), write_text);
}

fn write_preferences(out: &mut Vec<u8>, preferences: &UserPreferences) {
    let mut write_list = |list: &[(Arc<str>, i64)]| {
        write_length(out, list.len());
        for (name, events) in list {
            write_text(out, name);
            write_i64(out, *events);
        }
    };
    write_list(&preferences.categories);
    write_list(&preferences.brands);
}
