//! Is a certificate recorded as the panel would, once, and only where nothing else was done meanwhile?

use renewal::secret::Secret;
use testkit::openssl;

use super::*;

impl Machine {
    /// Records a pair for a site, as the last look saw it; returns what is said.
    async fn write(&self, seen: &Record, domain: &str, pair: &Pair) -> Option<Finding> {
        self.write_with(self.settings(), seen, domain, pair).await
    }

    async fn write_with(
        &self,
        settings: Settings,
        seen: &Record,
        domain: &str,
        pair: &Pair,
    ) -> Option<Finding> {
        let site = seen
            .sites
            .iter()
            .find(|site| site.domain.as_str() == domain);
        let change = RecordChange {
            imported: false,
            site: Arc::new(site.unwrap().clone()),
            certificate: x509::chain::leaf(pair.leaf.as_bytes()).unwrap(),
            pair: PemPair {
                key: Secret::new(pair.key.clone()),
                leaf: pair.leaf.clone(),
                issuers: pair.chain.clone(),
            },
        };
        let panel = CloudPanel::new(Some(settings));
        panel.record(vec![change], now()).await.remove(0)
    }

    /// Shows a site's rows, the active one with a star.
    fn rows(&self, domain: &str) -> String {
        self.database.run(&format!(
            "SELECT CASE WHEN c.id = s.certificate_id THEN '*' ELSE '' END || c.id, c.type, c.site_id, c.default_certificate
             FROM site s JOIN certificate c ON c.site_id = s.id OR c.id = s.certificate_id
             WHERE s.domain_name = '{domain}' ORDER BY c.id;"
        ))
    }

    #[track_caller]
    fn assert_recorded(&self, domain: &str, pair: &Pair) {
        let row = |column: &str| self.database.active(domain, column);
        assert_eq!(row("c.certificate").trim(), pair.leaf.trim());
        assert_eq!(row("c.certificate_chain").trim(), pair.chain.trim());
        assert_eq!(row("c.private_key").trim(), pair.key.trim());
        assert_eq!(row("c.expires_at"), openssl::end(&pair.leaf));
        assert_eq!(row("c.updated_at"), "2026-02-01 00:00:00");
        assert!(row("c.csr").starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    }
}

#[tokio::test]
async fn a_row_of_type_2_is_updated_and_of_any_other_type_gets_a_new_one_beside_it() {
    for (kind, expected) in [
        (2, "*1|2|1|0"),
        (1, "1|1|1|1\n*2|2|1|0"),
        (3, "1|3|1|0\n*2|2|1|0"),
        (9, "1|9|1|0\n*2|2|1|0"),
    ] {
        let machine = Machine::new();
        machine.add("a.test", "john", kind, &machine.issue(&["a.test"], 5));
        let new = machine.issue(&["a.test"], 80);
        let seen = machine.record().await;
        assert_eq!(machine.write(&seen, "a.test", &new).await, None);
        assert_eq!(machine.rows("a.test"), expected);
        machine.assert_recorded("a.test", &new);
        if kind != 2 {
            assert_eq!(machine.database.active("a.test", "length(c.uid)"), "40");
        }
        assert_eq!(machine.database.due(), [""; 0]);
        // Again, after a crash that forgot that it was done.
        let seen = machine.record().await;
        assert_eq!(machine.write(&seen, "a.test", &new).await, None);
        assert_eq!(machine.rows("a.test"), expected);
    }
}

#[tokio::test]
async fn a_site_without_a_row_and_one_with_anothers_get_their_own() {
    let machine = Machine::new();
    let old = machine.issue(&["a.test"], 5);
    machine.add("a.test", "john", 2, &old);
    machine.add("b.test", "jane", 2, &old);
    let _ = machine
        .database
        .run("DELETE FROM certificate WHERE id = 2; UPDATE site SET certificate_id = 1;");
    let seen = machine.record().await;
    let new = machine.issue(&["b.test"], 80);
    assert_eq!(machine.write(&seen, "b.test", &new).await, None);
    assert_eq!(machine.rows("b.test"), "*3|2|2|0");
    assert_eq!(machine.rows("a.test"), "*1|2|1|0");
    let kept = machine.database.active("a.test", "c.certificate");
    assert_eq!(kept.trim(), old.leaf.trim());
    let _ = machine
        .database
        .run("UPDATE site SET certificate_id = NULL WHERE id = 1;");
    let seen = machine.record().await;
    let new = machine.issue(&["a.test"], 80);
    assert_eq!(machine.write(&seen, "a.test", &new).await, None);
    machine.assert_recorded("a.test", &new);
}

#[tokio::test]
async fn what_was_changed_in_the_panel_meanwhile_is_not_overwritten() {
    for change in [
        "INSERT INTO certificate SELECT 7, site_id, 'x', created_at, updated_at, expires_at, 0, '3', csr, private_key,
            certificate, certificate_chain FROM certificate WHERE id = 1; UPDATE site SET certificate_id = 7;",
        "DELETE FROM site;",
        "UPDATE certificate SET certificate = 'the panel renewed it in place', expires_at = '2027-12-01 09:00:00';",
    ] {
        let machine = Machine::new();
        machine.add("a.test", "john", 2, &machine.issue(&["a.test"], 5));
        let seen = machine.record().await;
        let _ = machine.database.run(change);
        let all = "SELECT * FROM certificate; SELECT * FROM site;";
        let before = machine.database.run(all);
        let new = machine.issue(&["a.test"], 80);
        let said = machine.write(&seen, "a.test", &new).await.unwrap();
        assert!(said.detail.contains("meanwhile"), "{said:?}");
        assert_eq!(machine.database.run(all), before);
    }
}

#[tokio::test]
async fn while_the_panel_holds_it_nothing_is_written_and_that_is_said() {
    let machine = Machine::new();
    machine.add("a.test", "john", 2, &machine.issue(&["a.test"], 5));
    let seen = machine.record().await;
    let other = rusqlite::Connection::open(machine.database.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let new = machine.issue(&["a.test"], 80);
    let said = machine.write(&seen, "a.test", &new).await.unwrap();
    assert_eq!(said.name, FindingName::PanelNotWritten);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(machine.write(&seen, "a.test", &new).await, None);
    machine.assert_recorded("a.test", &new);
}

#[tokio::test]
async fn the_copy_made_before_holds_what_was_there_and_without_one_nothing_is_written() {
    let machine = Machine::new();
    let old = machine.issue(&["a.test"], 5);
    machine.add("a.test", "john", 2, &old);
    let seen = machine.record().await;
    let new = machine.issue(&["a.test"], 80);
    let nowhere = Settings {
        backups: "/proc/nowhere".into(),
        ..machine.settings()
    };
    let said = machine.write_with(nowhere, &seen, "a.test", &new).await;
    assert_eq!(said.unwrap().name, FindingName::PanelNotWritten);
    let row = machine.database.active("a.test", "c.certificate");
    assert_eq!(row.trim(), old.leaf.trim());

    assert_eq!(machine.write(&seen, "a.test", &new).await, None);
    let copies: Vec<_> = std::fs::read_dir(machine.settings().backups)
        .unwrap()
        .collect();
    assert_eq!(copies.len(), 1);
    let copy = rusqlite::Connection::open(copies[0].as_ref().unwrap().path()).unwrap();
    let kept: String = copy
        .query_row("SELECT certificate FROM certificate", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept.trim(), old.leaf.trim());
}

#[tokio::test]
async fn a_table_that_is_not_known_is_left_to_the_panels_own_command_and_the_price_is_said() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    machine.add("a.test", "john", 2, &machine.issue(&["a.test"], 5));
    let _ = machine
        .database
        .run("ALTER TABLE certificate RENAME COLUMN certificate_chain TO chain;");
    let program = machine.settings().program;
    let said = machine.folder.path().join("said");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >{0}\nfor word; do case $word in --private*|--cert*) cat \"${{word#*=}}\" >>{0};; esac; done\n",
        said.display()
    );
    put(&program, &script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let seen = machine.record().await;
    assert_eq!(seen.findings.len(), 1);
    let new = machine.issue(&["a.test"], 80);
    let price = machine.write(&seen, "a.test", &new).await.unwrap();
    assert!(price.detail.contains("imported"), "{price:?}");
    let said = std::fs::read_to_string(said).unwrap();
    let begin = "site:install:certificate\n--domainName=a.test\n--privateKey=/";
    assert!(said.starts_with(begin), "{said}");
    let given = format!("{}{}{}", new.key, new.leaf, new.chain);
    assert!(said.ends_with(&given), "{said}");
    let left: Vec<_> = std::fs::read_dir(machine.settings().backups)
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1, "the copy alone: {left:?}");

    let own = Settings {
        program: "/proc/self/exe".into(),
        ..machine.settings()
    };
    let refused = machine
        .write_with(own, &seen, "a.test", &new)
        .await
        .unwrap();
    assert!(refused.detail.contains("clpctl itself"), "{refused:?}");

    put(&program, "#!/bin/sh\necho 'a.test: no such site'; exit 1\n");
    let failed = machine.write(&seen, "a.test", &new).await.unwrap();
    assert_eq!(failed.name, FindingName::PanelNotWritten);
    assert!(failed.detail.contains("no such site"), "{failed:?}");
}

fn notice(subject: &str, ends: Option<&str>) -> Notice {
    Notice {
        level: NoticeLevel::Critical,
        subject: subject.to_owned(),
        message: "It's \"so\".".to_owned(),
        ends: ends.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_notice_is_added_once_and_takes_the_place_of_the_one_it_ends() {
    let machine = Machine::new();
    let told = async |subject, ends| {
        let notices = vec![notice(subject, ends)];
        machine.panel().notify(notices, now()).await.unwrap();
        machine
            .database
            .run("SELECT severity, hash, subject, message, is_read FROM notification;")
    };
    for _ in 0..2 {
        let row = told("it failed", None).await;
        assert_eq!(
            row,
            "3|b1a570d11a21ee614765f6f671df461c|it failed|It's \"so\".|0"
        );
    }
    // One that was read stays read.
    let _ = machine.database.run("UPDATE notification SET is_read = 1;");
    assert!(told("it failed", None).await.ends_with("|1"));
    expect![[r#"3|3643a62c29ad672c55aafa49cb822539|it works|It's "so".|0"#]]
        .assert_eq(&told("it works", Some("it failed")).await);
    expect![[r#"3|b1a570d11a21ee614765f6f671df461c|it failed|It's "so".|0"#]]
        .assert_eq(&told("it failed", Some("it works")).await);
}

#[tokio::test]
async fn without_its_table_a_notice_is_a_failure_and_nothing_else() {
    let machine = Machine::new();
    let _ = machine.database.run("DROP TABLE notification;");
    let told = machine
        .panel()
        .notify(vec![notice("it failed", None)], now())
        .await;
    let HostFailure(finding) = told.unwrap_err();
    assert!(
        finding.detail.contains("no table notification"),
        "{finding:?}"
    );
    let nowhere = CloudPanel::new(None);
    assert!(nowhere.notify(vec![notice("x", None)], now()).await.is_ok());
}
