//! Is a certificate that was made elsewhere taken in whatever form, checked, served, and then left alone?

use std::path::PathBuf;

use serde_json::Value;
use testkit::certificate::{Authority, Days, Pair};
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::openssl;
use testkit::program::Program;

use crate::answer::{Answer, ask, clpctl, renew};
use crate::disk::{self, assert_served, assert_unchanged, guarded, linked_version};
use crate::hosts::host_with;

/// Writes a file of the host's and returns its path.
fn file(host: &Host, name: &str, text: &str) -> String {
    let path = host.folder().join(name);
    disk::put(&path, text);
    path.to_str().unwrap().to_owned()
}

fn install(host: &Host, key: &str, certificate: &str, more: &[&str]) -> Answer {
    let words = [
        "site:install:certificate".to_owned(),
        "--domainName=a.test".to_owned(),
        format!("--privateKey={key}"),
        format!("--certificate={certificate}"),
    ];
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.extend(more);
    ask(host, &words)
}

/// Installs a pair in two files.
fn install_pair(host: &Host, pair: &Pair) -> Answer {
    let key = file(host, "bought.key", &pair.key);
    let certificate = file(host, "bought.crt", &pair.fullchain());
    install(host, &key, &certificate, &[])
}

fn bought(days: i64) -> Pair {
    Authority::new("Bought").issue(
        &["a.test"],
        Days {
            since: 1,
            left: days,
        },
    )
}

/// What `openssl` makes of a key.
fn openssl_key(pair: &Pair, words: &[&str]) -> String {
    Program::new("openssl")
        .args(words)
        .input(pair.key.clone())
        .run()
        .expect_ok()
}

fn causes(answer: &Answer) -> String {
    let causes = answer.json["error"]["causes"].as_array();
    let causes: Vec<&str> = causes
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    causes.join("; ")
}

#[test]
fn a_mix_of_everything_is_taken_and_served_and_a_second_time_changes_nothing() {
    let host = host_with([
        (Site::cloudpanel("a.test"), 10),
        (Site::files("b.test"), 80),
    ]);
    let pair = bought(300);
    let sec1 = openssl_key(&pair, &["ec"]);
    let parameters = openssl_key(&pair, &["ecparam", "-name", "prime256v1"]);
    // The key in the middle, the chain before the leaf, Windows' line ends, and what a mail program adds.
    let mix = format!(
        "Dear customer,\r\nplease find below\r\n{}{parameters}{sec1}{}",
        pair.chain, pair.leaf
    );
    let mix = file(&host, "all.pem", &mix.replace('\n', "\r\n"));
    let answer = install(&host, &mix, &mix, &[]).expect_code(0);
    assert_eq!(answer.outcome("a.test"), "installed", "{:#}", answer.json);
    assert_eq!((answer.reloads(), host.nginx.reloads()), (1, 1));
    assert_served(&host, "a.test");
    assert_eq!(linked_version(&host, "a.test"), 2);
    let live = host.live("a.test");
    let leaf = file(&host, "leaf.pem", &pair.leaf);
    let leaf = openssl::sha256(&PathBuf::from(leaf));
    assert_eq!(openssl::sha256(&live.join("cert.pem")), leaf);
    assert!(openssl::key_fits(
        &live.join("cert.pem"),
        &live.join("privkey.pem")
    ));
    let before = guarded(&host);
    let answer = install(&host, &mix, &mix, &[]).expect_code(0);
    assert_eq!((answer.reloads(), host.nginx.reloads()), (0, 1));
    assert_unchanged(&before, &host);
}

#[test]
fn a_site_without_tls_gets_its_lines() {
    let host = Host::start([Site::plain("a.test")]);
    let answer = install_pair(&host, &bought(300)).expect_code(0);
    assert_eq!(answer.outcome("a.test"), "installed", "{:#}", answer.json);
    assert_served(&host, "a.test");
}

#[test]
fn it_is_watched_and_renewed_only_when_somebody_asks() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let soon = Days {
        since: 70,
        left: 20,
    };
    let soon = Authority::new("Bought").issue(&["a.test"], soon);
    let _ = install_pair(&host, &soon).expect_code(0);
    let pebble = host.with_pebble(|settings| settings);
    let answer = renew(&host);
    assert_eq!(answer.outcome("a.test"), "skipped", "{:#}", answer.json);
    let finding = answer.finding("a.test", "certificate-ends-soon");
    assert_eq!(finding["severity"], "warning");
    let listed = ask(&host, &["site:list"]).expect_code(0);
    let row = listed.site("a.test");
    assert_eq!(
        (&row["state"], &row["due_at"]),
        (&"imported".into(), &Value::Null)
    );
    // Also when nobody can read the database any more.
    std::fs::remove_dir_all(host.state()).unwrap();
    assert_eq!(renew(&host).outcome("a.test"), "skipped");
    let late = ask(&host, &["site:renew-certificates", "--clock-offset=+21d"]).expect_code(1);
    assert_eq!(
        late.finding("a.test", "certificate-expired")["severity"],
        "error"
    );
    assert_eq!(pebble.requests().new_order, 0);
    let told = ask(
        &host,
        &["lets-encrypt:install:certificate", "--domainName=a.test"],
    );
    pebble.assert_well();
    assert_eq!(told.expect_code(0).outcome("a.test"), "renewed");
    assert_served(&host, "a.test");
    let listed = ask(&host, &["site:list"]).expect_code(0);
    assert_eq!(listed.site("a.test")["state"], "valid");
}

const BOTH: [&str; 2] = ["a.test", "www.a.test"];

/// A year, of which a day is over.
const YEAR: Days = Days {
    since: 1,
    left: 364,
};

/// Tries to install each pair on a host whose certificate has a month left; each must be refused for its reason, and
/// change nothing.
#[track_caller]
fn check_refused(pairs: &[(Pair, &str)]) -> Host {
    let host = host_with([(Site::cloudpanel("a.test").also("www.a.test"), 30)]);
    let before = guarded(&host);
    for (pair, expected) in pairs {
        let causes = causes(&install_pair(&host, pair).expect_code(1));
        assert!(
            causes.contains(expected),
            "{expected:?} is not in {causes:?}"
        );
        assert_unchanged(&before, &host);
    }
    host
}

#[test]
fn files_that_hold_no_pair_are_refused_with_the_check_that_failed() {
    let authority = Authority::new("Bought");
    let good = authority.issue(&BOTH, YEAR);
    let with = |change: &dyn Fn(&mut Pair)| {
        let mut pair = good.clone();
        change(&mut pair);
        pair
    };
    let other = authority.issue(&BOTH, YEAR).key;
    let locked = openssl_key(&good, &["pkcs8", "-topk8", "-passout", "pass:x"]);
    let host = check_refused(&[
        (
            with(&|pair| pair.key = other.clone()),
            "the private key belongs to none",
        ),
        (
            with(&|pair| pair.chain = String::new()),
            "the chain is not whole",
        ),
        (with(&|pair| pair.key = "nonsense".into()), "no private key"),
        (with(&|pair| pair.leaf = String::new()), "belongs to none"),
        (
            with(&|pair| pair.key.truncate(80)),
            "bought.key: a PEM block is damaged",
        ),
        (
            with(&|pair| pair.key = locked.clone()),
            "protected by a passphrase",
        ),
    ]);
    let before = guarded(&host);
    let missing = install(&host, "/nowhere/key", "/nowhere/crt", &[]).expect_code(1);
    let text = missing.json["error"]["message"].to_string();
    assert!(
        text.contains("--privateKey: /nowhere/key cannot be read"),
        "{text}"
    );
    assert_unchanged(&before, &host);
    let _ = install_pair(&host, &good).expect_code(0);
}

#[test]
fn a_certificate_that_must_not_be_served_is_refused_with_the_check_that_failed() {
    let authority = Authority::new("Bought");
    let old = Days { since: 80, left: 5 };
    let _ = check_refused(&[
        (
            authority.issue(&["a.test"], YEAR),
            "does not cover www.a.test",
        ),
        (
            authority.issue(&BOTH, Days::left(-1)),
            "the certificate expired",
        ),
        (
            authority.issue(&BOTH, old),
            "older than the one being served",
        ),
        (
            testkit::certificate::self_signed(&BOTH, YEAR),
            "self-signed",
        ),
    ]);
}

#[test]
fn a_site_that_is_not_there_is_wrong_usage() {
    let host = host_with([(Site::files("a.test"), 30)]);
    let key = file(&host, "k", &bought(9).key);
    let output = clpctl(&host).run(&[
        "site:install:certificate",
        "--domainName=b.test",
        &format!("--privateKey={key}"),
        &format!("--certificate={}", file(&host, "c", &bought(9).fullchain())),
    ]);
    assert_ne!(output.code, Some(0));
    assert!(!output.stderr.contains("PRIVATE KEY"), "{}", output.stderr);
}
