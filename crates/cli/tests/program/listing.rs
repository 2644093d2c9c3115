//! What do the commands that only look say, to people and to programs?

use std::path::Path;

use serde_json::{Value, json};
use testkit::certificate::{Authority, Days, Pair};
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::program::Program;
use testkit::{lineage, openssl};

use crate::answer::{clpctl, document};
use crate::disk::{assert_unchanged, guarded};

/// A host with a site that has a CA's certificate, one that is self-signed, and one without TLS.
fn host() -> (Host, Pair) {
    let mut host = Host::prepare();
    let pair = Authority::new("Practice").issue(&["b.test", "www.b.test"], Days::left(60));
    host.add_with_lineage(Site::files("b.test").also("www.b.test"), &pair);
    host.nginx
        .add(Site::cloudpanel("a.test").also("www.a.test"));
    host.nginx.add(Site::plain("c.test"));
    host.nginx.launch();
    (host, pair)
}

/// Returns the site of a list.
fn site<'a>(list: &'a Value, domain: &str) -> &'a Value {
    let mut sites = list["sites"].as_array().unwrap().iter();
    sites
        .find(|site| site["domain"] == domain)
        .unwrap_or_else(|| panic!("no {domain} in {list:#}"))
}

/// Says whether a value is a time in RFC 3339, in UTC.
#[track_caller]
fn assert_time(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    assert!(
        text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
        "{text}"
    );
}

#[test]
fn the_list_has_every_field_of_the_contract() {
    let (host, _) = host();
    let before = guarded(&host);
    let list = document(&clpctl(&host).run(&["site:list", "--json"]), 0);
    let b = site(&list, "b.test");
    let mut keys: Vec<&String> = b.as_object().unwrap().keys().collect();
    keys.sort();
    let contract = [
        "certificate",
        "days_left",
        "document_root",
        "domain",
        "due_at",
        "managed",
        "names",
        "source",
        "state",
        "vhost",
    ];
    assert_eq!(keys, contract);
    assert_eq!(b["names"], json!(["b.test", "www.b.test"]));
    assert_eq!(b["source"], "nginx");
    assert_eq!(b["managed"], true);
    assert_eq!(b["state"], "valid");
    // The test may run across the moment at which the sixtieth day begins.
    assert!((59..=60).contains(&b["days_left"].as_i64().unwrap()), "{b}");
    assert_eq!(b["vhost"], host.nginx.vhost("b.test").to_str().unwrap());
    assert_eq!(
        b["document_root"],
        host.nginx.document_root("b.test").to_str().unwrap()
    );
    assert_time(&b["due_at"]);
    let file = host.live("b.test").join("fullchain.pem");
    let certificate = &b["certificate"];
    assert_eq!(certificate["sha256"], openssl::sha256(&file));
    assert_eq!(certificate["path"], file.to_str().unwrap());
    assert_eq!(certificate["names"], json!(["b.test", "www.b.test"]));
    let serial = openssl::x509(&file, &["-serial"]).trim().to_lowercase();
    assert_eq!(
        format!("serial={}", certificate["serial"].as_str().unwrap()),
        serial
    );
    assert!(
        certificate["issuer"].as_str().unwrap().contains("Practice"),
        "{certificate}"
    );
    assert_time(&certificate["not_before"]);
    assert_time(&certificate["not_after"]);
    assert_eq!(site(&list, "a.test")["state"], "self-signed");
    let c = site(&list, "c.test");
    assert_eq!(
        (&c["state"], &c["certificate"], &c["days_left"]),
        (&json!("none"), &Value::Null, &Value::Null)
    );
    assert_unchanged(&before, &host);
    assert!(!host.state().exists(), "looking makes nothing");
}

#[test]
fn the_list_for_people() {
    let (host, _) = host();
    let text = clpctl(&host).run(&["site:list"]).expect_ok();
    let words = |line: &str| {
        line.split_whitespace()
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let lines: Vec<_> = text.lines().map(words).collect();
    assert_eq!(lines[0], ["SITE", "CERTIFICATE"]);
    for line in [
        ["a.test", "self-signed"],
        ["b.test", "valid"],
        ["c.test", "none"],
    ] {
        assert!(lines.iter().any(|found| *found == line), "{text}");
    }
    assert!(
        !text.contains('\u{1b}'),
        "colour where there is no terminal"
    );
    let colourful = clpctl(&host)
        .run(&["site:list", "--color=always"])
        .expect_ok();
    assert!(colourful.contains("\u{1b}["), "{colourful}");
}

#[test]
fn a_site_in_full_and_what_is_served_on_each_address() {
    let (host, pair) = host();
    let shown = document(
        &clpctl(&host).run(&["site:show", "--domain=www.b.test", "--json"]),
        0,
    );
    let site = &shown["site"];
    assert_eq!(site["domain"], "b.test");
    let leaf = openssl::sha256(&host.live("b.test").join("cert.pem"));
    let addresses = host.nginx.https_addresses();
    let served = site["served"].as_array().unwrap();
    assert_eq!(served.len(), addresses.len(), "{site:#}");
    for address in &addresses {
        let found = served
            .iter()
            .find(|one| one["address"] == address.to_string())
            .unwrap();
        assert_eq!(
            (&found["sha256"], &found["ok"]),
            (&json!(leaf), &json!(true)),
            "{found}"
        );
        assert_eq!(openssl::served(*address, "b.test"), Some(leaf.clone()));
    }
    assert_eq!(site["versions"][0]["version"], 1);
    assert_time(&site["versions"][0]["certificate"]["not_after"]);
    assert_eq!(site["servers"][0]["line"], 1);

    // A certificate that nginx was not told of: the old one is served, and that is seen.
    drop(pair);
    let newer = Authority::new("Practice").issue(&["b.test", "www.b.test"], Days::left(90));
    lineage::write(&host.letsencrypt(), "b.test", 2, &newer);
    let shown = document(
        &clpctl(&host).run(&["site:show", "--domain", "b.test", "--json"]),
        0,
    );
    let now = openssl::sha256(&host.live("b.test").join("cert.pem"));
    assert_eq!(shown["site"]["certificate"]["sha256"], now);
    for one in shown["site"]["served"].as_array().unwrap() {
        assert_eq!(
            (&one["sha256"], &one["ok"]),
            (&json!(leaf), &json!(false)),
            "{one}"
        );
    }
    let text = clpctl(&host)
        .run(&["site:show", "--domainName=b.test"])
        .expect_ok();
    assert!(
        text.contains("served now") && text.contains("another certificate"),
        "{text}"
    );
}

#[test]
fn options_are_taken_in_every_spelling() {
    let (host, _) = host();
    let spellings: [&[&str]; 4] = [
        &["--domain=b.test"],
        &["--domain", "b.test"],
        &["--domainName=b.test"],
        &["--domainName", "b.test"],
    ];
    for spelling in spellings {
        let words = [&["site:show", "--json"], spelling].concat();
        assert_eq!(
            document(&clpctl(&host).run(&words), 0)["site"]["domain"],
            "b.test"
        );
    }
    let output = clpctl(&host).run(&["--json", "site:list", "--quiet"]);
    assert_eq!(output.stderr, "");
    document(&output, 0);
}

#[test]
fn a_site_that_is_not_there_names_the_nearest() {
    let (host, _) = host();
    for words in [
        &["site:show", "--domain=ww.b.test"][..],
        &["site:renew-certificates", "--domain=ww.b.test"],
        &["lets-encrypt:install:certificate", "--domainName=ww.b.test"],
    ] {
        let output = clpctl(&host).run(words);
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(
            output.stderr.contains("There is no site ww.b.test"),
            "{}",
            output.stderr
        );
        assert!(
            output.stderr.contains("hint: did you mean www.b.test?"),
            "{words:?}: {}",
            output.stderr
        );
    }
}

#[test]
fn every_setting_has_a_value_and_a_source() {
    let mut host = Host::prepare();
    host.set("acme", "jobs", "4");
    host.append("[[site]]\ndomain = \"a.test\"\nkey_type = \"rsa-2048\"");
    let program = clpctl(&host).env("CLPCTL_RENEWAL_BEFORE_EXPIRY", "30d");
    let shown = document(&program.run(&["config:show", "--json"]), 0);
    assert_eq!(shown["file"], host.config().to_str().unwrap());
    let setting = |key: &str| {
        let mut all = shown["settings"].as_array().unwrap().iter();
        all.find(|setting| setting["key"] == key)
            .unwrap_or_else(|| panic!("no {key} in {shown:#}"))
            .clone()
    };
    let jobs = setting("acme.jobs");
    assert_eq!(
        (&jobs["value"], &jobs["source"]),
        (&json!(4), &json!("file"))
    );
    assert!(
        jobs["place"]
            .as_str()
            .unwrap()
            .starts_with(host.config().to_str().unwrap()),
        "{jobs}"
    );
    let before = setting("renewal.before_expiry");
    assert_eq!(
        (&before["value"], &before["source"], &before["place"]),
        (
            &json!("30d"),
            &json!("environment"),
            &json!("CLPCTL_RENEWAL_BEFORE_EXPIRY")
        )
    );
    assert_eq!(setting("acme.challenge")["source"], "default");
    let of_site = setting("key_type");
    assert_eq!(
        (&of_site["site"], &of_site["value"]),
        (&json!("a.test"), &json!("rsa-2048"))
    );
    let text = program.run(&["config:show"]).expect_ok();
    assert!(
        text.contains("acme.jobs") && text.contains("clpctl.toml:"),
        "{text}"
    );
}

#[test]
fn findings_are_explained() {
    let host = Host::prepare();
    let page = clpctl(&host)
        .run(&["explain", "port-80-refused"])
        .expect_ok();
    assert!(
        page.starts_with("port-80-refused\n") && page.contains("How to mend it"),
        "{page}"
    );
    let shown = document(
        &clpctl(&host).run(&["explain", "port-80-refused", "--json"]),
        0,
    );
    assert_eq!(
        (&shown["name"], &shown["severity"]),
        (&json!("port-80-refused"), &json!("fatal"))
    );
    let unknown = clpctl(&host).run(&["explain", "port-80-refusd"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("did you mean “port-80-refused”?"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn completions_are_scripts_that_the_shell_takes() {
    let host = Host::prepare();
    let bash = clpctl(&host).run(&["completions", "bash"]).expect_ok();
    let _ = Program::new("bash")
        .arg("-n")
        .input(bash.clone())
        .run()
        .expect_ok();
    assert!(bash.contains("site:renew-certificates"), "{bash}");
    for shell in ["zsh", "fish"] {
        assert!(
            clpctl(&host)
                .run(&["completions", shell])
                .expect_ok()
                .contains("clpctl")
        );
    }
    assert_eq!(clpctl(&host).run(&["completions", "perl"]).code, Some(2));
}

/// Runs it on a terminal, as `script` makes one, and returns what the terminal got.
fn on_terminal(host: &Host, variables: &[(&str, &str)], words: &str) -> String {
    let line = format!(
        "{} --config={} {words}",
        env!("CARGO_BIN_EXE_clpctl"),
        host.config().display()
    );
    let program = Program::new("script")
        .args(["-qec", &line])
        .arg(Path::new("/dev/null"));
    let program = variables
        .iter()
        .fold(program.env("TERM", "xterm"), |program, (name, value)| {
            program.env(name, value)
        });
    program.run().expect_ok()
}

#[test]
fn a_terminal_gets_colours_unless_they_are_unwanted() {
    let (host, _) = host();
    assert!(on_terminal(&host, &[], "site:list").contains("\u{1b}["));
    assert!(!on_terminal(&host, &[("NO_COLOR", "1")], "site:list").contains('\u{1b}'));
    assert!(!on_terminal(&host, &[("TERM", "dumb")], "site:list").contains('\u{1b}'));
    assert!(!on_terminal(&host, &[], "site:list --color=never").contains('\u{1b}'));
}

#[test]
fn a_narrow_terminal_is_kept_to() {
    let mut host = Host::prepare();
    host.nginx.add(
        Site::files("a-name-that-does-not-fit-into-its-column.of-the-table.test")
            .also("www.b.test"),
    );
    host.nginx.launch();
    let show = "site:show --domain=www.b.test";
    for (words, columns) in [
        ("site:list", 84),
        ("config:show", 60),
        ("explain", 60),
        (show, 50),
    ] {
        let text = on_terminal(
            &host,
            &[("NO_COLOR", "1"), ("COLUMNS", &columns.to_string())],
            words,
        );
        for line in text.lines() {
            let line = line.trim_end_matches('\r');
            // A path, a name or a fingerprint is one word, and is not torn apart in a text.
            let word = line
                .split_whitespace()
                .map(|word| word.chars().count())
                .max()
                .unwrap_or(0);
            let fits = line.chars().count() <= columns || (words == show && word > columns / 2);
            assert!(fits, "{words}: {} columns: {line}", line.chars().count());
        }
    }
}
