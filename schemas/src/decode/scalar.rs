//! The JSON types of single members. Each says in `expecting` what a producer should have
//! written; the refusal's text is made of that.
//!
//! `null` is the same as absence everywhere. A whole number may be written `5.0`, as JSON Schema's
//! `integer` has it. Text borrows from the input unless it holds an escape.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::draft::RawTime;

/// Whole numbers from 0 to here are exact in JSON.
const MAX_WHOLE: u64 = (1 << 53) - 1;

macro_rules! deserialize_with {
    ($type:ty, $visitor:ident) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any($visitor)
            }
        }
    };
}

/// Text.
pub(super) struct JsonText<'a>(pub(super) Cow<'a, str>);

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = JsonText<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(JsonText(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(JsonText(Cow::Owned(text.to_owned())))
    }
}

deserialize_with!(JsonText<'de>, TextVisitor);

/// A finite number.
pub(super) struct JsonNumber(pub(super) f64);

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = JsonNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<JsonNumber, E> {
        Ok(JsonNumber(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<JsonNumber, E> {
        Ok(JsonNumber(number as f64))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<JsonNumber, E> {
        Ok(JsonNumber(number as f64))
    }
}

deserialize_with!(JsonNumber, NumberVisitor);

/// A whole number of 0 or more.
pub(super) struct JsonWhole(pub(super) u64);

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = JsonWhole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0 to 2^53 - 1")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<JsonWhole, E> {
        if number <= MAX_WHOLE {
            return Ok(JsonWhole(number));
        }
        Err(E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<JsonWhole, E> {
        Err(E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<JsonWhole, E> {
        if number.trunc() == number && (0.0..=MAX_WHOLE as f64).contains(&number) {
            return Ok(JsonWhole(number as u64));
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

deserialize_with!(JsonWhole, WholeVisitor);

struct TimeVisitor;

impl<'de> Visitor<'de> for TimeVisitor {
    type Value = RawTime<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RFC 3339 text or a whole number of seconds or milliseconds")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(RawTime::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(RawTime::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(RawTime::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(RawTime::Integer(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.trunc() == number {
            // Saturates, and what saturates is out of range.
            return Ok(RawTime::Integer(number as i64));
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

deserialize_with!(RawTime<'de>, TimeVisitor);

/// Text, a number or a boolean, as text.
struct JsonScalar(String);

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = JsonScalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number or a boolean")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<JsonScalar, E> {
        Ok(JsonScalar(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<JsonScalar, E> {
        Ok(JsonScalar(value.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<JsonScalar, E> {
        Ok(JsonScalar(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<JsonScalar, E> {
        Ok(JsonScalar(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<JsonScalar, E> {
        Ok(JsonScalar(float_text(number)))
    }
}

deserialize_with!(JsonScalar, ScalarVisitor);

/// The shortest text that reads back as the number; `5.0` is `5`, and −0.0 is `0`.
fn float_text(number: f64) -> String {
    if number.trunc() == number && number.abs() <= MAX_WHOLE as f64 {
        return (number as i64).to_string();
    }
    serde_json::Number::from_f64(number).map_or_else(String::new, |number| number.to_string())
}

/// An object of scalars. An entry that is `null` is absent.
pub(super) struct JsonScalars(pub(super) BTreeMap<String, String>);

struct ScalarsVisitor;

impl<'de> Visitor<'de> for ScalarsVisitor {
    type Value = JsonScalars;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts, numbers and booleans")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonScalars, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(JsonText(name)) = map.next_key()? {
            if entries.contains_key(&*name) {
                return Err(twice());
            }
            let value: Option<JsonScalar> = map.next_value()?;
            entries.extend(value.map(|JsonScalar(value)| (name.into_owned(), value)));
        }
        Ok(JsonScalars(entries))
    }
}

deserialize_with!(JsonScalars, ScalarsVisitor);

/// A list of texts.
pub(super) struct JsonTexts<'a>(pub(super) Vec<Cow<'a, str>>);

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = JsonTexts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(JsonText(text)) = list.next_element()? {
            texts.push(text);
        }
        Ok(JsonTexts(texts))
    }
}

deserialize_with!(JsonTexts<'de>, TextsVisitor);

/// One text or a list of them.
pub(super) struct JsonTextOrTexts(pub(super) Vec<String>);

struct TextOrTextsVisitor;

impl<'de> Visitor<'de> for TextOrTextsVisitor {
    type Value = JsonTextOrTexts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<JsonTextOrTexts, E> {
        Ok(JsonTextOrTexts(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<JsonTextOrTexts, A::Error> {
        let JsonTexts(texts) = TextsVisitor.visit_seq(list)?;
        Ok(JsonTextOrTexts(texts.into_iter().map(Cow::into_owned).collect()))
    }
}

deserialize_with!(JsonTextOrTexts, TextOrTextsVisitor);

/// What the text of [`twice`] is known by.
pub(super) const TWICE: &str = "is given twice";

/// The refusal of an object whose last read member name it has read before.
pub(super) fn twice<E: Error>() -> E {
    E::custom(TWICE)
}
