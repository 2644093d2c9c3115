//! May what comes in with the dependencies be there: is it given under a licence that ours allows, and from where?
//!
//! The rules stand in deny.toml, so that `cargo deny` reads the same ones. Known vulnerabilities are not looked for
//! here, for that needs a network: CONTRIBUTING.md says how.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test asks cargo, and fails where it cannot"
)]

use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The dependencies of all our crates, as cargo has them from Cargo.lock.
fn packages() -> Vec<serde_json::Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    document["packages"].as_array().unwrap().clone()
}

fn rules() -> toml::Table {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    text.parse().unwrap()
}

fn list(rules: &toml::Table, section: &str, key: &str) -> Vec<String> {
    let values = rules[section][key].as_array().unwrap().iter();
    values
        .map(|value| value.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_licence_is_one_that_ours_allows() {
    let allowed = list(&rules(), "licenses", "allow");
    let packages = packages();
    assert!(packages.len() > 100, "{}", packages.len());
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| {
            let licence = package["license"].as_str();
            !licence.is_some_and(|licence| is_allowed(licence, &allowed))
        })
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(wrong.is_empty(), "not in deny.toml:\n{}", wrong.join("\n"));
}

#[test]
fn everything_comes_from_one_registry_or_from_here() {
    let allowed = list(&rules(), "sources", "allow-registry");
    let wrong: Vec<String> = packages()
        .iter()
        .filter_map(|package| {
            let source = package["source"].as_str()?;
            let registry = source.strip_prefix("registry+");
            let known = registry.is_some_and(|url| allowed.iter().any(|known| known == url));
            (!known).then(|| format!("{}: {source}", package["name"]))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let foreign = lock.matches("source = \"registry+").count();
    assert_eq!(
        lock.matches("checksum = \"").count(),
        foreign,
        "each has a checksum, which cargo compares"
    );
}

/// Says whether an expression (SPDX, or the older form with slashes) can be met. `AND` binds what parentheses hold.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let alternatives = |part: &str| {
        let part = part.replace(" / ", " OR ").replace('/', " OR ");
        let mut choices = part.split(" OR ").map(str::trim);
        choices.any(|choice| allowed.iter().any(|known| known == choice))
    };
    expression
        .split(" AND ")
        .map(|part| part.trim_matches(['(', ')', ' ']))
        .all(alternatives)
}

#[test]
fn expressions_are_read() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned()];
    for good in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "ISC AND (X OR MIT)"] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(X OR Y) AND MIT", ""] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
