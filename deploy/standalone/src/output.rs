//! What verbs print: data on stdout, progress and logs on stderr.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::exit::{Exit, OrStop, Outcome};

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One indented JSON value.
    Json,
    /// One JSON value a line.
    Ndjson,
}

/// Prints one indented JSON value.
pub(crate) fn print_json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).or_stop(Exit::Bug, || "writing JSON".into())?;
    print_line(&text)
}

/// Prints one JSON value on one line.
pub(crate) fn print_json_line(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string(value).or_stop(Exit::Bug, || "writing JSON".into())?;
    print_line(&text)
}

/// Prints one line of data.
pub(crate) fn print_line(text: &str) -> Outcome {
    writeln!(std::io::stdout().lock(), "{text}").or_stop(Exit::Io, || "writing to stdout".into())
}

/// Prints rows under headers, columns padded to their widest cell.
pub(crate) fn print_table(headers: &[&str], rows: &[Vec<String>]) -> Outcome {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headers[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    print_line(&line(&mut headers.iter().copied()))?;
    rows.iter().try_for_each(|row| print_line(&line(&mut row.iter().map(String::as_str))))
}

/// How often progress is told where no bar can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress on stderr: a bar on a terminal, else a line each ten seconds.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Starts at 0 of `total`, in units of `what`; a total of 0 is not known.
    #[must_use]
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = if total == 0 { ProgressBar::no_length() } else { ProgressBar::new(total) };
            let template = match total {
                0 => format!("{{pos}} {what} {{per_sec}}"),
                _ => format!("{{bar:40}} {{pos}}/{{len}} {what} {{per_sec}} {{eta}} left"),
            };
            match ProgressStyle::with_template(&template) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        let now = Instant::now();
        Self { bar, what, total, done: 0, started: now, last_line: now }
    }

    /// `done` units are done.
    pub(crate) fn set(&mut self, done: u64) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let rate = done as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
            let of = if self.total == 0 { String::new() } else { format!(" of {}", self.total) };
            eprintln!("{done}{of} {} ({rate:.0}/s)", self.what);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
