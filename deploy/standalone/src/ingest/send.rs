//! Batches on their way to the door, and what the door said of them.

use serde_json::Value;

use super::batch::Batch;
use super::resume::Resume;
use crate::client::Client;
use crate::exit::Outcome;
use crate::source::rejects::Rejects;
use crate::source::{Rejected, Sourced};

/// Sends events in order and counts the answers.
pub(crate) struct Sender<'a> {
    client: &'a Client,
    batch: Batch,
    /// Place and row of each event in the batch, for refusals.
    rows: Vec<(usize, u64, String)>,
    /// Events that an earlier run sent and this one passes over.
    skip: u64,
    passed: u64,
    acknowledged: u64,
    /// Records on the server's log before the first batch.
    on_log: u64,
    accepted: u64,
    duplicates: u64,
    refused: u64,
}

impl<'a> Sender<'a> {
    /// Passes over the first `skip` events; the server's log has `on_log` records.
    #[must_use]
    pub(crate) fn new(client: &'a Client, skip: u64, on_log: u64) -> Self {
        Self {
            client,
            batch: Batch::default(),
            rows: Vec::new(),
            skip,
            passed: 0,
            acknowledged: skip,
            on_log,
            accepted: 0,
            duplicates: 0,
            refused: 0,
        }
    }

    /// Events that the door took.
    #[must_use]
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Events that the door had seen a short while ago; they are among the accepted.
    #[must_use]
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Events that the door refused.
    #[must_use]
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Events that an earlier run had sent.
    #[must_use]
    pub(crate) fn skipped(&self) -> u64 {
        self.passed.min(self.skip)
    }

    /// Adds one event, sending a full batch first.
    pub(crate) fn event(
        &mut self,
        sourced: Sourced,
        rejects: &mut Rejects<'_>,
        resume: &mut Resume,
    ) -> Outcome {
        self.passed += 1;
        if self.passed <= self.skip {
            return Ok(());
        }
        if !self.batch.push(&sourced.json) {
            self.flush_into(rejects, resume)?;
            let added = self.batch.push(&sourced.json);
            debug_assert!(added, "an empty batch has room for any event");
        }
        self.rows.push((sourced.file, sourced.line, sourced.raw));
        Ok(())
    }

    /// Sends what waits and notes it; rows that the door refuses go to `rejects`.
    pub(crate) fn flush_into(&mut self, rejects: &mut Rejects<'_>, resume: &mut Resume) -> Outcome {
        if self.batch.events() == 0 {
            return Ok(());
        }
        let events = self.batch.events() as u64;
        let answer = self.client.post_events(&self.batch.take())?;
        self.count(&answer, rejects)?;
        self.rows.clear();
        self.acknowledged += events;
        resume.advance(self.acknowledged, self.on_log + self.accepted)
    }

    fn count(&mut self, answer: &Value, rejects: &mut Rejects<'_>) -> Outcome {
        let number = |name: &str| answer[name].as_u64().unwrap_or(0);
        self.accepted += number("accepted");
        self.duplicates += number("duplicates");
        self.refused += number("rejected");
        for error in answer["errors"].as_array().into_iter().flatten() {
            let index = error["index"].as_u64().unwrap_or(u64::MAX) as usize;
            let Some((file, line, raw)) = self.rows.get(index) else { continue };
            let reason = format!("server: {}", error["detail"].as_str().unwrap_or("refused"));
            let raw = raw.clone();
            rejects.add(&Rejected { file: *file, line: *line, reason, raw })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use eddyline_schemas::record::Digest;
    use serde_json::{Map, json};

    use super::*;
    use crate::source::Source;

    /// Answers one request after the other, each on its own connection.
    fn serve(listener: &TcpListener, answers: &[(&str, Value)]) {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().expect("a client connects");
            let mut request = Vec::new();
            while !request.ends_with(b"]}") {
                let mut chunk = [0; 4_096];
                let read = stream.read(&mut chunk).expect("the client sends");
                assert!(read > 0, "the client broke off");
                request.extend_from_slice(&chunk[..read]);
            }
            let (body, close) = (body.to_string(), "connection: close");
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{close}\r\n\r\n{body}"
            )
            .expect("the client reads");
        }
    }

    #[test]
    fn each_acknowledged_batch_is_noted_and_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let open = |on_log| {
            let path = folder.path().join("a.progress.json");
            Resume::open(Some(path), Digest::of(b"inputs"), &address, on_log)
        };
        let server = std::thread::spawn(move || {
            let refused = json!({"detail": "no"});
            serve(&listener, &[("202 Accepted", json!({"accepted": 2})), ("400 No", refused)]);
        });
        let client = Client::new(&address, None);
        let source = Source::open(&[]).expect("nothing is opened");
        let (mut rejects, mut resume) = (Rejects::new(&source, None), open(100));
        let mut sender = Sender::new(&client, 0, 100);
        let event = Map::from_iter([("query".to_owned(), Value::from("a"))]);
        assert!(sender.batch.push(&event) && sender.batch.push(&event));
        sender.flush_into(&mut rejects, &mut resume).expect("it is acknowledged");
        assert!(sender.batch.push(&event));
        sender.flush_into(&mut rejects, &mut resume).expect_err("it is refused");
        server.join().expect("it answered twice");
        assert_eq!(open(102).sent(), 2, "a run that starts now goes on after the first batch");
        assert_eq!(open(101).sent(), 0, "the server lost a record");
    }
}
