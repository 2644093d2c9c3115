//! Does `host:audit` see what endangers renewals, score it, and mend what is safe?

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::Value;
use testkit::host::Host;
use testkit::nginx::Site;

use crate::answer::{Answer, clpctl};
use crate::disk::{self, NOTHING, differences};
use crate::hosts::host_with;
use crate::namespace::Machine;

/// Audits the host as if no other client had jobs on the machine.
#[track_caller]
fn ask(host: &Host, words: &[&str]) -> Answer {
    Answer::read(&Machine::new(host).run(words))
}

fn check<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    let checks = answer.json["host"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {:#}", answer.json))
}

/// Appends lines to `http` in nginx.conf.
fn in_http(host: &Host, lines: &str) {
    let config = host.nginx.config();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace("http {\n", &format!("http {{\n{lines}")),
    )
    .unwrap();
}

#[test]
fn a_host_that_is_well_gets_the_whole_score_and_nothing_is_changed() {
    let host = host_with([(Site::files("a.test"), 80)]);
    let before = disk::guarded(&host);
    let answer = ask(&host, &["host:audit"]).expect_code(0);
    assert_eq!(answer.json["verdict"], "ready", "{:#}", answer.json);
    assert_eq!(answer.json["score"], 100, "{:#}", answer.json);
    assert_eq!(check(&answer, "panel-cron")["status"], "skipped");
    assert_eq!(check(&answer, "nginx-reload")["status"], "skipped");
    let disk = check(&answer, "disk-speed")["note"].as_str().unwrap();
    assert!(
        disk.contains("a token is written, synced, read and removed in"),
        "{disk}"
    );
    let test = check(&answer, "nginx-test")["note"].as_str().unwrap();
    assert!(test.ends_with("s with 1 server blocks"), "{test}");
    assert_eq!(differences(&before, &disk::guarded(&host)), NOTHING);
    assert!(!host.state().exists() && host.nginx.reloads() == 0);
    let measured = ask(&host, &["host:audit", "--measure-reload"]).expect_code(0);
    assert_eq!(
        check(&measured, "nginx-reload")["status"],
        "passed",
        "{:#}",
        measured.json
    );
    assert_eq!(host.nginx.reloads(), 1);
}

#[test]
fn each_risk_is_seen_and_what_is_safe_is_mended() {
    let host = endangered();
    let score = is_seen(&host);

    let before = disk::guarded(&host);
    let shown = ask(&host, &["host:audit", "--fix", "--dry-run"]).expect_code(1);
    assert_eq!(shown.json["score"], score);
    assert_eq!(
        shown.json["fixes"].as_array().unwrap().len(),
        4,
        "{:#}",
        shown.json
    );
    assert_eq!(differences(&before, &disk::guarded(&host)), NOTHING);

    let reloads = host.nginx.reloads();
    let fixed = ask(&host, &["host:audit", "--fix"]).expect_code(0);
    let outcomes = fixed.json["fixes"].as_array().unwrap().iter();
    assert!(
        outcomes.into_iter().all(|fix| fix["outcome"] == "done"),
        "{:#}",
        fixed.json
    );
    let left: Vec<&Value> = fixed.json["host"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["finding"] != Value::Null)
        .map(|check| &check["finding"]["name"])
        .collect();
    assert_eq!(
        left,
        ["tls-too-old"],
        "old visitors are not locked out without a person"
    );
    assert!(fixed.json["score"].as_u64().unwrap() > 90);
    let archive = host.letsencrypt().join("archive");
    let key = host.archive("a.test").join("privkey1.pem");
    assert_eq!(key.metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(archive.metadata().unwrap().mode() & 0o7777, 0o755);
    let text = fs::read_to_string(host.nginx.config()).unwrap();
    assert!(
        text.contains("ssl_stapling off;") && text.contains("worker_connections 1024;"),
        "{text}"
    );
    assert_eq!(host.nginx.reloads(), reloads + 1, "one reload for all");
    let again = ask(&host, &["host:audit", "--fix"]).expect_code(0);
    assert_eq!(again.json["fixes"].as_array().unwrap().len(), 0);
    assert_eq!(host.nginx.reloads(), reloads + 1);
}

#[test]
fn vhosts_that_may_not_be_edited_are_left_alone() {
    let mut host = host_with([(Site::files("a.test"), 80)]);
    host.set("nginx", "edit", "false");
    in_http(&host, "    ssl_stapling on;\n");
    let before = disk::guarded(&host);
    let fixed = ask(&host, &["host:audit", "--fix"]).expect_code(0);
    assert_eq!(fixed.json["fixes"].as_array().unwrap().len(), 0);
    assert_eq!(check(&fixed, "stapling")["status"], "warning");
    assert_eq!(differences(&before, &disk::guarded(&host)), NOTHING);
}

#[test]
fn people_read_the_score_first() {
    let host = host_with([(Site::files("a.test"), 80)]);
    in_http(&host, "    ssl_protocols SSLv3 TLSv1.2;\n");
    let output = clpctl(&host).run(&["host:audit"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let begin = "at-risk: Something on this host is risky or broken.\nscore 9";
    assert!(output.stdout.starts_with(begin), "{}", output.stdout);
    assert!(
        output.stdout.contains("nginx.conf:11: SSLv3"),
        "{}",
        output.stdout
    );
}

/// A host of one site with all that an audit looks for.
fn endangered() -> Host {
    let host = host_with([(Site::files("a.test"), 80)]);
    in_http(
        &host,
        "    ssl_protocols TLSv1 TLSv1.1 TLSv1.2;\n    ssl_stapling on;\n",
    );
    let key = host.archive("a.test").join("privkey1.pem");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let archive = host.letsencrypt().join("archive");
    fs::set_permissions(&archive, Permissions::from_mode(0o777)).unwrap();
    let config = fs::read_to_string(host.nginx.config()).unwrap();
    fs::write(
        host.nginx.config(),
        config.replace("worker_connections 512", "worker_connections 16"),
    )
    .unwrap();
    host.nginx.reload();
    host
}

/// Sees all of it, and returns the score.
#[track_caller]
fn is_seen(host: &Host) -> u64 {
    let answer = ask(host, &["host:audit"]).expect_code(1);
    assert_eq!(
        check(&answer, "limits")["finding"]["name"],
        "worker-connections-low"
    );
    assert_eq!(
        check(&answer, "tls-versions")["finding"]["name"],
        "tls-too-old"
    );
    let detail = check(&answer, "tls-versions")["finding"]["detail"]
        .as_str()
        .unwrap();
    assert!(
        detail.ends_with("nginx.conf:11: TLSv1, TLSv1.1"),
        "{detail}"
    );
    assert_eq!(
        check(&answer, "stapling")["finding"]["name"],
        "stapling-useless"
    );
    assert_eq!(
        check(&answer, "keys")["finding"]["name"],
        "key-readable-by-others"
    );
    assert_eq!(answer.json["verdict"], "at-risk");
    // 110 points were to be had: 20 for keys are gone, and half of 10 twice and of 5.
    let score = answer.json["score"].as_u64().unwrap();
    assert!((60..80).contains(&score), "{score}");
    score
}
