//! Is the panel's database read as it is, and written so that the panel goes on with it?

use std::path::Path;
use std::time::Duration;

use expect_test::{Expect, expect};
use renewal::panel::{NoticeLevel, Record};
use testkit::certificate::{Authority, Days, Pair};
use testkit::panel::{Entry, PanelDatabase};

use super::*;

mod writing;

/// A panel's database on a machine with the users `john` and `jane`.
struct Machine {
    folder: tempfile::TempDir,
    database: PanelDatabase,
    ca: Authority,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = PanelDatabase::make(&folder.path().join("home"));
        let passwd = "root:x:0:0::/root:/bin/sh\njohn:x:1:1::/:/bin/sh\njane:x:2:2::/:/bin/sh\n";
        put(&folder.path().join("passwd"), passwd);
        Self {
            folder,
            database,
            ca: Authority::new("Practice"),
        }
    }

    fn settings(&self) -> Settings {
        let nginx = "/etc/nginx".into();
        let backups = self.folder.path().join("copies");
        Settings {
            passwd: self.folder.path().join("passwd"),
            program: self.folder.path().join("clpctl"),
            patience: Duration::from_millis(200),
            ..Settings::at(self.database.path().to_owned(), nginx, backups)
        }
    }

    fn panel(&self) -> CloudPanel {
        CloudPanel::new(Some(self.settings()))
    }

    fn issue(&self, names: &[&str], left: i64) -> Pair {
        self.ca.issue(names, Days::left(left))
    }

    fn add(&self, domain: &str, user: &str, kind: u8, pair: &Pair) {
        let entry = Entry {
            domain,
            kind: "php",
            user,
            root: domain,
        };
        self.database.add(&entry, kind, pair);
    }

    async fn record(&self) -> Record {
        match self.panel().inventory(&Known::new()).await {
            Inventory::Known(record) => record,
            other => panic!("not known: {other:?}"),
        }
    }

    /// Shows what is read of the sites.
    async fn check(&self, expect: Expect) {
        let record = self.record().await;
        let mut shown = String::new();
        for site in &record.sites {
            let row = site.row.as_ref().map(|row| {
                let certificate = match &row.certificate {
                    Ok(read) => read
                        .names
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(" "),
                    Err(why) => format!("unreadable: {why}"),
                };
                let end = row.certificate.as_ref().ok().map(|read| read.valid.end());
                let date = if row.expires_at == end {
                    "its end"
                } else {
                    "another end"
                };
                let notes = [
                    (row.borrowed, ", borrowed"),
                    (!row.key_fits, ", the key does not fit"),
                ];
                let notes: String = notes
                    .iter()
                    .filter(|(is, _)| *is)
                    .map(|(_, note)| *note)
                    .collect();
                format!("{:?} with {date}: {certificate}{notes}", row.kind)
            });
            let root = site.document_root.strip_prefix(self.folder.path()).unwrap();
            let row = row.unwrap_or("no row".to_owned());
            shown += &format!(
                "{} ({}) in {}: {row}\n",
                site.domain,
                site.kind,
                root.display()
            );
            shown.extend(
                site.findings
                    .iter()
                    .map(|finding| format!("  {}\n", finding.detail)),
            );
        }
        let details = record
            .findings
            .iter()
            .map(|finding| format!("{}\n", finding.detail));
        shown.extend(
            details.map(|line| line.replace(&self.folder.path().display().to_string(), "…")),
        );
        expect.assert_eq(&shown);
    }
}

fn put(path: &Path, text: &str) {
    let mut file = std::fs::File::create(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

fn now() -> Timestamp {
    "2026-02-01T00:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn sites_are_read_with_their_active_certificates() {
    let machine = Machine::new();
    machine.add(
        "a.test",
        "john",
        2,
        &machine.issue(&["a.test", "www.a.test"], 60),
    );
    machine.add("b.test", "jane", 3, &machine.issue(&["b.test"], 60));
    let _ = machine.database.run(
        "INSERT INTO config (key, value) VALUES ('custom_domain', 'panel.test'), ('app_version', '2.5.4');
         UPDATE site SET root_directory = 'b.test/public', type = 'nodejs' WHERE domain_name = 'b.test';",
    );
    machine
        .check(expect![[r#"
        a.test (php) in home/john/htdocs/a.test: Issued with its end: a.test www.a.test
        b.test (nodejs) in home/jane/htdocs/b.test/public: Imported with its end: b.test
        panel.test (panel) in home/clp/htdocs/app/files/public: no row
    "#]])
        .await;
}

#[tokio::test]
async fn what_is_wrong_with_one_site_is_said_of_it_and_the_others_go_on() {
    let machine = Machine::new();
    let pair = machine.issue(&["a.test"], 60);
    for (domain, user) in [
        ("a.test", "john"),
        ("literal.test", "jane"),
        ("empty.test", "u3"),
        ("other-key.test", "u4"),
        ("borrowed.test", "u5"),
        ("none.test", "u6"),
        ("not a name", "u7"),
        ("../etc", "u8"),
        ("date.test", "u9"),
        ("lost.test", "u10"),
    ] {
        machine.add(domain, user, 2, &pair);
    }
    let other = machine.issue(&["x.test"], 60).key;
    let _ = machine.database.run(&format!(
        r"UPDATE certificate SET certificate = replace(certificate, char(10), '\n') WHERE id = 2;
         UPDATE certificate SET certificate = '', private_key = '' WHERE id = 3;
         UPDATE certificate SET private_key = '{other}' WHERE id = 4;
         UPDATE site SET certificate_id = 1 WHERE id = 5;
         UPDATE site SET certificate_id = NULL WHERE id = 6;
         UPDATE certificate SET expires_at = 'soon' WHERE id = 9;
         UPDATE site SET certificate_id = 999 WHERE id = 10;"
    ));
    machine.check(expect![[r#"
        a.test (php) in home/john/htdocs/a.test: Issued with its end: a.test
        literal.test (php) in home/jane/htdocs/literal.test: Issued with another end: unreadable: a PEM block is damaged: its BEGIN line is not closed; it holds the two characters \n where lines should end, the key does not fit
        empty.test (php) in home/u3/htdocs/empty.test: Issued with another end: unreadable: there is no certificate in it, the key does not fit
          CloudPanel says that the site belongs to u3, whom /etc/passwd does not know.
        other-key.test (php) in home/u4/htdocs/other-key.test: Issued with its end: a.test, the key does not fit
          CloudPanel says that the site belongs to u4, whom /etc/passwd does not know.
        borrowed.test (php) in home/u5/htdocs/borrowed.test: Issued with its end: a.test, borrowed
          CloudPanel says that the site belongs to u5, whom /etc/passwd does not know.
        none.test (php) in home/u6/htdocs/none.test: no row
          CloudPanel says that the site belongs to u6, whom /etc/passwd does not know.
        date.test (php) in home/u9/htdocs/date.test: Issued with another end: a.test
          CloudPanel says that the site belongs to u9, whom /etc/passwd does not know.
        lost.test (php) in home/u10/htdocs/lost.test: no row
          CloudPanel says that the site belongs to u10, whom /etc/passwd does not know.
        …/home/clp/htdocs/app/data/db.sq3: the site “not a name”: “not a name” is not a host name: it contains ' '
        …/home/clp/htdocs/app/data/db.sq3: the site “../etc”: “../etc” is not a host name: two dots follow each other, or it begins with one
    "#]]).await;
}

#[tokio::test]
async fn what_was_read_before_is_not_read_again_until_it_changes() {
    let machine = Machine::new();
    machine.add("a.test", "john", 2, &machine.issue(&["a.test"], 60));
    machine.add("b.test", "jane", 2, &machine.issue(&["b.test"], 60));
    let first = machine.record().await;
    assert_eq!(first.read.len(), 2);
    let known: Known = first.read.into_iter().collect();
    let read = async || match machine.panel().inventory(&known).await {
        Inventory::Known(record) => record,
        other => panic!("not known: {other:?}"),
    };
    let second = read().await;
    assert_eq!(second.read.len(), 0);
    assert!(
        second
            .sites
            .iter()
            .all(|site| site.row.as_ref().unwrap().key_fits)
    );
    let key = machine.issue(&["x.test"], 60).key;
    let _ = machine.database.run(&format!(
        "UPDATE certificate SET private_key = '{key}' WHERE id = 1;"
    ));
    let third = read().await;
    assert_eq!(third.read.len(), 1);
    assert!(!third.sites[0].row.as_ref().unwrap().key_fits);
}

#[tokio::test]
async fn without_a_database_there_is_no_panel_and_one_of_another_form_is_not_known() {
    let nothing = CloudPanel::new(None).inventory(&Known::new()).await;
    assert!(matches!(nothing, Inventory::Absent));
    let machine = Machine::new();
    let settings = Settings {
        database: machine.folder.path().join("none.sq3"),
        ..machine.settings()
    };
    let missing = CloudPanel::new(Some(settings))
        .inventory(&Known::new())
        .await;
    assert!(matches!(missing, Inventory::Absent));
    // The panel's program without its database is said.
    let home = tempfile::tempdir().unwrap();
    let database = home.path().join("clp/htdocs/app/data/db.sq3");
    std::fs::create_dir_all(home.path().join("clp/htdocs/app/files")).unwrap();
    let settings = Settings {
        database,
        ..machine.settings()
    };
    let lost = CloudPanel::new(Some(settings));
    let Inventory::Unknown(finding) = lost.inventory(&Known::new()).await else {
        panic!("it says nothing");
    };
    assert!(finding.detail.ends_with("db.sq3 is missing"), "{finding:?}");
    let _ = machine
        .database
        .run("ALTER TABLE site RENAME COLUMN user TO owner;");
    let Inventory::Unknown(finding) = machine.panel().inventory(&Known::new()).await else {
        panic!("it is known");
    };
    assert!(
        finding
            .detail
            .ends_with("the table site has no column user"),
        "{finding:?}"
    );
}

#[tokio::test]
async fn one_that_is_held_or_damaged_is_a_finding_and_no_more() {
    let machine = Machine::new();
    machine.add("a.test", "john", 2, &machine.issue(&["a.test"], 60));
    let other = rusqlite::Connection::open(machine.database.path()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let said = async || match machine.panel().inventory(&Known::new()).await {
        Inventory::Unreadable { finding, folder } => {
            assert_eq!(folder, Path::new("/etc/nginx/ssl-certificates"));
            format!("{} {:?}: {}", finding.name, finding.severity, finding.fix)
        }
        other => panic!("read: {other:?}"),
    };
    expect!["panel-unreadable Warning: Nothing, if it happens once: the next run tries again. Else look who holds it: fuser -v on the file."]
        .assert_eq(&said().await);
    drop(other);
    let bytes = std::fs::read(machine.database.path()).unwrap();
    let mut damaged = bytes;
    damaged[200..4096].fill(b'x');
    std::fs::File::create(machine.database.path())
        .and_then(|mut file| std::io::Write::write_all(&mut file, &damaged))
        .unwrap();
    expect!["panel-unreadable Error: Bring it back from a backup: CloudPanel's are in /home/clp/backups, clpctl's in cloudpanel/ in its state folder."]
        .assert_eq(&said().await);
}
