//! Which column of a file becomes which member of an event: `user_id=1,rating=stars,event_type=:rate`.
//!
//! The left side is a member of the event envelope (or of a catalogue row), the right side is a
//! column by number from 1, a column by its name in the header (in JSON lines a member, dots lead
//! inwards), or a constant after a colon.

use std::str::FromStr;

use crate::config::suggest::nearest;

/// Members of an event that a column can fill.
pub(crate) const EVENT_MEMBERS: [&str; 16] = [
    "event_id",
    "event_type",
    "user_id",
    "anonymous_id",
    "session_id",
    "item_id",
    "timestamp",
    "value",
    "rating",
    "dwell_time_ms",
    "price",
    "currency",
    "quantity",
    "query",
    "recommendation_id",
    "position",
];

/// Members of a catalogue row that a column can fill.
pub(crate) const ITEM_MEMBERS: [&str; 8] =
    ["item_id", "title", "category", "brand", "tags", "price", "currency", "in_stock"];

/// Where a member's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Column number, from 1.
    Number(usize),
    /// Name in the header, or member of a JSON object.
    Name(String),
    /// The same for every row.
    Constant(String),
}

/// The whole map, in the order in which it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColumnMap {
    /// Member and column.
    pub pairs: Vec<(String, Column)>,
}

impl ColumnMap {
    /// Whether the file needs a header.
    #[must_use]
    pub(crate) fn names_columns(&self) -> bool {
        self.pairs.iter().any(|(_, column)| matches!(column, Column::Name(_)))
    }

    /// Refuses members that are none of `known` and not below one of `open`.
    pub(crate) fn check(&self, known: &[&str], open: &str) -> Result<(), String> {
        for (member, _) in &self.pairs {
            let inner = member.strip_prefix(open).and_then(|rest| rest.strip_prefix('.'));
            if known.contains(&member.as_str()) || inner.is_some_and(|name| !name.is_empty()) {
                continue;
            }
            let near = nearest(member, known.iter().copied());
            let hint = near.map_or_else(
                || format!("members are {} and {open}.NAME", known.join(", ")),
                |near| format!("did you mean {near}?"),
            );
            return Err(format!("unknown member {member:?}; {hint}"));
        }
        Ok(())
    }
}

impl FromStr for ColumnMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pairs: Vec<(String, Column)> = Vec::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let Some((member, column)) = pair.split_once('=') else {
                return Err(format!("{pair:?} is not MEMBER=COLUMN"));
            };
            let (member, column) = (member.trim(), column.trim());
            if pairs.iter().any(|(before, _)| before == member) {
                return Err(format!("{member:?} is mapped twice"));
            }
            pairs.push((member.to_owned(), column.parse()?));
        }
        Ok(Self { pairs })
    }
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(constant) = text.strip_prefix(':') {
            return Ok(Self::Constant(constant.to_owned()));
        }
        match text.parse::<usize>() {
            Ok(0) => Err("columns are counted from 1".into()),
            Ok(number) => Ok(Self::Number(number)),
            Err(_) if text.is_empty() => Err("a column is missing after =".into()),
            Err(_) => Ok(Self::Name(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_constants() {
        let map: ColumnMap =
            "user_id=1, rating=stars:float,event_type=:rate".parse().expect("valid");
        let want = [
            ("user_id", Column::Number(1)),
            ("rating", Column::Name("stars:float".into())),
            ("event_type", Column::Constant("rate".into())),
        ];
        assert_eq!(map.pairs, want.map(|(member, column)| (member.to_owned(), column)));
        assert!(map.names_columns());
    }

    #[test]
    fn mistakes_are_explained() {
        let check = |text: &str, want: &str| {
            let parsed: Result<ColumnMap, String> = text.parse();
            let checked = parsed.and_then(|map| map.check(&EVENT_MEMBERS, "context"));
            assert_eq!(checked.err().unwrap_or_default(), want, "{text}");
        };
        check("user_id=1,context.country=7", "");
        check(
            "user=1",
            "unknown member \"user\"; members are event_id, event_type, user_id, \
            anonymous_id, session_id, item_id, timestamp, value, rating, dwell_time_ms, price, \
            currency, quantity, query, recommendation_id, position and context.NAME",
        );
        check("userid=1", "unknown member \"userid\"; did you mean user_id?");
        check("user_id", "\"user_id\" is not MEMBER=COLUMN");
        check("user_id=0", "columns are counted from 1");
        check("user_id=1,user_id=2", "\"user_id\" is mapped twice");
    }
}
