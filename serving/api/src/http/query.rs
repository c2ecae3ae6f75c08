//! Query parameters, parsed once into checked types; all that is wrong is said in one answer.
//!
//! A handler takes the parameters it knows out of a [`Query`], each with a default, and ends with
//! [`Query::finish`]: whatever is left over is unknown and refused by name, so that a misspelt
//! option is an error and not silence.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use eddyline_schemas::id::InvalidId;

use crate::http::problem::{Kind, Place, Problem};

/// The decoded parameters of one request, and what was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    asked: Vec<&'static str>,
    wrong: Vec<Place>,
}

impl Query {
    /// Decodes `application/x-www-form-urlencoded` text.
    pub(crate) fn parse(raw: &str) -> Self {
        let pairs = form_urlencoded::parse(raw.as_bytes()).into_owned().collect();
        Self { pairs, ..Self::default() }
    }

    /// Takes the text of parameter `name`; an empty one counts as absent.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        let mut values = Vec::new();
        self.pairs.retain_mut(|(key, value)| {
            let takes = key == name;
            if takes {
                values.push(std::mem::take(value));
            }
            !takes
        });
        if values.len() > 1 {
            self.refuse(name, "is given more than once: give it once");
        }
        let value = values.pop().filter(|value| !value.is_empty())?;
        if value.contains('\u{fffd}') {
            self.refuse(name, "is not percent-encoded UTF-8");
            return None;
        }
        Some(value)
    }

    /// Takes an id.
    pub(crate) fn id<T>(
        &mut self,
        name: &'static str,
        new: impl Fn(&str) -> Result<T, InvalidId>,
    ) -> Option<T> {
        let text = self.text(name)?;
        new(&text).map_err(|error| self.refuse(name, &error)).ok()
    }

    /// Takes ids separated by commas. An id that itself holds a comma needs the POST form.
    pub(crate) fn ids<T>(
        &mut self,
        name: &'static str,
        new: impl Fn(&str) -> Result<T, InvalidId>,
    ) -> Vec<T> {
        let Some(text) = self.text(name) else { return Vec::new() };
        let mut ids = Vec::new();
        for part in text.split(',') {
            match new(part) {
                Ok(id) => ids.push(id),
                Err(error) => self.refuse(name, &error),
            }
        }
        ids
    }

    /// Takes a number from `min` to `max`.
    pub(crate) fn number<T>(&mut self, name: &'static str, min: T, max: T) -> Option<T>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.refuse(name, format!("must be a number from {min} to {max}, got {}", cut(&text)));
        }
        number
    }

    /// Takes `true` or `false`.
    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.choice(name, &[("true", true), ("false", false)])
    }

    /// Takes one of the names in `choices`.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(name)?;
        let chosen = choices.iter().find(|(known, _)| *known == text).map(|(_, value)| *value);
        if chosen.is_none() {
            let names: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
            let detail = format!("must be one of {}, got {}", names.join(", "), cut(&text));
            self.refuse(name, &detail);
        }
        chosen
    }

    /// Says what is wrong with parameter `name`.
    pub(crate) fn refuse(&mut self, name: &str, detail: impl Display) {
        self.wrong.push(Place { pointer: format!("?{name}"), detail: format!("{name} {detail}") });
    }

    /// An error that names all that is wrong, unknown parameters included.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        for (key, _) in std::mem::take(&mut self.pairs) {
            let known = self.asked.join(", ");
            let name = cut(&key);
            let detail = format!("is not a parameter of this route; it knows: {known}");
            self.refuse(&name, detail);
        }
        if self.wrong.is_empty() {
            return Ok(());
        }
        let detail = match self.wrong.as_slice() {
            [one] => one.detail.clone(),
            several => format!("{} parameters are wrong, see errors", several.len()),
        };
        let problem = Problem::new(Kind::InvalidParameter, detail);
        Err(self
            .wrong
            .into_iter()
            .fold(problem, |problem, place| problem.at(place.pointer, place.detail)))
    }
}

/// The start of a text that a caller sent, so that an answer stays short.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eddyline_schemas::id::{ItemId, UserId};

    #[test]
    fn parameters_become_checked_values() {
        let mut query =
            Query::parse("user_id=%C3%89lan%207&num_results=20&exclude_seen=false&x=a,b&context=");
        assert_eq!(query.id("user_id", UserId::new), Some(UserId::new("Élan 7").expect("valid")));
        assert_eq!(query.number("num_results", 1_usize, 500), Some(20));
        assert_eq!(query.flag("exclude_seen"), Some(false));
        assert_eq!(query.ids("x", ItemId::new).len(), 2);
        assert_eq!(query.text("context"), None);
        assert!(query.finish().is_ok());
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let mut query = Query::parse("num_results=0&flag=yes&user_id=a%7Bb&n=%ff&typo=1&d=1&d=2");
        query.number("num_results", 1, 500);
        query.flag("flag");
        query.id("user_id", UserId::new);
        query.text("n");
        query.text("d");
        let problem = query.finish().expect_err("six parameters are wrong");
        let body: serde_json::Value = serde_json::from_slice(&problem.body(None)).expect("JSON");
        let pointers: Vec<&str> = body["errors"]
            .as_array()
            .expect("there are errors")
            .iter()
            .filter_map(|place| place["pointer"].as_str())
            .collect();
        assert_eq!(pointers, ["?num_results", "?flag", "?user_id", "?n", "?d", "?typo"]);
    }
}
