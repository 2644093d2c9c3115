//! Is anything lost?
//!
//! Judged on the bare files and by other programs: openssl, nginx, sqlite3. No code of ours is asked, so that a mistake
//! in it cannot hide itself. Every function panics with what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use testkit::openssl;
use testkit::program::Program;

use crate::stage::{BAD, GOOD, NEW, SITES, Said, Stage};

/// What a moment's files say of the orders.
#[derive(Debug, Default)]
pub struct Orders {
    /// The sites with an order on record.
    pub open: BTreeSet<String>,
    /// The sites whose new certificate is in the archive.
    pub archived: BTreeSet<String>,
    /// The sites whose failure is on record.
    pub failed: BTreeSet<String>,
}

impl Orders {
    /// Returns how many orders a later run may ask for.
    #[must_use]
    pub fn allowed(&self) -> usize {
        let known = |site: &&str| {
            [&self.open, &self.archived, &self.failed]
                .iter()
                .any(|set| set.contains(*site))
        };
        SITES.iter().filter(|site| !known(site)).count()
    }
}

/// What a moment's files say.
#[derive(Debug)]
pub struct Moment {
    /// Of the orders.
    pub orders: Orders,
    /// Of what each site serves once nginx reads it: whether today's CA made it, and its fingerprint.
    pub sites: BTreeMap<&'static str, (bool, String)>,
    /// How many orders and deployments are on record as begun.
    pub begun: usize,
}

/// Holds whatever happened a moment ago: what nginx would read is whole, no key is open to others, and no order is
/// without its key.
///
/// # Panics
///
/// When it does not hold.
#[track_caller]
pub fn at_any_moment(stage: &Stage) -> Moment {
    let tested = stage.host.nginx.test();
    assert!(tested.ok(), "nginx -t fails:\n{}", tested.stderr);
    let sites = SITES.iter().map(|domain| (*domain, serving(stage, domain)));
    let sites = sites.collect();
    for folder in stage.folders() {
        keys_are_private(folder);
    }
    let (orders, begun) = records(stage);
    Moment {
        orders,
        sites,
        begun,
    }
}

/// Holds at the end: everything that could succeed did, is served, and nothing that matters is left behind. Returns
/// remarks about what is left and harms nobody.
///
/// # Panics
///
/// When it does not hold.
#[track_caller]
pub fn at_the_end(stage: &Stage) -> Vec<&'static str> {
    let moment = at_any_moment(stage);
    let addresses = stage.host.nginx.https_addresses();
    for (place, domain) in SITES.iter().enumerate() {
        let (by_practice, sha256) = &moment.sites[domain];
        assert_eq!(
            *by_practice,
            *domain != BAD,
            "{domain}: by the CA of today?"
        );
        let address = addresses[place % addresses.len()];
        let served = openssl::served(address, domain);
        assert_eq!(served.as_ref(), Some(sha256), "{domain} on {address}");
    }
    for domain in GOOD {
        links_are_one_version(stage, domain);
        let key = stage.host.state().join(format!("orders/{domain}.key"));
        assert!(!key.exists(), "{} is left", key.display());
    }
    assert_eq!(
        moment.begun, 0,
        "orders or deployments are still on record as begun"
    );
    stage
        .folders()
        .iter()
        .flat_map(|folder| left(folder))
        .collect()
}

/// Holds when everything was done before: nothing is done again.
///
/// # Panics
///
/// When it does not hold.
#[track_caller]
pub fn nothing_more_happens(stage: &Stage) {
    let (orders, issued) = (stage.practice.orders(), stage.practice.ca.issued());
    let before = listing(stage);
    let said = stage.renew();
    assert_eq!(said.reloads(), 0, "{:#}", said.json);
    for domain in GOOD {
        assert_eq!(said.outcome(domain), "not-due", "{:#}", said.json);
    }
    assert_eq!(
        (stage.practice.orders(), stage.practice.ca.issued()),
        (orders, issued),
        "{:#}",
        said.json
    );
    assert_eq!(
        listing(stage),
        before,
        "files changed though nothing was due"
    );
}

/// Says what a run is to say when it finished what another one began.
///
/// # Panics
///
/// When it said anything else.
#[track_caller]
pub fn converged(said: &Said) {
    let words = || format!("{:#}\n{}", said.json, said.stderr);
    // Only `bad.test` is not well, and that is a person's to mend, or it waits.
    assert!(
        matches!(said.code, Some(1 | 3)),
        "{:?}: {}",
        said.code,
        words()
    );
    for domain in GOOD {
        let outcome = said.outcome(domain);
        let well = ["issued", "renewed", "not-due"].contains(&outcome);
        assert!(well, "{domain}: {outcome}: {}", words());
    }
    let outcome = said.outcome(BAD);
    assert!(
        ["failed", "postponed"].contains(&outcome),
        "{BAD}: {outcome}: {}",
        words()
    );
}

/// Checks what the site's vhost names; says whether today's CA made it, and its fingerprint.
#[track_caller]
fn serving(stage: &Stage, domain: &str) -> (bool, String) {
    let (certificate, key) = stage.named(domain);
    let read = |path: &Path| {
        fs::read(path).unwrap_or_else(|error| panic!("{domain}: {}: {error}", path.display()))
    };
    let pair = (read(&certificate), read(&key));
    // The same bytes need not be judged a thousand times.
    if let Some(known) = stage.judged().get(&pair) {
        return known.clone();
    }
    let answer = judge(stage, domain, &certificate, &key);
    stage.judged().insert(pair, answer.clone());
    answer
}

#[track_caller]
fn judge(stage: &Stage, domain: &str, certificate: &Path, key: &Path) -> (bool, String) {
    let asked = [
        "-pubkey",
        "-fingerprint",
        "-sha256",
        "-checkhost",
        domain,
        "-issuer",
    ];
    let facts = openssl::x509(certificate, &asked);
    let public = Program::new("openssl").args(["pkey", "-pubout", "-in"]);
    let public = public.arg(key).run().expect_ok();
    assert!(
        facts.contains(&public),
        "{domain}: {} and {} do not fit together",
        certificate.display(),
        key.display()
    );
    assert!(
        facts.contains("does match certificate"),
        "{domain}: {facts}"
    );
    let fingerprint = facts.lines().find_map(|line| {
        let (_, hex) = line.split_once("ingerprint=")?;
        Some(hex.replace(':', "").to_lowercase())
    });
    let older = facts.contains("Older") || is_placeholder(certificate);
    if older {
        let lasts = openssl::x509(certificate, &["-checkend", "0"]);
        assert!(lasts.contains("will not expire"), "{domain}: {lasts}");
    } else {
        let roots = stage.host.folder().join("roots.pem");
        assert_eq!(openssl::verify(&roots, certificate), Ok(()), "{domain}");
    }
    (!older, fingerprint.expect("openssl prints it"))
}

/// What the site had at first, which is not below `live/`.
fn is_placeholder(certificate: &Path) -> bool {
    certificate
        .extension()
        .is_some_and(|ending| ending == "crt")
}

#[track_caller]
fn links_are_one_version(stage: &Stage, domain: &str) {
    let versions: BTreeSet<String> = ["cert", "chain", "fullchain", "privkey"]
        .iter()
        .map(|kind| {
            let link = stage.host.live(domain).join(format!("{kind}.pem"));
            let target = fs::read_link(&link).expect("the link is there");
            let target = target.to_string_lossy().into_owned();
            target.replace(kind, "")
        })
        .collect();
    assert_eq!(versions.len(), 1, "{domain}: {versions:?}");
}

#[track_caller]
fn keys_are_private(folder: &Path) {
    for path in files(folder) {
        let content = fs::read(&path).unwrap_or_default();
        let secret = String::from_utf8_lossy(&content).contains("PRIVATE KEY");
        let mode = path.metadata().map_or(0, |data| data.permissions().mode());
        // Placeholders were made by the fixture, which is as careful.
        assert!(
            !secret || mode & 0o077 == 0,
            "{} is open: {mode:o}",
            path.display()
        );
    }
}

/// Says what is left below a folder.
///
/// # Panics
///
/// When it is a secret.
#[track_caller]
fn left(folder: &Path) -> BTreeSet<&'static str> {
    let mut remarks = BTreeSet::new();
    for path in files(folder) {
        let text = path.to_string_lossy().into_owned();
        if text.contains("/acme-challenge/") {
            remarks.insert(LEFT_ANSWER);
        } else if text.contains("/live/.") {
            remarks.insert(LEFT_LINKS);
        } else {
            assert!(
                !text.contains("/.") && !text.ends_with(".clpctl"),
                "{text} is left"
            );
        }
    }
    remarks
}

/// Reads the database as it lies there, in a copy, for a reader would tidy it up.
#[track_caller]
fn records(stage: &Stage) -> (Orders, usize) {
    let archived = GOOD.iter().filter(|domain| {
        let folder = stage.host.archive(domain);
        let version = if **domain == NEW { 1 } else { 2 };
        let there = |kind: &&str| folder.join(format!("{kind}{version}.pem")).exists();
        ["cert", "chain", "fullchain", "privkey"].iter().all(there)
    });
    let mut orders = Orders {
        archived: archived.map(|domain| (*domain).to_owned()).collect(),
        ..Orders::default()
    };
    let (told, tables) = ask_database(stage);
    let Some(told) = told else {
        return (orders, 0);
    };
    assert_eq!(
        told.first().map(String::as_str),
        Some("ok"),
        "the database: {told:?}"
    );
    if !tables {
        return (orders, 0);
    }
    let mut begun = 0;
    for line in &told[1..] {
        match line.split_once(' ') {
            Some(("order", domain)) => {
                begun += 1;
                orders.open.insert(domain.to_owned());
            }
            Some(("failed", domain)) => {
                orders.failed.insert(domain.to_owned());
            }
            _ => begun += 1,
        }
    }
    for domain in &orders.open {
        let kept = stage.host.state().join(format!("orders/{domain}.key"));
        let there = orders.archived.contains(domain) || openssl_reads(&kept);
        assert!(there, "the order of {domain} has lost its key");
    }
    (orders, begun)
}

fn openssl_reads(key: &Path) -> bool {
    let read = Program::new("openssl").args(["pkey", "-noout", "-in"]);
    read.arg(key).run().ok()
}

/// Asks a copy of the database; says whether it has its tables yet. There is no answer where there is none.
#[track_caller]
fn ask_database(stage: &Stage) -> (Option<Vec<String>>, bool) {
    if !stage.host.state().join("clpctl.db").exists() {
        return (None, false);
    }
    let scratch = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ["clpctl.db", "clpctl.db-wal", "clpctl.db-journal"] {
        let _ = fs::copy(stage.host.state().join(name), scratch.path().join(name));
    }
    let answer = Program::new("sqlite3")
        .arg(scratch.path().join("clpctl.db"))
        .arg(QUESTIONS)
        .run();
    let tables = !answer.stderr.contains("no such table");
    let lines = answer.stdout.lines().map(str::to_owned).collect();
    (Some(lines), tables)
}

/// Lists lineages and vhosts with what changes when a file is touched.
fn listing(stage: &Stage) -> String {
    let mut find = Program::new("find");
    for folder in &stage.folders()[..3] {
        find = find.arg(folder);
    }
    find.args(["-not", "-type", "d", "-printf", "%p %i %T@ %m %l\n"])
        .run()
        .expect_ok()
}

/// Every file below a folder; links are not followed.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&path)),
            Ok(_) => found.push(path),
            Err(_) => {}
        }
    }
    found
}

/// Whether it is whole, what is open, and whose last attempt failed.
const QUESTIONS: &str = "PRAGMA integrity_check;
    SELECT 'order ' || domain FROM orders;
    SELECT 'deployment ' || number FROM deployments;
    SELECT 'failed ' || domain FROM attempts WHERE failures > 0;";

/// A challenge's answer of a killed run.
const LEFT_ANSWER: &str = "a challenge's answer of the killed run is still in the document root";

/// What an undo would have needed.
const LEFT_LINKS: &str = "links to the version before lie hidden beside, until the next renewal";
