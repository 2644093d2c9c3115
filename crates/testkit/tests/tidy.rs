//! Is the repository tidy?
//!
//! The rules of CONTRIBUTING.md that a machine can check. A test that fails names every place, and says how to mend
//! it. The words looked for are written in two pieces here, so that this file does not complain about itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn no_file_is_too_long() {
    each(rust, |file, complain| {
        let lines = file.text.lines().count();
        if lines > MOST_LINES {
            complain(
                0,
                &format!(
                    "has {lines} lines, more than {MOST_LINES}: give one of its questions a file"
                ),
            );
        }
    });
}

#[test]
fn no_function_is_too_long() {
    each(rust, |file, complain| {
        for (number, length) in
            functions(&file.text).filter(|(_, length)| *length > MOST_LINES_OF_A_FUNCTION)
        {
            let most = MOST_LINES_OF_A_FUNCTION;
            complain(
                number,
                &format!(
                    "a function of {length} lines, more than {most}: keep its `if`s, move the rest"
                ),
            );
        }
    });
}

#[test]
fn files_are_named_after_what_they_are_about() {
    each(rust, |file, complain| {
        let name = file
            .path
            .file_stem()
            .expect("a file has a name")
            .to_string_lossy();
        if name == "mod" {
            complain(
                0,
                "is called mod.rs: make it a file of its folder's name beside the folder",
            );
        }
        let vague = file
            .path
            .iter()
            .map(|part| part.to_string_lossy().to_lowercase());
        if vague
            .clone()
            .any(|part| VAGUE.iter().any(|word| part.starts_with(word)))
        {
            complain(
                0,
                "has a name that says nothing: name it after the user's word for what it is about",
            );
        }
    });
}

#[test]
fn every_file_says_what_question_it_answers() {
    each(rust, |file, complain| {
        if !file.text.starts_with("//! ") {
            complain(
                1,
                "does not begin with `//! `: say which question this file answers",
            );
        }
    });
}

#[test]
fn no_test_is_behind_a_switch() {
    without(
        rust,
        &[concat!("#[igno", "re")],
        "a test that is ignored rots: make it run, or take it away",
    );
}

#[test]
fn nothing_is_left_to_be_done() {
    let words = [
        concat!("todo", "!("),
        concat!("unimpl", "emented!("),
        concat!("FIX", "ME"),
        concat!("XX", "X "),
    ];
    without(
        code_and_text,
        &words,
        "finish it, or take it away and say in CHANGELOG.md what is missing",
    );
}

#[test]
fn no_path_of_the_makers_machine_is_left() {
    each(code_and_text, |file, complain| {
        for (number, line) in numbered(&file.text) {
            let mut line = line.to_owned();
            for known in USERS_PATHS {
                line = line.replace(known, "");
            }
            if [concat!("/ro", "ot/"), concat!("/wo", "rk/")]
                .iter()
                .any(|path| line.contains(path))
            {
                complain(
                    number,
                    "a path of somebody's machine: read it from where it is configured",
                );
            }
        }
    });
}

#[test]
fn no_mirror_is_named() {
    let hosts = [
        concat!("deb.debian", ".org"),
        concat!("archive.ubu", "ntu.com"),
        concat!("static.crates", ".io"),
    ];
    without(
        code_and_text,
        &hosts,
        "which mirror is used is the machine's choice: read it from there",
    );
}

#[test]
fn no_line_ends_in_space() {
    each(code_and_text, |file, complain| {
        for (number, line) in numbered(&file.text) {
            if line.ends_with([' ', '\t', '\r']) {
                complain(number, "ends in white space: take it away");
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            complain(
                file.text.lines().count(),
                "has no line end at its end: add it",
            );
        }
    });
}

#[test]
fn every_dependency_has_its_reason() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml can be read");
    let section = text
        .split("[workspace.dependencies]")
        .nth(1)
        .expect("there are dependencies");
    let section = section
        .split("\n[")
        .next()
        .expect("a split has a first part");
    let foreign = section
        .lines()
        .filter(|line| line.contains(" = ") && !line.contains("path = \"crates/"));
    let silent: Vec<_> = foreign
        .clone()
        .filter(|line| !line.contains("# "))
        .collect();
    assert!(
        silent.is_empty(),
        "say at the end of the line what it is here for:\n{}",
        silent.join("\n")
    );
    let count = foreign.count();
    assert!(
        count <= MOST_DEPENDENCIES,
        "{count} dependencies, more than {MOST_DEPENDENCIES}: which one is worth least?"
    );
}

#[test]
fn each_purpose_has_one_library() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock can be read");
    for (name, instead) in UNWANTED {
        let named = format!("name = \"{name}\"");
        assert!(
            !lock.lines().any(|line| line == named),
            "{name} came in with a dependency; {instead}"
        );
    }
}

#[test]
fn no_crate_goes_round_the_workspace() {
    each(manifest, |file, complain| {
        if !file.path.starts_with("crates") {
            return;
        }
        let mut section = "";
        for (number, line) in numbered(&file.text) {
            section = line.strip_prefix('[').unwrap_or(section);
            let dependency = section.contains("dependencies") && line.contains('=');
            if dependency && !line.contains("workspace") {
                complain(
                    number,
                    "a version of its own: name it in the workspace's Cargo.toml, with the reason",
                );
            }
        }
    });
}

#[test]
fn links_lead_somewhere() {
    each(text, |file, complain| {
        for (number, line) in numbered(&file.text) {
            for target in links(line)
                .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
            {
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let folder = root()
                    .join(&file.path)
                    .parent()
                    .expect("a file has a folder")
                    .to_owned();
                let found = if path.is_empty() {
                    root().join(&file.path)
                } else {
                    folder.join(path)
                };
                if !found.exists() {
                    complain(
                        number,
                        &format!("the link leads to {path}, which is not there"),
                    );
                } else if !anchor.is_empty() && !headings(&found).contains(anchor) {
                    complain(
                        number,
                        &format!("the link leads to #{anchor}, which is no heading there"),
                    );
                }
            }
        }
    });
}

#[test]
fn functions_are_measured_from_their_name_to_their_brace() {
    let text = "trait A {\n    fn a();\n    fn b() {\n        1\n    }\n}\npub async fn c(\n    d: D,\n) {\n}\n";
    assert_eq!(functions(text).collect::<Vec<_>>(), [(3, 3), (7, 4)]);
    let text = "fn a() {\n    check(r#\"\n        one\n        two\n    \"#);\n}\n";
    assert_eq!(functions(text).collect::<Vec<_>>(), [(1, 3)]);
}

#[test]
fn links_are_found_in_a_line() {
    let line = "[a](b.md) and ![c](d.png \"title\") and [e](#f)";
    assert_eq!(links(line).collect::<Vec<_>>(), ["b.md", "d.png", "#f"]);
}

/// One file of the repository; its path is relative to the repository's folder.
struct File {
    path: PathBuf,
    text: String,
}

/// Looks at every file of a kind, and fails with all complaints at once.
#[track_caller]
fn each(kind: fn(&Path) -> bool, mut look: impl FnMut(&File, &mut dyn FnMut(usize, &str))) {
    let mut complaints = Vec::new();
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    let paths: Vec<_> = paths.into_iter().filter(|path| kind(path)).collect();
    assert!(
        !paths.is_empty(),
        "no file was found: this test looks in the wrong place"
    );
    for path in paths {
        let text = fs::read(root().join(&path)).expect("a file of the repository can be read");
        let file = File {
            path,
            text: String::from_utf8_lossy(&text).into_owned(),
        };
        look(&file, &mut |line, complaint| {
            complaints.push(format!("{}:{line}: {complaint}", file.path.display()));
        });
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[track_caller]
fn without(kind: fn(&Path) -> bool, words: &[&str], mend: &str) {
    each(kind, |file, complain| {
        for (number, line) in numbered(&file.text) {
            for word in words.iter().filter(|word| line.contains(**word)) {
                complain(number, &format!("`{word}`: {mend}"));
            }
        }
    });
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository can be read") {
        let entry = entry.expect("a folder of the repository can be read");
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry
            .file_type()
            .expect("a file of the repository has a kind");
        if NOT_OURS.iter().any(|other| *other == name) {
            continue;
        }
        if kind.is_dir() {
            walk(&path, found);
        } else if kind.is_file() {
            found.push(
                path.strip_prefix(root())
                    .expect("it lies in the repository")
                    .to_owned(),
            );
        }
    }
}

fn rust(path: &Path) -> bool {
    has_ending(path, &["rs"])
}

fn text(path: &Path) -> bool {
    has_ending(path, &["md"])
}

fn manifest(path: &Path) -> bool {
    path.ends_with("Cargo.toml")
}

fn code_and_text(path: &Path) -> bool {
    // Test data is what it is, to the byte.
    if path.iter().any(|part| part == "testdata") {
        return false;
    }
    let script = path.extension().is_none() && !path.starts_with("LICENSE");
    has_ending(
        path,
        &["rs", "md", "toml", "conf", "sh", "service", "timer"],
    ) || script
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension()
        .is_some_and(|ending| endings.iter().any(|known| ending == *known))
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // Not `lines`, which would hide a carriage return.
    text.split('\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// Where functions begin, and how long they are. Formatted code ends one with a brace under its first letter.
fn functions(text: &str) -> impl Iterator<Item = (usize, usize)> {
    numbered(text).filter_map(move |(number, line)| {
        let mut begun = line.trim_start();
        let indent = &line[..line.len() - begun.len()];
        while let Some(rest) = BEFORE_FN.iter().find_map(|word| begun.strip_prefix(word)) {
            begun = rest;
        }
        if !begun.starts_with("fn ") {
            return None;
        }
        let lines = || text.split('\n').skip(number - 1);
        // What a trait only declares ends in a semicolon.
        let opened = lines().find(|line| line.ends_with(['{', ';', '}']))?;
        let end = format!("{indent}}}");
        let length = lines().position(|line| line == end)? + 1;
        let length = code(lines().take(length));
        opened.ends_with('{').then_some((number, length))
    })
}

/// How many of the lines are code: those inside a text of several lines (a snapshot, a table of cases) are data.
fn code<'a>(lines: impl Iterator<Item = &'a str>) -> usize {
    let mut inside = false;
    let mut count = 0;
    for line in lines {
        count += usize::from(!inside);
        inside = match line.rfind("r#\"") {
            Some(begin) => !line[begin + 3..].contains("\"#"),
            None => inside && !line.contains("\"#"),
        };
    }
    count
}

/// The targets of a line's `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .filter(|target| !target.is_empty())
}

/// The anchors of a document's headings, made as GitHub makes them.
fn headings(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    headings
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(kept)
                .collect::<String>()
        })
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the repository is there")
}

/// Lines a file may have. What is longer answers more than one question.
const MOST_LINES: usize = 600;

/// Lines a function may have. What is longer cannot be seen at once.
const MOST_LINES_OF_A_FUNCTION: usize = 70;

/// Crates of others that we name ourselves. Each is code we answer for.
const MOST_DEPENDENCIES: usize = 45;

/// Crates that do what another one does here already.
const UNWANTED: [(&str, &str); 5] = [
    (
        "openssl-sys",
        "TLS is rustls, which needs no library of the system",
    ),
    (
        "native-tls",
        "TLS is rustls, which needs no library of the system",
    ),
    ("chrono", "moments are jiff's"),
    ("async-std", "the runtime is tokio"),
    ("reqwest", "requests are hyper's, under our own deadlines"),
];

/// What may stand before `fn`.
const BEFORE_FN: [&str; 5] = ["pub ", "pub(crate) ", "pub(super) ", "async ", "const "];

/// Names that could stand for anything.
const VAGUE: [&str; 4] = ["util", "helper", "misc", "common"];

/// What is made, or fetched, and not written. In a second working tree `.git` is a file.
const NOT_OURS: [&str; 4] = [".git", "target", ".peers", "node_modules"];

/// Paths on our users' machines that look like the makers'.
const USERS_PATHS: [&str; 1] = [concat!("/ro", "ot/.acme.sh")];
