//! Rule: a crate uses only the crates of the workspace that it may, and serving never reaches the
//! dataflow engine.

use std::collections::{BTreeMap, BTreeSet};

use crate::Violation;
use crate::manifest::Manifest;
use crate::rules::{CRATES, Crate, NEVER_SERVED, SERVING_FOLDER};

/// Checks the edges between the packages of the workspace.
#[must_use]
pub fn check_edges(manifests: &[Manifest]) -> Vec<Violation> {
    let mut violations: Vec<Violation> = manifests.iter().flat_map(check_package).collect();
    violations.extend(manifests.iter().filter_map(|manifest| check_serving(manifest, manifests)));
    violations
}

fn check_package(manifest: &Manifest) -> Vec<Violation> {
    let Some(known) = CRATES.iter().find(|known| known.name == manifest.name) else {
        let what = format!("{} is not in the table of crates", manifest.name);
        return vec![Violation::new(&manifest.path, 1, what)];
    };
    let mut violations = Vec::new();
    if manifest.folder() != known.folder {
        let what = format!("{} belongs into {}", known.name, known.folder);
        violations.push(Violation::new(&manifest.path, 1, what));
    }
    violations.extend(forbidden_edges(manifest, known));
    violations
}

fn forbidden_edges(manifest: &Manifest, known: &Crate) -> Vec<Violation> {
    let ours = |name: &str| CRATES.iter().any(|other| other.name == name);
    manifest
        .dependencies
        .iter()
        .filter(|used| ours(&used.name) && !known.may_use.contains(&used.name.as_str()))
        .map(|used| {
            let may = if known.may_use.is_empty() {
                "none of the workspace".to_owned()
            } else {
                known.may_use.join(", ")
            };
            let what = format!("{} must not use {}; it may use {may}", known.name, used.name);
            Violation::new(&manifest.path, used.line, what)
        })
        .collect()
}

/// The path by which a serving crate reaches what it never may.
fn check_serving(manifest: &Manifest, all: &[Manifest]) -> Option<Violation> {
    if !manifest.path.starts_with(SERVING_FOLDER) {
        return None;
    }
    let by_name: BTreeMap<&str, &Manifest> = all.iter().map(|m| (m.name.as_str(), m)).collect();
    let mut seen = BTreeSet::from([manifest.name.as_str()]);
    let mut open = vec![(manifest, manifest.name.clone(), 0)];
    while let Some((at, path, first_line)) = open.pop() {
        for used in &at.dependencies {
            let line = if first_line == 0 { used.line } else { first_line };
            let path = format!("{path} → {}", used.name);
            if NEVER_SERVED.contains(&used.name.as_str()) {
                let what = format!("serving must not reach {}: {path}", used.name);
                return Some(Violation::new(&manifest.path, line, what));
            }
            if let Some(next) = by_name.get(used.name.as_str())
                && seen.insert(&next.name)
            {
                open.push((next, path, line));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Dependency;

    fn package(folder: &str, name: &str, uses: &[&str]) -> Manifest {
        let dependency =
            |(at, name): (usize, &&str)| Dependency { name: (*name).to_owned(), line: at + 10 };
        Manifest {
            path: format!("{folder}/Cargo.toml"),
            name: name.to_owned(),
            dependencies: uses.iter().enumerate().map(dependency).collect(),
        }
    }

    #[test]
    fn a_planted_edge_is_found() {
        let check = |folder: &str, name: &str, uses: &[&str], want: &[&str]| {
            let found = check_edges(&[package(folder, name, uses)]);
            let found: Vec<String> = found.iter().map(Violation::to_string).collect();
            assert_eq!(found, want);
        };
        check("dataflows/model", "eddyline-model", &["serde", "eddyline-schemas"], &[]);
        check(
            "serving/index",
            "eddyline-index",
            &["serde", "eddyline-connect"],
            &["serving/index/Cargo.toml:11: eddyline-index must not use eddyline-connect; \
               it may use eddyline-model"],
        );
        check(
            "serving/ranker",
            "eddyline-ranker",
            &[],
            &["serving/ranker/Cargo.toml:1: eddyline-ranker is not in the table of crates"],
        );
        check(
            "serving/schemas",
            "eddyline-schemas",
            &[],
            &["serving/schemas/Cargo.toml:1: eddyline-schemas belongs into schemas"],
        );
    }

    #[test]
    fn serving_that_reaches_timely_by_a_detour_is_found() {
        let found = check_edges(&[
            package("serving/api", "eddyline-serving", &["serde", "eddyline-model"]),
            package("dataflows/model", "eddyline-model", &["timely"]),
        ]);
        let want = "serving/api/Cargo.toml:11: serving must not reach timely: \
                    eddyline-serving → eddyline-model → timely";
        assert_eq!(found.iter().map(Violation::to_string).collect::<Vec<_>>(), [want]);
    }
}
