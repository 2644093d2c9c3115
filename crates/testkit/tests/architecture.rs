//! Do the crates know only whom they may know?
//!
//! The picture is in ARCHITECTURE.md; each rule of it is one test here. The tests read the `Cargo.toml` files, and
//! for the crates that must be pure also the source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every crate of ours, with the crates of ours it may know. A new crate gets its place here and in the picture.
const MAY_KNOW: [(&str, &[&str]); 14] = [
    ("renewal", &[]),
    ("x509", &["renewal"]),
    ("acme", &["renewal", "x509"]),
    ("nginx", &["renewal", "x509"]),
    ("doctor", &["renewal", "x509"]),
    ("store", &["renewal", "x509"]),
    ("cloudpanel", &["renewal", "x509"]),
    ("reconcile", &["renewal", "x509"]),
    ("web", &["renewal", "reconcile"]),
    (
        "cli",
        &[
            "renewal",
            "x509",
            "acme",
            "nginx",
            "doctor",
            "store",
            "cloudpanel",
            "reconcile",
            "web",
            "testca",
        ],
    ),
    ("testca", &[]),
    ("testkit", &[]),
    ("bench", &["renewal", "testca", "testkit"]),
    ("reliability", &["testca", "testkit"]),
];

/// What stays in the repository: it measures or strikes, and no user ever gets it.
const NEVER_SHIPPED: [&str; 2] = ["bench", "reliability"];

/// Tests may use these besides, for they are no part of what is tested.
const FOR_TESTS: [&str; 3] = ["testca", "testkit", "reliability"];

/// Exceptions: whose tests, which sibling. The driver is played over the store in memory, which is no fake: it passes
/// the contract suite that every store passes.
const FOR_TESTS_OF: [(&str, &str); 1] = [("reconcile", "store")];

/// What does I/O, reads a clock, rolls dice or is a runtime: not for crates that hold rules.
const IMPURE: [&str; 24] = [
    "anstream",
    "axum",
    "clap",
    "futures-util",
    "glob",
    "hickory-proto",
    "hickory-resolver",
    "hyper",
    "hyper-rustls",
    "hyper-util",
    "indicatif",
    "inotify",
    "rand",
    "reqwest",
    "rusqlite",
    "rustix",
    "rustls",
    "sd-notify",
    "tempfile",
    "tokio",
    "tokio-rustls",
    "tracing",
    "tracing-subscriber",
    "libc",
];

/// The same, in the standard library. Addresses are values, so `std::net` as such is none of it.
const IMPURE_PATHS: [&str; 11] = [
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
];

#[test]
fn every_crate_has_its_place() {
    let known: BTreeSet<_> = MAY_KNOW
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let stray: Vec<_> = crates()
        .into_keys()
        .filter(|name| !known.contains(name))
        .collect();
    assert!(
        stray.is_empty(),
        "say in MAY_KNOW, and in ARCHITECTURE.md, where these crates stand: {stray:?}"
    );
}

#[test]
fn the_architecture_names_every_crate() {
    let text =
        fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let silent: Vec<_> = crates()
        .into_keys()
        .filter(|name| !text.contains(&format!("`{name}`")))
        .collect();
    assert!(
        silent.is_empty(),
        "ARCHITECTURE.md says nothing about the crates {silent:?}"
    );
}

#[test]
fn the_rules_know_none_of_our_crates() {
    only_allowed("renewal");
}

#[test]
fn the_rules_do_no_io() {
    pure("renewal");
}

#[test]
fn certificates_are_read_without_io() {
    only_allowed("x509");
    pure("x509");
}

#[test]
fn siblings_do_not_know_each_other() {
    for name in ["acme", "nginx", "doctor", "store", "cloudpanel"] {
        only_allowed(name);
    }
}

#[test]
fn the_driver_knows_no_adapter() {
    only_allowed("reconcile");
}

#[test]
fn the_dashboard_asks_the_driver_alone() {
    only_allowed("web");
}

#[test]
fn the_practice_ca_shares_no_code_with_the_client() {
    only_allowed("testca");
}

#[test]
fn fixtures_use_none_of_the_code_they_test() {
    only_allowed("testkit");
    let crates = crates();
    let own: Vec<_> = ours(&crates["testkit"].for_tests).collect();
    assert!(
        own.is_empty(),
        "the tests of testkit use {own:?}; they belong into those crates"
    );
}

#[test]
fn what_measures_knows_the_rules_and_the_fixtures_alone() {
    only_allowed("bench");
}

#[test]
fn what_strikes_knows_the_fixtures_alone() {
    only_allowed("reliability");
}

#[test]
fn only_the_program_sees_all() {
    only_allowed("cli");
    for (name, known) in crates() {
        let all = ours(&known.always)
            .chain(ours(&known.for_tests))
            .any(|other| other == "cli");
        assert!(
            !all,
            "{name} knows cli; move what it wants from there to a crate below"
        );
    }
}

#[test]
fn fixtures_are_never_shipped() {
    let shipped = crates()
        .into_iter()
        .filter(|(name, _)| !NEVER_SHIPPED.contains(&name.as_str()));
    for (name, known) in shipped {
        assert!(
            !known.always.contains("testkit"),
            "{name} ships testkit; move it to [dev-dependencies]"
        );
    }
}

#[test]
fn tests_know_no_more_siblings_than_the_code() {
    for (name, known) in crates() {
        let allowed = allowed(&name);
        let foreign = ours(&known.for_tests).filter(|other| !FOR_TESTS.contains(other));
        for other in foreign.filter(|other| !FOR_TESTS_OF.contains(&(name.as_str(), *other))) {
            assert!(
                allowed.contains(&other),
                "the tests of {name} use {other}; test the two together in cli/tests"
            );
        }
    }
}

#[test]
fn every_crate_obeys_the_lints_of_the_workspace() {
    for name in crates().keys() {
        let manifest = manifest(&root().join("crates").join(name));
        let obeys = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool);
        assert_eq!(
            obeys,
            Some(true),
            "add `[lints] workspace = true` to crates/{name}/Cargo.toml"
        );
    }
}

/// What a crate's `Cargo.toml` asks for.
struct Known {
    always: BTreeSet<String>,
    for_tests: BTreeSet<String>,
}

#[track_caller]
fn only_allowed(name: &str) {
    // Foreseen crates need not be there yet.
    let Some(known) = crates().remove(name) else {
        return;
    };
    let allowed = allowed(name);
    for other in ours(&known.always) {
        assert!(
            allowed.contains(&other),
            "{name} knows {other}, but may know only {allowed:?}; pass what it needs as a value or behind a port of \
             renewal, and let cli wire the two"
        );
    }
}

#[track_caller]
fn pure(name: &str) {
    let known = &crates()[name].always;
    let impure: Vec<_> = IMPURE
        .iter()
        .filter(|other| known.contains(**other))
        .collect();
    assert!(
        impure.is_empty(),
        "{name} holds rules and may not use {impure:?}; take the result as an argument"
    );
    for file in sources(&root().join("crates").join(name).join("src")) {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for (path, line) in IMPURE_PATHS
            .iter()
            .flat_map(|path| code.clone().map(move |line| (path, line)))
        {
            let file = file.display();
            assert!(
                !line.contains(path),
                "{file} uses {path}; {name} holds rules: take the result as an argument"
            );
        }
    }
}

fn allowed(name: &str) -> Vec<&'static str> {
    MAY_KNOW
        .iter()
        .filter(|(known, _)| *known == name)
        .flat_map(|(_, others)| others.iter().copied())
        .collect()
}

fn ours(dependencies: &BTreeSet<String>) -> impl Iterator<Item = &str> {
    dependencies
        .iter()
        .map(String::as_str)
        .filter(|name| MAY_KNOW.iter().any(|(known, _)| known == name))
}

fn crates() -> BTreeMap<String, Known> {
    let folders = fs::read_dir(root().join("crates")).expect("crates/ can be read");
    let folders = folders.map(|entry| entry.expect("crates/ can be read").path());
    let folders = folders.filter(|folder| folder.join("Cargo.toml").exists());
    folders
        .map(|folder| (name_of(&folder), known(&manifest(&folder))))
        .collect()
}

fn known(manifest: &toml::Table) -> Known {
    let names = |table: &toml::Table, kind: &str| -> Vec<String> {
        table
            .get(kind)
            .and_then(toml::Value::as_table)
            .into_iter()
            .flat_map(|table| table.keys().cloned())
            .collect()
    };
    let mut tables = vec![manifest];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    tables.extend(
        targets
            .into_iter()
            .flat_map(|targets| targets.values())
            .filter_map(toml::Value::as_table),
    );
    let all = |kinds: &[&str]| {
        tables
            .iter()
            .flat_map(|table| kinds.iter().flat_map(|kind| names(table, kind)))
            .collect()
    };
    Known {
        always: all(&["dependencies", "build-dependencies"]),
        for_tests: all(&["dev-dependencies"]),
    }
}

fn manifest(folder: &Path) -> toml::Table {
    let text = fs::read_to_string(folder.join("Cargo.toml")).expect("a Cargo.toml can be read");
    text.parse().expect("a Cargo.toml is TOML")
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a source folder can be read");
    let paths = entries.map(|entry| entry.expect("a source folder can be read").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn name_of(folder: &Path) -> String {
    folder
        .file_name()
        .expect("a crate's folder has a name")
        .to_string_lossy()
        .into_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
