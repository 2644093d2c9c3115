//! Is a certificate that is due renewed and served, and is nothing else touched?

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use testca::{Endpoint, Fault, RenewalWindow, ReplacesFault, ReplacesRefusal};
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::openssl;

use crate::answer::{ask, renew};
use crate::disk::{self, KINDS, NOTHING};
use crate::hosts::host_with;
use crate::practice::Practice;

/// Everything on the host but logs, the note of who holds the lock, and what SQLite does for itself.
fn everything(host: &Host) -> disk::Tree {
    let left_out = [
        "clpctl.log",
        "acme.log",
        "logs",
        "lock",
        "clpctl.db-shm",
        "clpctl.db-wal",
    ];
    let mut tree = disk::tree(host.folder(), &left_out);
    tree.extend(disk::tree(host.nginx.folder(), &left_out));
    // The folder in which those come and go.
    tree.remove(&host.state());
    assert!(tree.contains_key(&host.state().join("clpctl.db")));
    tree
}

#[test]
fn a_batch_that_is_due_is_renewed_with_one_reload_and_served_on_every_address() {
    let mut host = host_with([
        (Site::cloudpanel("a.test").also("www.a.test"), 10),
        (Site::files("b.test"), 20),
        (Site::cloudpanel_redirect("www.c.test", "c.test"), 5),
        (Site::files("later.test"), 80),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    let untouched = disk::lineage(&host, "later.test");
    let old: Vec<_> = DUE
        .map(|domain| disk::tree(&host.archive(domain), &[]))
        .into();
    let answer = renew(&host);
    pebble.assert_well();
    assert_eq!((answer.reloads(), host.nginx.reloads()), (1, 1));
    let counted = pebble.requests();
    assert_eq!(
        (counted.new_order, counted.finalize, counted.certificate),
        (3, 3, 3),
        "{counted:?}"
    );
    assert_eq!(counted.new_account, 1, "{counted:?}");
    for (domain, old) in DUE.iter().zip(old) {
        assert_renewed(&host, &answer, domain);
        let fullchain = host.live(domain).join("fullchain.pem");
        assert_eq!(
            openssl::verify(&pebble.root(), &fullchain),
            Ok(()),
            "{domain}"
        );
        for (path, before) in old {
            assert_eq!(disk::entry(&path), before, "{}", path.display());
        }
    }
    for name in ["a.test", "www.a.test"] {
        assert!(
            openssl::covers(&host.live("a.test").join("cert.pem"), name),
            "{name}"
        );
    }
    assert!(openssl::covers(
        &host.live("c.test").join("cert.pem"),
        "www.c.test"
    ));
    assert_eq!(answer.outcome("later.test"), "not-due");
    assert_eq!(
        disk::differences(&untouched, &disk::lineage(&host, "later.test")),
        NOTHING
    );
}

/// The site's second version is whole, private, linked, served everywhere, and what the answer says.
#[track_caller]
fn assert_renewed(host: &Host, answer: &crate::answer::Answer, domain: &str) {
    assert_eq!(answer.outcome(domain), "renewed", "{:#}", answer.json);
    let archive = disk::tree(&host.archive(domain), &[]);
    let mut expected: Vec<_> = KINDS
        .iter()
        .flat_map(|kind| {
            [1, 2].map(|version| host.archive(domain).join(format!("{kind}{version}.pem")))
        })
        .collect();
    expected.sort();
    assert_eq!(archive.into_keys().collect::<Vec<_>>(), expected);
    assert_eq!(disk::linked_version(host, domain), 2);
    let (certificate, key) = (
        host.live(domain).join("cert.pem"),
        host.live(domain).join("privkey.pem"),
    );
    assert!(openssl::key_fits(&certificate, &key), "{domain}");
    let mode = fs::metadata(&key)
        .expect("the link leads to a key")
        .permissions()
        .mode()
        & 0o7777;
    assert_eq!(mode, 0o600, "{domain}");
    let [leaf, chain, fullchain] = ["cert", "chain", "fullchain"]
        .map(|kind| host.live(domain).join(format!("{kind}.pem")))
        .map(|file| fs::read_to_string(file).expect("the link leads to a file"));
    assert_eq!(fullchain, format!("{leaf}{chain}"), "{domain}");
    disk::assert_served(host, domain);
    let site = answer.site(domain);
    assert_eq!(
        site["certificate"]["sha256"],
        openssl::sha256(&certificate).as_str(),
        "{site:#}"
    );
    let served = site["served"].as_array().expect("a list");
    let addresses: Vec<_> = served
        .iter()
        .map(|served| served["address"].as_str().expect("an address"))
        .collect();
    let listened: Vec<_> = host
        .nginx
        .https_addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, listened, "{site:#}");
    assert!(served.iter().all(|served| served["ok"] == true), "{site:#}");
}

#[test]
fn a_second_run_asks_for_nothing_and_changes_nothing() {
    let mut host = host_with([
        (Site::cloudpanel("a.test"), 10),
        (Site::files("b.test"), 80),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    assert_eq!(renew(&host).outcome("a.test"), "renewed");
    // The window of the new certificate is asked for once, by whichever run comes first.
    let _ = renew(&host);
    let (before, asked) = (everything(&host), pebble.requests());
    let answer = renew(&host);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "not-due");
    assert_eq!(answer.reloads(), 0);
    assert_eq!(host.nginx.reloads(), 1);
    assert_eq!(disk::differences(&before, &everything(&host)), NOTHING);
    let again = pebble.requests();
    assert_eq!(again.of_orders(), asked.of_orders(), "{again:?}");
    assert_eq!(
        (again.new_account, again.new_nonce),
        (asked.new_account, asked.new_nonce),
        "{again:?}"
    );
}

#[test]
fn a_dry_run_asks_the_ca_for_nothing_and_writes_nothing() {
    let mut host = host_with([
        (Site::cloudpanel("a.test"), 10),
        (Site::files("b.test"), 80),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    let before = disk::tree(host.folder(), &[]);
    let nginx_before = disk::tree(host.nginx.folder(), &["logs"]);
    let answer = ask(&host, &["site:renew-certificates", "--dry-run"]).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "would-renew");
    assert_eq!(
        answer.site("a.test")["reason"],
        "a third of its life is left"
    );
    assert_eq!(answer.outcome("b.test"), "not-due");
    assert_eq!(
        disk::differences(&before, &disk::tree(host.folder(), &[])),
        NOTHING
    );
    let nginx_after = disk::tree(host.nginx.folder(), &["logs"]);
    assert_eq!(disk::differences(&nginx_before, &nginx_after), NOTHING);
    assert_eq!(pebble.requests().total(), 0);
    assert_eq!(host.nginx.reloads(), 0);
}

#[test]
fn what_is_not_due_is_renewed_when_it_is_asked_for_with_force() {
    let mut host = host_with([(Site::files("a.test"), 80), (Site::files("b.test"), 80)]);
    let pebble = host.with_pebble(|settings| settings);
    let untouched = disk::lineage(&host, "b.test");
    let words = ["site:renew-certificates", "--domain=a.test", "--force"];
    let answer = ask(&host, &words).expect_code(0);
    pebble.assert_well();
    assert_renewed(&host, &answer, "a.test");
    assert_eq!(
        disk::differences(&untouched, &disk::lineage(&host, "b.test")),
        NOTHING
    );
    assert_eq!(pebble.requests().new_order, 1);
}

#[test]
fn authorizations_that_are_valid_already_are_not_proved_again() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings.reused_authorizations(100));
    let _ = renew(&host);
    let first = pebble.requests();
    let answer = ask(&host, &["site:renew-certificates", "--force"]).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "renewed");
    let second = pebble.requests();
    assert_eq!(
        (second.new_order, second.challenge),
        (2, first.challenge),
        "{second:?}"
    );
    assert_eq!(second.new_account, 1, "{second:?}");
    assert_eq!(disk::linked_version(&host, "a.test"), 3);
    disk::assert_served(&host, "a.test");
}

#[test]
fn a_larger_batch_asks_the_ca_for_each_thing_once_and_takes_its_nonces_from_replies() {
    let domains: Vec<String> = (0..8).map(|number| format!("site{number}.test")).collect();
    let mut host = host_with(domains.iter().map(|domain| (Site::files(domain), 10)));
    let pebble = host.with_pebble(|settings| settings);
    let answer = ask(&host, &["site:renew-certificates", "--jobs=4"]);
    pebble.assert_well();
    let answer = answer.expect_code(0);
    for domain in &domains {
        assert_eq!(answer.outcome(domain), "renewed");
        disk::assert_served(&host, domain);
    }
    let counted = pebble.requests();
    // How often the CA is asked whether it is done depends on how long it takes; the rest does not.
    let each = [
        counted.new_order,
        counted.challenge,
        counted.finalize,
        counted.certificate,
    ];
    assert_eq!(each, [domains.len(); 4], "{counted:?}");
    assert_eq!(
        (counted.directory, counted.new_account),
        (1, 1),
        "{counted:?}"
    );
    assert!(counted.new_nonce <= 4, "{counted:?}");
    assert_eq!(host.nginx.reloads(), 1);
}

#[test]
fn what_is_secret_is_for_its_owner_alone_and_in_no_log() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    let _ = ask(&host, &["site:renew-certificates", "-v"]).expect_code(0);
    pebble.assert_well();
    let mut secrets = 0;
    for path in disk::tree(&host.letsencrypt(), &[])
        .keys()
        .chain(disk::tree(&host.state(), &[]).keys())
    {
        if !path.is_file() || path.is_symlink() {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        if text.contains("PRIVATE KEY") || text.contains("\"d\"") {
            secrets += 1;
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    assert!(
        secrets >= 3,
        "the account's key and two of certificates, not {secrets}"
    );
    let logs = [host.log(), host.acme_log()].concat();
    assert!(logs.contains("a.test"), "{logs}");
    assert!(!logs.contains("PRIVATE KEY"), "{logs}");
    // Tokens stand in the paths that were asked for.
    let access = host.nginx.access_log();
    let tokens = access
        .lines()
        .filter_map(|line| line.split_once("/acme-challenge/")?.1.split(' ').next());
    let tokens: Vec<_> = tokens
        .filter(|token| !token.starts_with("clpctl-probe"))
        .collect();
    assert!(!tokens.is_empty(), "{access}");
    for token in tokens {
        assert!(!logs.contains(token), "{token} is in the log");
    }
}

#[test]
fn cloudpanels_own_command_renews_all_sites() {
    let mut host = host_with([
        (Site::cloudpanel("a.test"), 10),
        (Site::cloudpanel("b.test"), 10),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    let answer = ask(&host, &["lets-encrypt:renew:certificates"]).expect_code(0);
    pebble.assert_well();
    for domain in ["a.test", "b.test"] {
        assert_renewed(&host, &answer, domain);
    }
    assert_eq!(host.nginx.reloads(), 1);
}

#[test]
fn a_profile_decides_how_long_a_certificate_lives() {
    let mut host = host_with([
        (Site::files("short.test"), 10),
        (Site::files("usual.test"), 10),
    ]);
    let six_days = Duration::from_secs(6 * 24 * 60 * 60);
    let pebble = host.with_pebble(|settings| settings.newer().profile("brief", six_days));
    host.append("[[site]]\ndomain = \"short.test\"\nprofile = \"brief\"\n");
    host.append("[[site]]\ndomain = \"usual.test\"\nprofile = \"default\"\n");
    let answer = renew(&host);
    pebble.assert_well();
    for domain in ["short.test", "usual.test"] {
        assert_renewed(&host, &answer, domain);
    }
    let ends_within = |domain: &str, seconds: u64| {
        let certificate = host.live(domain).join("cert.pem");
        let checked = testkit::program::Program::new("openssl")
            .args(["x509", "-noout", "-checkend", &seconds.to_string(), "-in"])
            .arg(certificate);
        !checked.run().ok()
    };
    assert!(ends_within("short.test", six_days.as_secs() + 60));
    assert!(!ends_within("usual.test", 10 * six_days.as_secs()));
}

#[test]
fn a_window_that_the_ca_moved_forward_renews_and_says_what_it_replaces() {
    let mut host = host_with([(Site::files("a.test"), 10), (Site::files("b.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let _ = renew(&host);
    assert_eq!(renew(&host).outcome("a.test"), "not-due");
    let untouched = disk::lineage(&host, "b.test");
    // Open, and nearly over: whichever moment in it is chosen has passed.
    practice
        .ca
        .suggest_renewal("a.test", window(-YEAR, DAY + HOUR), None)
        .unwrap();
    // Only an order that says what it replaces can meet this fault.
    let refused = ReplacesFault::Refuse(ReplacesRefusal::AlreadyReplaced);
    practice.ca.add_fault(Fault::new(refused).times(1));
    let answer = ask(&host, &["site:renew-certificates", "--clock-offset=+1d"]).expect_code(0);
    assert_eq!(answer.outcome("a.test"), "renewed", "{:#}", answer.json);
    let reason = answer.site("a.test")["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the CA suggests renewing between"),
        "{reason}"
    );
    assert_eq!(practice.ca.faults(), [], "no order said what it replaces");
    // Refused once, and tried without.
    assert_eq!(practice.asked(Endpoint::NewOrder), 2 + 2);
    assert_eq!(disk::linked_version(&host, "a.test"), 3);
    disk::assert_served(&host, "a.test");
    assert_eq!(
        disk::differences(&untouched, &disk::lineage(&host, "b.test")),
        NOTHING
    );
}

#[test]
fn a_window_that_is_over_renews_at_once() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let _ = renew(&host);
    let explained = Some("https://ca.test/incident");
    practice
        .ca
        .suggest_renewal("a.test", window(-2 * HOUR, -HOUR), explained)
        .unwrap();
    let answer = renew(&host);
    assert_eq!(answer.outcome("a.test"), "renewed", "{:#}", answer.json);
    let reason = answer.site("a.test")["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the CA's window for renewing ended on"),
        "{reason}"
    );
    assert_eq!(disk::linked_version(&host, "a.test"), 3);
    disk::assert_served(&host, "a.test");
}

/// A window that lies so many seconds from now.
fn window(from: i64, to: i64) -> RenewalWindow {
    let now = jiff::Timestamp::now();
    RenewalWindow {
        start: now + jiff::SignedDuration::from_secs(from),
        end: now + jiff::SignedDuration::from_secs(to),
    }
}

#[test]
fn the_newer_pebble_is_asked_for_its_windows() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let pebble = host.with_pebble(testkit::pebble::Settings::newer);
    assert_eq!(renew(&host).outcome("a.test"), "renewed");
    let answer = renew(&host);
    pebble.assert_well();
    let reason = answer.site("a.test")["reason"].as_str().unwrap();
    assert!(
        reason.ends_with("a moment in the window that the CA suggests"),
        "{reason}"
    );
    // Inside the window the order names what it replaces, and the CA takes it.
    let later = ["site:renew-certificates", "--clock-offset=+75d"];
    let answer = ask(&host, &later).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "renewed", "{:#}", answer.json);
    assert_eq!(pebble.requests().new_order, 2);
}

#[test]
fn keys_are_of_the_wanted_type() {
    let mut host = host_with([
        (Site::files("p256.test"), 10),
        (Site::files("p384.test"), 10),
        (Site::files("rsa.test"), 10),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    host.append("[[site]]\ndomain = \"p384.test\"\nkey_type = \"ecdsa-p384\"\n");
    host.append("[[site]]\ndomain = \"rsa.test\"\nkey_type = \"rsa-2048\"\n");
    let answer = renew(&host);
    pebble.assert_well();
    let sizes = [
        ("p256.test", "NIST CURVE: P-256"),
        ("p384.test", "NIST CURVE: P-384"),
        ("rsa.test", "(2048 bit)"),
    ];
    for (domain, shown) in sizes {
        assert_renewed(&host, &answer, domain);
        let text = openssl::x509(&host.live(domain).join("cert.pem"), &["-text"]);
        assert!(text.contains(shown), "{domain}:\n{text}");
    }
}

#[test]
fn names_in_the_configuration_go_before_those_of_the_vhost() {
    let site = Site::files("a.test").also("www.a.test").also("blog.a.test");
    let mut host = host_with([(site, 80)]);
    let pebble = host.with_pebble(|settings| settings);
    host.append(
        "[[site]]\ndomain = \"a.test\"\nnames = [\"a.test\", \"blog.a.test\", \"new.a.test\"]\n",
    );
    let vhost = host.nginx.vhost("a.test");
    let text = fs::read_to_string(&vhost).unwrap();
    fs::write(
        &vhost,
        text.replace("blog.a.test;", "blog.a.test new.a.test;"),
    )
    .unwrap();
    host.nginx.reload();
    let answer = renew(&host);
    pebble.assert_well();
    assert_eq!(
        answer.site("a.test")["reason"],
        "the certificate does not cover new.a.test"
    );
    let certificate = host.live("a.test").join("cert.pem");
    let covered = ["a.test", "blog.a.test", "new.a.test", "www.a.test"]
        .map(|name| openssl::covers(&certificate, name));
    assert_eq!(covered, [true, true, true, false]);
}

#[test]
fn refused_nonces_are_replaced() {
    for percent in [5, 30] {
        let mut host = host_with([(Site::files("a.test"), 10), (Site::files("b.test"), 10)]);
        let pebble = host.with_pebble(|settings| settings.newer().rejected_nonces(percent));
        let answer = ask(&host, &["site:renew-certificates"]);
        pebble.assert_well();
        let answer = answer.expect_code(0);
        for domain in ["a.test", "b.test"] {
            assert_renewed(&host, &answer, domain);
        }
    }
}

#[test]
fn staging_asks_the_other_directory() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    host.set("acme", "directory", "\"https://127.0.0.1:9/never-asked\"");
    let answer = ask(&host, &["site:renew-certificates", "--staging"]).expect_code(0);
    pebble.assert_well();
    assert_renewed(&host, &answer, "a.test");
    assert!(
        !host.acme_log().contains("never-asked"),
        "{}",
        host.acme_log()
    );
}

#[test]
fn a_time_before_the_end_is_kept_to() {
    let mut host = host_with([(Site::files("a.test"), 40)]);
    let pebble = host.with_pebble(|settings| settings);
    host.set("renewal", "before_expiry", "\"30d\"");
    let early = ask(&host, &["site:renew-certificates", "--clock-offset=+9d"]).expect_code(0);
    assert_eq!(early.outcome("a.test"), "not-due", "{:#}", early.json);
    assert_eq!(pebble.requests().of_orders(), 0);
    let answer = ask(&host, &["site:renew-certificates", "--clock-offset=+11d"]).expect_code(0);
    pebble.assert_well();
    assert_renewed(&host, &answer, "a.test");
    assert_eq!(
        answer.site("a.test")["reason"],
        "less than 30 days of its life are left"
    );
}

const DUE: [&str; 3] = ["a.test", "b.test", "c.test"];

const HOUR: i64 = 60 * 60;

const DAY: i64 = 24 * HOUR;

const YEAR: i64 = 365 * DAY;
