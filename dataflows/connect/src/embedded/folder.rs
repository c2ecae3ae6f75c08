//! The folder of a log: who owns it, and the syncs that make names durable.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::log::OpenError;

const LOCK_FILE: &str = "log.lock";

/// The advisory lock on a folder, released when dropped or when the process ends.
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Creates the folder if need be and locks it; fails at once when somebody else has it.
    pub(super) fn acquire(folder: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { folder: folder.to_path_buf(), source };
        create_folder(folder).map_err(failed)?;
        let path = folder.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = read_owner(&mut file);
                return Err(OpenError::InUse { folder: folder.to_path_buf(), owner });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        write_owner(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn read_owner(file: &mut File) -> String {
    let mut owner = String::new();
    match file.read_to_string(&mut owner) {
        Ok(_) if !owner.trim().is_empty() => owner.trim().to_owned(),
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

fn write_owner(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Creates `folder` and all above it, each durable in the one above.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(folder)?;
    let is_missing = |path: &&Path| !path.exists();
    let missing: Vec<PathBuf> =
        absolute.ancestors().take_while(is_missing).map(Path::to_path_buf).collect();
    std::fs::create_dir_all(&absolute)?;
    for created in missing {
        sync_folder(created.parent().unwrap_or(&absolute))?;
    }
    Ok(())
}

/// Makes the names in `folder` durable.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems cannot open a folder, and make names durable by themselves.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
