//! A state as plain Parquet, for the rest of a company's data tools.
//!
//! `lineage=<hex>/epoch=<20 digits>/<table>/part-00000.parquet`, and last `_SUCCESS.json`, which says
//! what was written: without it an export is not whole. Rows come in the order of ids, so that two
//! exports of an epoch have the same rows, and with one build the same bytes; nothing is overwritten.
//!
//! | table | columns |
//! |---|---|
//! | `users` | `user_id`, `epoch` of the last change, `vector` (null before the first learned event) |
//! | `items` | `item_id`, `title`, `deleted`, `vector`, `context` (null where nothing was learned) |
//! | `popularity` | `item_id`, `short` and `long` (decayed sums as of the state's logical time), `events` |
//! | `covisitation` | `item_id`, `rank` from 1, `neighbour_id`, `weight` (decayed; comparable within a list) |
//!
//! A user's vector lacks the part that the user's last items add: see
//! [`represent`](eddyline_model::factors::represent::represent). Erased users have no row.
//!
//! Memory: the state, which is given up on the way, and the encoded bytes of a part.

mod table;

use std::collections::BTreeMap;

use bytes::Bytes;
use eddyline_connect::objects::{ObjectError, ObjectName, ObjectStore};
use eddyline_dataflows::snapshot::Restored;
use eddyline_model::config::CoreConfig;
use eddyline_model::popularity::{Decayed, Popularity};
use eddyline_schemas::delta::Delta;
use eddyline_schemas::features::{CovisitationList, DecayedSum, ItemPopularity};
use eddyline_schemas::id::ItemRef;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;
use parquet::errors::ParquetError;
use std::sync::Arc;

use table::{Column, Table};

/// What was written: the content of `_SUCCESS.json`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Exported {
    /// Whose history.
    pub lineage: Lineage,
    /// As of the end of which epoch.
    pub epoch: Epoch,
    /// Its logical time.
    pub logical_time: TimestampMs,
    /// The digest of the state.
    pub state_digest: Digest,
    /// Rows of each table.
    pub rows: BTreeMap<&'static str, u64>,
}

/// Why a state is not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The place does not take it; what it has of another build is never overwritten.
    #[error("the place of the export did not take it")]
    Objects(#[from] ObjectError),
    /// It cannot be encoded.
    #[error("cannot encode table {table}")]
    Encode {
        /// Which.
        table: &'static str,
        /// Why.
        #[source]
        source: ParquetError,
    },
}

/// An item and all that is known of it.
#[derive(Default)]
struct Item {
    id: String,
    title: Option<String>,
    deleted: bool,
    vector: Option<Arc<[f32]>>,
    context: Option<Arc<[f32]>>,
    popularity: Option<ItemPopularity>,
    neighbours: Option<Arc<CovisitationList>>,
}

struct User {
    id: String,
    epoch: Epoch,
    vector: Option<Arc<[f32]>>,
}

struct Neighbour<'a> {
    item: &'a str,
    rank: i64,
    neighbour: &'a str,
    weight: f32,
}

/// The folder of an export.
#[must_use]
pub fn folder(lineage: Lineage, epoch: Epoch) -> ObjectName {
    let name = format!("lineage={lineage}/epoch={:020}", epoch.0);
    ObjectName::new(name).expect("digits and plain words make a name")
}

/// Writes the state, of which nothing is left afterwards.
pub fn export(
    objects: &dyn ObjectStore,
    core: &CoreConfig,
    mut state: Restored,
) -> Result<Exported, ExportError> {
    let state_digest = state.digest(core).state_digest;
    let (lineage, epoch, time) = (state.lineage(), state.epoch(), state.logical_time());
    let (deltas, rows) = state.drain(core);
    let mut by_number: BTreeMap<ItemRef, Item> = BTreeMap::new();
    deltas.for_each(|delta| take(&mut by_number, delta));
    let mut users: Vec<User> = rows
        .filter(|row| row.features.is_some() || row.vector.is_some())
        .map(|row| User { id: row.user.to_string(), epoch: row.epoch, vector: row.vector })
        .collect();
    users.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let ids: BTreeMap<ItemRef, String> =
        by_number.iter().map(|(number, item)| (*number, item.id.clone())).collect();
    let mut items: Vec<Item> = by_number.into_values().collect();
    items.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let known: Vec<(&str, (f32, f32), u64)> =
        items.iter().filter_map(|item| popularity(core, item, time)).collect();
    let neighbours: Vec<Neighbour<'_>> =
        items.iter().flat_map(|item| neighbours(item, &ids)).collect();

    let place = folder(lineage, epoch);
    let written = [
        ("users", users_table().write(objects, &place, &users)?),
        ("items", items_table().write(objects, &place, &items)?),
        ("popularity", popularity_table().write(objects, &place, &known)?),
        ("covisitation", neighbours_table().write(objects, &place, &neighbours)?),
    ];
    let exported =
        Exported { lineage, epoch, logical_time: time, state_digest, rows: written.into() };
    let text = serde_json::to_vec_pretty(&exported).expect("texts and numbers are JSON");
    let success = place.join("_SUCCESS.json").expect("a plain name");
    objects.put_if_absent(&success, Bytes::from(text))?;
    Ok(exported)
}

fn take(items: &mut BTreeMap<ItemRef, Item>, delta: Delta) {
    match delta {
        Delta::Item { item, id, document, deleted, .. } => {
            let title = document.and_then(|document| document.title.clone());
            let id = id.to_string();
            items.insert(item, Item { id, title, deleted, ..Item::default() });
        }
        Delta::ItemVector { item, vector } => {
            items.entry(item).or_default().vector = Some(vector);
        }
        Delta::ItemContext { item, context } => {
            items.entry(item).or_default().context = Some(context);
        }
        Delta::Popularity { item, popularity } => {
            items.entry(item).or_default().popularity = Some(popularity);
        }
        Delta::Covisitation { item, list } => {
            items.entry(item).or_default().neighbours = Some(list);
        }
        Delta::UserVector { .. }
        | Delta::UserFeatures { .. }
        | Delta::UserPreferences { .. }
        | Delta::Gate { .. } => {}
    }
}

fn popularity<'a>(
    core: &CoreConfig,
    item: &'a Item,
    time: TimestampMs,
) -> Option<(&'a str, (f32, f32), u64)> {
    let ItemPopularity { short, long, events } = item.popularity.as_ref()?;
    let sum = |of: &DecayedSum| Decayed::from_parts(of.mantissa, of.exponent);
    let sums = Popularity { short: sum(short), long: sum(long) };
    Some((&item.id, sums.values_at(&core.popularity, time.0), *events))
}

fn neighbours<'a>(
    item: &'a Item,
    ids: &'a BTreeMap<ItemRef, String>,
) -> impl Iterator<Item = Neighbour<'a>> + use<'a> {
    let mut list: Vec<(&str, f32)> = item
        .neighbours
        .iter()
        .flat_map(|list| &list.neighbours)
        .filter_map(|(target, weight)| Some((ids.get(target)?.as_str(), *weight)))
        .collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let row = |(rank, (neighbour, weight))| Neighbour { item: &item.id, rank, neighbour, weight };
    (1..).zip(list).map(row)
}

fn users_table() -> Table<User> {
    Table {
        name: "users",
        columns: vec![
            Column::Text("user_id", |user| Some(&user.id)),
            Column::Long("epoch", |user| user.epoch.0.cast_signed()),
            Column::Floats("vector", |user| user.vector.as_deref()),
        ],
    }
}

fn items_table() -> Table<Item> {
    Table {
        name: "items",
        columns: vec![
            Column::Text("item_id", |item| Some(&item.id)),
            Column::Text("title", |item| item.title.as_deref()),
            Column::Flag("deleted", |item| item.deleted),
            Column::Floats("vector", |item| item.vector.as_deref()),
            Column::Floats("context", |item| item.context.as_deref()),
        ],
    }
}

fn popularity_table<'a>() -> Table<(&'a str, (f32, f32), u64)> {
    Table {
        name: "popularity",
        columns: vec![
            Column::Text("item_id", |row| Some(row.0)),
            Column::Float("short", |row| row.1.0),
            Column::Float("long", |row| row.1.1),
            Column::Long("events", |row| row.2.cast_signed()),
        ],
    }
}

fn neighbours_table<'a>() -> Table<Neighbour<'a>> {
    Table {
        name: "covisitation",
        columns: vec![
            Column::Text("item_id", |row| Some(row.item)),
            Column::Long("rank", |row| row.rank),
            Column::Text("neighbour_id", |row| Some(row.neighbour)),
            Column::Float("weight", |row| row.weight),
        ],
    }
}
