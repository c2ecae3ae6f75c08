//! Rejected rows go to `<input>.rejected.jsonl`: line, reason, raw row.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Rejected, Source, file};
use crate::exit::{Exit, OrStop, Outcome};

/// Added to the name of an input.
const SUFFIX: &str = ".rejected.jsonl";

/// One file for each input that has rejected rows; made when the first is found.
pub(crate) struct Rejects<'a> {
    source: &'a Source,
    /// Instead of a file beside each input.
    to: Option<PathBuf>,
    /// `None` until the input has one.
    files: Vec<Option<(PathBuf, BufWriter<File>)>>,
    count: u64,
}

impl<'a> Rejects<'a> {
    /// For the rows of `source`; `to` takes those of all inputs.
    #[must_use]
    pub(crate) fn new(source: &'a Source, to: Option<PathBuf>) -> Self {
        let files = source.files.iter().map(|_| None).collect();
        Self { source, to, files, count: 0 }
    }

    /// Removes what an earlier run left, so that the files tell of this run alone.
    pub(crate) fn clear(sources: &[&Source], to: Option<&Path>) {
        let inputs = sources.iter().flat_map(|source| &source.files);
        let beside = inputs.map(|(_, input)| file::beside(input, SUFFIX));
        for path in beside.chain(to.map(Path::to_owned)) {
            // What cannot be removed is reported when it is written to.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Rows rejected so far.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Writes one row.
    pub(crate) fn add(&mut self, rejected: &Rejected) -> Outcome {
        self.count += 1;
        let slot = if self.to.is_some() { 0 } else { rejected.file };
        if self.files[slot].is_none() {
            let input = &self.source.files[rejected.file].1;
            let path = self.to.clone().unwrap_or_else(|| file::beside(input, SUFFIX));
            // Catalogue and events may come from the same file: both add to it.
            let made =
                File::options().create(true).append(true).open(&path).or_stop(Exit::Io, || {
                    format!("cannot write rejected rows to {}", path.display())
                })?;
            self.files[slot] = Some((path, BufWriter::new(made)));
        }
        let Some((path, writer)) = &mut self.files[slot] else { return Ok(()) };
        let line = serde_json::to_string(rejected).or_stop(Exit::Bug, || "writing JSON".into())?;
        writeln!(writer, "{line}").or_stop(Exit::Io, || format!("writing {}", path.display()))
    }

    /// Makes all durable and names the files.
    pub(crate) fn finish(self) -> Outcome<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for (path, mut writer) in self.files.into_iter().flatten() {
            writer.flush().or_stop(Exit::Io, || format!("writing {}", path.display()))?;
            paths.push(path);
        }
        Ok(paths)
    }
}
