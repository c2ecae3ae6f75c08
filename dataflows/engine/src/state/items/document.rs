//! A row of the catalogue, in a section of a snapshot.

use eddyline_schemas::item::ItemDocument;

use crate::state::section::{self, InvalidSection, Reader};

pub(super) fn export(out: &mut Vec<u8>, document: &ItemDocument) {
    section::maybe(out, document.title.as_deref(), section::text);
    section::texts(out, document.categories.iter().map(String::as_str));
    section::maybe(out, document.brand.as_deref(), section::text);
    section::texts(out, document.tags.iter().map(String::as_str));
    section::maybe(out, document.price, |out, price| {
        out.extend_from_slice(&price.to_bits().to_le_bytes());
    });
    section::maybe(out, document.currency.as_deref(), section::text);
    section::maybe(out, document.in_stock, |out, in_stock| out.push(u8::from(in_stock)));
    section::count(out, document.attributes.len());
    for (key, value) in &document.attributes {
        section::text(out, key);
        section::text(out, value);
    }
}

pub(super) fn import(from: &mut Reader<'_, '_>) -> Result<ItemDocument, InvalidSection> {
    Ok(ItemDocument {
        title: from.maybe(Reader::string)?,
        categories: from.list(4, Reader::string)?,
        brand: from.maybe(Reader::string)?,
        tags: from.list(4, Reader::string)?,
        price: from.maybe(Reader::f64)?,
        currency: from.maybe(Reader::string)?,
        in_stock: from.maybe(Reader::flag)?,
        attributes: from.list(8, |from| Ok((from.string()?, from.string()?)))?,
    })
}
