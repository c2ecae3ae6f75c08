//! A row becomes the JSON of an event, as a producer would send it.
//!
//! Only the shape is made here; whether ids, ranges and times are right is the validator's word
//! alone. An empty cell is an absent member.

use serde_json::{Map, Value, json};

use super::columns::{Column, ColumnMap, EVENT_MEMBERS, ITEM_MEMBERS};
use super::rows::Cells;
use crate::config::suggest::nearest;

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One event a row.
    Events,
    /// One catalogue row a row.
    Items,
}

/// Turns rows of one file into events.
#[derive(Clone, Debug)]
pub(crate) struct Converter {
    kind: Kind,
    /// Member and where its value lies.
    members: Vec<(String, Place)>,
    separator: String,
}

#[derive(Clone, Debug)]
enum Place {
    Index(usize),
    Member(String),
    Constant(String),
}

impl Converter {
    /// Resolves `map` against the names of a file's columns, if it has any. An empty map takes
    /// each column that is called like a member; in JSON lines it takes the object as it is.
    pub(crate) fn new(
        kind: Kind,
        map: &ColumnMap,
        header: Option<&[String]>,
        separator: &str,
    ) -> Result<Self, String> {
        let mut members = Vec::new();
        for (member, column) in &map.pairs {
            let place = match (column, header) {
                (Column::Constant(text), _) => Place::Constant(text.clone()),
                (Column::Number(number), _) => Place::Index(number - 1),
                (Column::Name(name), Some(header)) => Place::Index(position(header, name)?),
                (Column::Name(name), None) => Place::Member(name.clone()),
            };
            members.push((member.clone(), place));
        }
        if members.is_empty() {
            let columns = header.unwrap_or_default().iter().enumerate();
            members.extend(
                columns
                    .filter(|(_, name)| is_member(kind, name))
                    .map(|(at, name)| (name.clone(), Place::Index(at))),
            );
        }
        Ok(Self { kind, members, separator: separator.to_owned() })
    }

    /// The event of one row, or why there is none.
    pub(crate) fn convert(&self, cells: Cells) -> Result<Map<String, Value>, String> {
        if self.members.is_empty() {
            return match cells {
                Cells::Object(members) => Ok(members),
                Cells::Fields(_) => Err("no column is mapped to a member".into()),
            };
        }
        let mut event = Map::new();
        for (member, place) in &self.members {
            if let Some(value) = self.value(member, place, &cells)? {
                put(&mut event, member, value);
            }
        }
        match self.kind {
            Kind::Events => Ok(event),
            Kind::Items => Ok(upsert(event)),
        }
    }

    fn value(&self, member: &str, place: &Place, cells: &Cells) -> Result<Option<Value>, String> {
        let text = match (place, cells) {
            (Place::Constant(text), _) => text.as_str(),
            (Place::Index(at), Cells::Fields(fields)) => {
                let missing = || format!("{member}: the row has {} columns", fields.len());
                fields.get(*at).ok_or_else(missing)?
            }
            (Place::Member(name), Cells::Object(object)) => match find(object, name) {
                None | Some(Value::Null) => return Ok(None),
                Some(Value::String(text)) => text,
                Some(value) => return Ok(Some(self.typed(member, value))),
            },
            (Place::Index(_), Cells::Object(_)) | (Place::Member(_), Cells::Fields(_)) => {
                return Err(format!("{member}: this file's columns cannot be named so"));
            }
        };
        match text.trim() {
            "" => Ok(None),
            text => self.parse(member, text).map(Some),
        }
    }

    /// A JSON value as it is, but ids and other texts that were written as numbers become text.
    fn typed(&self, member: &str, value: &Value) -> Value {
        match value {
            Value::Number(number) if value_type(self.kind, member) == ValueType::Text => {
                Value::String(number.to_string())
            }
            other => other.clone(),
        }
    }

    fn parse(&self, member: &str, text: &str) -> Result<Value, String> {
        match value_type(self.kind, member) {
            ValueType::Text => Ok(text.into()),
            ValueType::List => Ok(self.list(text).into()),
            ValueType::Number => number(text).ok_or(format!("{member}: {text:?} is not a number")),
            ValueType::Time => Ok(time(text)),
            ValueType::YesNo => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "1" => Ok(true.into()),
                "false" | "no" | "n" | "0" => Ok(false.into()),
                _ => Err(format!("{member}: {text:?} is neither yes nor no")),
            },
        }
    }

    fn list(&self, text: &str) -> Vec<String> {
        let parts = text.split(self.separator.as_str()).map(str::trim);
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ValueType {
    Text,
    List,
    Number,
    Time,
    YesNo,
}

fn value_type(kind: Kind, member: &str) -> ValueType {
    match member {
        "value" | "rating" | "dwell_time_ms" | "price" | "quantity" | "position" => {
            ValueType::Number
        }
        "timestamp" => ValueType::Time,
        "in_stock" => ValueType::YesNo,
        "category" | "tags" if kind == Kind::Items => ValueType::List,
        _ => ValueType::Text,
    }
}

fn is_member(kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Events => EVENT_MEMBERS.contains(&name) || name.starts_with("context."),
        Kind::Items => ITEM_MEMBERS.contains(&name) || name.starts_with("attributes."),
    }
}

fn position(header: &[String], name: &str) -> Result<usize, String> {
    header.iter().position(|column| column == name).ok_or_else(|| {
        let near = nearest(name, header.iter().map(String::as_str));
        let hint = near.map_or_else(
            || format!("the header has {}", header.join(", ")),
            |near| format!("did you mean {near}?"),
        );
        format!("there is no column {name:?}; {hint}")
    })
}

/// A whole number stays one, so that counts and positions are not refused as fractions.
fn number(text: &str) -> Option<Value> {
    match text.parse::<i64>() {
        Ok(whole) => Some(whole.into()),
        Err(_) => {
            text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
        }
    }
}

/// Integers as they are, fractions of seconds in milliseconds, all else for the validator.
fn time(text: &str) -> Value {
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(whole), _) => whole.into(),
        (Err(_), Ok(seconds)) if seconds.is_finite() => ((seconds * 1_000.0).floor() as i64).into(),
        (Err(_), _) => text.into(),
    }
}

fn find<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    find(object.get(first)?.as_object()?, rest)
}

fn put(event: &mut Map<String, Value>, member: &str, value: Value) {
    match member.split_once('.') {
        None => {
            event.insert(member.to_owned(), value);
        }
        Some((outer, inner)) => {
            let object = event.entry(outer).or_insert_with(|| json!({}));
            object[inner] = value;
        }
    }
}

fn upsert(mut row: Map<String, Value>) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("event_type".into(), "item_upsert".into());
    if let Some(id) = row.shift_remove("item_id") {
        event.insert("item_id".into(), id);
    }
    event.insert("item".into(), Value::Object(row));
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> Cells {
        Cells::Fields(line.split("::").map(str::to_owned).collect())
    }

    fn converter(kind: Kind, map: &str) -> Converter {
        Converter::new(kind, &map.parse().expect("valid"), None, "|").expect("no header needed")
    }

    #[test]
    fn cells_get_the_type_of_their_member() {
        let events = converter(
            Kind::Events,
            "user_id=1,item_id=2,rating=3,timestamp=4,context.country=5,event_type=:rate",
        );
        let check = |line: &str, want: Result<Value, &str>| {
            let got = events.convert(fields(line)).map(Value::Object);
            assert_eq!(got, want.map_err(str::to_owned), "{line}");
        };
        check(
            "1::007:: 7.5::1365029107::UK",
            Ok(json!({"user_id": "1", "item_id": "007", "rating": 7.5, "timestamp": 1_365_029_107,
                      "context": {"country": "UK"}, "event_type": "rate"})),
        );
        check(
            "1::2::::1365029107.25::",
            Ok(json!({"user_id": "1", "item_id": "2", "timestamp": 1_365_029_107_250_i64,
                      "event_type": "rate"})),
        );
        check("1::2::good::3::", Err("rating: \"good\" is not a number"));
        check("1::2", Err("rating: the row has 2 columns"));
    }

    #[test]
    fn catalogue_rows_become_upserts() {
        let items = converter(Kind::Items, "item_id=1,title=2,category=3,in_stock=:yes");
        let got = items.convert(fields("0002844::Fantômas (1913)::Crime|Drama"));
        let want = json!({"event_type": "item_upsert", "item_id": "0002844", "item": {
            "title": "Fantômas (1913)", "category": ["Crime", "Drama"], "in_stock": true}});
        assert_eq!(got.map(Value::Object), Ok(want));
    }

    #[test]
    fn json_members_are_found_inside_and_ids_become_text() {
        let map = "user_id=user.id,rating=stars,event_type=:rate";
        let object = json!({"user": {"id": 7}, "stars": 4.5, "other": 1});
        let Value::Object(object) = object else { unreachable!("written as an object above") };
        let got = converter(Kind::Events, map).convert(Cells::Object(object));
        let want = json!({"user_id": "7", "rating": 4.5, "event_type": "rate"});
        assert_eq!(got.map(Value::Object), Ok(want));
    }

    #[test]
    fn headers_are_matched_by_name() {
        let header: Vec<String> = ["user_id", "stars"].map(str::to_owned).into();
        let map = |text: &str| text.parse::<ColumnMap>().expect("valid");
        let missing = Converter::new(Kind::Events, &map("rating=star"), Some(&header), "|");
        assert_eq!(
            missing.err().as_deref(),
            Some("there is no column \"star\"; did you mean stars?")
        );
        let identity = Converter::new(Kind::Events, &ColumnMap::default(), Some(&header), "|");
        let got = identity.expect("nothing to miss").convert(fields("7::5"));
        assert_eq!(got.map(Value::Object), Ok(json!({"user_id": "7"})));
    }
}
