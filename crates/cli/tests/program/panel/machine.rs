//! Does all of it work on a machine whose users, modes, paths and ports are the real ones?

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use testca::Endpoint;
use testkit::panel::PanelMachine;
use testkit::program::{Output, Program};

use super::*;

/// Let's Encrypt's name, which the panel's client knows alone.
const LETS_ENCRYPT: &str = "acme-v02.api.letsencrypt.org";

/// A machine of the panel's with a site of each type, self-signed but for one that is due; the practice CA is what it
/// takes for Let's Encrypt, and the panel has an account's key.
pub(super) fn machine() -> (PanelMachine, Practice) {
    let mut machine = PanelMachine::prepare(env!("CARGO_BIN_EXE_clpctl").as_ref());
    let older = Authority::new("Older");
    for site in sites() {
        let due = (site.domain == "files.test").then(|| older.issue(&[site.domain], Days::left(5)));
        machine.add(&site, due.as_ref().map(|pair| (2, pair)));
    }
    machine.add_own("panel.test", &older.issue(&["panel.test"], Days::left(5)));
    let ca = SocketAddr::from((machine.ca_address(), 443));
    let practice = Practice::run(machine.address(), |options| {
        options.listen = ca;
        options.called = Some(LETS_ENCRYPT.to_owned());
    });
    let hosts = fs::read_to_string("/etc/hosts").unwrap();
    machine.write(
        "/etc/hosts",
        &format!("{hosts}\n{} {LETS_ENCRYPT}\n", ca.ip()),
        0o644,
    );
    machine.write("/etc/clpctl/ca.pem", practice.ca.ca_bundle_pem(), 0o644);
    // Nothing else is set: every path and port is the usual one.
    let config = format!(
        "[acme]\nca_bundle = \"/etc/clpctl/ca.pem\"\n[dns]\nservers = [\"{}\"]\n",
        practice.dns.address()
    );
    machine.write("/etc/clpctl/clpctl.toml", &config, 0o644);
    machine.launch();
    (machine, practice)
}

fn as_clp(machine: &PanelMachine, line: &str) -> Output {
    machine.run(&format!("su -s /bin/bash -c '{line}' clp"))
}

/// Record, files and nginx have one certificate, of the practice CA.
#[track_caller]
pub(super) fn whole(machine: &PanelMachine, domain: &str, files: &str) {
    let folder = "/etc/nginx/ssl-certificates";
    let (file, key) = (
        machine.path(&format!("{folder}/{files}.crt")),
        machine.path(&format!("{folder}/{files}.key")),
    );
    assert!(openssl::key_fits(&file, &key), "{domain}");
    let sha256 = openssl::sha256(&file);
    assert_eq!(
        openssl::served(machine.https(), domain),
        Some(sha256.clone()),
        "{domain}"
    );
    assert!(
        openssl::x509(&file, &["-issuer"]).contains("Practice"),
        "{domain}"
    );
    for path in [&file, &key] {
        let facts = path.metadata().unwrap();
        assert_eq!(
            (facts.uid(), facts.permissions().mode() & 0o777),
            (0, 0o644),
            "{domain}"
        );
    }
    if files == domain {
        let scratch = tempfile::NamedTempFile::new().unwrap();
        fs::write(
            scratch.path(),
            machine.database.active(domain, "c.certificate"),
        )
        .unwrap();
        assert_eq!(openssl::sha256(scratch.path()), sha256, "{domain}");
    }
}

#[test]
fn the_panels_user_renews_and_can_use_its_database_afterwards() {
    let (machine, practice) = machine();
    let said = as_clp(&machine, "/usr/sbin/clpctl lets-encrypt:renew:certificates");
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    assert_eq!(practice.orders(), 2, "{}", said.stdout);
    whole(&machine, "files.test", "files.test");
    whole(&machine, "panel.test", "custom-domain");
    // What lies beside the database is the panel's, and so is every challenge's folder gone.
    let beside = machine.run("find /home/clp ! -user clp; find /home -name .well-known");
    assert_eq!(beside.stdout, "");
    let written = as_clp(
        &machine,
        "sqlite3 ~/htdocs/app/data/db.sq3 \"UPDATE site SET updated_at = datetime()\"",
    );
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    // Nobody else gets that by our name.
    let other =
        machine.run("su -s /bin/sh -c '/usr/sbin/clpctl lets-encrypt:renew:certificates' site1");
    assert_ne!(other.code, Some(0));
    assert!(other.stderr.contains("root"), "{}", other.stderr);
    assert_eq!(machine.database.due(), [""; 0]);
    let again = as_clp(&machine, "/usr/sbin/clpctl lets-encrypt:renew:certificates");
    assert_eq!(
        (again.code, practice.orders()),
        (Some(0), 2),
        "{}",
        again.stdout
    );
}

/// Renews every site once more, by force.
#[track_caller]
fn renew_again(machine: &PanelMachine) {
    for site in sites() {
        let file = machine.path(&format!("/etc/nginx/ssl-certificates/{}.crt", site.domain));
        let first = openssl::sha256(&file);
        let again = format!(
            "clpctl site:renew-certificates --force --domain={}",
            site.domain
        );
        let _ = machine.run(&again).expect_ok();
        assert_ne!(openssl::sha256(&file), first, "{} is renewed", site.domain);
        whole(machine, site.domain, site.domain);
    }
}

#[test]
fn root_takes_every_site_from_self_signed_to_what_the_panel_shows() {
    let (machine, practice) = machine();
    let list = machine.run("clpctl site:list").expect_ok();
    for site in sites() {
        assert!(list.contains(site.domain), "{list}");
        let renewed = machine.run(&format!(
            "clpctl site:renew-certificates --domain={}",
            site.domain
        ));
        assert_eq!(
            renewed.code,
            Some(0),
            "{}\n{}",
            renewed.stdout,
            renewed.stderr
        );
        whole(&machine, site.domain, site.domain);
        assert!(
            machine
                .database
                .active(site.domain, "c.type, c.default_certificate")
                .starts_with("2|0")
        );
        let shown = machine
            .run(&format!("clpctl site:show --domain={}", site.domain))
            .expect_ok();
        assert!(shown.contains("CloudPanel"), "{shown}");
    }
    assert_eq!(practice.orders(), 6);
    assert_eq!(machine.database.due(), [""; 0]);
    let rest = machine.run("clpctl site:renew-certificates").expect_ok();
    assert_eq!(practice.orders(), 7, "the panel's own: {rest}");
    renew_again(&machine);
    assert_eq!(machine.database.due(), [""; 0]);
    let before = machine
        .run("find /home/clp/htdocs /etc/nginx | xargs stat -c '%n %y %i'")
        .stdout;
    let _ = machine.run("clpctl site:renew-certificates").expect_ok();
    let after = machine
        .run("find /home/clp/htdocs /etc/nginx | xargs stat -c '%n %y %i'")
        .stdout;
    assert_eq!(after, before, "nothing due, nothing written");
    let _ = machine.run("clpctl service:install").expect_ok();
    let judged = machine.run(
        "systemd-analyze verify --man=no --recursive-errors=no /etc/systemd/system/clpctl.service",
    );
    assert!(judged.ok(), "{}", judged.stderr);
}

#[test]
fn a_command_that_is_the_panels_goes_to_it_untouched() {
    let (machine, _practice) = machine();
    let words = "site:add:php '--domainName=a b' \"--siteUserPassword=!'\\\"\\$\" '' --json";
    let handed = machine.run(&format!("echo from stdin | VARIABLE=kept clpctl {words}"));
    assert_eq!(
        handed.stdout,
        "<site:add:php><--domainName=a b><--siteUserPassword=!'\"$><><--json> as root, kept, from stdin\n"
    );
    assert_eq!(
        (handed.code, handed.stderr.as_str()),
        (Some(7), "on the other stream\n")
    );
    let as_user = machine
        .run("echo x | VARIABLE=own su -m -s /bin/sh -c 'clpctl app:get:config-value key' clp");
    assert_eq!(
        as_user.stdout, "<app:get:config-value><key> as clp, own, x\n",
        "{}",
        as_user.stderr
    );
    // Where the panel's place holds ourselves, the command is unknown, and we do not go round.
    for ours in [
        "ln -sf /usr/sbin/clpctl /usr/bin/clpctl",
        "printf '#!/bin/sh\\nexec /usr/sbin/clpctl \"$@\"\\n' > /usr/bin/clpctl",
    ] {
        let round = machine.run(&format!(
            "rm /usr/bin/clpctl; {ours}; chmod 755 /usr/bin/clpctl; /usr/sbin/clpctl site:add:php"
        ));
        assert_eq!(round.code, Some(2), "{ours}: {}", round.stderr);
    }
}

#[test]
fn a_table_of_another_form_is_left_to_the_panels_command_and_the_price_is_said() {
    let (machine, _practice) = machine();
    let _ = machine
        .database
        .run("ALTER TABLE certificate RENAME COLUMN csr TO request;");
    let stand_in = "#!/bin/sh\nprintf '%s\\n' \"$@\" > /run/asked\nfor word; do case $word in --privateKey=*) openssl pkey -noout -in \"${word#*=}\" ;; esac; done\n";
    machine.write("/usr/bin/clpctl", stand_in, 0o755);
    let run = machine.run("/usr/sbin/clpctl site:renew-certificates --domain=files.test --json");
    let answer = Answer::read(&run).expect_code(0);
    assert_eq!(answer.outcome("files.test"), "renewed", "{:#}", answer.json);
    let price = answer.finding("files.test", "panel-schema-unknown")["detail"].to_string();
    assert!(
        price.contains("imported") && price.contains("deleted"),
        "{price}"
    );
    let asked = machine.run("cat /run/asked").stdout;
    assert!(
        asked.starts_with("site:install:certificate\n--domainName=files.test\n--privateKey="),
        "{asked}"
    );
    let left = machine.run("ls /var/lib/clpctl/cloudpanel").stdout;
    assert!(!left.contains("install"), "no key is left: {left}");
}

#[test]
fn while_the_panel_renews_by_itself_its_sites_wait_and_the_others_go_on() {
    let (mut machine, practice) = machine();
    let plain = Authority::new("Older").issue(&["plain.test"], Days::left(5));
    machine.add_plain("plain.test", &plain);
    let theirs = "/home/clp/htdocs/app/files/bin/clpctl";
    machine.write(
        theirs,
        "#!/bin/sh\ntouch /run/started\nwhile [ ! -e /run/done ]; do sleep 0.1; done\n",
        0o755,
    );
    machine.leave_running(&format!("exec {theirs} lets-encrypt:renew:certificates"));
    let started = machine.path("/run/started");
    assert!(testkit::program::wait_until(crate::answer::SOON, || {
        started.exists()
    }));
    let run = machine.run("clpctl site:renew-certificates --json");
    let answer = Answer::read(&run).expect_code(3);
    for domain in ["files.test", "panel.test"] {
        assert_eq!(answer.outcome(domain), "postponed", "{:#}", answer.json);
        let why = answer.site(domain)["reason"].to_string();
        assert!(
            why.contains("CloudPanel is obtaining certificates itself"),
            "{why}"
        );
    }
    assert_eq!(answer.outcome("plain.test"), "renewed");
    assert_eq!(practice.orders(), 1);
    let _ = machine.run("touch /run/done");
    assert!(testkit::program::wait_until(crate::answer::SOON, || {
        !machine
            .run("cat /proc/*/cmdline | tr '\\0' ' '")
            .stdout
            .contains(theirs)
    }));
    let _ = machine.run("clpctl site:renew-certificates").expect_ok();
    assert_eq!(practice.orders(), 3);
}

/// Runs the program there with `--json`.
#[track_caller]
pub(super) fn asked(machine: &PanelMachine, words: &str) -> Value {
    let said = machine.run(&format!("clpctl {words} --json")).expect_ok();
    serde_json::from_str(&said).unwrap()
}

fn account(machine: &PanelMachine) -> Value {
    asked(machine, "account:show")["accounts"][0].clone()
}

/// What the panel's account is kept among.
fn config(machine: &PanelMachine) -> String {
    machine.database.run("SELECT * FROM config;")
}

/// Gives the panel an account's key, as PHP writes it.
fn with_account_key(machine: &PanelMachine) -> String {
    let key = Program::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:4096",
        ])
        .run()
        .expect_ok();
    let _ = machine.database.run(&format!(
        "INSERT INTO config (key, value) VALUES ('le_private_key', '{key}');"
    ));
    key
}

const ADOPT: &str = "host:adopt --from=cloudpanel";
const FORCE: &str = "clpctl site:renew-certificates --force --domain=files.test";

#[test]
fn what_would_be_taken_over_from_the_panel_is_said_before_and_done_once() {
    let (machine, practice) = machine();
    let young = asked(&machine, "host:adopt --from=cloudpanel --dry-run");
    assert_eq!(young["clients"][0]["accounts"], json!([]), "{young:#}");
    let _ = with_account_key(&machine);
    let tree = |folders: &str| {
        machine
            .run(&format!("find {folders} -type f | sort | xargs md5sum"))
            .stdout
    };
    let (before, panels) = (
        tree("/etc /var/lib /home"),
        tree("/home/clp /home/site* /etc/nginx"),
    );
    let dry = asked(&machine, "host:adopt --from=cloudpanel --dry-run");
    assert_eq!(tree("/etc /var/lib /home"), before, "a dry run");
    let client = &dry["clients"][0];
    assert_eq!(client["client"], "cloudpanel");
    assert_eq!(client["accounts"][0]["outcome"], "taken-over", "{client:#}");
    let lineages = client["lineages"].as_array().unwrap();
    let names: Vec<_> = lineages.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["panel.test", "files.test"]);
    let adopted = asked(&machine, ADOPT);
    assert_eq!(adopted["writes"], dry["writes"], "what the dry run said");
    assert_eq!(practice.asked(Endpoint::NewAccount), 0);
    assert_eq!(asked(&machine, ADOPT)["changed"], false);
    assert_eq!(
        tree("/home/clp /home/site* /etc/nginx"),
        panels,
        "what is the panel's stays"
    );
}

#[test]
fn the_panels_account_is_used_for_orders_and_never_changed() {
    let (machine, practice) = machine();
    let key = with_account_key(&machine);
    let before = config(&machine);
    let _ = asked(&machine, ADOPT);
    let _ = machine.run("clpctl site:renew-certificates").expect_ok();
    assert_eq!(practice.orders(), 2);
    whole(&machine, "files.test", "files.test");
    let theirs = account(&machine);
    assert_eq!(
        theirs["directory"],
        format!("https://{LETS_ENCRYPT}/directory")
    );
    let file = theirs["file"].as_str().unwrap();
    let kept: Value = serde_json::from_str(&machine.run(&format!("cat {file}")).stdout).unwrap();
    assert_eq!(
        kept["key"].as_str().unwrap().trim(),
        key.trim(),
        "the very key"
    );
    for change in ["account:rollover", "account:deactivate --yes"] {
        let refused = machine.run(&format!("clpctl {change}"));
        assert_eq!(refused.code, Some(1), "{}", refused.stdout);
        assert!(
            refused.stderr.contains("CloudPanel's as well"),
            "{}",
            refused.stderr
        );
    }
    // Given back and taken again, the CA knows it still.
    let _ = machine.run("clpctl host:adopt --undo").expect_ok();
    assert_eq!(account(&machine)["url"], Value::Null);
    let _ = asked(&machine, ADOPT);
    let _ = machine.run(FORCE).expect_ok();
    assert_eq!(
        account(&machine)["url"],
        theirs["url"],
        "the same key is the same account"
    );
    let _ = machine.run("clpctl host:adopt --undo").expect_ok();
    let _ = machine.run(FORCE).expect_ok();
    assert_ne!(account(&machine)["url"], theirs["url"], "one of our own");
    let stays = asked(&machine, ADOPT);
    assert_eq!(stays["clients"][0]["accounts"][0]["outcome"], "stays");
    assert_eq!(config(&machine), before);
}
