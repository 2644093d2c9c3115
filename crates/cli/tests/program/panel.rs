//! Is clpctl at home on a host with CloudPanel?

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};
use testkit::certificate::{Authority, Days};
use testkit::openssl;
use testkit::panel::{CLP, PanelHost, PanelSite, Shape};

use crate::answer::Answer;
use crate::practice::Practice;

mod bad;
mod beside;
mod challenge;
mod crashes;
mod drift;
mod imports;
mod machine;
mod names;
mod notices;
mod revoked;

/// Runs the program with `--json` and reads what it answers.
#[track_caller]
fn ask(panel: &PanelHost, words: &[&str]) -> Answer {
    let mut words = words.to_vec();
    words.push("--json");
    Answer::read(&panel.clpctl(env!("CARGO_BIN_EXE_clpctl")).run(&words))
}

/// Returns what is found about the panel's part in a site.
#[track_caller]
fn panel_findings(panel: &PanelHost, domain: &str) -> String {
    let shown = ask(panel, &["site:show", &format!("--domain={domain}")]).expect_code(0);
    let findings = shown.json["site"]["findings"].as_array().unwrap();
    let drifts = findings
        .iter()
        .filter(|finding| finding["name"] == "panel-drift");
    let said = drifts.map(|finding| {
        let text = |key: &str| finding[key].as_str().unwrap().to_owned();
        format!("{} {}\n", text("explanation"), text("detail"))
    });
    said.collect()
}

/// Returns what the panel shows of a site: the type of its active row, whether that is its first, and when it ends.
fn shown(panel: &PanelHost, domain: &str) -> String {
    panel
        .database
        .active(domain, "c.type, c.default_certificate, c.expires_at")
}

/// The record, the files and what nginx serves are one certificate, and the panel finds nothing due.
#[track_caller]
fn assert_whole(panel: &PanelHost, domain: &str, files: &str) {
    let certificates = panel.host.nginx.certificates();
    let (file, key) = (
        certificates.join(format!("{files}.crt")),
        certificates.join(format!("{files}.key")),
    );
    let sha256 = openssl::sha256(&file);
    assert!(openssl::key_fits(&file, &key), "{domain}");
    for address in panel.host.nginx.https_addresses().into_iter().take(1) {
        assert_eq!(
            openssl::served(address, domain),
            Some(sha256.clone()),
            "{domain}"
        );
    }
    if files == domain {
        let scratch = tempfile::tempdir().unwrap();
        let row = scratch.path().join("row.pem");
        fs::write(&row, panel.database.active(domain, "c.certificate")).unwrap();
        assert_eq!(openssl::sha256(&row), sha256, "{domain}");
        let end = openssl::end(&fs::read_to_string(&row).unwrap());
        assert_eq!(panel.database.active(domain, "c.expires_at"), end);
        let row_key = scratch.path().join("row.key");
        fs::write(&row_key, panel.database.active(domain, "c.private_key")).unwrap();
        assert!(openssl::key_fits(&row, &row_key), "{domain}");
        let request = panel.database.active(domain, "c.csr");
        let checked = testkit::program::Program::new("openssl")
            .args(["req", "-noout", "-verify"])
            .input(request)
            .run();
        assert!(checked.ok(), "{domain}: {}", checked.stderr);
    }
}

/// The sites of the scripted host, one of each type.
fn sites() -> [PanelSite<'static>; 6] {
    [
        PanelSite {
            redirected: Some("shop.test"),
            ..PanelSite::new("www.shop.test", Shape::Php)
        },
        PanelSite {
            below: "public",
            ..PanelSite::new("cached.test", Shape::Varnish)
        },
        PanelSite::new("node.test", Shape::Nodejs),
        PanelSite::new("files.test", Shape::Static),
        PanelSite::new("python.test", Shape::Python),
        PanelSite::new("proxy.test", Shape::ReverseProxy),
    ]
}

/// A host with one site of each type, self-signed, and a domain of the panel's own that is due.
fn scripted() -> (PanelHost, Practice) {
    let mut panel = PanelHost::prepare();
    sites().iter().for_each(|site| panel.add(site));
    let old = Authority::new("Older").issue(&["panel.test"], Days::left(5));
    panel.add_own("panel.test", &old);
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    (panel, practice)
}

/// Renews every site by its name.
#[track_caller]
fn renew_all(panel: &PanelHost) -> Answer {
    let mut words = vec!["site:renew-certificates".to_owned()];
    words.extend(sites().map(|site| format!("--domain={}", site.domain)));
    words.push("--domain=panel.test".to_owned());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ask(panel, &words).expect_code(0)
}

#[test]
fn the_list_says_what_the_panel_knows() {
    let (panel, _practice) = scripted();
    let list = ask(&panel, &["site:list"]).expect_code(0);
    let shop = list.site("www.shop.test");
    assert_eq!(shop["source"], "cloudpanel", "{shop:#}");
    assert_eq!(shop["names"], json!(["www.shop.test", "shop.test"]));
    let root = panel.home().join("user2/htdocs/cached.test/public");
    let cached = list.site("cached.test");
    assert_eq!(cached["document_root"], root.to_str().unwrap());
    let own = list.site("panel.test");
    assert_eq!(own["source"], "cloudpanel");
    let root = panel.home().join("clp/htdocs/app/files/public");
    assert_eq!(own["document_root"], root.to_str().unwrap());
    assert_eq!(list.json["findings"], json!([]));
}

#[test]
fn sites_of_every_type_go_from_self_signed_to_a_ca_and_the_panel_finds_nothing_due() {
    let (panel, practice) = scripted();
    let vhosts = sites().map(|site| fs::read(panel.host.nginx.vhost(site.domain)).unwrap());
    let answer = renew_all(&panel);
    assert_eq!(answer.reloads(), 1, "{:#}", answer.json);
    assert_eq!(practice.orders(), 7);
    let certificates = panel.host.nginx.certificates();
    for (site, vhost) in sites().iter().zip(vhosts) {
        let domain = site.domain;
        assert_eq!(answer.outcome(domain), "issued", "{:#}", answer.json);
        assert_whole(&panel, domain, domain);
        assert!(shown(&panel, domain).starts_with("2|0|"), "{domain}");
        assert_eq!(fs::read(panel.host.nginx.vhost(domain)).unwrap(), vhost);
        let file = certificates.join(format!("{domain}.crt"));
        for name in site.names() {
            assert!(openssl::covers(&file, name), "{name}");
            assert!(!openssl::covers(&file, &format!("www1.{name}")), "{name}");
        }
    }
    assert_eq!(answer.outcome("panel.test"), "renewed");
    assert_whole(&panel, "panel.test", "custom-domain");
    assert_eq!(panel.database.due(), [""; 0]);
    let recorded = panel.host.log();
    assert_eq!(recorded.matches(" held_ms=").count(), 6, "{recorded}");
    // The self-signed rows stay, as the panel leaves them.
    let first = "SELECT count(*) FROM certificate WHERE type = '1';";
    assert_eq!(panel.database.run(first), "6");
    assert_eq!(panel.database.path().metadata().unwrap().uid(), CLP);

    // What the panel writes next is our certificate.
    let file = certificates.join("node.test.crt");
    let before = openssl::sha256(&file);
    panel.database.project("node.test", &certificates);
    assert_eq!(openssl::sha256(&file), before);

    let again = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(again.reloads(), 0);
    let resting = |site: &Value| site["outcome"] == "not-due" && site["findings"] == json!([]);
    let all = again.json["sites"].as_array().unwrap();
    assert!(all.iter().all(resting), "{:#}", again.json);
    assert_eq!(practice.orders(), 7);
}

#[test]
fn what_is_imported_or_gone_back_to_is_what_the_panel_shows() {
    let mut panel = PanelHost::prepare();
    panel.add(&PanelSite::new("files.test", Shape::Static));
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    let domain = "--domain=files.test";
    let _ = ask(&panel, &["site:renew-certificates", domain]).expect_code(0);
    let bought = Authority::new("Bought").issue(
        &["files.test"],
        Days {
            since: 0,
            left: 300,
        },
    );
    let file = panel.host.folder().join("bought.pem");
    fs::write(&file, format!("{}{}", bought.key, bought.fullchain())).unwrap();
    let option = |name: &str| format!("--{name}={}", file.display());
    let words = [
        "site:install:certificate",
        "--domainName=files.test",
        &option("privateKey"),
        &option("certificate"),
    ];
    let imported = ask(&panel, &words).expect_code(0);
    assert_eq!(
        imported.outcome("files.test"),
        "installed",
        "{:#}",
        imported.json
    );
    assert_whole(&panel, "files.test", "files.test");
    assert!(
        shown(&panel, "files.test").starts_with("3|0|"),
        "of type 3, so the panel leaves it alone"
    );
    let orders = practice.orders();
    let left = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(
        (left.outcome("files.test"), practice.orders()),
        ("skipped", orders)
    );
    let back = ask(&panel, &["site:rollback-certificate", domain]).expect_code(0);
    assert_eq!(back.outcome("files.test"), "installed", "{:#}", back.json);
    assert_whole(&panel, "files.test", "files.test");
    assert!(shown(&panel, "files.test").starts_with("2|0|"));
    let stays = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(
        (stays.outcome("files.test"), practice.orders()),
        ("not-due", orders)
    );
}
