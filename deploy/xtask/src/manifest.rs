//! What the rules need of a `Cargo.toml`: the package's name and what it names as dependencies.

use toml::{Table, Value};

/// A package of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Path of the file below the root.
    pub path: String,
    /// Package name.
    pub name: String,
    /// Of every kind and target.
    pub dependencies: Vec<Dependency>,
}

/// A dependency of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Package name, also if it is renamed.
    pub name: String,
    /// Line of the manifest, from 1.
    pub line: usize,
}

impl Manifest {
    /// The folder of the package below the root; empty for the root.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.path.strip_suffix("/Cargo.toml").unwrap_or("")
    }
}

/// Reads a manifest; `None` if it has no package.
pub fn read_manifest(path: &str, text: &str) -> Result<Option<Manifest>, toml::de::Error> {
    let table: Table = text.parse()?;
    let Some(name) = table.get("package").and_then(|package| package.get("name")?.as_str()) else {
        return Ok(None);
    };
    let mut dependencies = named_in(&table, text);
    for target in table.get("target").and_then(Value::as_table).into_iter().flatten() {
        dependencies.extend(target.1.as_table().into_iter().flat_map(|t| named_in(t, text)));
    }
    Ok(Some(Manifest { path: path.to_owned(), name: name.to_owned(), dependencies }))
}

fn named_in(table: &Table, text: &str) -> Vec<Dependency> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = kinds.iter().filter_map(|kind| table.get(*kind)?.as_table());
    tables
        .flatten()
        .map(|(key, value)| {
            let renamed = value.get("package").and_then(Value::as_str);
            Dependency { name: renamed.unwrap_or(key).to_owned(), line: line_of(text, key) }
        })
        .collect()
}

fn line_of(text: &str, key: &str) -> usize {
    let names = |line: &str| {
        let line = line.trim_start().trim_start_matches('"');
        line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '.', '=', '"']))
            || (line.starts_with('[') && line.contains(&format!("dependencies.{key}]")))
    };
    text.lines().position(names).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_every_kind_are_found() {
        let text = r#"
[package]
name = "p"
[dependencies]
a.workspace = true
b = { package = "renamed", version = "1" }
[dev-dependencies]
c = "1"
[build-dependencies.d]
version = "1"
[target.'cfg(unix)'.dependencies]
e = "1"
"#;
        let manifest = read_manifest("x/Cargo.toml", text).expect("TOML").expect("a package");
        let found: Vec<(&str, usize)> =
            manifest.dependencies.iter().map(|d| (d.name.as_str(), d.line)).collect();
        assert_eq!(found, [("a", 5), ("renamed", 6), ("c", 8), ("d", 9), ("e", 12)]);
        assert_eq!((manifest.name.as_str(), manifest.folder()), ("p", "x"));
    }

    #[test]
    fn a_manifest_without_package_is_none() {
        let manifest = read_manifest("Cargo.toml", "[workspace]\nmembers = []").expect("TOML");
        assert_eq!(manifest, None);
    }
}
