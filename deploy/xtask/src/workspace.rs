//! The real tree: its text files and manifests. The only part of the crate that reads the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::manifest::{Manifest, read_manifest};
use crate::rules::LEFT_BEHIND;

/// A text file of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    /// Relative to the root, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// The root of the workspace, above this crate.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies two folders below the root").to_owned()
}

/// The names at the top level.
pub fn top_level(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Every text file that git would take, by path: all but `.git` and what builds leave behind.
pub fn text_files(root: &Path) -> io::Result<Vec<TextFile>> {
    let mut files = Vec::new();
    let mut open = vec![String::new()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type()?;
            if name == ".git" || LEFT_BEHIND.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file()
                && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
            {
                files.push(TextFile { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The packages among `files`.
pub fn manifests(files: &[TextFile]) -> Result<Vec<Manifest>, toml::de::Error> {
    let named = |file: &&TextFile| file.path.rsplit('/').next() == Some("Cargo.toml");
    let read = |file: &TextFile| read_manifest(&file.path, &file.text).transpose();
    files.iter().filter(named).filter_map(read).collect()
}
