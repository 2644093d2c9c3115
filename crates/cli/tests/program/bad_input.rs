//! Does whatever is wrong get a clear error, the right exit code, and nothing changed?

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use testkit::certificate::{Authority, Days};
use testkit::fetch;
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::openssl;
use testkit::port::Port;
use testkit::program::{Output, Program};

use crate::answer::{clpctl, document};
use crate::disk::put;
use crate::disk::{assert_unchanged, guarded, tree};
use crate::practice::Practice;

const RENEW: [&str; 2] = ["site:renew-certificates", "--domain=a.test"];

/// Runs it, and expects the code, every text on standard error, and nothing changed.
#[track_caller]
fn refused(host: &Host, words: &[&str], code: i32, texts: &[&str]) -> Output {
    let before = guarded(host);
    let output = clpctl(host).run(words);
    assert_unchanged(&before, host);
    assert_eq!(
        output.code,
        Some(code),
        "{}\n{}",
        output.stdout,
        output.stderr
    );
    let said = format!("{}\n{}", output.stdout, output.stderr);
    for text in texts {
        assert!(said.contains(text), "{text} is not in:\n{said}");
    }
    output
}

/// A host with one site and a CA.
fn host() -> (Host, Practice) {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    (host, practice)
}

#[test]
fn the_configuration_has_an_unknown_key() {
    let (mut host, practice) = host();
    host.set("acme", "job", "4");
    let place = format!("{}:", host.config().display());
    refused(&host, &RENEW, 2, &["“job”", "did you mean “jobs”?", &place]);
    assert_eq!(practice.ca.requests().total(), 0);
}

#[test]
fn the_configuration_cannot_be_read_or_is_huge_or_no_text() {
    let (host, _practice) = host();
    let file = host.config();
    let good = std::fs::read(&file).unwrap();
    let name = file.to_str().unwrap();
    put(&file, [&good[..], &b"#".repeat(2 << 20)].concat());
    refused(&host, &RENEW, 2, &[name]);
    put(&file, b"[acme]\nprofile = \"\xff\"\n");
    refused(&host, &RENEW, 2, &[name, "UTF-8"]);
    put(&file, b"[acme\n");
    refused(&host, &RENEW, 2, &[&format!("{name}:1")]);
    std::fs::remove_file(&file).unwrap();
    refused(&host, &RENEW, 2, &[name, "No such file"]);
    std::fs::create_dir(&file).unwrap();
    refused(&host, &RENEW, 2, &[name]);
}

/// Changes nginx.conf by adding a line inside of `http`.
fn add_to_http(host: &Host, line: &str) {
    let main = host.nginx.config();
    let text = std::fs::read_to_string(&main).unwrap();
    put(
        &main,
        text.replace(
            "    default_type text/plain;",
            &format!("    {line}\n    default_type text/plain;"),
        ),
    );
}

#[test]
fn the_configuration_of_nginx_includes_itself() {
    let (host, practice) = host();
    let loop_file = host.nginx.folder().join("loop.conf");
    put(&loop_file, "include loop.conf;\n");
    add_to_http(&host, "include loop.conf;");
    let place = format!("{}:1", loop_file.display());
    refused(
        &host,
        &RENEW,
        1,
        &["nginx-config-invalid", "include loop", &place],
    );
    assert_eq!(
        practice.orders(),
        0,
        "nginx would not take what was ordered"
    );
}

#[test]
fn a_file_that_nginx_includes_is_missing() {
    let (host, practice) = host();
    add_to_http(&host, "include /nowhere/at-all.conf;");
    let place = format!("{}:", host.nginx.config().display());
    refused(
        &host,
        &RENEW,
        1,
        &["nginx-config-invalid", "/nowhere/at-all.conf", &place],
    );
    assert_eq!(practice.orders(), 0);
}

#[test]
fn one_vhost_is_broken_and_the_others_are_still_listed() {
    let (host, practice) = host();
    let broken = host.nginx.folder().join("sites-enabled/broken.conf");
    for (content, what) in [
        (&b"server {\n    listen 80;\n"[..], "unexpected end of file"),
        (b"}\n", "unexpected \"}\""),
        (b"server { server_name x.test\n}\n", ""),
        (b"\x00\xff\xfe\n", ""),
    ] {
        put(&broken, content);
        let list = document(&clpctl(&host).run(&["site:list", "--json"]), 0);
        assert_eq!(list["sites"][0]["domain"], "a.test", "{list:#}");
        let finding = &list["findings"][0];
        assert_eq!(finding["name"], "vhost-not-understood", "{list:#}");
        let detail = finding["detail"].as_str().unwrap();
        assert!(
            detail.contains(broken.to_str().unwrap()) && detail.contains(what),
            "{detail}"
        );
        refused(
            &host,
            &RENEW,
            1,
            &["nginx-config-invalid", broken.to_str().unwrap()],
        );
    }
    assert_eq!(
        practice.orders(),
        0,
        "nginx would not take what was ordered"
    );
}

#[test]
fn a_vhost_that_is_not_text_and_that_nginx_takes() {
    let (host, _practice) = host();
    let other = host.nginx.folder().join("sites-enabled/other.conf");
    let port = host.nginx.http_port();
    put(
        &other,
        [
            format!("server {{ listen 127.0.0.1:{port}; server_name b.test ").as_bytes(),
            b"\xff\xfe.test; # \xe4\n}\n",
        ]
        .concat(),
    );
    assert!(host.nginx.test().ok());
    let list = document(&clpctl(&host).run(&["site:list", "--json"]), 0);
    let domains: Vec<&Value> = list["sites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|site| &site["domain"])
        .collect();
    assert_eq!(domains, ["a.test", "b.test"]);
    let shown = document(
        &clpctl(&host).run(&["site:show", "--domain=b.test", "--json"]),
        0,
    );
    let finding = &shown["site"]["findings"][0];
    assert_eq!(finding["name"], "vhost-not-understood", "{shown:#}");
    let detail = finding["detail"].as_str().unwrap();
    assert!(
        detail.contains("not UTF-8") && detail.ends_with("other.conf:1"),
        "{detail}"
    );
    let _ = clpctl(&host).run(&RENEW).expect_ok();
}

#[test]
fn names_that_no_ca_issues_for() {
    let (host, practice) = host();
    let long = format!("--domain={}.test", "x".repeat(64));
    let longer = format!("--domain={}test", "x.".repeat(130));
    for (option, text) in [
        (long.as_str(), "63"),
        (longer.as_str(), "253"),
        ("--domain=localhost", "no CA can issue"),
        ("--domain=a.local", "no CA can issue"),
        ("--domain=10.0.0.1", ""),
        ("--domain=a_b.test", ""),
        ("--domain=a..test", ""),
        ("--domain=", ""),
    ] {
        refused(&host, &["site:renew-certificates", option], 2, &[text]);
    }
    refused(
        &host,
        &[
            "lets-encrypt:install:certificate",
            "--domainName=a.test",
            "--subjectAlternativeName=b.test,server.local",
        ],
        2,
        &["server.local"],
    );
    assert_eq!(practice.ca.requests().total(), 0);
}

#[test]
fn two_sites_claim_the_same_name() {
    let mut host = Host::prepare();
    host.nginx.add(Site::files("a.test").also("shared.test"));
    host.nginx.add(Site::files("b.test").also("shared.test"));
    host.nginx.launch();
    let practice = Practice::start(&mut host, |_| {});
    let list = document(&clpctl(&host).run(&["site:list", "--json"]), 0);
    let names: Vec<&Value> = list["sites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|site| &site["names"])
        .collect();
    assert_eq!(
        names,
        [&json!(["a.test", "shared.test"]), &json!(["b.test"])],
        "it is the first one's"
    );
    let shown = clpctl(&host).run(&["site:list"]).expect_ok();
    assert!(
        shown.contains("names-overlap") && shown.contains("b.test.conf:"),
        "{shown}"
    );
    // Each gets what is its own.
    let output = clpctl(&host).run(&[
        "site:renew-certificates",
        "--domain=a.test",
        "--domain=b.test",
        "--json",
    ]);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let outcomes: Vec<&Value> = report["sites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|site| &site["outcome"])
        .collect();
    assert_eq!(outcomes, ["issued", "issued"], "{report:#}");
    assert_eq!(practice.orders(), 2);
    // Two tables of the configuration may not claim it either.
    host.append("[[site]]\ndomain = \"a.test\"\nnames = [\"a.test\", \"shared.test\"]");
    host.append("[[site]]\ndomain = \"b.test\"\nnames = [\"b.test\", \"shared.test\"]");
    refused(
        &host,
        &RENEW,
        2,
        &["claims shared.test", host.config().to_str().unwrap()],
    );
}

#[test]
fn the_bundle_of_roots_is_none() {
    let (mut host, _practice) = host();
    let bundle = host.folder().join("bundle");
    put(&bundle, "this is no PEM\n");
    host.set("acme", "ca_bundle", &format!("\"{}\"", bundle.display()));
    refused(
        &host,
        &RENEW,
        2,
        &[
            "acme.ca_bundle",
            bundle.to_str().unwrap(),
            "BEGIN CERTIFICATE",
        ],
    );
    std::fs::remove_file(&bundle).unwrap();
    refused(&host, &RENEW, 2, &["acme.ca_bundle", "No such file"]);
}

#[test]
fn the_directory_is_no_directory() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    // The host's own nginx, which answers with pages; trusted, so that only the answer is wrong.
    let authority = Authority::new("Web");
    let (certificate, key) = authority
        .issue(&["localhost", "127.0.0.1"], Days::left(30))
        .write(&host.nginx.certificates(), "web");
    let web = Port::free();
    let vhost = format!(
        "server {{ listen {} ssl; server_name web; ssl_certificate {}; ssl_certificate_key {}; \
         location / {{ default_type text/html; return 200 '<!doctype html><title>Welcome</title>'; }} }}\n",
        web.v4(),
        certificate.display(),
        key.display()
    );
    put(&host.nginx.folder().join("sites-enabled/web.conf"), vhost);
    host.nginx.stop();
    host.nginx.launch();
    let bundle = host.folder().join("web.pem");
    put(&bundle, authority.root());
    host.set_ca(&format!("https://{}/directory", web.v4()), &bundle);
    let output = refused(
        &host,
        &RENEW,
        3,
        &["finding: ca-unreachable", "answered with a web page"],
    );
    assert!(!output.stdout.contains("doctype"), "{}", output.stdout);
    // Not even a scheme, or not one over which keys may go.
    for directory in ["www.example.com", "http://www.example.com/dir", "ftp://x/"] {
        host.set("acme", "directory", &format!("\"{directory}\""));
        refused(
            &host,
            &RENEW,
            2,
            &["directory: “", host.config().to_str().unwrap()],
        );
    }
    assert_eq!(practice.orders(), 0);
}

#[test]
fn the_ca_does_not_answer() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    let nobody = Port::free();
    host.set(
        "acme",
        "directory",
        &format!("\"https://{}/dir\"", nobody.v4()),
    );
    refused(&host, &RENEW, 3, &["finding: ca-unreachable"]);
    assert_eq!(practice.orders(), 0);
}

/// Runs the program as a user who may do nothing here.
fn as_nobody(host: &Host, words: &[&str]) -> Output {
    // Such a user may still read what everyone may.
    std::fs::set_permissions(host.config(), std::fs::Permissions::from_mode(0o644)).unwrap();
    Program::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(readable_program())
        .arg(format!("--config={}", host.config().display()))
        .args(words)
        .env("HOME", "/nonexistent")
        .run()
}

/// Returns the program at a place that every user can reach; the folder it was built in need not be one.
pub(crate) fn readable_program() -> std::path::PathBuf {
    static COPY: std::sync::LazyLock<tempfile::TempDir> = std::sync::LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        // Copied by another program: a file that is open for writing here could not be run while a test forks.
        let copied = Program::new("cp")
            .arg(env!("CARGO_BIN_EXE_clpctl"))
            .arg(folder.path().join("clpctl"))
            .run();
        let _ = copied.expect_ok();
        folder
    });
    COPY.path().join("clpctl")
}

#[test]
fn a_user_who_may_not() {
    let (host, practice) = host();
    let before = guarded(&host);
    let output = as_nobody(&host, &RENEW);
    assert_eq!(output.code, Some(1), "{}\n{}", output.stdout, output.stderr);
    assert!(
        output.stderr.contains("hint: run it as root"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains(host.state().to_str().unwrap()),
        "{}",
        output.stderr
    );
    assert_unchanged(&before, &host);
    assert_eq!(practice.ca.requests().total(), 0);
    // Looking is another matter.
    let list = document(&as_nobody(&host, &["site:list", "--json"]), 0);
    assert_eq!(list["sites"][0]["domain"], "a.test");
    // A certificate that only root may read is no fault of the vhost.
    let certificates = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(host.nginx.certificates(), certificates).unwrap();
    let shown = as_nobody(&host, &["site:list"]).expect_ok();
    assert!(
        shown.contains("fix: Run it as root: sudo clpctl"),
        "{shown}"
    );
    // Nor is a configuration that cannot be read one without sites.
    let config = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(host.nginx.config(), config).unwrap();
    let status = as_nobody(&host, &["service:status"]);
    assert!(
        status.stderr.contains("run clpctl as root"),
        "{}",
        status.stderr
    );
}

#[test]
fn a_user_who_may_not_even_read_what_is_remembered() {
    let (host, _practice) = host();
    let _ = clpctl(&host).run(&["site:renew-certificates"]).expect_ok();
    for words in [
        &["site:list"][..],
        &["service:status"],
        &["site:show", "--domain=a.test"],
    ] {
        let output = as_nobody(&host, words);
        assert_eq!(
            output.code,
            Some(1),
            "{words:?} {}\n{}",
            output.stdout,
            output.stderr
        );
        assert!(
            output.stderr.contains("hint: run it as root: sudo clpctl"),
            "{words:?} {}",
            output.stderr
        );
    }
}

#[test]
fn the_state_folder_is_not_writable() {
    let (host, practice) = host();
    // Root may write anywhere; a file in place of the folder stops root too.
    put(&host.state(), "");
    refused(&host, &RENEW, 1, &[host.state().to_str().unwrap()]);
    assert_eq!(practice.ca.requests().total(), 0);
}

#[test]
fn the_database_is_from_a_newer_release() {
    let (host, practice) = host();
    let _ = clpctl(&host).run(&["site:renew-certificates"]).expect_ok();
    let database = host.state().join("clpctl.db");
    let _ = Program::new("sqlite3")
        .arg(&database)
        .arg("PRAGMA user_version = 999;")
        .run()
        .expect_ok();
    let paths = || tree(&host.state(), &[]).into_keys().collect::<Vec<_>>();
    let before = paths();
    refused(&host, &RENEW, 1, &[database.to_str().unwrap(), "newer"]);
    assert_eq!(practice.orders(), 0);
    assert_eq!(before, paths());
    // A site is still found: looking uses what can be seen.
    let _ = clpctl(&host).run(&["config:show"]).expect_ok();
}

#[test]
fn the_clock_is_before_the_certificate() {
    let (host, practice) = host();
    let before = guarded(&host);
    let output = clpctl(&host).run(&[&RENEW[..], &["--clock-offset=-30d"]].concat());
    assert_eq!(output.code, Some(1), "{}\n{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("finding: clock-wrong"),
        "{}\n{}",
        output.stdout,
        output.stderr
    );
    assert_unchanged(&before, &host);
    assert!(practice.orders() <= 1);
    // What is served meanwhile is what was served before.
    assert!(
        fetch::http(host.nginx.http_addresses()[0], "a.test", "/")
            .unwrap()
            .body
            .contains("a.test")
    );
    assert!(openssl::served(host.nginx.https_addresses()[0], "a.test").is_some());
}

/// Runs it while the folder lies on a disk of its own with so many bytes free, which only that run sees.
fn with_disk(host: &Host, folder: &std::path::Path, size: &str, fill: &str) -> Output {
    let _ = std::fs::create_dir_all(folder);
    let disk = folder.display();
    let line = format!(
        "mount -t tmpfs -o mode=700,size={size} tmpfs {disk} && {fill} exec {} --config={} {} {}",
        env!("CARGO_BIN_EXE_clpctl"),
        host.config().display(),
        RENEW[0],
        RENEW[1]
    );
    Program::new("unshare")
        .args(["--mount", "sh", "-c", &line])
        .run()
}

#[test]
fn the_disk_is_full_wherever_something_is_written() {
    let (host, practice) = host();
    let before = guarded(&host);
    let mut stages = std::collections::BTreeSet::new();
    for (folder, size) in [
        (host.state(), "4k"),
        (host.state(), "16k"),
        (host.state(), "48k"),
        (host.state(), "96k"),
        (host.letsencrypt(), "4k"),
        (host.letsencrypt(), "8k"),
        (host.letsencrypt(), "12k"),
        (host.letsencrypt(), "16k"),
    ] {
        // Sizes are rounded up to pages of 4 KiB, and the folder itself takes none.
        let output = with_disk(&host, &folder, size, "");
        let said = format!(
            "{} of {size}:\n{}\n{}",
            folder.display(),
            output.stdout,
            output.stderr
        );
        assert_eq!(output.code, Some(1), "{said}");
        assert!(
            said.contains("disk-full")
                || said.contains("disk is full")
                || said.contains("No space left"),
            "{said}"
        );
        assert!(host.nginx.test().ok(), "{said}");
        assert_unchanged(&before, &host);
        stages.insert(practice.orders());
    }
    assert!(
        stages.len() > 1,
        "some disks had room for an order, and some had not: {stages:?}"
    );
    // With room, all is well at once.
    let _ = std::fs::remove_dir_all(host.state());
    let _ = clpctl(&host)
        .run(&[&RENEW[..], &["--force"]].concat())
        .expect_ok();
}

#[test]
fn a_full_disk_under_the_logs_stops_nothing() {
    let (mut host, practice) = host();
    let logs = host.folder().join("logs");
    host.set(
        "paths",
        "log",
        &format!("\"{}\"", logs.join("clpctl.log").display()),
    );
    host.set(
        "paths",
        "acme_log",
        &format!("\"{}\"", logs.join("acme.log").display()),
    );
    let output = with_disk(
        &host,
        &logs,
        "4k",
        &format!(
            "head -c 8192 /dev/zero > {}/rest 2>/dev/null;",
            logs.display()
        ),
    );
    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    assert_eq!(practice.orders(), 1);
}
