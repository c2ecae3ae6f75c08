//! `DIR/server.json`: which process serves a data folder, and where.
//!
//! Written when the server listens and removed at a clean exit. After a kill it stays behind; so
//! a reader asks the address that it names and believes only an answer.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::{Exit, OrStop, Outcome};

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerFile {
    /// Process id.
    pub pid: u32,
    /// Address of HTTP.
    pub listen: SocketAddr,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("server.json")
}

/// Notes that this process serves `data_dir` at `listen`.
pub(crate) fn write(data_dir: &Path, listen: SocketAddr) -> Outcome {
    let noted = ServerFile { pid: std::process::id(), listen };
    let path = path(data_dir);
    let text = serde_json::to_string(&noted).or_stop(Exit::Bug, || "writing JSON".into())?;
    replace(&path, text.as_bytes()).or_stop(Exit::Io, || format!("writing {}", path.display()))
}

/// What is noted; `None` when nothing readable is.
#[must_use]
pub(crate) fn read(data_dir: &Path) -> Option<ServerFile> {
    serde_json::from_slice(&std::fs::read(path(data_dir)).ok()?).ok()
}

/// Takes the note away.
pub(crate) fn remove(data_dir: &Path) -> Outcome {
    match std::fs::remove_file(path(data_dir)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).or_stop(Exit::Io, || format!("removing {}", path(data_dir).display()))
        }
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Writes a whole file or nothing: a reader never sees half of it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = beside(path, bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map(|_| ()).map_err(|error| error.error)
}

/// Like [`replace`], but a power failure may undo it or leave an empty file: for notes that are
/// written often and only save time.
pub(crate) fn replace_unsynced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    beside(path, bytes)?.persist(path).map(|_| ()).map_err(|error| error.error)
}

fn beside(path: &Path, bytes: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_until_it_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        assert_eq!(read(folder.path()), None);
        let listen = "127.0.0.1:7".parse().expect("an address");
        write(folder.path(), listen).expect("it can be written");
        let want = ServerFile { pid: std::process::id(), listen };
        assert_eq!(read(folder.path()), Some(want));
        remove(folder.path()).expect("it is there");
        remove(folder.path()).expect("removing nothing is no error");
        assert_eq!(read(folder.path()), None);
    }
}
