//! The seeded stream of the benchmarks, as request bodies, written to a file before the clock runs.
//!
//! A file and not memory, so that the bodies do not count as the server's memory; reading one back
//! costs some tens of microseconds for a thousand events.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use eddyline_schemas::time::{DAY_MS, TimestampMs};

use super::zipf::Zipf;
use crate::demo::rng::Dice;

/// Events of one request.
pub(crate) const BATCH: usize = 1_000;
/// Event types and their shares in percent.
const MIX: [(&str, usize); 6] =
    [("view", 62), ("click", 22), ("add_to_cart", 8), ("purchase", 5), ("dwell", 2), ("search", 1)];
/// Categories and brands of the generated catalogue.
const CATEGORIES: usize = 200;
const BRANDS: usize = 500;

/// How large the stream is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamShape {
    /// Distinct users.
    pub(crate) users: usize,
    /// Distinct items.
    pub items: usize,
    /// Zipf exponent of users.
    pub(crate) user_skew: f64,
    /// Zipf exponent of items.
    pub item_skew: f64,
    /// Seeds everything.
    pub seed: u64,
}

/// One event, before it is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draw {
    /// Number of the user.
    pub(crate) user: usize,
    /// Number of the item.
    pub item: usize,
    /// Name of the type.
    pub event_type: &'static str,
}

/// An endless stream of draws.
pub(crate) struct Stream {
    users: Zipf,
    items: Zipf,
    dice: Dice,
    events: u64,
}

impl Stream {
    /// The stream of this shape from its start.
    #[must_use]
    pub(crate) fn new(shape: &StreamShape) -> Self {
        Self {
            users: Zipf::new(shape.users, shape.user_skew),
            items: Zipf::new(shape.items, shape.item_skew),
            dice: Dice::new(shape.seed, 2),
            events: 0,
        }
    }

    /// The next event.
    pub(crate) fn draw(&mut self) -> Draw {
        self.events += 1;
        let event_type = event_type(self.dice.below(100));
        let user = self.users.draw(&mut self.dice);
        Draw { user, item: self.items.draw(&mut self.dice), event_type }
    }

    /// Adds the next event, stamped `time`, to a body.
    pub(crate) fn write_next(&mut self, time: TimestampMs, body: &mut String) {
        let Draw { user, item, event_type } = self.draw();
        let id = self.events;
        let detail = match event_type {
            "search" => "\"query\":\"warm socks\"".to_owned(),
            "dwell" => format!("\"item_id\":\"item-{item}\",\"dwell_time_ms\":9000"),
            _ => format!("\"item_id\":\"item-{item}\""),
        };
        body.push_str(&format!(
            "{{\"event_id\":\"bench-{id}\",\"event_type\":\"{event_type}\",\"user_id\":\"user-{user}\",\
             \"timestamp\":{},{detail}}}",
            time.0
        ));
    }
}

/// The type at `percent` of the mix.
fn event_type(percent: usize) -> &'static str {
    let mut upper = 0;
    for (name, share) in MIX {
        upper += share;
        if percent < upper {
            return name;
        }
    }
    MIX[0].0
}

/// Request bodies in a file.
pub(crate) struct Bodies {
    file: BufReader<File>,
    lengths: Vec<u32>,
    next: usize,
}

impl Bodies {
    /// Writes `events` of `stream`, their times spread evenly over the day that ends at `end`.
    pub(crate) fn events(
        stream: &mut Stream,
        events: u64,
        end: TimestampMs,
    ) -> std::io::Result<Self> {
        let mut written = 0;
        Self::write(events, |body| {
            let passed = (DAY_MS as f64 * written as f64 / events as f64) as i64;
            written += 1;
            stream.write_next(TimestampMs(end.0 - DAY_MS + passed), body);
        })
    }

    /// Writes the catalogue.
    pub(crate) fn catalogue(shape: &StreamShape) -> std::io::Result<Self> {
        let mut dice = Dice::new(shape.seed, 3);
        let mut item = 0;
        Self::write(shape.items as u64, |body| {
            let (category, brand) = (dice.below(CATEGORIES), dice.below(BRANDS));
            body.push_str(&format!(
                "{{\"event_id\":\"bench-item-{item}\",\"event_type\":\"item_upsert\",\
                 \"item_id\":\"item-{item}\",\"item\":{{\"title\":\"Item {item}\",\
                 \"category\":[\"category-{category}\"],\"brand\":\"brand-{brand}\",\"price\":{}.5}}}}",
                5 + dice.below(200)
            ));
            item += 1;
        })
    }

    fn write(events: u64, mut one: impl FnMut(&mut String)) -> std::io::Result<Self> {
        let mut writer = BufWriter::new(tempfile::tempfile()?);
        let mut lengths = Vec::new();
        let mut left = events;
        while left > 0 {
            let mut body = String::from("{\"events\":[");
            for number in 0..left.min(BATCH as u64) {
                if number > 0 {
                    body.push(',');
                }
                one(&mut body);
            }
            body.push_str("]}");
            left -= left.min(BATCH as u64);
            writer.write_all(body.as_bytes())?;
            lengths.push(body.len() as u32);
        }
        let mut file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { file: BufReader::with_capacity(1 << 20, file), lengths, next: 0 })
    }

    /// Reads the next body into `body`; false at the end.
    pub(crate) fn read(&mut self, body: &mut Vec<u8>) -> std::io::Result<bool> {
        let Some(&length) = self.lengths.get(self.next) else { return Ok(false) };
        self.next += 1;
        body.resize(length as usize, 0);
        self.file.read_exact(body)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: StreamShape =
        StreamShape { users: 1_000, items: 100, user_skew: 1.0, item_skew: 1.0, seed: 5 };

    fn all(mut bodies: Bodies) -> Vec<serde_json::Value> {
        let mut body = Vec::new();
        let mut events = Vec::new();
        while bodies.read(&mut body).expect("a temporary file can be read") {
            let json: serde_json::Value = serde_json::from_slice(&body).expect("bodies are JSON");
            events.extend(json["events"].as_array().expect("a list").clone());
        }
        events
    }

    #[test]
    fn bodies_hold_the_stream_in_order_and_time() {
        let end = TimestampMs(1_700_000_000_000);
        let events = |seed| {
            let mut stream = Stream::new(&StreamShape { seed, ..SHAPE });
            all(Bodies::events(&mut stream, 2_500, end).expect("a temporary file can be made"))
        };
        let first = events(5);
        assert_eq!(first.len(), 2_500);
        assert_eq!(first, events(5));
        assert_ne!(first, events(6));
        assert_eq!(first[0]["timestamp"], end.0 - DAY_MS);
        assert!(first.is_sorted_by_key(|event| event["timestamp"].as_i64()));
        let views = first.iter().filter(|event| event["event_type"] == "view").count();
        assert!((1_450..1_650).contains(&views), "{views} views of 2,500 events");
    }

    #[test]
    fn the_catalogue_has_every_item_once() {
        let items = all(Bodies::catalogue(&SHAPE).expect("a temporary file can be made"));
        assert_eq!(items.len(), 100);
        assert_eq!(items[99]["item_id"], "item-99");
    }
}
