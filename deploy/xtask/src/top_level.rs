//! Rule: the top level of the repository is fixed.

use crate::Violation;
use crate::rules::{LEFT_BEHIND, TOP_LEVEL};

/// Checks the names at the top level: none but the fixed ones, and all of these.
#[must_use]
pub fn check_top_level(names: &[String]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for name in names {
        let name = name.as_str();
        let known = TOP_LEVEL.contains(&name) || LEFT_BEHIND.contains(&name);
        if !known && !name.starts_with('.') {
            violations.push(Violation::new(name, 1, "does not belong at the top level"));
        }
    }
    for name in TOP_LEVEL.iter().filter(|name| !names.iter().any(|other| other == *name)) {
        violations.push(Violation::new(name, 1, "is missing at the top level"));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_name_and_a_missing_one_are_found() {
        let mut names: Vec<String> = TOP_LEVEL.iter().map(|name| (*name).to_owned()).collect();
        names.extend(["target", ".ci", ".gitignore"].map(str::to_owned));
        assert_eq!(check_top_level(&names), []);
        names.push("notes.txt".to_owned());
        names.retain(|name| name != "LICENSE");
        let found: Vec<String> = check_top_level(&names).iter().map(Violation::to_string).collect();
        let want = [
            "notes.txt:1: does not belong at the top level",
            "LICENSE:1: is missing at the top level",
        ];
        assert_eq!(found, want);
    }
}
