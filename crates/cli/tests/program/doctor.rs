//! Does the doctor name the cause, and does a CA then agree?
//!
//! Every fault is made for real. What the doctor foresees is compared with what a renewal then comes to.

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;
use testca::dns::Caa;
use testca::{Endpoint, Fault, RateLimit, Refusal, RetryAfter};
use testkit::certificate::{Authority, Days};
use testkit::host::Host;
use testkit::lineage;
use testkit::nginx::Site;

use crate::answer::{Answer, ask, clpctl};
use crate::disk;
use crate::hosts::host_with;
use crate::practice::Practice;

#[test]
fn a_healthy_host_is_ready_and_nothing_is_spent() {
    let mut host = host_with([
        (Site::files("files.test").also("www.files.test"), 10),
        (Site::cloudpanel("panel.test"), 10),
        (
            Site::cloudpanel_redirect("www.moved.test", "moved.test"),
            10,
        ),
        (Site::refusal(), 10),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    let root = disk::tree(&host.nginx.document_root("files.test"), &[]);
    let answer = ask(&host, &["site:doctor"]);
    pebble.assert_well();
    let answer = answer.expect_code(0);
    assert_eq!(findings(&answer), NONE, "{:#}", answer.json);
    assert_eq!(answer.json["verdict"], "ready");
    assert_eq!(answer.site("panel.test")["verdict"], "ready");
    let asked = pebble.requests();
    assert_eq!((asked.of_orders(), asked.new_account), (0, 0), "{asked:?}");
    assert_eq!(
        disk::tree(&host.nginx.document_root("files.test"), &[]),
        root
    );
    assert!(!host.state().exists(), "not even the database is made");
    // The CA agrees.
    let renewed = ask(&host, &["site:renew-certificates"]).expect_code(0);
    pebble.assert_well();
    for domain in ["files.test", "panel.test", "moved.test"] {
        assert_eq!(renewed.outcome(domain), "renewed", "{:#}", renewed.json);
    }
    let again = ask(&host, &["site:doctor", "--domain=www.files.test"]).expect_code(0);
    assert_eq!(again.json["sites"].as_array().unwrap().len(), 1);
    assert_eq!(again.json["verdict"], "ready", "{:#}", again.json);
}

/// A site with its fault, the verdict, and the finding that must stand first.
type Case = (Site, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let files = Site::files;
    vec![
        (files("fine.test"), "ready", ""),
        (files("gone.test"), "will-fail", "dns-no-such-name"),
        (
            files("alias.test").also("dead.alias.test"),
            "at-risk",
            "name-left-out",
        ),
        (files("empty.test"), "will-fail", "dns-no-address"),
        (files("failing.test"), "will-fail", "dns-server-failure"),
        (files("away.test"), "will-fail", "dns-points-elsewhere"),
        (files("six.test"), "at-risk", "ipv6-points-elsewhere"),
        (files("only6.test"), "will-fail", "ipv6-points-elsewhere"),
        (files("caa.test"), "will-fail", "caa-forbids"),
        (files("sub.parent.test"), "will-fail", "caa-forbids"),
        (files("critical.test"), "will-fail", "caa-forbids"),
        (files("senseless.test"), "will-fail", "caa-malformed"),
        (
            files("denied.test").extra("deny all;"),
            "will-fail",
            "challenge-forbidden",
        ),
        (
            files("bots.test").extra("if ($http_user_agent ~* (curl|validation)) { return 403; }"),
            "will-fail",
            "challenge-blocked-by-rule",
        ),
        (
            files("closed.test").extra("return 444;"),
            "will-fail",
            "challenge-connection-closed",
        ),
        (
            files("circle.test").extra("return 301 http://$host:$server_port$request_uri;"),
            "will-fail",
            "challenge-redirect-loop",
        ),
        (files("open.test"), "at-risk", "key-readable-by-others"),
        (files("short.test"), "at-risk", "chain-incomplete"),
        (files("stale.test"), "at-risk", "certificate-not-served"),
        (files("expired.test"), "at-risk", "certificate-expired"),
        (files("linked.test"), "will-fail", "webroot-symlink-owner"),
    ]
}

/// Makes the faults that are no lines of a vhost.
fn make_faults(host: &Host, practice: &Practice) {
    let (here, away): (IpAddr, IpAddr) =
        ("127.0.0.1".parse().unwrap(), "127.0.0.9".parse().unwrap());
    let caa = |critical, tag: &str, value: &str| Caa {
        critical,
        tag: tag.to_owned(),
        value: value.to_owned(),
    };
    practice.dns.change(|zone| {
        zone.nxdomain("gone.test")
            .set("empty.test", &[])
            .servfail("failing.test");
        zone.set("away.test", &[away])
            .set("six.test", &[here, "::2".parse().unwrap()]);
        zone.nxdomain("dead.alias.test");
        zone.set("only6.test", &["::2".parse().unwrap()]);
        zone.set_caa("caa.test", &[caa(false, "issue", "other.test")]);
        zone.set_caa("parent.test", &[caa(false, "issue", ";")]);
        zone.set_caa(
            "critical.test",
            &[
                caa(false, "issue", "practice.test"),
                caa(true, "future", "x"),
            ],
        );
        zone.set_caa("senseless.test", &[caa(false, "issue", "%%%")])
    });
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let archive = host.archive("open.test");
    let open = [
        host.letsencrypt(),
        host.letsencrypt().join("archive"),
        archive.clone(),
    ];
    open.iter().for_each(|folder| mode(folder, 0o755));
    mode(&archive.join("privkey1.pem"), 0o644);
    let short = host.archive("short.test");
    fs::copy(short.join("cert1.pem"), short.join("fullchain1.pem")).unwrap();
    let other = Authority::new("Older").issue(&["stale.test"], Days::left(12));
    lineage::write(&host.letsencrypt(), "stale.test", 2, &other);
    symlink(
        "/tmp",
        host.nginx.document_root("linked.test").join(".well-known"),
    )
    .unwrap();
}

#[test]
fn each_site_has_its_own_fault_and_the_ca_agrees() {
    let days = |domain: &str| if domain == "expired.test" { -1 } else { 10 };
    let sites = cases().into_iter().map(|(site, ..)| {
        let left = days(site.domain());
        (site, left)
    });
    let mut host = host_with(sites);
    let practice = Practice::start(&mut host, |_| {});
    host.set("nginx", "edit", "false");
    make_faults(&host, &practice);
    let answer = ask(&host, &["site:doctor"]).expect_code(1);
    assert_eq!(practice.orders(), 0);
    assert_eq!(practice.asked(Endpoint::NewAccount), 0);
    let mut wrong = Vec::new();
    for (site, verdict, first) in cases() {
        let seen = answer.site(site.domain());
        let found = first_of(&seen["checks"]);
        if (seen["verdict"].as_str(), found.as_str()) != (Some(verdict), first) {
            wrong.push(format!("{}: {first}, not {found}: {seen:#}", site.domain()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let rule = finding(&answer, "bots.test", "challenge-blocked-by-rule");
    let vhost = host.nginx.vhost("bots.test");
    let named = rule["detail"].as_str().unwrap();
    assert!(named.contains(&format!("{}:", vhost.display())), "{named}");

    let renewed = ask(&host, &["site:renew-certificates"]).expect_code(1);
    // Not one validation fails: what was foreseen is not even ordered.
    let able = cases()
        .iter()
        .filter(|(_, verdict, _)| *verdict != "will-fail")
        .count();
    assert_eq!(practice.orders(), able as u64, "{:#}", renewed.json);
    for (site, verdict, _) in cases() {
        let outcome = renewed.outcome(site.domain());
        let fails = verdict == "will-fail";
        assert_eq!(outcome == "renewed", !fails, "{}: {outcome}", site.domain());
    }
}

#[test]
fn accounts_and_methods_that_caa_names() {
    let mut host = host_with([
        (Site::files("account.test"), 10),
        (Site::files("method.test"), 10),
    ]);
    let practice = Practice::start(&mut host, |_| {});
    let allow = |parameter: &str| Caa {
        critical: false,
        tag: "issue".to_owned(),
        value: format!("practice.test; {parameter}"),
    };
    practice.dns.change(|zone| {
        zone.set_caa(
            "account.test",
            &[allow("accounturi=https://practice.test/acct/none")],
        );
        zone.set_caa("method.test", &[allow("validationmethods=dns-01")])
    });
    let answer = ask(&host, &["site:doctor"]).expect_code(1);
    assert_eq!(first(&answer, "account.test"), "caa-forbids-account");
    assert_eq!(first(&answer, "method.test"), "caa-forbids-method");
    practice
        .dns
        .change(|zone| zone.set_caa("method.test", &[allow("validationmethods=dns-01,http-01")]));
    let answer = ask(&host, &["site:doctor", "--domain=method.test"]).expect_code(0);
    assert_eq!(answer.json["verdict"], "ready", "{:#}", answer.json);
}

#[test]
fn what_a_line_will_cure_is_a_risk() {
    let mut host = host_with([(Site::files("a.test").extra("deny all;"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    let answer = ask(&host, &["site:doctor"]).expect_code(0);
    assert_eq!(answer.site("a.test")["verdict"], "at-risk");
    assert_eq!(first(&answer, "a.test"), "challenge-forbidden");
    let renewed = ask(&host, &["site:renew-certificates"]).expect_code(0);
    pebble.assert_well();
    assert_eq!(renewed.outcome("a.test"), "renewed");
}

/// Looks at a host with one site after `make` has been at it; returns the first finding of all.
#[track_caller]
fn host_fault(make: impl FnOnce(&mut Host), words: &[&str], name: &str) {
    // The CA may be there again without anybody doing anything.
    let code = if name == "ca-unreachable" { 3 } else { 1 };
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    make(&mut host);
    let answer = ask(&host, &[&["site:doctor"], words].concat()).expect_code(code);
    assert_eq!(first_of(&answer.json["host"]), name, "{:#}", answer.json);
    assert_ne!(answer.json["verdict"], "ready");
    assert_eq!(
        (practice.orders(), practice.asked(Endpoint::NewAccount)),
        (0, 0)
    );
}

#[test]
fn an_nginx_that_does_not_run() {
    host_fault(|host| host.nginx.stop(), &[], "nginx-not-running");
}

#[test]
fn an_nginx_that_is_not_there() {
    host_fault(
        |host| host.set("nginx", "binary", "\"/nowhere/nginx\""),
        &[],
        "nginx-not-installed",
    );
}

#[test]
fn a_port_that_another_program_holds() {
    let mut holder = None;
    let hold = |host: &mut Host| {
        host.nginx.stop();
        holder = Some(TcpListener::bind(host.nginx.http_addresses()[0]).unwrap());
    };
    host_fault(hold, &[], "port-80-taken");
    drop(holder);
}

#[test]
fn a_configuration_that_nginx_refuses() {
    let spoil = |host: &mut Host| {
        let vhost = host.nginx.vhost("a.test");
        let text = fs::read_to_string(&vhost).unwrap();
        fs::write(&vhost, text.replace("server_name", "sevrer_name")).unwrap();
    };
    host_fault(spoil, &[], "nginx-config-invalid");
}

#[test]
fn a_link_among_the_vhosts_that_leads_nowhere() {
    let dangle = |host: &mut Host| symlink("/nowhere", host.nginx.vhost("b.test")).unwrap();
    host_fault(dangle, &[], "vhost-symlink-broken");
    let circle = |host: &mut Host| {
        let link = host.nginx.vhost("b.test");
        symlink(&link, &link).unwrap();
    };
    host_fault(circle, &[], "vhost-symlink-broken");
}

#[test]
fn a_clock_that_is_behind() {
    host_fault(|_| {}, &["--clock-offset=-2d"], "clock-wrong");
}

#[test]
fn a_ca_that_is_not_there_or_not_trusted() {
    let away = |host: &mut Host| host.set("acme", "directory", "\"https://127.0.0.1:9/directory\"");
    host_fault(away, &[], "ca-unreachable");
    let distrust = |host: &mut Host| {
        let root = Authority::new("Somebody else");
        let file = host.folder().join("else.pem");
        fs::write(&file, root.root()).unwrap();
        host.set("acme", "ca_bundle", &format!("\"{}\"", file.display()));
    };
    host_fault(distrust, &[], "ca-not-trusted");
}

#[test]
fn a_limit_that_is_used_up_is_not_run_into() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let limited = Refusal::RateLimited {
        limit: RateLimit::CertificatesPerDomain,
        retry_after: RetryAfter::Seconds(7200),
    };
    let fault = Fault::new(limited).at(Endpoint::NewOrder);
    practice.ca.add_fault(fault);
    let _ = ask(&host, &["site:renew-certificates"]).expect_code(3);
    let answer = ask(&host, &["site:doctor"]).expect_code(3);
    assert_eq!(first(&answer, "a.test"), "rate-limited");
    assert_eq!(answer.json["verdict"], "will-fail");
    assert_eq!(practice.orders(), 1);
}

#[test]
fn another_block_that_answers_on_port_80_is_named() {
    let mut host = Host::prepare();
    let pair = Authority::new("Older").issue(&["a.test"], Days::left(10));
    host.add_with_lineage(Site::files("a.test"), &pair);
    host.nginx.add(Site::refusal().catches_all());
    let vhost = host.nginx.vhost("a.test");
    let text = fs::read_to_string(&vhost).unwrap();
    let is_plain = |line: &&str| line.contains("listen") && !line.contains("ssl");
    let without: Vec<&str> = text.lines().filter(|line| !is_plain(line)).collect();
    fs::write(&vhost, without.join("\n")).unwrap();
    host.nginx.launch();
    let practice = Practice::start(&mut host, |_| {});
    let answer = ask(&host, &["site:doctor", "--domain=a.test"]).expect_code(1);
    assert_eq!(
        first(&answer, "a.test"),
        "name-not-served",
        "{:#}",
        answer.json
    );
    let renewed = ask(&host, &["site:renew-certificates"]).expect_code(1);
    assert_eq!(renewed.outcome("a.test"), "failed");
    assert_eq!(practice.orders(), 0);
}

#[test]
fn people_read_the_verdict_first() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    practice.dns.change(|zone| zone.nxdomain("a.test"));
    let output = clpctl(&host).run(&["site:doctor"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let text = &output.stdout;
    assert!(
        text.starts_with("will-fail: The renewal of 1 of 1 site would fail now.\n"),
        "{text}"
    );
    assert!(
        text.contains("finding: dns-no-such-name (clpctl explain dns-no-such-name)"),
        "{text}"
    );
    assert!(
        text.contains("skipped challenge: “dns” comes first"),
        "{text}"
    );
    let unknown = clpctl(&host).run(&["site:doctor", "--domain=aa.test"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("did you mean a.test?"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn the_session_in_the_guide_is_what_is_printed() {
    let bots = "if ($http_user_agent ~* \"bot|curl|validation\") {\n    return 403;\n}";
    let mut host = host_with([
        (Site::files("shop.example").extra(bots), 10),
        (Site::files("blog.example"), 20),
        (Site::files("www.example"), 80),
    ]);
    let practice = Practice::start(&mut host, |_| {});
    host.set("nginx", "edit", "false");
    practice.dns.change(|zone| {
        let caa = Caa {
            critical: false,
            tag: "issue".to_owned(),
            value: "other-ca.example".to_owned(),
        };
        zone.set_caa("blog.example", &[caa])
    });
    let output = clpctl(&host).run(&["site:doctor"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let folder = host.nginx.folder().to_str().unwrap();
    let printed = output
        .stdout
        .replace(folder, "/etc/nginx")
        .replace(&format!(":{}", host.nginx.http_port()), ":80")
        .replace("127.0.0.1", "192.0.2.7");
    let guide = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/guide/the-doctor.md"
    );
    let page = fs::read_to_string(guide).unwrap();
    let session = page.split("$ clpctl site:doctor\n").nth(1).unwrap();
    let session = session.split("```").next().unwrap();
    assert_eq!(session.trim(), printed.trim());
}

#[track_caller]
fn first(answer: &Answer, domain: &str) -> String {
    first_of(&answer.site(domain)["checks"])
}

/// Returns the name of the worst finding, the first of its severity; empty without any.
fn first_of(checks: &Value) -> String {
    let severities = ["fatal", "error", "warning", "info"];
    let found = |severity: &str| {
        let mut checks = checks
            .as_array()
            .unwrap()
            .iter()
            .map(|check| &check["finding"]);
        checks.find(|finding| finding["severity"] == severity)
    };
    let worst = severities.iter().find_map(|severity| found(severity));
    worst.map_or_else(String::new, |finding| {
        finding["name"].as_str().unwrap().to_owned()
    })
}

/// Returns the names of all findings about the host and its sites.
fn findings(answer: &Answer) -> Vec<String> {
    let sites = answer.json["sites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|site| &site["checks"]);
    let all = sites
        .chain([&answer.json["host"]])
        .flat_map(|checks| checks.as_array().unwrap());
    let names = all.filter_map(|check| check["finding"]["name"].as_str());
    names.map(str::to_owned).collect()
}

#[track_caller]
fn finding<'a>(answer: &'a Answer, domain: &str, name: &str) -> &'a Value {
    let checks = answer.site(domain)["checks"].as_array().unwrap();
    let mut findings = checks.iter().map(|check| &check["finding"]);
    findings.find(|finding| finding["name"] == name).unwrap()
}

const NONE: Vec<String> = Vec::new();
