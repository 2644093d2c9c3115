//! How does a CloudPanel's database look, and what would the panel do with it?
//!
//! [`PanelDatabase`] is a real SQLite file, made and read by Debian's `sqlite3`, with the tables as the panel's field
//! lists give them. The panel's own rules that matter here are played by it: which sites its nightly run finds due, and
//! which files it writes for a site.

mod host;
mod machine;
mod vhost;

pub use host::{CLP, PanelHost, PanelSite};
pub use machine::PanelMachine;
pub use vhost::Shape;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::certificate::Pair;
use crate::openssl;
use crate::program::Program;

/// The tables, as the panel makes them.
pub const SCHEMA: &str = "
CREATE TABLE config (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, key VARCHAR(255) NOT NULL, value CLOB);
CREATE TABLE certificate (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, site_id INTEGER NOT NULL, uid VARCHAR(64) NOT NULL UNIQUE,
  created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, expires_at DATETIME NOT NULL,
  default_certificate BOOLEAN NOT NULL, type VARCHAR(64) NOT NULL,
  csr CLOB, private_key CLOB NOT NULL, certificate CLOB NOT NULL, certificate_chain CLOB);
CREATE TABLE site (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, certificate_id INTEGER, basic_auth_id INTEGER,
  created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, type VARCHAR(64) NOT NULL,
  domain_name VARCHAR(128) NOT NULL UNIQUE, root_directory VARCHAR(255) NOT NULL,
  user VARCHAR(64) NOT NULL UNIQUE, user_password VARCHAR(255), ssh_keys CLOB,
  page_speed_enabled BOOLEAN NOT NULL DEFAULT 0, page_speed_settings CLOB, vhost_template CLOB NOT NULL,
  application VARCHAR(64), allow_traffic_from_cloudflare_only BOOLEAN NOT NULL DEFAULT 0,
  varnish_cache BOOLEAN NOT NULL DEFAULT 0, reverse_proxy_url VARCHAR(128));
CREATE TABLE notification (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL,
  hash VARCHAR(255) NOT NULL, severity INTEGER NOT NULL, subject VARCHAR(255) NOT NULL, message CLOB NOT NULL,
  url VARCHAR(255), is_read BOOLEAN NOT NULL);
";

/// A panel's database.
#[derive(Clone, Debug)]
pub struct PanelDatabase {
    path: PathBuf,
    /// What starts a program where the path is.
    inside: Vec<String>,
}

/// Somebody who holds the database.
#[derive(Debug)]
pub struct Holder {
    child: Child,
    _input: ChildStdin,
}

impl Drop for Holder {
    fn drop(&mut self) {
        crate::program::kill(&mut self.child);
    }
}

/// What the panel knows of a site.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// What it is called.
    pub domain: &'a str,
    /// `php`, `nodejs`, `static`, `python` or `reverse-proxy`.
    pub kind: &'a str,
    /// Its user, whom no other site has.
    pub user: &'a str,
    /// Its document root, below the user's `htdocs/`.
    pub root: &'a str,
}

impl PanelDatabase {
    /// Makes an empty one where the panel has it, below this folder for homes.
    ///
    /// # Panics
    ///
    /// When the folders cannot be made, or `sqlite3` is not there.
    #[must_use]
    #[track_caller]
    pub fn make(home: &Path) -> Self {
        let folder = home.join("clp/htdocs/app/data");
        fs::create_dir_all(&folder).expect("the folder of the database can be made");
        let database = Self::at(&folder.join("db.sq3"), &[]);
        let _ = database.run(SCHEMA);
        database
    }

    /// Returns the one at this path, where such words start a program.
    pub(crate) fn at(path: &Path, inside: &[&str]) -> Self {
        Self {
            path: path.to_owned(),
            inside: inside.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    fn sqlite3(&self) -> Program {
        match self.inside.split_first() {
            None => Program::new("sqlite3"),
            Some((first, rest)) => Program::new(first).args(rest).arg("sqlite3"),
        }
    }

    /// Returns the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file and its folder to a user, by number.
    ///
    /// # Panics
    ///
    /// When the test does not run as root.
    #[track_caller]
    pub fn belongs_to(&self, user: u32) {
        for path in [
            self.path.as_path(),
            self.path.parent().unwrap_or(&self.path),
        ] {
            chown(path, Some(user), Some(user)).expect("root may give files away");
        }
    }

    /// Has `sqlite3` run the statements; returns what they answer, one row a line.
    ///
    /// # Panics
    ///
    /// When a statement fails.
    #[track_caller]
    pub fn run(&self, statements: &str) -> String {
        let output = self
            .sqlite3()
            .args(["-batch", "-bail"])
            .arg(&self.path)
            .input(format!(".timeout 10000\n{statements}"))
            .run();
        output.expect_ok().trim_end().to_owned()
    }

    /// Has somebody else hold the database, reading included, until what is returned is dropped.
    ///
    /// # Panics
    ///
    /// When `sqlite3` is not there, or does not get hold of it.
    #[must_use]
    #[track_caller]
    pub fn hold(&self) -> Holder {
        let mut child = Command::new("sqlite3")
            .arg("-batch")
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sqlite3 can be started; install the package sqlite3");
        let mut input = child.stdin.take().expect("it was asked for");
        input
            .write_all(b".timeout 10000\nBEGIN EXCLUSIVE;\nSELECT 'held';\n")
            .expect("sqlite3 reads what it is told");
        let mut said = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("it was asked for"));
        output.read_line(&mut said).expect("sqlite3 answers");
        assert_eq!(said.trim(), "held");
        Holder {
            child,
            _input: input,
        }
    }

    /// Adds a site with its first certificate, of this type; it is the active one.
    ///
    /// # Panics
    ///
    /// When there is such a site, or the certificate cannot be read.
    #[track_caller]
    pub fn add(&self, entry: &Entry<'_>, kind: u8, pair: &Pair) {
        let _ = self.run(&statements(entry, kind, pair, &openssl::end(&pair.leaf)));
    }

    /// Returns columns of the site's active certificate.
    #[must_use]
    #[track_caller]
    pub fn active(&self, domain: &str, columns: &str) -> String {
        self.run(&format!(
            "SELECT {columns} FROM site s JOIN certificate c ON c.id = s.certificate_id WHERE s.domain_name = {};",
            quoted(domain)
        ))
    }

    /// Returns the domains that the panel's nightly run would renew: of type 2, and at most 7 days left, rounded.
    #[must_use]
    #[track_caller]
    pub fn due(&self) -> Vec<String> {
        let due = self.run(
            "SELECT domain_name FROM site s JOIN certificate c ON c.id = s.certificate_id
             WHERE c.type = '2' AND round(julianday(c.expires_at) - julianday('now')) <= 7 ORDER BY domain_name;",
        );
        due.lines().map(str::to_owned).collect()
    }

    /// Renews a site's certificate in the record, as the panel's own run does: in its active row.
    ///
    /// # Panics
    ///
    /// When there is no such site, or the certificate cannot be read.
    #[track_caller]
    pub fn renew(&self, domain: &str, pair: &Pair) {
        let request = Program::new("openssl")
            .args(["req", "-new", "-key", "/dev/stdin", "-subj"])
            .arg(format!("/CN={domain}"))
            .input(pair.key.as_str());
        let (request, end) = (request.run().expect_ok(), openssl::end(&pair.leaf));
        let [domain, end, request] = [domain, &end, &request].map(quoted);
        let [key, leaf, chain] = [&pair.key, &pair.leaf, &pair.chain].map(|text| quoted(text));
        let _ = self.run(&format!(
            "UPDATE certificate SET certificate = {leaf}, certificate_chain = {chain}, private_key = {key},
                 csr = {request}, expires_at = {end}, updated_at = datetime('now')
             WHERE id = (SELECT certificate_id FROM site WHERE domain_name = {domain});"
        ));
    }

    /// Writes the files of a site as the panel does whenever it writes the vhost: from the active row, key first.
    ///
    /// # Panics
    ///
    /// When there is no such site.
    #[track_caller]
    pub fn project(&self, domain: &str, certificates: &Path) {
        let key = self.active(domain, "c.private_key");
        let certificate = self.active(
            domain,
            "c.certificate || char(10) || coalesce(c.certificate_chain, '')",
        );
        for (end, text) in [("key", key), ("crt", certificate)] {
            let file = certificates.join(format!("{domain}.{end}"));
            fs::write(file, text + "\n").expect("the file can be written");
        }
    }
}

/// Returns the statements that add a site with its first certificate; for many at once.
#[must_use]
pub fn statements(entry: &Entry<'_>, kind: u8, pair: &Pair, expires_at: &str) -> String {
    let [domain, of, user, root] = [entry.domain, entry.kind, entry.user, entry.root].map(quoted);
    let [key, leaf, chain] = [&pair.key, &pair.leaf, &pair.chain].map(|text| quoted(text));
    format!(
        "INSERT INTO site (created_at, updated_at, type, domain_name, root_directory, user, vhost_template)
         VALUES (datetime('now'), datetime('now'), {of}, {domain}, {root}, {user}, 'server {{ }}');
         INSERT INTO certificate (site_id, uid, created_at, updated_at, expires_at, default_certificate, type,
             private_key, certificate, certificate_chain)
         SELECT id, lower(hex(randomblob(20))), datetime('now'), datetime('now'), {}, {}, '{kind}', {key}, {leaf}, {chain}
         FROM site WHERE domain_name = {domain};
         UPDATE site SET certificate_id = (SELECT max(id) FROM certificate WHERE site_id = site.id)
         WHERE domain_name = {domain};\n",
        quoted(expires_at),
        u8::from(kind == 1),
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
