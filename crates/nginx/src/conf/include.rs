//! What does a whole configuration say, its `include`s followed?
//!
//! [`Walk`] goes through directives as nginx does: an included file's directives take the place of the
//! `include`, at whatever depth it stands. Relative names are relative to the folder of the main file,
//! whichever file names them. A file that can't be read or understood is noted as [`Trouble`] and
//! the walk goes on without it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use renewal::site::Place;
use rustix::io::Errno;

use super::error::{MAX_DEPTH, SyntaxError};
use super::glob;
use super::read::Reader;
use super::tree::{Directive, Directives, Spare, Tree};

/// A file of the configuration, read.
#[derive(Debug)]
pub struct File {
    /// Its path, as the configuration names it, made absolute.
    pub path: Arc<Path>,
    /// What it says.
    pub tree: Tree,
}

/// A file of the configuration that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The file makes no sense.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// The file can't be read.
    #[error("open() \"{}\" failed ({cause}){}", file.display(), seen_from(from.as_ref()))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Where it is included; none for the main file.
        from: Option<Place>,
        /// Why.
        cause: io::Error,
        /// Whether its name is there all the same: a link that leads nowhere.
        dangling: bool,
    },
    /// The folder of a pattern can't be listed.
    #[error("the files of \"{pattern}\" can't be listed ({cause}) in {from}")]
    Unlistable {
        /// The pattern.
        pattern: String,
        /// Where it is included.
        from: Place,
        /// Why.
        cause: io::Error,
    },
    /// A file includes itself, through others or at once.
    #[error("include loop: {} in {from}", chained(chain))]
    Loop {
        /// The files, each including the next.
        chain: Vec<PathBuf>,
        /// Where the loop closes.
        from: Place,
    },
    /// An `include` without exactly one argument.
    #[error("invalid number of arguments in \"include\" directive in {0}")]
    Arguments(Place),
    /// Blocks and includes are nested more deeply than in any configuration a person wrote.
    #[error("blocks are nested more than {MAX_DEPTH} deep in {0}")]
    TooDeep(Place),
    /// There are more files than any configuration a person wrote.
    #[error("more than {MAX_FILES} files are included, the last in {0}")]
    TooMany(Place),
}

/// A way through a configuration.
pub struct Walk<'r> {
    reader: &'r dyn Reader,
    /// nginx's configuration prefix.
    folder: PathBuf,
    /// The files being walked through, each including the next.
    chain: Vec<Arc<Path>>,
    /// How many blocks and files are being walked through, one inside the other.
    depth: usize,
    /// How many more files may be read.
    files_left: usize,
    troubles: Vec<Trouble>,
    /// Whether files read from here on are likely to be included again.
    keeps: bool,
    kept: HashMap<OsString, Rc<File>>,
    kept_bytes: usize,
    expanded: HashMap<Vec<u8>, Rc<[PathBuf]>>,
    /// The memory of the file read last.
    spare: Spare,
}

/// What a walk does with each directive that is not an `include`.
pub type Act<'a> = dyn FnMut(&mut Walk<'_>, &File, Directive<'_>) + 'a;

impl<'r> Walk<'r> {
    /// Prepares the walk through the configuration with this main file.
    #[must_use]
    pub fn new(reader: &'r dyn Reader, main: &Path) -> Self {
        Walk {
            reader,
            folder: main.parent().unwrap_or(Path::new("/")).to_owned(),
            chain: Vec::new(),
            depth: 0,
            files_left: MAX_FILES,
            troubles: Vec::new(),
            keeps: false,
            kept: HashMap::new(),
            kept_bytes: 0,
            expanded: HashMap::new(),
            spare: Spare::default(),
        }
    }

    /// Walks through a file from its top.
    pub fn main(&mut self, main: &Path, act: &mut Act<'_>) {
        self.enter(main.to_owned(), None, act);
    }

    /// Walks through the directives of a block, and of what is included there.
    pub fn each(&mut self, file: &File, directives: Directives<'_>, act: &mut Act<'_>) {
        self.depth += 1;
        for directive in directives {
            if self.depth > MAX_DEPTH {
                self.troubles.push(Trouble::TooDeep(file.place(directive)));
                break;
            }
            if directive.is("include") {
                self.include(file, directive, act);
            } else {
                act(self, file, directive);
            }
        }
        self.depth -= 1;
    }

    /// Walks through the block of one server: what is included there is often included again.
    pub fn each_of_server(&mut self, file: &File, directives: Directives<'_>, act: &mut Act<'_>) {
        let outer = std::mem::replace(&mut self.keeps, true);
        self.each(file, directives, act);
        self.keeps = outer;
    }

    /// Returns nginx's configuration prefix: what certificates and includes are relative to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns what could not be used, in the order of the walk.
    #[must_use]
    pub fn into_troubles(self) -> Vec<Trouble> {
        self.troubles
    }

    fn include(&mut self, file: &File, directive: Directive<'_>, act: &mut Act<'_>) {
        if self.files_left == 0 {
            return; // said once
        }
        let mut arguments = directive.arguments();
        let (Some(value), None) = (arguments.next(), arguments.next()) else {
            self.troubles
                .push(Trouble::Arguments(file.place(directive)));
            return;
        };
        let path = self.folder.join(OsStr::from_bytes(&value));
        if !glob::is_pattern(&value) {
            self.enter(path, Some((file, directive)), act);
            return;
        }
        let pattern = path.as_os_str().as_bytes();
        match self.expand(pattern) {
            Ok(paths) => {
                for path in paths.iter() {
                    self.enter(path.clone(), Some((file, directive)), act);
                }
            }
            Err(cause) => self.troubles.push(Trouble::Unlistable {
                pattern: String::from_utf8_lossy(pattern).into_owned(),
                from: file.place(directive),
                cause,
            }),
        }
    }

    fn expand(&mut self, pattern: &[u8]) -> io::Result<Rc<[PathBuf]>> {
        if let Some(paths) = self.expanded.get(pattern) {
            return Ok(Rc::clone(paths));
        }
        let paths: Rc<[PathBuf]> = glob::expand(self.reader, pattern)?.into();
        if self.keeps && self.expanded.len() < KEPT_PATTERNS {
            self.expanded.insert(pattern.to_owned(), Rc::clone(&paths));
        }
        Ok(paths)
    }

    fn enter(&mut self, path: PathBuf, from: Option<(&File, Directive<'_>)>, act: &mut Act<'_>) {
        match self.open(path, from) {
            Ok(file) => {
                self.chain.push(Arc::clone(&file.path));
                self.each(&file, file.tree.directives(), act);
                self.chain.pop();
                if let Ok(file) = Rc::try_unwrap(file) {
                    self.spare = file.tree.into_spare();
                }
            }
            Err(trouble) => self.troubles.push(trouble),
        }
    }

    fn open(
        &mut self,
        path: PathBuf,
        from: Option<(&File, Directive<'_>)>,
    ) -> Result<Rc<File>, Trouble> {
        if let Some((file, directive)) = from {
            let looped = self
                .chain
                .iter()
                .any(|open| open.as_os_str() == path.as_os_str());
            if looped || self.chain.len() >= MAX_CHAIN {
                let mut chain: Vec<PathBuf> =
                    self.chain.iter().map(|open| open.to_path_buf()).collect();
                chain.push(path);
                let from = file.place(directive);
                return Err(Trouble::Loop { chain, from });
            }
            self.files_left -= 1;
            if self.files_left == 0 {
                return Err(Trouble::TooMany(file.place(directive)));
            }
        }
        if self.keeps
            && let Some(file) = self.kept.get(path.as_os_str())
        {
            return Ok(Rc::clone(file));
        }
        let mut spare = std::mem::take(&mut self.spare);
        let mut source = std::mem::take(&mut spare.source);
        let read = self.reader.read(&path, &mut source);
        read.map_err(|cause| Trouble::Unreadable {
            from: from.map(|(file, directive)| file.place(directive)),
            dangling: leads_nowhere(&cause) && self.reader.exists(&path),
            file: path.clone(),
            cause,
        })?;
        let size = source.len();
        let tree = Tree::parse_into(source, spare).map_err(|fault| fault.of(path.clone()))?;
        let file = Rc::new(File {
            path: Arc::from(path.as_path()),
            tree,
        });
        if self.keeps && self.kept_bytes + size <= KEPT_BYTES {
            self.kept_bytes += size;
            self.kept.insert(path.into(), Rc::clone(&file));
        }
        Ok(file)
    }
}

impl File {
    /// Returns the place of a directive of this file.
    #[must_use]
    pub fn place(&self, directive: Directive<'_>) -> Place {
        Place {
            file: self.path.to_path_buf(),
            line: directive.line(),
        }
    }
}

/// Says whether the end of the way is missing, or the way goes round in a circle.
fn leads_nowhere(cause: &io::Error) -> bool {
    let is_loop = Errno::from_io_error(cause) == Some(Errno::LOOP);
    cause.kind() == io::ErrorKind::NotFound || is_loop
}

fn seen_from(from: Option<&Place>) -> String {
    from.map_or_else(String::new, |place| format!(" in {place}"))
}

fn chained(chain: &[PathBuf]) -> String {
    let names: Vec<String> = chain
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(" includes ")
}

/// Longest chain of files each including the next; a loop through ever new names ends here.
const MAX_CHAIN: usize = 40;

/// Most files of one configuration, so that files including each other many times over come to an end.
const MAX_FILES: usize = 300_000;

/// How much is kept of files that several servers include, in bytes of their text.
const KEPT_BYTES: usize = 1 << 20;

/// How many patterns that several servers include are kept expanded.
const KEPT_PATTERNS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::read::{Disk, InMemory};
    use expect_test::{Expect, expect};

    /// Lists the directives met, with their arguments, then the troubles.
    fn walked(reader: &dyn Reader, main: &str) -> String {
        fn list(walk: &mut Walk<'_>, file: &File, directive: Directive<'_>, out: &mut Vec<String>) {
            let mut words = vec![directive.name()];
            words.extend(directive.arguments());
            out.push(
                words
                    .iter()
                    .map(|word| String::from_utf8_lossy(word))
                    .collect::<Vec<_>>()
                    .join(" "),
            );
            walk.each(file, directive.block(), &mut |walk, file, directive| {
                list(walk, file, directive, out);
            });
        }
        let mut out = Vec::new();
        let mut walk = Walk::new(reader, Path::new(main));
        walk.main(Path::new(main), &mut |walk, file, directive| {
            list(walk, file, directive, &mut out);
        });
        out.extend(
            walk.into_troubles()
                .iter()
                .map(|trouble| format!("! {trouble}")),
        );
        out.join("\n")
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &Expect) {
        let reader: InMemory = files.iter().copied().collect();
        expected.assert_eq(&walked(&reader, "/etc/nginx/nginx.conf"));
    }

    #[test]
    fn includes_stand_in_order_and_at_any_depth() {
        check(
            &[
                (
                    "/etc/nginx/nginx.conf",
                    "a; http { include conf.d/*.conf; z; }",
                ),
                (
                    "/etc/nginx/conf.d/2.conf",
                    "server { include snippets/x; location / { include /abs; } }",
                ),
                ("/etc/nginx/conf.d/1.conf", "one;"),
                ("/etc/nginx/conf.d/1.conf.bak", "never;"),
                ("/etc/nginx/snippets/x", "x 'a b';"),
                ("/abs", "deep;"),
            ],
            &expect![[r#"
                a
                http
                one
                server
                x a b
                location /
                deep
                z"#]],
        );
    }

    #[test]
    fn a_loop_is_named() {
        check(
            &[
                ("/etc/nginx/nginx.conf", "include a;\nb;"),
                ("/etc/nginx/a", "\ninclude ./b;"),
                ("/etc/nginx/b", "include a;"),
            ],
            &expect![[r#"
                b
                ! include loop: /etc/nginx/nginx.conf includes /etc/nginx/a includes /etc/nginx/./b includes /etc/nginx/a in /etc/nginx/./b:1"#]],
        );
    }

    #[test]
    fn a_missing_file_is_said_and_the_others_go_on() {
        check(
            &[(
                "/etc/nginx/nginx.conf",
                "a;\ninclude gone.conf;\ninclude gone/*.conf;\nb;\ninclude x y;",
            )],
            &expect![[r#"
                a
                b
                ! open() "/etc/nginx/gone.conf" failed (entity not found) in /etc/nginx/nginx.conf:2
                ! invalid number of arguments in "include" directive in /etc/nginx/nginx.conf:5"#]],
        );
    }

    #[test]
    fn a_broken_file_is_said_and_the_others_go_on() {
        check(
            &[
                ("/etc/nginx/nginx.conf", "http { include v/*; }"),
                ("/etc/nginx/v/1", "server { listen 80;"),
                ("/etc/nginx/v/2", "server { }"),
                ("/etc/nginx/v/3", "server { }\n}"),
            ],
            &expect![[r#"
                http
                server
                ! unexpected end of file, expecting "}" in /etc/nginx/v/1:1
                ! unexpected "}" in /etc/nginx/v/3:2"#]],
        );
    }

    #[test]
    fn files_that_include_each_other_many_times_over_come_to_an_end() {
        // Twelve levels, each including the next ten times: 10^12 files without the bound.
        let mut files: Vec<(String, String)> = (0..12)
            .map(|n| {
                (
                    format!("/etc/nginx/{n}"),
                    format!("include {};", n + 1).repeat(10),
                )
            })
            .collect();
        files.push(("/etc/nginx/12".into(), String::new()));
        let reader: InMemory = files.into_iter().collect();
        let mut walk = Walk::new(&reader, Path::new("/etc/nginx/0"));
        walk.files_left = 10_000;
        walk.main(Path::new("/etc/nginx/0"), &mut |_, _, _| {});
        assert!(matches!(
            walk.into_troubles()[..],
            [Trouble::TooMany(_), ..]
        ));
    }

    #[test]
    fn blocks_nested_through_many_files_do_not_exhaust_the_stack() {
        let nested =
            |inside: &str| format!("{}{inside}{}", "location / { ".repeat(150), "}".repeat(150));
        let files = (0..30).map(|n| {
            (
                format!("/etc/nginx/{n}"),
                nested(&format!("include {};", n + 1)),
            )
        });
        let reader: InMemory = files.collect();
        let last = walked(&reader, "/etc/nginx/0");
        let last = last.lines().last().unwrap();
        assert_eq!(
            last,
            "! blocks are nested more than 200 deep in /etc/nginx/1:1"
        );
    }

    #[test]
    fn links_that_lead_nowhere_are_told_from_missing_files() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("nginx.conf");
        #[expect(clippy::disallowed_methods, reason = "a scratch file of a test")]
        std::fs::write(&main, "include v/*.conf;").unwrap();
        std::fs::create_dir(folder.path().join("v")).unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.path().join("v/a.conf")).unwrap();
        std::fs::create_dir(folder.path().join("v/b.conf")).unwrap();
        let mut walk = Walk::new(&Disk, &main);
        walk.main(&main, &mut |_, _, _| {});
        let troubles = walk.into_troubles();
        assert!(matches!(
            troubles[0],
            Trouble::Unreadable { dangling: true, .. }
        ));
        assert!(matches!(
            troubles[1],
            Trouble::Unreadable {
                dangling: false,
                ..
            }
        ));
    }
}
