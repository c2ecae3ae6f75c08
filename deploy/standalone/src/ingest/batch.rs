//! Request bodies: at most 1,000 events and 1 MiB each.

use serde_json::{Map, Value};

/// Most events of one request, the door's limit.
pub(crate) const MAX_EVENTS: usize = 1_000;
/// Somewhat below the door's limit of 1 MiB.
const MAX_BYTES: usize = 1_000_000;
const OPEN: &[u8] = b"{\"events\":[";
const CLOSE: &[u8] = b"]}";

/// A body under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    events: usize,
}

impl Batch {
    /// Adds `event` if there is room for it. An event that is alone always has room: the door
    /// says what is wrong with one that is too large.
    #[must_use]
    pub(crate) fn push(&mut self, event: &Map<String, Value>) -> bool {
        let text = serde_json::to_vec(event).expect("a JSON object can be written");
        let full = self.events == MAX_EVENTS || self.bytes.len() + text.len() + 3 > MAX_BYTES;
        if full && self.events > 0 {
            return false;
        }
        self.bytes.extend_from_slice(if self.events == 0 { OPEN } else { b"," });
        self.bytes.extend_from_slice(&text);
        self.events += 1;
        true
    }

    /// Events in it.
    #[must_use]
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// The body; the batch is empty afterwards.
    #[must_use]
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.events = 0;
        let mut body = std::mem::take(&mut self.bytes);
        body.extend_from_slice(CLOSE);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Map<String, Value> {
        Map::from_iter([("query".to_owned(), Value::from(text))])
    }

    #[test]
    fn bodies_are_json_and_bounded() {
        let mut batch = Batch::default();
        assert!(batch.push(&event("a")) && batch.push(&event("b")));
        let body: Value = serde_json::from_slice(&batch.take()).expect("it is JSON");
        assert_eq!(body, serde_json::json!({"events": [{"query": "a"}, {"query": "b"}]}));
        for _ in 0..MAX_EVENTS {
            assert!(batch.push(&event("x")));
        }
        assert!(!batch.push(&event("x")), "1,000 are the limit");
        let _ = batch.take();
        let large = event(&"y".repeat(600_000));
        assert!(batch.push(&large));
        assert!(!batch.push(&large), "a mebibyte is the limit");
        let _ = batch.take();
        assert!(batch.push(&event(&"z".repeat(2_000_000))), "alone it is the door's to refuse");
    }
}
