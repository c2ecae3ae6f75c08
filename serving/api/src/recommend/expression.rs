//! Filter expressions over an item's attributes, such as
//! `in_stock AND price < 100 AND category IN ('Gaming', 'Audio')`.
//!
//! Names are `title category brand tags price currency in_stock`, or of a free attribute.
//! `category` and `tags` hold if any of the item's does, and an item in `A > B` is also in `A`.
//! An attribute that an item lacks fits no comparison, `!=` and `NOT IN` included; only `in_stock`
//! is true when absent. Numbers compare as numbers, an attribute's text too when it is one.
//! Text compares byte by byte; keywords in any case.

mod parse;

use eddyline_schemas::item::ItemDocument;

use crate::contract::RecommendError;
use crate::state::labels::with_ancestors;

/// Longest expression in bytes.
pub const MAX_BYTES: usize = 2_000;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// All hold.
    And(Vec<Expression>),
    /// One holds.
    Or(Vec<Expression>),
    /// Does not hold.
    Not(Box<Expression>),
    /// A bare name: the attribute is true.
    True(Box<str>),
    /// An attribute compares so to a value.
    Compare {
        /// The attribute.
        name: Box<str>,
        /// How.
        operator: Operator,
        /// With what.
        value: Value,
    },
    /// An attribute is one of several values, or none of them when `negated`.
    In {
        /// The attribute.
        name: Box<str>,
        /// The values.
        values: Vec<Value>,
        /// `NOT IN`.
        negated: bool,
    },
}

/// How values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A literal, or what an attribute holds.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Value {
    Number(f64),
    Text(Box<str>),
    Truth(bool),
}

impl Expression {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, RecommendError> {
        if text.len() > MAX_BYTES {
            let detail = format!("an expression has at most {MAX_BYTES} bytes");
            return Err(RecommendError::UnsupportedFilter { at: MAX_BYTES, detail });
        }
        parse::parse(text)
    }

    /// Whether it holds for an item; `None` is one without a catalogue row.
    #[must_use]
    pub fn matches(&self, document: Option<&ItemDocument>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.matches(document)),
            Self::Or(any) => any.iter().any(|one| one.matches(document)),
            Self::Not(inner) => !inner.matches(document),
            Self::True(name) => {
                values(document, name).iter().any(|value| equal(value, &Value::Truth(true)))
            }
            Self::Compare { name, operator, value } => {
                compare_any(&values(document, name), *operator, value)
            }
            Self::In { name, values: listed, negated } => {
                let held = values(document, name);
                let found = held.iter().any(|value| listed.iter().any(|one| equal(value, one)));
                !held.is_empty() && found != *negated
            }
        }
    }
}

/// What an item holds under a name: none, one or several values.
fn values(document: Option<&ItemDocument>, name: &str) -> Vec<Value> {
    let text = |text: &str| Value::Text(text.into());
    if name == "in_stock" {
        return vec![Value::Truth(document.and_then(|item| item.in_stock).unwrap_or(true))];
    }
    let Some(item) = document else { return Vec::new() };
    match name {
        "title" => item.title.as_deref().map(text).into_iter().collect(),
        "brand" => item.brand.as_deref().map(text).into_iter().collect(),
        "currency" => item.currency.as_deref().map(text).into_iter().collect(),
        "price" => item.price.map(Value::Number).into_iter().collect(),
        "category" | "categories" => {
            let with_all = item.categories.iter().flat_map(|category| with_ancestors(category));
            with_all.map(|category| Value::Text(category.into())).collect()
        }
        "tag" | "tags" => item.tags.iter().map(|tag| text(tag)).collect(),
        other => item.attributes.get(other).map(|value| text(value)).into_iter().collect(),
    }
}

/// `!=` means that no held value is equal; the others that one compares so.
fn compare_any(held: &[Value], operator: Operator, value: &Value) -> bool {
    if operator == Operator::NotEqual {
        return !held.is_empty() && !held.iter().any(|one| equal(one, value));
    }
    held.iter().any(|one| compare(one, operator, value))
}

fn compare(held: &Value, operator: Operator, value: &Value) -> bool {
    let order = match (held, value) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Truth(a), Value::Truth(b)) => Some(a.cmp(b)),
        _ => number(held).zip(number(value)).and_then(|(a, b)| a.partial_cmp(&b)),
    };
    let Some(order) = order else { return text_truth(held, operator, value) };
    match operator {
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterOrEqual => order.is_ge(),
    }
}

/// A free attribute is text: `'true'` equals TRUE.
fn text_truth(held: &Value, operator: Operator, value: &Value) -> bool {
    match (held, value) {
        (Value::Text(text), Value::Truth(truth)) => {
            operator == Operator::Equal && text.parse() == Ok(*truth)
        }
        _ => false,
    }
}

fn equal(held: &Value, value: &Value) -> bool {
    compare(held, Operator::Equal, value)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => text.parse().ok(),
        Value::Truth(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::proptest;

    fn mouse() -> ItemDocument {
        ItemDocument {
            title: Some("Mouse".into()),
            categories: vec!["Electronics > Gaming".into(), "Desk".into()],
            brand: Some("O'Neil".into()),
            tags: vec!["rgb".into()],
            price: Some(49.5),
            attributes: [
                ("weight".to_owned(), "80".to_owned()),
                ("wired".to_owned(), "true".to_owned()),
            ]
            .into(),
            ..ItemDocument::default()
        }
    }

    #[test]
    fn expressions_select_items() {
        let check = |text: &str, want: bool| {
            let expression = Expression::parse(text).expect(text);
            assert_eq!(expression.matches(Some(&mouse())), want, "{text}");
        };
        check("in_stock AND price < 100 AND category IN ('Gaming','Audio')", false);
        check("in_stock AND price < 100 AND category IN ('Electronics > Gaming')", true);
        check("category = 'Electronics'", true);
        check("category != 'Electronics'", false);
        check("category NOT IN ('Audio', 'Garden')", true);
        check("NOT (price >= 49.5)", false);
        check("price = 49.5 and not in_stock = false", true);
        check("brand = 'O''Neil'", true);
        check("weight > 9 AND weight <= 80", true);
        check("wired AND wired = TRUE", true);
        check("tags = 'rgb' OR missing = 1", true);
        check("missing != 1", false);
        check("missing NOT IN (1)", false);
        check("price < 10 OR price > 20 AND title = \"Mouse\"", true);
        check("(price < 10 OR price > 20) AND title = 'Cat'", false);
        check("price > -1.5e1", true);
    }

    #[test]
    fn an_item_without_a_row_is_in_stock_and_nothing_else() {
        let holds = |text: &str| Expression::parse(text).expect(text).matches(None);
        assert!(holds("in_stock"));
        assert!(!holds("price < 100"));
    }

    #[test]
    fn what_is_not_understood_says_where() {
        let check = |text: &str, want: usize| match Expression::parse(text) {
            Err(RecommendError::UnsupportedFilter { at, .. }) => assert_eq!(at, want, "{text}"),
            other => panic!("{text} gave {other:?}"),
        };
        check("", 0);
        check("price <", 7);
        check("price < 'a", 8);
        check("price ~ 3", 6);
        check("(price < 3", 10);
        check("price < 3 price", 10);
        check("category IN ()", 13);
        check("AND", 0);
        check("x = 1e999", 4);
        check(&"(".repeat(200), 32);
        check(&"not ".repeat(200), 32 * 4);
    }

    proptest! {
        #[test]
        fn any_text_is_an_expression_or_an_error(text in ".{0,80}") {
            let _ = Expression::parse(&text);
        }

        #[test]
        fn any_tokens_are_an_expression_or_an_error(
            tokens in proptest::collection::vec(
                proptest::sample::select(vec![
                    "(", ")", "and", "or", "not", "in", "price", "'a'", "3", "<", "!=", ",", "true",
                ]),
                0..20,
            )
        ) {
            if let Ok(expression) = Expression::parse(&tokens.join(" ")) {
                let _ = expression.matches(Some(&mouse()));
            }
        }
    }
}
