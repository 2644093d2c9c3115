//! Where does nginx write what goes wrong with a site?
//!
//! Where its `error_log` directives say: those of the site's server blocks and of what is nested in them; where a
//! block has none, those of `http`, or else of the main level, or else the log that nginx was built with.
//! Read when somebody asks for logs, and not at every look, which has no use for it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use renewal::site::Place;

use crate::conf::include::{File, Walk};
use crate::conf::read::Reader;
use crate::conf::tree::Directive;

/// A configuration of nginx, as far as logs need it.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// Where its files come from.
    pub(crate) reader: &'a dyn Reader,
    /// Its main file.
    pub(crate) main: &'a Path,
    /// What the paths of logs are relative to.
    pub(crate) prefix: &'a Path,
    /// The log that nginx was built with.
    pub(crate) built_in: &'a Path,
}

/// Returns the error logs of the server blocks that begin at `servers`; without any, those of nginx as a whole.
/// Logs that are no files are left out, and so is what cannot be read of the configuration.
pub(crate) fn error_logs(source: Source<'_>, servers: &[&Place]) -> Vec<PathBuf> {
    let mut levels = Levels {
        prefix: source.prefix,
        servers,
        main: Level::default(),
        http: Level::default(),
        own: Vec::new(),
        inherits: servers.is_empty(),
    };
    let mut walk = Walk::new(source.reader, source.main);
    walk.main(source.main, &mut |walk, file, directive| {
        if directive.is("http") {
            walk.each(file, directive.block(), &mut |walk, file, directive| {
                levels.in_http(walk, file, directive);
            });
        } else {
            levels.main.take(directive, source.prefix);
        }
    });
    let Levels {
        main,
        http,
        own,
        inherits,
        ..
    } = levels;
    let mut logs = own;
    if inherits {
        let built_in = || Level {
            said: true,
            files: vec![source.prefix.join(source.built_in)],
        };
        let inherited = [http, main].into_iter().find(|level| level.said);
        logs.extend(inherited.unwrap_or_else(built_in).files);
    }
    let mut seen = Vec::new();
    logs.retain(|log| {
        let new = !seen.contains(log);
        if new {
            seen.push(log.clone());
        }
        new
    });
    logs
}

/// Returns the logs in which the master says how a reload went: those of the main level, or the one that nginx was
/// built with, and those that `http` names beside.
///
/// What `http` includes is not read: those are the vhosts, thousands perhaps, and every deployment asks.
pub(crate) fn of_master(source: Source<'_>) -> Vec<PathBuf> {
    let (mut main, mut http) = (Level::default(), Level::default());
    Walk::new(source.reader, source.main).main(source.main, &mut |_, _, directive| {
        if directive.is("http") {
            for directive in directive.block() {
                http.take(directive, source.prefix);
            }
        } else {
            main.take(directive, source.prefix);
        }
    });
    if !main.said {
        main.files.push(source.prefix.join(source.built_in));
    }
    let both = http
        .files
        .into_iter()
        .filter(|log| !main.files.contains(log));
    let both: Vec<PathBuf> = both.collect();
    main.files.extend(both);
    main.files
}

struct Levels<'a> {
    prefix: &'a Path,
    servers: &'a [&'a Place],
    main: Level,
    http: Level,
    /// What the server blocks say themselves, and what is nested in them.
    own: Vec<PathBuf>,
    /// Whether one of them says nothing.
    inherits: bool,
}

/// The directives of one level.
#[derive(Default)]
struct Level {
    /// Whether there was one, be it about no file.
    said: bool,
    files: Vec<PathBuf>,
}

impl Levels<'_> {
    fn in_http(&mut self, walk: &mut Walk<'_>, file: &File, directive: Directive<'_>) {
        if !directive.is("server") {
            self.http.take(directive, self.prefix);
            return;
        }
        let place = file.place(directive);
        if !self.servers.iter().any(|server| **server == place) {
            return;
        }
        let (mut level, mut nested) = (Level::default(), Level::default());
        walk.each_of_server(file, directive.block(), &mut |walk, file, directive| {
            level.take(directive, self.prefix);
            nested.take_nested(walk, file, directive, self.prefix);
        });
        self.inherits |= !level.said;
        self.own.extend(level.files);
        self.own.extend(nested.files);
    }
}

impl Level {
    fn take(&mut self, directive: Directive<'_>, prefix: &Path) {
        if !directive.is("error_log") {
            return;
        }
        self.said = true;
        let value = directive.argument();
        let no_file = |value: &[u8]| {
            value == b"stderr" || NO_FILES.iter().any(|kind| value.starts_with(kind))
        };
        if let Some(value) = value.filter(|value| !no_file(value)) {
            self.files.push(prefix.join(OsStr::from_bytes(&value)));
        }
    }

    fn take_nested(
        &mut self,
        walk: &mut Walk<'_>,
        file: &File,
        directive: Directive<'_>,
        prefix: &Path,
    ) {
        if !directive.is("location") && !directive.is("if") {
            return;
        }
        walk.each(file, directive.block(), &mut |walk, file, directive| {
            self.take(directive, prefix);
            self.take_nested(walk, file, directive, prefix);
        });
    }
}

/// What logs that are no files begin with.
const NO_FILES: [&[u8]; 3] = [b"syslog:", b"memory:", b"/dev/"];

#[cfg(test)]
mod tests {
    use super::{Source, error_logs};
    use crate::conf::read::InMemory;
    use renewal::site::Place;
    use std::path::Path;

    /// The server block in question begins on line 1 of `/n/a.conf`.
    fn check(main: &str, vhost: &str, expected: &[&str]) {
        let reader: InMemory = [("/n/nginx.conf", main), ("/n/a.conf", vhost)]
            .into_iter()
            .collect();
        let source = Source {
            reader: &reader,
            main: Path::new("/n/nginx.conf"),
            prefix: Path::new("/p"),
            built_in: Path::new("/var/log/nginx/error.log"),
        };
        let place = Place {
            file: Path::new("/n/a.conf").into(),
            line: 1,
        };
        let found = error_logs(source, &[&place]);
        let found: Vec<&str> = found.iter().map(|log| log.to_str().unwrap()).collect();
        assert_eq!(found, expected);
    }

    const PLAIN: &str = "server { listen 80; }";

    #[test]
    fn the_block_says_it_itself() {
        let main = "error_log /main.log; http { error_log /http.log; include *.conf.none; include a.conf; }";
        check(
            main,
            "server { error_log /own.log warn; error_log logs/more.log; }",
            &["/own.log", "/p/logs/more.log"],
        );
        check(main, "server { error_log stderr; }", &[]);
    }

    #[test]
    fn a_location_has_another() {
        let vhost =
            "server { location / { if ($a) { error_log /if.log; } error_log /location.log; } }";
        check(
            "http { include a.conf; } error_log /main.log;",
            vhost,
            &["/if.log", "/location.log", "/main.log"],
        );
    }

    #[test]
    fn the_nearest_level_above_is_inherited() {
        check(
            "error_log /main.log; http { include a.conf; error_log /http.log; }",
            PLAIN,
            &["/http.log"],
        );
        check(
            "http { include a.conf; } error_log /main.log;",
            PLAIN,
            &["/main.log"],
        );
        check(
            "error_log syslog:server=10.0.0.1; http { include a.conf; }",
            PLAIN,
            &[],
        );
        check(
            "http { include a.conf; }",
            PLAIN,
            &["/var/log/nginx/error.log"],
        );
    }

    #[test]
    fn the_master_writes_to_the_main_level_and_http_may_have_another() {
        for (main, expected) in [
            (
                "error_log /main.log; http { include a.conf; error_log /http.log; }",
                &["/main.log", "/http.log"][..],
            ),
            (
                "http { error_log /http.log; }",
                &["/var/log/nginx/error.log", "/http.log"],
            ),
            (
                "http { error_log /var/log/nginx/error.log; }",
                &["/var/log/nginx/error.log"],
            ),
            ("error_log stderr; http { }", &[]),
        ] {
            let vhost = "server { error_log /own.log; }";
            let reader: InMemory = [("/n/nginx.conf", main), ("/n/a.conf", vhost)]
                .into_iter()
                .collect();
            let found = super::of_master(Source {
                reader: &reader,
                main: Path::new("/n/nginx.conf"),
                prefix: Path::new("/p"),
                built_in: Path::new("/var/log/nginx/error.log"),
            });
            let found: Vec<&str> = found.iter().map(|log| log.to_str().unwrap()).collect();
            assert_eq!(found, expected, "{main}");
        }
    }

    #[test]
    fn other_blocks_do_not_count() {
        let vhost = "server { listen 80; }\nserver { error_log /other.log; }";
        check(
            "http { include a.conf; }",
            vhost,
            &["/var/log/nginx/error.log"],
        );
    }
}
