//! On which host do the runs die, and how is it made as it was?
//!
//! A real nginx with four sites, and a CA over loopback:
//!
//! | site | before | a run |
//! | --- | --- | --- |
//! | `new.test` | a self-signed placeholder | issues, and points the vhost at the lineage |
//! | `two.test`, `three.test` | a lineage with ten days left | renews |
//! | `bad.test` | the same | fails: the CA cannot validate it |
//!
//! Each worker has a stage of its own and uses it again and again: [`Stage::reset`] puts back the files that the
//! first moment had, which are kept beside.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use testca::Options;
use testkit::certificate::{Authority, Days};
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::program::Program;

use crate::calls::Watched;
use crate::practice::Practice;
use crate::tracer::{self, Blow, Run, Traced};

/// A host with its CA.
pub struct Stage {
    /// The host.
    pub host: Host,
    /// Its CA.
    pub practice: Practice,
    /// The program under test.
    pub program: PathBuf,
    /// How everything was at first.
    first: TempDir,
    watched: Watched,
    judged: Mutex<Judged>,
}

/// Chains with their keys that openssl looked at, and what it said.
type Judged = HashMap<(Vec<u8>, Vec<u8>), (bool, String)>;

/// What a run without a blow said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its document; null when it said none.
    pub json: serde_json::Value,
    /// What it said to people.
    pub stderr: String,
}

impl Said {
    /// Returns what became of a site.
    #[must_use]
    pub fn outcome(&self, domain: &str) -> &str {
        let sites = self.json["sites"].as_array().into_iter().flatten();
        let mut outcomes = sites.filter(|site| site["domain"] == domain);
        let outcome = outcomes.next().and_then(|site| site["outcome"].as_str());
        outcome.unwrap_or("nothing")
    }

    /// Returns how often nginx was reloaded.
    #[must_use]
    pub fn reloads(&self) -> u64 {
        self.json["reloads"].as_u64().unwrap_or(0)
    }
}

impl Stage {
    /// Sets the stage. `change` may make the CA behave otherwise.
    ///
    /// # Panics
    ///
    /// When a program that is needed is missing.
    #[must_use]
    pub fn new(program: &Path, change: impl FnOnce(&mut Options)) -> Self {
        let mut host = Host::prepare();
        let older = Authority::new("Older");
        host.nginx.add(Site::files(NEW));
        for domain in [TWO, THREE, BAD] {
            let pair = older.issue(&[domain], Days::left(10));
            host.add_with_lineage(Site::files(domain), &pair);
        }
        host.nginx.launch();
        let practice = Practice::start(&mut host, change);
        practice.never_validates(BAD);
        fs::write(host.folder().join("roots.pem"), practice.ca.roots_pem())
            .expect("the folder is ours");
        fs::create_dir_all(host.state()).expect("the folder is ours");
        let first = tempfile::Builder::new()
            .prefix("first-")
            .tempdir()
            .expect("a temporary folder can be made");
        let watched = Watched {
            folders: Self::parts(&host),
            ca_port: practice.ca.address().port(),
            opens: false,
        };
        for (place, part) in watched.folders.iter().enumerate() {
            copy(part, &first.path().join(place.to_string()));
        }
        Self {
            host,
            practice,
            program: program.to_owned(),
            first,
            watched,
            judged: Mutex::default(),
        }
    }

    /// The folders that a run may change. The state comes last, for it is made anew.
    fn parts(host: &Host) -> Vec<PathBuf> {
        let nginx = host.nginx.folder();
        vec![
            host.letsencrypt(),
            nginx.join("sites-enabled"),
            nginx.join("ssl-certificates"),
            nginx.join("htdocs"),
            host.state(),
        ]
    }

    /// Returns the folders whose changes count.
    #[must_use]
    pub fn folders(&self) -> &[PathBuf] {
        &self.watched.folders
    }

    /// Returns what openssl said before.
    pub(crate) fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts everything back as it was at first, and has nginx take that up.
    ///
    /// # Panics
    ///
    /// When nginx does not serve it.
    pub fn reset(&self) {
        for (place, part) in self.watched.folders.iter().enumerate() {
            fs::remove_dir_all(part).expect("the folder is ours");
            copy(&self.first.path().join(place.to_string()), part);
        }
        for log in ["clpctl.log", "acme.log"] {
            let _ = fs::remove_file(self.host.folder().join(log));
        }
        self.host.nginx.reload();
    }

    /// From now on nginx's test refuses the new certificate of `two.test`, until [`Stage::accept`].
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    pub fn refuse(&mut self) {
        let script = self.host.folder().join("nginx");
        let (refusing, link) = (self.refusing(), self.host.live(TWO).join("cert.pem"));
        let text = format!(
            "#!/bin/sh\n\
             case \" $* \" in *' -t '*) if [ -e {} ]; then case $(readlink {}) in *cert2.pem)\n\
             echo 'nginx: [emerg] refused on purpose in two.test.conf:1' >&2; exit 1;; esac; fi;; esac\n\
             exec {} \"$@\"\n",
            refusing.display(),
            link.display(),
            testkit::nginx::BINARY
        );
        fs::write(&script, text).expect("the folder is ours");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let quoted = format!("\"{}\"", script.display());
        self.host.set("nginx", "binary", &quoted);
        fs::write(refusing, "").expect("the folder is ours");
    }

    /// Ends that.
    pub fn accept(&self, accepts: bool) {
        let refusing = self.refusing();
        if accepts {
            let _ = fs::remove_file(refusing);
        } else {
            fs::write(refusing, "").expect("the folder is ours");
        }
    }

    fn refusing(&self) -> PathBuf {
        self.host.folder().join("refuses")
    }

    /// Returns the files that the site's vhost names: the chain and the key.
    ///
    /// # Panics
    ///
    /// When it names none.
    #[must_use]
    #[track_caller]
    pub fn named(&self, domain: &str) -> (PathBuf, PathBuf) {
        let vhost = fs::read_to_string(self.host.nginx.vhost(domain)).expect("the vhost is there");
        let word = |directive: &str| {
            let mut lines = vhost.lines().map(str::trim);
            let value = lines.find_map(|line| line.strip_prefix(directive)?.strip_prefix(' '));
            PathBuf::from(value.expect("it names both").trim().trim_end_matches(';'))
        };
        (word("ssl_certificate"), word("ssl_certificate_key"))
    }

    /// Renews what is due, and lets it be struck.
    #[must_use]
    #[track_caller]
    pub fn strike(&self, blow: Blow) -> Traced {
        self.strike_watching(blow, &self.watched)
    }

    /// The same, with files that are only read counted too.
    #[must_use]
    #[track_caller]
    pub fn strike_with_opens(&self, blow: Blow) -> Traced {
        let watched = Watched {
            opens: true,
            ..self.watched.clone()
        };
        self.strike_watching(blow, &watched)
    }

    fn strike_watching(&self, blow: Blow, watched: &Watched) -> Traced {
        let words = std::iter::once(self.program.clone().into_os_string())
            .chain(self.words().into_iter().map(Into::into));
        tracer::run(&Run {
            words: words.collect(),
            folder: self.host.folder(),
            watched,
            blow,
        })
    }

    /// Renews what is due, undisturbed.
    #[must_use]
    #[track_caller]
    pub fn renew(&self) -> Said {
        let output = Program::new(&self.program)
            .args(self.words())
            .folder(self.host.folder())
            .env("HOME", self.host.folder())
            .limit(LIMIT)
            .run();
        Said {
            code: output.code,
            json: serde_json::from_str(&output.stdout).unwrap_or_default(),
            stderr: output.stderr,
        }
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("--config={}", self.host.config().display()),
            "site:renew-certificates".to_owned(),
            "--json".to_owned(),
        ];
        words.extend(SITES.map(|domain| format!("--domain={domain}")));
        words
    }
}

/// Copies a folder as it is: links, modes, owners and times.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Program::new("cp").arg("-a").arg(from).arg(to).run();
    assert!(copied.ok(), "{}", copied.stderr);
}

/// The site that gets its first certificate.
pub const NEW: &str = "new.test";
/// A site that is renewed.
pub const TWO: &str = "two.test";
/// A site that is renewed.
pub const THREE: &str = "three.test";
/// The site whose renewal fails.
pub const BAD: &str = "bad.test";
/// All of them.
pub const SITES: [&str; 4] = [NEW, TWO, THREE, BAD];
/// Those that come to have a new certificate.
pub const GOOD: [&str; 3] = [NEW, TWO, THREE];

/// How long an undisturbed run may take.
const LIMIT: Duration = Duration::from_secs(240);
