//! What does the configuration say about limits, logs and TLS, beyond any one site?
//!
//! Read when somebody asks, and not at every look, which has no use for it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use renewal::site::Place;

use crate::conf::include::{File, Walk};
use crate::conf::listen::listening;
use crate::conf::read::Reader;
use crate::conf::tree::Directive;

/// What stands in the configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tuning {
    /// How many workers there are; `None` for one per processor.
    pub processes: Option<u64>,
    /// The `events` block.
    pub events: Option<Place>,
    /// How many connections each worker may have, where it is said.
    pub connections: Option<(u64, Place)>,
    /// How many files each worker may have open, where it is said.
    pub files: Option<(u64, Place)>,
    /// How many server blocks there are.
    pub servers: usize,
    /// The addresses that are listened on.
    pub listens: BTreeSet<SocketAddr>,
    /// The log files; those whose name a variable makes are left out.
    pub logs: BTreeSet<PathBuf>,
    /// The lines that say which versions of TLS are spoken.
    pub protocols: Vec<Protocols>,
    /// The lines that turn stapling on or off.
    pub stapling: Vec<Stapling>,
}

/// A line with `ssl_protocols`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Protocols {
    /// Where it is.
    pub place: Place,
    /// What it allows.
    pub versions: Vec<String>,
}

/// A line with `ssl_stapling`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stapling {
    /// Where it is.
    pub place: Place,
    /// Whether it turns stapling on.
    pub on: bool,
    /// The server block it stands in; `None` when it is for all.
    pub server: Option<Place>,
}

/// Reads the configuration whose main file is `main`; relative logs begin at `prefix`.
pub(crate) fn tuning(reader: &dyn Reader, main: &Path, prefix: &Path) -> Tuning {
    let mut reading = Reading {
        tuning: Tuning {
            processes: Some(1),
            ..Tuning::default()
        },
        prefix,
    };
    Walk::new(reader, main).main(main, &mut |walk, file, directive| {
        reading.in_main(walk, file, directive);
    });
    reading.tuning
}

struct Reading<'a> {
    tuning: Tuning,
    prefix: &'a Path,
}

impl Reading<'_> {
    fn in_main(&mut self, walk: &mut Walk<'_>, file: &File, directive: Directive<'_>) {
        let said = || Some((number(directive)?, file.place(directive)));
        match &*directive.name() {
            b"worker_processes" => self.tuning.processes = number(directive),
            b"worker_rlimit_nofile" => self.tuning.files = said(),
            b"error_log" => self.log(directive),
            b"events" => {
                self.tuning.events = Some(file.place(directive));
                walk.each(file, directive.block(), &mut |_, file, directive| {
                    if directive.is("worker_connections") {
                        let said = number(directive);
                        self.tuning.connections = said.map(|said| (said, file.place(directive)));
                    }
                });
            }
            b"http" => walk.each(file, directive.block(), &mut |walk, file, directive| {
                if directive.is("server") && directive.has_block() {
                    self.tuning.servers += 1;
                    let block = file.place(directive);
                    walk.each_of_server(file, directive.block(), &mut |walk, file, directive| {
                        self.anywhere(walk, file, directive, Some(&block));
                    });
                } else {
                    self.anywhere(walk, file, directive, None);
                }
            }),
            _ => {}
        }
    }

    fn anywhere(
        &mut self,
        walk: &mut Walk<'_>,
        file: &File,
        directive: Directive<'_>,
        server: Option<&Place>,
    ) {
        match &*directive.name() {
            b"listen" => {
                let said = listening(directive.arguments());
                let listens = said.into_iter().flat_map(|said| said.listens);
                self.tuning
                    .listens
                    .extend(listens.map(|listen| listen.address));
            }
            b"access_log" | b"error_log" => self.log(directive),
            b"ssl_protocols" => self.tuning.protocols.push(Protocols {
                place: file.place(directive),
                versions: directive
                    .arguments()
                    .map(|word| String::from_utf8_lossy(&word).into_owned())
                    .collect(),
            }),
            b"ssl_stapling" => self.tuning.stapling.push(Stapling {
                place: file.place(directive),
                on: directive.argument().is_some_and(|word| *word == *b"on"),
                server: server.cloned(),
            }),
            b"location" | b"if" => {
                walk.each(file, directive.block(), &mut |walk, file, directive| {
                    self.anywhere(walk, file, directive, server);
                });
            }
            _ => {}
        }
    }

    fn log(&mut self, directive: Directive<'_>) {
        let Some(path) = directive.argument() else {
            return;
        };
        let elsewhere = [&b"off"[..], b"stderr"].contains(&&*path)
            || path.starts_with(b"syslog:")
            || path.starts_with(b"memory:")
            || path.contains(&b'$');
        if !elsewhere {
            let path = self.prefix.join(OsStr::from_bytes(&path));
            self.tuning.logs.insert(path);
        }
    }
}

/// Returns the number behind a directive; none for `auto`.
fn number(directive: Directive<'_>) -> Option<u64> {
    let word = directive.argument()?;
    std::str::from_utf8(&word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::tuning;
    use crate::conf::read::InMemory;
    use expect_test::expect;
    use std::path::Path;

    #[test]
    fn limits_logs_and_lines_of_tls_are_found_wherever_they_stand() {
        let files = [
            (
                "/etc/nginx/nginx.conf",
                "worker_processes auto;\nworker_rlimit_nofile 4096;\nevents {\n  worker_connections 768;\n}\nhttp {\n  \
                 ssl_protocols TLSv1 TLSv1.2;\n  access_log logs/all.log;\n  include sites/*;\n}\n",
            ),
            (
                "/etc/nginx/sites/a",
                "server {\n  listen 80;\n  listen [::]:80;\n  error_log /var/log/a.log warn;\n  ssl_stapling on;\n  \
                 location / { access_log off; }\n}\n",
            ),
            (
                "/etc/nginx/sites/b",
                "server {\n  access_log /var/log/$host.log;\n}\n",
            ),
        ];
        let files: InMemory = files.into_iter().collect();
        let seen = tuning(
            &files,
            Path::new("/etc/nginx/nginx.conf"),
            Path::new("/usr/share/nginx"),
        );
        expect![[r#"
            None Some((768, "/etc/nginx/nginx.conf:4")) Some((4096, "/etc/nginx/nginx.conf:2"))
            2 blocks, 2 addresses, logs {"/usr/share/nginx/logs/all.log", "/var/log/a.log"}
            ["TLSv1", "TLSv1.2"] in /etc/nginx/nginx.conf:7
            stapling true in /etc/nginx/sites/a:5"#]]
        .assert_eq(&format!(
            "{:?} {:?} {:?}\n{} blocks, {} addresses, logs {:?}\n{:?} in {}\nstapling {} in {}",
            seen.processes,
            seen.connections.map(|(n, place)| (n, place.to_string())),
            seen.files.map(|(n, place)| (n, place.to_string())),
            seen.servers,
            seen.listens.len(),
            seen.logs,
            seen.protocols[0].versions,
            seen.protocols[0].place,
            seen.stapling[0].on,
            seen.stapling[0].place,
        ));
    }
}
