//! Rule: a heavy dependency has one home.

use crate::Violation;
use crate::manifest::Manifest;
use crate::rules::HOMES;

/// Checks that only its home names a heavy dependency.
#[must_use]
pub fn check_homes(manifests: &[Manifest]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for manifest in manifests {
        for used in &manifest.dependencies {
            let home = HOMES.iter().find(|(name, _)| *name == used.name).map(|(_, home)| *home);
            if let Some(home) = home.filter(|home| *home != manifest.name) {
                let what = format!("{} may only be used by {home}", used.name);
                violations.push(Violation::new(&manifest.path, used.line, what));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Dependency;

    #[test]
    fn a_planted_dependency_is_found() {
        let found = |name: &str| {
            let dependencies = vec![Dependency { name: "axum".to_owned(), line: 7 }];
            let (path, name) = ("x/Cargo.toml".to_owned(), name.to_owned());
            check_homes(&[Manifest { path, name, dependencies }])
        };
        assert_eq!(found("eddyline-serving"), []);
        let want = "x/Cargo.toml:7: axum may only be used by eddyline-serving";
        assert_eq!(found("eddyline")[0].to_string(), want);
    }
}
