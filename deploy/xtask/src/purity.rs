//! Rule: sources of the pure crates name nothing that does I/O or reads a clock.

use crate::Violation;
use crate::rules::{IMPURE, PURE_FOLDERS};
use crate::workspace::TextFile;

/// Checks the sources of the pure crates; comments may name what code must not.
#[must_use]
pub fn check_purity(files: &[TextFile]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let pure = |path: &str| PURE_FOLDERS.iter().any(|folder| path.starts_with(folder));
    for file in files.iter().filter(|file| file.path.ends_with(".rs") && pure(&file.path)) {
        for (at, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            for name in IMPURE.iter().filter(|name| code.contains(**name)) {
                let what = format!("a pure crate must not name {name}");
                violations.push(Violation::new(&file.path, at + 1, what));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_io_is_found() {
        let found = |path: &str| {
            let text = "// std::fs is not used\nuse std::fs::File;\n".to_owned();
            check_purity(&[TextFile { path: path.to_owned(), text }])
        };
        let want = "serving/index/src/a.rs:2: a pure crate must not name std::fs";
        assert_eq!(found("serving/index/src/a.rs")[0].to_string(), want);
        assert_eq!(found("serving/index/src/a.rs").len(), 1);
        assert_eq!(found("serving/api/src/a.rs"), []);
    }
}
