//! A row of the catalogue.

use std::collections::BTreeMap;

/// What the catalogue says of an item. All members are optional; an upsert replaces the whole row.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ItemDocument {
    /// For people.
    pub title: Option<String>,
    /// Categories, the main one first; `A > B` names B within A. JSON `category` may be one text
    /// or a list.
    #[serde(rename = "category", skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// The maker.
    pub brand: Option<String>,
    /// Free labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// In `currency`.
    pub price: Option<f64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// Whether it can be had; absent means yes.
    pub in_stock: Option<bool>,
    /// Anything else, shown back as it is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}
