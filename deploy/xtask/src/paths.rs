//! Rule: no committed text names a path that exists on one machine only.

use crate::Violation;
use crate::rules::MACHINE_FOLDERS;
use crate::workspace::TextFile;

/// Checks all text files.
#[must_use]
pub fn check_paths(files: &[TextFile]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(folder) = machine_folder(line) {
                let what = format!("names a path of one machine, below {folder:?}");
                violations.push(Violation::new(&file.path, at + 1, what));
            }
        }
    }
    violations
}

/// The first segment of the first absolute path in `line` that belongs to one machine.
fn machine_folder(line: &str) -> Option<&'static str> {
    let named = |folder: &str| {
        let path = format!("/{folder}/");
        line.match_indices(&path).any(|(at, _)| {
            // `a/b/home/c`, `./home/c` and `https://host/home/c` are no absolute paths.
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "._-/}{~$*".contains(c))
        })
    };
    MACHINE_FOLDERS.iter().copied().find(|folder| named(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_path_is_found() {
        let check = |line: &str, want: bool| {
            // `|` stands for the first slash, lest this file break the rule it tests.
            let file = TextFile { path: "a.md".to_owned(), text: line.replace('|', "/") };
            assert_eq!(!check_paths(&[file]).is_empty(), want, "{line}");
        };
        check("see |home/ada/notes", true);
        check("DIR=|tmp/x", true);
        check("[\"|root/x\"]", true);
        check("../shared|work/x", false);
        check("https://example.org|home/x", false);
        check("GET |v1/recommendations", false);
        check("$HOME|tmp/x", false);
    }

    #[test]
    fn every_line_is_named() {
        let line = "x = \"|Users/ada/x\"\n".replace('|', "/");
        let file = TextFile { path: "a.toml".to_owned(), text: format!("a\n{line}b\n{line}") };
        let lines: Vec<usize> = check_paths(&[file]).iter().map(|v| v.line).collect();
        assert_eq!(lines, [2, 4]);
    }
}
