//! Is what the panel, a person or a crash left apart seen, and put together again without an order?

use super::*;

/// A host with a site that was renewed: record, files and nginx agree.
fn renewed() -> (PanelHost, Practice) {
    let mut panel = PanelHost::prepare();
    let old = Authority::new("Older").issue(&["a.test"], Days::left(5));
    panel.add_with(&PanelSite::new("a.test", Shape::Php), 2, &old);
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    let _ = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_whole(&panel, "a.test", "a.test");
    (panel, practice)
}

/// Renews a site as the panel does, but for the reload.
fn write_as_the_panel(panel: &PanelHost, pair: &testkit::certificate::Pair) {
    panel.database.renew("a.test", pair);
    let certificates = panel.host.nginx.certificates();
    panel.database.project("a.test", &certificates);
}

/// Says what is found before a run; the run must then bring all together without another order.
#[track_caller]
fn heals(panel: &PanelHost, practice: &Practice, found: &str) {
    let said = panel_findings(panel, "a.test");
    assert!(said.contains(found), "{found}: {said}");
    let answer = ask(panel, &["site:renew-certificates"]).expect_code(0);
    assert_whole(panel, "a.test", "a.test");
    assert_eq!(practice.orders(), 1, "{found}: {:#}", answer.json);
    let again = ask(panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(again.site("a.test")["findings"], json!([]), "{found}");
    assert_eq!(again.json["findings"], json!([]), "{found}");
    assert_eq!(again.reloads(), 0);
}

#[test]
fn a_record_that_is_behind_broken_or_misdated_is_written() {
    let (panel, practice) = renewed();
    let old = Authority::new("Older").issue(&["a.test"], Days::left(5));
    for (change, found) in [
        (
            format!(
                "UPDATE certificate SET certificate = '{}', private_key = '{}'",
                old.leaf, old.key
            ),
            "behind what is served",
        ),
        (
            format!("UPDATE certificate SET private_key = '{}'", old.key),
            "private key does not belong",
        ),
        (
            r"UPDATE certificate SET certificate = replace(certificate, char(10), '\n')".to_owned(),
            r"two characters \n",
        ),
        (
            "UPDATE certificate SET expires_at = datetime('now', '+2 days')".to_owned(),
            "the record says that it ends on",
        ),
        (
            "UPDATE site SET certificate_id = NULL".to_owned(),
            "has no certificate",
        ),
    ] {
        let _ = panel.database.run(&change);
        heals(&panel, &practice, found);
    }
}

#[test]
fn files_that_the_panel_brought_back_are_replaced_by_what_we_have() {
    let (panel, practice) = renewed();
    let old = Authority::new("Older").issue(&["a.test"], Days::left(5));
    write_as_the_panel(&panel, &old);
    heals(&panel, &practice, "");
}

#[test]
fn what_the_panel_renewed_by_itself_is_kept_and_deployed_where_it_did_not_come_to_the_end() {
    let (panel, practice) = renewed();
    // The panel's CA is trusted as ours is; it got as far as its record.
    let bundle = panel.host.folder().join("practice.pem");
    let theirs = Authority::new("Theirs");
    let roots = fs::read_to_string(&bundle).unwrap() + theirs.root();
    fs::write(&bundle, roots).unwrap();
    let pair = theirs.issue(&["a.test"], Days::left(400));
    panel.database.renew("a.test", &pair);
    heals(&panel, &practice, "has a better certificate");
    let scratch = tempfile::tempdir().unwrap();
    let (file, _) = pair.write(scratch.path(), "theirs");
    let served = panel.host.nginx.certificates().join("a.test.crt");
    assert_eq!(openssl::sha256(&served), openssl::sha256(&file));
}

#[test]
fn the_pair_that_another_client_obtained_is_kept_as_a_version() {
    let mut panel = PanelHost::prepare();
    let old = Authority::new("Older").issue(&["a.test"], Days::left(5));
    panel.add_with(&PanelSite::new("a.test", Shape::Php), 2, &old);
    panel.add(&PanelSite::new("b.test", Shape::Php));
    panel.host.nginx.launch();
    let _practice = Practice::start(&mut panel.host, |_| {});
    let words = [
        "site:renew-certificates",
        "--domain=a.test",
        "--domain=b.test",
    ];
    let _ = ask(&panel, &words).expect_code(0);
    let kept = fs::read_to_string(panel.host.archive("a.test").join("cert1.pem")).unwrap();
    assert_eq!(kept.trim(), old.leaf.trim());
    assert!(panel.host.archive("a.test").join("cert2.pem").exists());
    // A self-signed placeholder is nothing that anybody wants back.
    assert!(!panel.host.archive("b.test").join("cert2.pem").exists());
}

#[test]
fn owner_and_mode_of_the_files_stay_and_nothing_lies_beside_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut panel = PanelHost::prepare();
    let old = Authority::new("Older").issue(&["a.test"], Days::left(5));
    panel.add_with(&PanelSite::new("a.test", Shape::Php), 2, &old);
    let folder = panel.host.nginx.certificates();
    let key = folder.join("a.test.key");
    std::os::unix::fs::chown(&key, Some(64_500), Some(64_501)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    panel.host.nginx.launch();
    let _practice = Practice::start(&mut panel.host, |_| {});
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = names();
    let _ = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    let facts = key.metadata().unwrap();
    assert_eq!(
        (facts.uid(), facts.gid(), facts.mode() & 0o7777),
        (64_500, 64_501, 0o640)
    );
    assert_eq!(names(), before);
}

#[test]
fn what_the_panel_wrote_and_nginx_did_not_take_up_is_said_by_a_run_with_nothing_due() {
    let (panel, practice) = renewed();
    let theirs = Authority::new("Theirs").issue(&["a.test"], Days::left(400));
    write_as_the_panel(&panel, &theirs);
    let files = panel.host.nginx.certificates();
    // As a copy that was brought back with its times.
    let old = testkit::program::Program::new("touch")
        .args(["-d", "2020-01-01"])
        .args([files.join("a.test.crt"), files.join("a.test.key")]);
    let _ = old.run().expect_ok();
    let reloads = panel.host.nginx.reloads();
    for words in [
        &["site:renew-certificates"][..],
        &["site:renew-certificates", "--dry-run"],
    ] {
        let answer = ask(&panel, words).expect_code(1);
        assert_eq!(answer.outcome("a.test"), "not-due", "{:#}", answer.json);
        let finding = answer.finding("a.test", "certificate-not-served");
        let detail = finding["detail"].as_str().unwrap();
        let file = openssl::sha256(&files.join("a.test.crt"));
        assert!(
            detail.ends_with(&format!("a.test.crt holds {file}")),
            "{detail}"
        );
    }
    assert_eq!(
        (panel.host.nginx.reloads(), practice.orders()),
        (reloads, 1)
    );
    panel.host.nginx.reload();
    let well = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(well.site("a.test")["findings"], json!([]));
}

#[test]
fn files_that_are_gone_or_broken_come_back_from_what_was_kept() {
    let (panel, practice) = renewed();
    let files = panel.host.nginx.certificates();
    for what in ["a.test.crt", "a.test.key"] {
        fs::remove_file(files.join(what)).unwrap();
        assert!(!panel.host.nginx.test().ok(), "{what}");
        let answer = ask(&panel, &["site:renew-certificates"]);
        assert_whole(&panel, "a.test", "a.test");
        assert_eq!(practice.orders(), 1, "{what}: {:#}", answer.json);
    }
    // The panel wrote the two characters into its record, and from there into the file: nginx would not start.
    let _ = panel
        .database
        .run(r"UPDATE certificate SET certificate = replace(certificate, char(10), '\n')");
    panel.database.project("a.test", &files);
    assert!(!panel.host.nginx.test().ok());
    let answer = ask(&panel, &["site:renew-certificates"]);
    assert_whole(&panel, "a.test", "a.test");
    assert_eq!(practice.orders(), 1, "{:#}", answer.json);
    assert!(panel.host.nginx.test().ok());
    let well = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(well.site("a.test")["findings"], json!([]));
}
