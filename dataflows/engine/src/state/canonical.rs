//! How state rows become bytes for digests: little-endian bits, every list length-prefixed.

use eddyline_schemas::id::ItemRef;

/// A list of items.
pub fn items(out: &mut Vec<u8>, list: &[ItemRef]) {
    out.extend_from_slice(&(list.len() as u32).to_le_bytes());
    list.iter().for_each(|item| out.extend_from_slice(&item.0.to_le_bytes()));
}

/// A list of texts.
pub fn texts<'a>(out: &mut Vec<u8>, list: impl IntoIterator<Item = &'a str>) {
    for text in list {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(&u32::MAX.to_le_bytes());
}

/// Numbers as bits.
pub fn floats(out: &mut Vec<u8>, list: &[f32]) {
    list.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
}
