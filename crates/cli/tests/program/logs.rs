//! Do the logs tell the story, and keep the secrets?

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use testkit::fetch;
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::program::wait_until;

use crate::answer::{SOON, clpctl};
use crate::disk::tree;
use crate::practice::Practice;

/// Returns the entries that `site:logs --json` prints, one document on each line.
fn entries(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn texts(entries: &[Value], origin: &str) -> String {
    let of_origin = entries.iter().filter(|entry| entry["origin"] == origin);
    of_origin
        .map(|entry| entry["text"].as_str().unwrap().to_owned() + "\n")
        .collect()
}

/// Makes nginx write a line about the site into its error log.
fn miss(host: &Host, domain: &str, path: &str) {
    let reply = fetch::http(host.nginx.http_addresses()[0], domain, path).unwrap();
    assert_eq!(reply.status, 404);
}

#[test]
fn a_run_is_told_and_its_secrets_are_not() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    let output = clpctl(&host).run(&["site:renew-certificates", "--domain=a.test", "-vv"]);
    let _ = output.expect_ok();
    let (log, acme_log) = (host.log(), host.acme_log());
    for word in [
        "domain=a.test",
        "ordering",
        "obtained",
        "told nginx to reload",
        "the run is over",
    ] {
        assert!(log.contains(word), "{word} is not in:\n{log}");
    }
    let orders = acme_log
        .lines()
        .filter(|line| line.contains("new-order") || line.contains("newOrder"))
        .count();
    assert!(orders >= 1 && practice.orders() == 1, "{acme_log}");

    let secrets = secrets(&host);
    for (name, text) in [("clpctl.log", &log), ("acme.log", &acme_log)] {
        for secret in &secrets {
            assert!(!text.contains(secret), "{name} holds {secret}:\n{text}");
        }
        // A signature has 86 characters, a request thousands; a nonce or a key has 43 and no hexadecimal in it.
        let base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        for word in text
            .split(|c| !base64url(c))
            .filter(|word| word.len() >= 43)
        {
            let fingerprint = word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
            assert!(fingerprint, "{name} holds {word}:\n{text}");
        }
    }
}

/// Everything that must not be logged and can be found on the host: keys, line by line, and the tokens that were
/// asked for.
fn secrets(host: &Host) -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    let everything = tree(&host.letsencrypt(), &[]);
    let mut keys = 0;
    for path in everything.keys().filter(|path| path.is_file()) {
        // The account's key is PEM inside of JSON.
        let text = std::fs::read_to_string(path).unwrap().replace("\\n", "\n");
        for (begin, _) in text.match_indices("PRIVATE KEY-----\n").step_by(2) {
            let lines = text[begin..]
                .lines()
                .skip(1)
                .take_while(|line| !line.starts_with('-'));
            secrets.extend(lines.map(str::to_owned));
            keys += 1;
        }
    }
    assert!(keys >= 2, "the account's key and the site's: {secrets:?}");
    let access = host.nginx.access_log();
    let asked = access
        .lines()
        .filter_map(|line| line.split("/.well-known/acme-challenge/").nth(1));
    let tokens: BTreeSet<_> = asked
        .filter_map(|rest| rest.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    assert!(!tokens.is_empty(), "{access}");
    secrets.extend(tokens);
    secrets
}

#[test]
fn three_logs_are_merged_by_time_for_one_site() {
    let mut host = Host::start([Site::files("a.test"), Site::files("b.test")]);
    let _practice = Practice::start(&mut host, |_| {});
    let _ = clpctl(&host)
        .run(&[
            "site:renew-certificates",
            "--domain=a.test",
            "--domain=b.test",
        ])
        .expect_ok();
    miss(&host, "a.test", "/not-there");
    miss(&host, "b.test", "/nor-here");
    let all = entries(
        &clpctl(&host)
            .run(&["site:logs", "--domain=a.test", "--lines=1000", "--json"])
            .expect_ok(),
    );
    for origin in ["clpctl", "ca", "nginx"] {
        assert!(
            !texts(&all, origin).is_empty(),
            "nothing of {origin} in {all:#?}"
        );
    }
    assert!(texts(&all, "nginx").contains("not-there"), "{all:#?}");
    assert!(
        !all.iter()
            .any(|entry| entry["text"].as_str().unwrap().contains("b.test")),
        "{all:#?}"
    );
    let times: Vec<jiff::Timestamp> = all
        .iter()
        .map(|entry| entry["at"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");

    let three = clpctl(&host)
        .run(&["site:logs", "--domain=a.test", "--lines=3"])
        .expect_ok();
    assert_eq!(three.lines().count(), 3, "{three}");
    assert_eq!(
        clpctl(&host).run(&["site:logs", "--lines=0"]).expect_ok(),
        ""
    );
}

#[test]
fn the_error_log_is_found_where_the_vhost_puts_it() {
    let mut host = Host::prepare();
    let own = host.folder().join("a-error.log");
    host.nginx
        .add(Site::files("a.test").extra(&format!("error_log {};", own.display())));
    host.nginx.launch();
    miss(&host, "a.test", "/not-there");
    assert!(wait_until(SOON, || std::fs::read_to_string(&own)
        .is_ok_and(|text| text.contains("not-there"))));
    let all = entries(
        &clpctl(&host)
            .run(&["site:logs", "--domain=a.test", "--json"])
            .expect_ok(),
    );
    assert!(texts(&all, "nginx").contains("not-there"), "{all:#?}");
}

#[test]
fn a_log_is_followed_through_its_rotation_until_interrupted() {
    let mut host = Host::start([Site::files("a.test")]);
    let _practice = Practice::start(&mut host, |_| {});
    let _ = clpctl(&host)
        .run(&["site:renew-certificates", "--domain=a.test"])
        .expect_ok();
    let mut following =
        clpctl(&host).spawn(&["site:logs", "--domain=a.test", "--lines=1", "--follow"]);
    let shows = |following: &testkit::host::Running, word: &str| {
        let shown = wait_until(SOON, || following.stdout().contains(word));
        assert!(
            shown,
            "{word} was not shown:\n{}\n{}",
            following.stdout(),
            following.stderr()
        );
    };
    assert!(
        wait_until(SOON, || following.stdout().lines().count() == 1),
        "{}",
        following.stdout()
    );
    miss(&host, "a.test", "/while-followed");
    shows(&following, "while-followed");
    let before = following.stdout().matches("obtained").count();
    rename(
        &host.folder().join("clpctl.log"),
        &host.folder().join("clpctl.log.1"),
    );
    let _ = clpctl(&host)
        .run(&["site:renew-certificates", "--domain=a.test", "--force"])
        .expect_ok();
    assert!(host.log().contains("obtained"), "a new log was begun");
    assert!(
        wait_until(SOON, || following.stdout().matches("obtained").count()
            > before),
        "{}",
        following.stdout()
    );
    // Not SIGINT: whoever starts the tests in the background may have had it ignored.
    following.signal(Signal::TERM);
    assert!(
        following.wait(Duration::from_secs(10)).is_some(),
        "it goes on after SIGTERM"
    );
    assert_eq!(following.stderr(), "");
}

fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}
