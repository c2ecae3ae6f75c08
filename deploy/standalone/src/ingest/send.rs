//! Batches on their way to the door, and what the door said of them.

use serde_json::Value;

use super::batch::Batch;
use super::resume::Resume;
use crate::client::Client;
use crate::exit::Outcome;
use crate::source::rejects::Rejects;
use crate::source::{Rejected, Sourced};

/// The note is written after so many acknowledged events.
const NOTE_EVERY: u64 = 10_000;

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
    noted: u64,
    accepted: u64,
    duplicates: u64,
    refused: u64,
}

impl<'a> Sender<'a> {
    /// Passes over the first `skip` events.
    #[must_use]
    pub(crate) fn new(client: &'a Client, skip: u64) -> Self {
        Self {
            client,
            batch: Batch::default(),
            rows: Vec::new(),
            skip,
            passed: 0,
            acknowledged: skip,
            noted: skip,
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

    /// Sends what waits; rows that the door refuses go to `rejects`.
    pub(crate) fn flush_into(&mut self, rejects: &mut Rejects<'_>, resume: &mut Resume) -> Outcome {
        if self.batch.events() == 0 {
            return Ok(());
        }
        let events = self.batch.events() as u64;
        let answer = self.client.post_events(&self.batch.take())?;
        self.count(&answer, rejects)?;
        self.rows.clear();
        self.acknowledged += events;
        if self.acknowledged >= self.noted + NOTE_EVERY {
            self.note(resume)?;
        }
        Ok(())
    }

    /// Notes how far the run got.
    pub(crate) fn flush(&mut self, resume: &mut Resume) -> Outcome {
        debug_assert_eq!(self.batch.events(), 0, "each source flushes its own rows");
        self.note(resume)
    }

    fn note(&mut self, resume: &mut Resume) -> Outcome {
        self.noted = self.acknowledged;
        let bound = super::report::Pipeline::ask(self.client)?.accepted;
        resume.advance(self.acknowledged, bound)
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
