//! Where an interrupted run goes on.
//!
//! The note is written after every acknowledged batch: what is sent again is at most one batch,
//! and no history that the stream has gone past meanwhile. It is keyed by the hash of all inputs
//! and of how they are read, and is believed only if the server's log has at least as many records
//! as it had then: another, emptier server gets everything. It only saves time: sending an event
//! twice has no second effect.

use std::path::PathBuf;

use eddyline_schemas::record::Digest;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, OrStop, Outcome};
use crate::server_file::replace_unsynced;

/// How far a run got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Hash of inputs and maps, in hexadecimal digits.
    pub inputs: String,
    /// Which server.
    pub server: String,
    /// Events that the server acknowledged.
    pub sent: u64,
    /// Records that were on the server's log by then, at least.
    pub server_accepted: u64,
    /// What was added to each timestamp, in milliseconds.
    pub shift_ms: i64,
}

/// The note of one run.
#[derive(Debug)]
pub(crate) struct Resume {
    path: Option<PathBuf>,
    note: Note,
}

impl Resume {
    /// Reads the note at `path` and takes it if it fits; `None` as path never resumes.
    pub(crate) fn open(path: Option<PathBuf>, inputs: Digest, server: &str, accepted: u64) -> Self {
        let fresh =
            Note { inputs: inputs.to_string(), server: server.to_owned(), ..Note::default() };
        let noted = path.as_ref().and_then(|path| std::fs::read(path).ok());
        let noted: Option<Note> = noted.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let fits = |note: &Note| {
            note.inputs == fresh.inputs
                && note.server == fresh.server
                && note.server_accepted <= accepted
        };
        Self { path, note: noted.filter(fits).unwrap_or(fresh) }
    }

    /// Events that need not be sent again.
    #[must_use]
    pub(crate) fn sent(&self) -> u64 {
        self.note.sent
    }

    /// The shift of the run that is resumed, else `fresh`.
    pub(crate) fn shift_ms(&mut self, fresh: i64) -> i64 {
        if self.note.sent == 0 {
            self.note.shift_ms = fresh;
        }
        self.note.shift_ms
    }

    /// Notes that `sent` events are acknowledged by a server with `server_accepted` records.
    pub(crate) fn advance(&mut self, sent: u64, server_accepted: u64) -> Outcome {
        self.note.sent = sent;
        self.note.server_accepted = server_accepted;
        let Some(path) = &self.path else { return Ok(()) };
        let text = serde_json::to_vec(&self.note).or_stop(Exit::Bug, || "writing JSON".into())?;
        replace_unsynced(path, &text).or_stop(Exit::Io, || format!("writing {}", path.display()))
    }

    /// Everything is sent: the note has done its work.
    pub(crate) fn finish(self) {
        if let Some(path) = self.path {
            // A note that stays behind costs nothing: it is complete and its events have ids.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_for_the_same_inputs_and_a_server_that_has_them() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = Some(folder.path().join("a.progress.json"));
        let inputs = Digest::of(b"inputs");
        let open =
            |inputs, server, accepted| Resume::open(path.clone(), inputs, server, accepted).sent();
        let mut run = Resume::open(path.clone(), inputs, "http://a", 100);
        assert_eq!((run.sent(), run.shift_ms(7)), (0, 7));
        run.advance(3_000, 2_500).expect("it can be written");
        assert_eq!(open(inputs, "http://a", 2_500), 3_000);
        assert_eq!(open(inputs, "http://a", 2_499), 0, "the server was emptied");
        assert_eq!(open(inputs, "http://b", 9_999), 0, "another server");
        assert_eq!(open(Digest::of(b"other"), "http://a", 9_999), 0, "other inputs");
        let mut again = Resume::open(path.clone(), inputs, "http://a", 2_500);
        assert_eq!(again.shift_ms(9), 7, "one run has one shift");
        again.finish();
        assert_eq!(open(inputs, "http://a", 9_999), 0);
    }
}
