//! Which vhost files lie beside those that nginx reads, and are read by no include?
//!
//! `include sites-enabled/*.conf` passes over a file without that ending, silently: the site is simply not there. Only
//! folders from which a pattern takes files are looked at, and only files with a server block whose names nobody else
//! serves; what editors and packages leave behind is left alone.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use renewal::finding::{Finding, FindingName, Severity};

use crate::conf::include::Walk;
use crate::conf::read::Reader;
use crate::conf::tree::{Directive, Tree};

/// Finds those files.
pub(crate) fn unreached(reader: &dyn Reader, main: &Path) -> Vec<Finding> {
    let mut read: HashSet<Arc<Path>> = HashSet::new();
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    let mut served: HashSet<String> = HashSet::new();
    Walk::new(reader, main).main(main, &mut |walk, file, directive| {
        if !directive.is("http") {
            return;
        }
        walk.each(file, directive.block(), &mut |_, file, directive| {
            if directive.is("server") {
                served.extend(names_of(directive));
                if *file.path != *main && read.insert(Arc::clone(&file.path)) {
                    folders.extend(file.path.parent().map(PathBuf::from));
                }
            }
        });
    });
    let mut findings = Vec::new();
    for folder in folders {
        let mut names = reader.list(&folder).unwrap_or_default();
        names.sort();
        for name in names {
            let path = folder.join(&name);
            let is_left_over = name.to_str().is_none_or(is_left_over);
            if is_left_over || read.contains(&*path) || path == main {
                continue;
            }
            let lost = names_in(reader, &path);
            let lost: Vec<String> = lost
                .into_iter()
                .filter(|name| !served.contains(name))
                .collect();
            if !lost.is_empty() {
                findings.push(finding(&path, &lost));
            }
        }
    }
    findings.truncate(FINDINGS_MAX);
    findings
}

fn finding(path: &Path, names: &[String]) -> Finding {
    let shown = path.display();
    Finding::new(
        FindingName::VhostMissing,
        format!("nginx does not read the vhost file {shown}, so it does not serve {}.", names[0]),
    )
    .severity(Severity::Error)
    .detail(format!("server_name {}; no include of the configuration reaches {shown}", names.join(" ")))
    .fix(format!(
        "Name it as the files beside it: mv {shown} {shown}.conf && nginx -t && systemctl reload nginx; or remove it, if \
         the site is gone."
    ))
}

/// Returns the names in the server blocks at the top of a file; none when it is no such file.
fn names_in(reader: &dyn Reader, path: &Path) -> Vec<String> {
    let mut text = Vec::new();
    if reader.read(path, &mut text).is_err() {
        return Vec::new();
    }
    let Ok(tree) = Tree::parse(text) else {
        return Vec::new();
    };
    let servers = tree.directives().filter(|directive| directive.is("server"));
    servers.flat_map(names_of).collect()
}

/// Returns the plain names of a server block; what is included there is not followed.
fn names_of(server: Directive<'_>) -> Vec<String> {
    let lists = server
        .block()
        .filter(|directive| directive.is("server_name"));
    let names = lists.flat_map(|list| {
        list.arguments()
            .map(|name| String::from_utf8_lossy(&name).into_owned())
    });
    let plain = |name: &String| name.contains('.') && !name.starts_with(['~', '*', '.']);
    names
        .filter(plain)
        .map(|name| name.to_ascii_lowercase())
        .collect()
}

/// Says whether somebody keeps the file out on purpose: a copy, or one that is switched off.
fn is_left_over(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.starts_with(['.', '#', '_'])
        || lower.ends_with('~')
        || LEFT_OVER.iter().any(|part| lower.contains(part))
}

/// What the names of such files have in them.
const LEFT_OVER: [&str; 12] = [
    ".bak",
    ".old",
    ".orig",
    ".save",
    ".swp",
    ".dpkg",
    ".rpm",
    ".ucf",
    ".disabled",
    ".off",
    ".tmp",
    "backup",
];

/// More of them have one cause.
const FINDINGS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::unreached;
    use crate::conf::read::InMemory;
    use expect_test::{Expect, expect};
    use std::path::Path;

    fn check(files: &[(&str, &str)], expect: Expect) {
        let main = (
            "/etc/nginx/nginx.conf",
            "events {} http { include sites-enabled/*.conf; }",
        );
        let good = (
            "/etc/nginx/sites-enabled/a.conf",
            "server { server_name a.test; }",
        );
        let reader: InMemory = [main, good]
            .into_iter()
            .chain(files.iter().copied())
            .collect();
        let found = unreached(&reader, Path::new(main.0));
        let shown: Vec<&str> = found
            .iter()
            .map(|finding| finding.detail.as_str())
            .collect();
        expect.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn a_vhost_without_the_ending_is_lost() {
        check(&[], expect![""]);
        check(
            &[(
                "/etc/nginx/sites-enabled/b.test",
                "server { listen 80; server_name b.test www.b.test; }",
            )],
            expect![
                "server_name b.test www.b.test; no include of the configuration reaches /etc/nginx/sites-enabled/b.test"
            ],
        );
    }

    #[test]
    fn copies_and_what_is_no_vhost_are_left_alone() {
        let vhost = "server { server_name b.test; }";
        check(
            &[
                ("/etc/nginx/sites-enabled/b.conf.bak", vhost),
                ("/etc/nginx/sites-enabled/b.conf~", vhost),
                ("/etc/nginx/sites-enabled/b.conf.disabled", vhost),
                (
                    "/etc/nginx/sites-enabled/a.test",
                    "server { server_name a.test; }",
                ),
                ("/etc/nginx/sites-enabled/notes", "these are { not"),
                (
                    "/etc/nginx/sites-enabled/default",
                    "server { server_name _; }",
                ),
                ("/etc/nginx/sites-available/b", vhost),
            ],
            expect![""],
        );
    }
}
