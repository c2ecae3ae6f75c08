//! Columns of the three inputs.

use std::collections::BTreeMap;

use eddyline_schemas::event::Event;
use parquet::data_type::ByteArray;

use super::super::column::{Column, Leaf, Row, Says};

/// Version of the envelope that a valid event has.
const SCHEMA_VERSION: i32 = 1;

fn event(row: &Row) -> Option<&Event> {
    match &row.says {
        Says::Event(event) => Some(event),
        Says::Binding(_) | Says::Nothing => None,
    }
}

fn json(of: &impl serde::Serialize) -> ByteArray {
    serde_json::to_vec(of).expect("texts and numbers are JSON").into()
}

fn json_map(of: &BTreeMap<String, String>) -> Option<ByteArray> {
    (!of.is_empty()).then(|| json(of))
}

/// In the order of the interface.
pub(super) const COLUMNS: &[Column] = &[
    Column {
        declared: "optional binary user_id (STRING);",
        leaves: &[Leaf::Sought(|row| Some(event(row)?.user_id.as_ref()?.as_str().into()))],
    },
    Column {
        declared: "optional binary item_id (STRING);",
        leaves: &[Leaf::Word(|row| match &event(row)?.items[..] {
            [item] => Some(item.as_str().into()),
            _ => None,
        })],
    },
    Column {
        declared: "optional group items (LIST) { repeated group list { \
                   required binary element (STRING); } }",
        leaves: &[Leaf::Words(|row| {
            let items = &event(row)?.items;
            let several = items.iter().map(|item| item.as_str().into());
            (items.len() > 1).then(|| several.collect())
        })],
    },
    Column {
        declared: "optional binary action_type (STRING);",
        leaves: &[Leaf::Word(|row| Some(event(row)?.event_type.name().into()))],
    },
    Column {
        declared: "optional int64 timestamp (TIMESTAMP(MILLIS,true));",
        leaves: &[Leaf::Long(|row| {
            Some(event(row)?.timestamp.unwrap_or_else(|| row.archived.append_time()).0)
        })],
    },
    Column {
        declared: "optional binary session_id (STRING);",
        leaves: &[Leaf::Word(|row| Some(event(row)?.session_id.as_ref()?.as_str().into()))],
    },
    Column {
        declared: "optional binary context (STRING);",
        leaves: &[Leaf::Word(|row| json_map(&event(row)?.context))],
    },
    Column {
        declared: "optional double rating;",
        leaves: &[Leaf::Double(|row| event(row)?.rating)],
    },
    Column {
        declared: "optional int64 dwell_time;",
        leaves: &[Leaf::Long(|row| event(row)?.dwell_time_ms.map(|ms| ms as i64))],
    },
    Column {
        declared: "optional binary event_id (STRING);",
        leaves: &[Leaf::Unique(|row| Some(event(row)?.event_id.as_str().into()))],
    },
    Column {
        declared: "optional binary recommendation_id (STRING);",
        leaves: &[Leaf::Word(|row| Some(event(row)?.recommendation_id.as_ref()?.as_str().into()))],
    },
    Column {
        declared: "optional int64 position;",
        leaves: &[Leaf::Long(|row| event(row)?.position.map(i64::from))],
    },
    Column { declared: "optional double value;", leaves: &[Leaf::Double(|row| event(row)?.value)] },
    Column {
        declared: "optional binary query (STRING);",
        leaves: &[Leaf::Word(|row| Some(event(row)?.query.as_deref()?.into()))],
    },
    Column {
        declared: "optional binary anonymous_id (STRING);",
        leaves: &[Leaf::Word(|row| Some(event(row)?.anonymous_id.as_ref()?.as_str().into()))],
    },
    Column { declared: "optional double price;", leaves: &[Leaf::Double(|row| event(row)?.price)] },
    Column {
        declared: "optional binary currency (STRING);",
        leaves: &[Leaf::Word(|row| Some(event(row)?.currency.as_deref()?.into()))],
    },
    Column {
        declared: "optional double quantity;",
        leaves: &[Leaf::Double(|row| event(row)?.quantity)],
    },
    Column {
        declared: "optional binary profile (STRING);",
        leaves: &[Leaf::Word(|row| json_map(&event(row)?.profile))],
    },
    Column {
        declared: "optional binary item (STRING);",
        leaves: &[Leaf::Unique(|row| event(row)?.item.as_ref().map(json))],
    },
    Column {
        declared: "optional binary unknown (STRING);",
        leaves: &[Leaf::Word(|row| Some(event(row)?.unknown.as_deref()?.into()))],
    },
    Column {
        declared: "optional int32 schema_version;",
        leaves: &[Leaf::Int(|row| event(row).map(|_| SCHEMA_VERSION))],
    },
];
