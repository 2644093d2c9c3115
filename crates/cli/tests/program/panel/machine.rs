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
fn machine() -> (PanelMachine, Practice) {
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
fn whole(machine: &PanelMachine, domain: &str, files: &str) {
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
    let before = machine
        .run("find /home/clp/htdocs /etc/nginx -type f | xargs stat -c '%n %y %i'")
        .stdout;
    let _ = machine.run("clpctl site:renew-certificates").expect_ok();
    let after = machine
        .run("find /home/clp/htdocs /etc/nginx -type f | xargs stat -c '%n %y %i'")
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
fn the_panels_account_is_read_used_for_orders_and_never_changed() {
    let (machine, practice) = machine();
    let absent = machine
        .run("clpctl host:adopt --from=cloudpanel --json --dry-run")
        .expect_ok();
    let absent: Value = serde_json::from_str(&absent).unwrap();
    assert_eq!(
        absent["clients"][0]["accounts"],
        json!([]),
        "a young panel has none: {absent:#}"
    );
    // As PHP writes it.
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
    let rows = "SELECT * FROM config;";
    let config = machine.database.run(rows);
    let tree = || {
        machine
            .run("find /etc /var/lib /home -type f | sort | xargs md5sum")
            .stdout
    };
    let before = tree();

    let dry = machine
        .run("clpctl host:adopt --from=cloudpanel --dry-run --json")
        .expect_ok();
    let dry: Value = serde_json::from_str(&dry).unwrap();
    assert_eq!(tree(), before, "a dry run");
    let client = &dry["clients"][0];
    assert_eq!(client["client"], "cloudpanel");
    assert_eq!(client["accounts"][0]["outcome"], "taken-over", "{client:#}");
    let names: Vec<_> = client["lineages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["panel.test", "files.test"]);
    let adopted = machine
        .run("clpctl host:adopt --from=cloudpanel --json")
        .expect_ok();
    let adopted: Value = serde_json::from_str(&adopted).unwrap();
    assert_eq!(adopted["writes"], dry["writes"], "what the dry run said");
    assert_eq!(practice.asked(Endpoint::NewAccount), 0);
    let own = "find /home /etc/nginx -type f | sort | xargs md5sum";
    let panels = machine.run(own).stdout;
    let again = machine
        .run("clpctl host:adopt --from=cloudpanel --json")
        .expect_ok();
    assert_eq!(
        serde_json::from_str::<Value>(&again).unwrap()["changed"],
        false,
        "{again}"
    );
    assert_eq!(machine.run(own).stdout, panels);

    let _ = machine.run("clpctl site:renew-certificates").expect_ok();
    assert_eq!(practice.orders(), 2);
    whole(&machine, "files.test", "files.test");
    let account = || -> Value {
        let shown = machine.run("clpctl account:show --json").expect_ok();
        serde_json::from_str::<Value>(&shown).unwrap()["accounts"][0].clone()
    };
    let theirs = account();
    assert_eq!(
        theirs["directory"],
        format!("https://{LETS_ENCRYPT}/directory")
    );
    let kept = machine
        .run(&format!("cat {}", theirs["file"].as_str().unwrap()))
        .stdout;
    let kept: Value = serde_json::from_str(&kept).unwrap();
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
    assert_eq!(
        machine.database.run(rows),
        config,
        "read, and never changed"
    );

    let _ = machine.run("clpctl host:adopt --undo").expect_ok();
    assert_eq!(account()["url"], Value::Null);
    let _ = machine
        .run("clpctl host:adopt --from=cloudpanel")
        .expect_ok();
    let _ = machine
        .run("clpctl site:renew-certificates --force --domain=files.test")
        .expect_ok();
    assert_eq!(
        account()["url"],
        theirs["url"],
        "the same key is the same account at the CA"
    );
    let _ = machine.run("clpctl host:adopt --undo").expect_ok();
    let _ = machine
        .run("clpctl site:renew-certificates --force --domain=files.test")
        .expect_ok();
    assert_ne!(account()["url"], theirs["url"], "one of our own");
    let other = machine
        .run("clpctl host:adopt --from=cloudpanel --json")
        .expect_ok();
    let other: Value = serde_json::from_str(&other).unwrap();
    assert_eq!(other["clients"][0]["accounts"][0]["outcome"], "stays");
    assert_eq!(machine.database.run(rows), config);
}
