//! What a run did, and where its events ended up.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eddyline_schemas::time::{DAY_MS, TimestampMs};
use serde::{Deserialize, Serialize};

use super::send::Sender;
use crate::client::Client;
use crate::exit::{Exit, OrStop, Outcome};
use crate::output::{Format, print_json, print_json_line, print_table};

/// How long the pipeline may take to bind what it acknowledged.
const CATCH_UP: Duration = Duration::from_secs(60);

/// What the user is told when more than 1 % is late.
pub(crate) const LATE_ADVICE: &str = "more than 1 % of the events are late: they are older than the \
    stream by more than its allowance (core.late_allowance_hours) and were not learned\n  try: \
    ingest history before live traffic, with --sort, or move it with --shift-time-to-now";

/// Live traffic moves logical time to now; older history than this fades noticeably by that.
const OLD_MS: i64 = 7 * DAY_MS;

/// What the user is told when the newest event is more than a week old.
pub(crate) const OLD_ADVICE: &str = "this history is old: the first live event moves logical time to \
    now, and popularity that decays with time fades\n  try: ingest it with --shift-time-to-now for \
    a demo on old data";

/// The summary.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Rows read.
    pub rows: u64,
    /// Events that an earlier, interrupted run had sent.
    pub skipped: u64,
    /// Events that are durable on the server's log.
    pub accepted: u64,
    /// Of those, how many the door had seen a short while ago.
    pub duplicates: u64,
    /// Rows that made no event, here or at the door.
    pub rejected_rows: u64,
    /// Events that the server counted as late meanwhile.
    pub late: u64,
    /// From the first row to the last acknowledgement.
    pub seconds: f64,
    /// Acknowledged events by time.
    pub events_per_second: f64,
    /// Where rejected rows are.
    pub rejected_files: Vec<PathBuf>,
    /// Time of the newest event, as sent.
    #[serde(skip)]
    pub newest: Option<TimestampMs>,
    #[serde(skip)]
    started: Started,
}

#[derive(Clone, Debug)]
struct Started(Instant);

impl Default for Started {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Report {
    /// Takes over the sums of `sender` and stops the watch.
    pub(crate) fn take(&mut self, sender: &Sender<'_>) {
        debug_assert!(sender.refused() <= self.rejected_rows, "refused rows went to the file");
        self.skipped = sender.skipped();
        self.accepted = sender.accepted();
        self.duplicates = sender.duplicates();
        self.seconds = self.started.0.elapsed().as_secs_f64();
        self.events_per_second = self.accepted as f64 / self.seconds.max(1e-9);
    }

    /// Prints it.
    pub(crate) fn print(&self, format: Format) -> Outcome {
        match format {
            Format::Json => print_json(self),
            Format::Ndjson => print_json_line(self),
            Format::Table => self.print_rows(),
        }
    }

    fn print_rows(&self) -> Outcome {
        let mut rows = vec![
            vec!["rows read".to_owned(), self.rows.to_string()],
            vec!["accepted".into(), self.accepted.to_string()],
            vec!["duplicates".into(), self.duplicates.to_string()],
            vec!["rejected".into(), self.rejected_rows.to_string()],
            vec!["late".into(), self.late.to_string()],
            vec!["events/s".into(), format!("{:.0}", self.events_per_second)],
        ];
        if self.skipped > 0 {
            rows.push(vec!["sent before".into(), self.skipped.to_string()]);
        }
        for path in &self.rejected_files {
            rows.push(vec!["rejected rows in".into(), path.display().to_string()]);
        }
        print_table(&["what", "count"], &rows)
    }
}

/// More than 1 % of what was accepted.
#[must_use]
pub(crate) fn is_mostly_late(report: &Report) -> bool {
    report.late * 100 > report.accepted
}

/// All events are more than a week older than `now`.
#[must_use]
pub(crate) fn is_old(newest: Option<TimestampMs>, now: TimestampMs) -> bool {
    newest.is_some_and(|newest| now.0.saturating_sub(newest.0) > OLD_MS)
}

/// What `GET /v1/pipeline` says.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Pipeline {
    /// Records bound.
    pub accepted: u64,
    /// Of those, late ones.
    pub late: u64,
    /// Records on the log that are not bound yet.
    pub lag: u64,
}

impl Pipeline {
    /// Records on the log.
    #[must_use]
    pub(crate) fn on_log(self) -> u64 {
        self.accepted + self.lag
    }

    /// Asks once.
    pub(crate) fn ask(client: &Client) -> Outcome<Self> {
        let json = client.get("/v1/pipeline")?;
        serde_json::from_value(json).or_stop(Exit::Failure, || {
            format!("{}/v1/pipeline answered something else than expected", client.base())
        })
    }

    /// Asks until `accepted` records are bound, or for a minute.
    pub(crate) fn wait(client: &Client, accepted: u64) -> Outcome<Self> {
        let started = Instant::now();
        loop {
            let now = Self::ask(client)?;
            if now.accepted >= accepted || started.elapsed() > CATCH_UP {
                return Ok(now);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_old_after_a_week() {
        let now = TimestampMs(100 * DAY_MS);
        assert!(!is_old(None, now), "no events, no advice");
        assert!(!is_old(Some(now.plus_ms(-OLD_MS)), now));
        assert!(is_old(Some(now.plus_ms(-OLD_MS - 1)), now));
        assert!(!is_old(Some(now.plus_ms(DAY_MS)), now));
    }
}
