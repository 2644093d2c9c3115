//! Is what another client manages taken over without a new order or account, and can it go back?

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::certificate::{Authority, Days};
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::pebble::Pebble;
use testkit::program::Program;
use testkit::{certbot, openssl};

use crate::answer::{Answer, ask, clpctl, document};
use crate::disk::{self, NOTHING, assert_served, linked_version};
use crate::namespace::Machine;

const FORCE: [&str; 3] = ["site:renew-certificates", "--domain=a.test", "--force"];

/// Debian's job, as its package brings it.
const DEBIAN_JOB: &str = "SHELL=/bin/sh\n0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && certbot -q renew\n";

/// A host on which this certbot obtained an RSA certificate for a.test, that nginx serves.
fn certbots(program: &Path) -> (Host, Pebble) {
    let site = Site::cloudpanel("a.test").also("www.a.test");
    let mut host = Host::start([site]);
    let pebble = host.with_pebble(|settings| settings);
    let (letsencrypt, root) = (host.letsencrypt(), host.nginx.document_root("a.test"));
    let options = ["--key-type", "rsa", "--deploy-hook", "echo deployed"];
    certbot::issue_with(
        program,
        &letsencrypt,
        &pebble,
        &root,
        &["a.test", "www.a.test"],
        &options,
    );
    let live = host.live("a.test");
    let site = Site::cloudpanel("a.test").also("www.a.test");
    host.nginx
        .add(site.certificate(live.join("fullchain.pem"), live.join("privkey.pem")));
    host.nginx.reload();
    (host, pebble)
}

/// Everything on the host but logs, nginx's own, what SQLite does for itself, and what certbot leaves beside.
fn everything(host: &Host) -> disk::Tree {
    let left_out = [
        "clpctl.log",
        "acme.log",
        "lock",
        "clpctl.db-shm",
        "clpctl.db-wal",
        "machine",
    ];
    let mut tree = disk::tree(host.folder(), &left_out);
    // The folders in which those come and go.
    tree.remove(&host.state());
    tree
}

/// What certbot wrote, but for the links and versions of the lineage, which both write.
fn certbots_own(host: &Host) -> disk::Tree {
    let mut tree = disk::tree(&host.letsencrypt().join("renewal"), &[]);
    tree.extend(disk::tree(
        &host.letsencrypt().join("accounts"),
        &["clpctl"],
    ));
    tree.retain(|path, _| path.is_file());
    tree
}

fn certbots_account(host: &Host) -> String {
    let accounts = disk::tree(&host.letsencrypt().join("accounts"), &["clpctl"]);
    let file = accounts
        .keys()
        .find(|path| path.ends_with("regr.json"))
        .unwrap();
    let json: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    json["uri"].as_str().unwrap().to_owned()
}

fn client(answer: &Answer) -> &Value {
    &answer.json["clients"][0]
}

#[track_caller]
fn check_certbot(program: &Path) {
    let (host, pebble) = certbots(program);
    let (before, url) = (everything(&host), certbots_account(&host));
    let dry = ask(&host, &["host:adopt", "--dry-run"]).expect_code(0);
    assert_eq!(
        disk::differences(&before, &everything(&host)),
        NOTHING,
        "a dry run"
    );
    let found = client(&dry);
    assert_eq!(found["client"], "certbot");
    assert_eq!(found["accounts"][0]["outcome"], "taken-over", "{found:#}");
    assert_eq!(
        found["lineages"][0]["sites"][0]["settings"]["key_type"],
        "rsa-2048"
    );
    assert_eq!(found["lineages"][0]["hooks"][0]["command"], "echo deployed");
    let asked = pebble.requests();
    let own = certbots_own(&host);
    let adopted = ask(&host, &["host:adopt", "--from=certbot"]).expect_code(0);
    assert_eq!(
        adopted.json["writes"], dry.json["writes"],
        "what the dry run said"
    );
    assert_eq!(pebble.requests(), asked, "the CA was asked for nothing");
    let account = ask(&host, &["account:show"]).expect_code(0);
    assert_eq!(account.json["accounts"][0]["url"], url.as_str());
    let after = everything(&host);
    let again = ask(&host, &["host:adopt"]).expect_code(0);
    assert_eq!(again.json["changed"], false, "{:#}", again.json);
    assert_eq!(
        disk::differences(&after, &everything(&host)),
        NOTHING,
        "a second time"
    );

    let renewed = ask(&host, &FORCE).expect_code(0);
    pebble.assert_well();
    assert_eq!(renewed.outcome("a.test"), "renewed", "{:#}", renewed.json);
    let counted = pebble.requests();
    assert_eq!(counted.new_account, asked.new_account, "the same account");
    assert_eq!(counted.new_order, asked.new_order + 1);
    assert_served(&host, "a.test");
    let text = openssl::x509(&host.live("a.test").join("cert.pem"), &["-text"]);
    assert!(
        text.contains("rsaEncryption"),
        "the kind of key stays:\n{text}"
    );
    assert_eq!(
        disk::differences(&own, &certbots_own_of(&host, &own)),
        NOTHING
    );

    let undone = ask(&host, &["host:adopt", "--undo"]).expect_code(0);
    assert_eq!(
        undone.json["left"],
        serde_json::json!([]),
        "{:#}",
        undone.json
    );
    for gone in ["state/adopted.json", "adopted.toml"] {
        assert!(!host.folder().join(gone).exists(), "{gone}");
    }
    certbot::renew(program, &host.letsencrypt(), &pebble);
    assert_eq!(linked_version(&host, "a.test"), 3);
    assert_eq!(pebble.requests().new_account, asked.new_account);
}

/// The same files as in `own`: clpctl keeps files of its own beside them.
fn certbots_own_of(host: &Host, own: &disk::Tree) -> disk::Tree {
    let mut now = certbots_own(host);
    now.retain(|path, _| own.contains_key(path));
    now
}

#[test]
fn a_host_of_the_distributions_certbot_is_taken_over_and_goes_back() {
    check_certbot(certbot::DISTRIBUTED.as_ref());
}

#[test]
fn a_host_of_the_newest_certbot_is_taken_over_and_goes_back() {
    check_certbot(&certbot::newest());
}

#[test]
fn the_other_client_is_named_and_stopped_only_when_that_is_asked_for() {
    let (host, _pebble) = certbots(certbot::DISTRIBUTED.as_ref());
    let machine = Machine::new(&host);
    machine.put("/etc/cron.d/certbot", DEBIAN_JOB);
    let audit = || document(&machine.run(&["host:audit"]), 0);
    let check = &audit()["host"][0];
    assert_eq!(check["finding"]["name"], "other-client-active", "{check:#}");
    assert!(
        check["finding"]["detail"]
            .to_string()
            .contains("/etc/cron.d/certbot")
    );
    let job = machine.path("/etc/cron.d/certbot");
    let before = disk::entry(&job);
    let adopted = document(&machine.run(&["host:adopt"]), 0);
    assert_eq!(adopted["clients"][0]["schedules"][0]["stopped"], false);
    assert_eq!(disk::entry(&job), before, "it was only named");
    let _ = document(&machine.run(&["host:adopt", "--disable-other-client"]), 0);
    assert!(!job.exists());
    assert_eq!(audit()["verdict"], "ready");
    let _ = document(&machine.run(&["host:adopt", "--undo"]), 0);
    assert_eq!(disk::entry(&job), before);
    assert_eq!(machine.asked(), "");
}

#[test]
fn a_timer_of_systemd_is_disabled_and_enabled_again() {
    let (host, _pebble) = certbots(certbot::DISTRIBUTED.as_ref());
    let machine = Machine::new(&host);
    machine.put("/run/systemd/system/mark", "");
    machine.put("/etc/cron.d/certbot", DEBIAN_JOB);
    machine.put("/etc/systemd/system/timers.target.wants/certbot.timer", "");
    let adopted = machine.run(&["host:adopt", "--disable-other-client"]);
    let adopted = document(&adopted, 0);
    let schedules = &adopted["clients"][0]["schedules"];
    assert_eq!(schedules[0]["what"], "certbot.timer", "{schedules:#}");
    assert_eq!(machine.asked(), "disable --now certbot.timer\n");
    assert!(
        machine.path("/etc/cron.d/certbot").exists(),
        "it starts nothing under systemd"
    );
    let _ = document(&machine.run(&["host:adopt", "--undo"]), 0);
    assert_eq!(
        machine.asked(),
        "disable --now certbot.timer\nenable --now certbot.timer\n"
    );
}

#[test]
fn a_client_that_is_still_needed_is_not_stopped() {
    let (host, pebble) = certbots(certbot::DISTRIBUTED.as_ref());
    let root = host.nginx.document_root("a.test");
    certbot::issue(&host.letsencrypt(), &pebble, &root, &["mail.test"]);
    let machine = Machine::new(&host);
    machine.put("/etc/cron.d/certbot", DEBIAN_JOB);
    let before = disk::tree(&host.letsencrypt(), &[]);
    let refused = document(&machine.run(&["host:adopt", "--disable-other-client"]), 1);
    let causes = refused["error"]["causes"].to_string();
    assert!(
        causes.contains("certbot renews mail.test: no site of nginx"),
        "{causes}"
    );
    assert_eq!(
        disk::differences(&before, &disk::tree(&host.letsencrypt(), &[])),
        NOTHING
    );
    assert!(!host.state().join("adopted.json").exists());
    assert!(machine.path("/etc/cron.d/certbot").exists());
    let adopted = document(&machine.run(&["host:adopt"]), 0);
    let stays = adopted["clients"][0]["lineages"].as_array().unwrap();
    let stays: Vec<_> = stays
        .iter()
        .map(|one| (&one["name"], &one["outcome"]))
        .collect();
    assert_eq!(stays[0], (&"a.test".into(), &"taken-over".into()));
    assert_eq!(stays[1], (&"mail.test".into(), &"stays".into()));
}

#[test]
fn an_account_of_our_own_stays_and_so_do_settings_that_somebody_changed() {
    let (host, _pebble) = certbots(certbot::DISTRIBUTED.as_ref());
    let _ = ask(&host, &FORCE).expect_code(0);
    let ours = ask(&host, &["account:show"]).expect_code(0).json;
    // The new certificate is not the one that certbot knows as its newest; it reads the same links.
    let adopted = ask(&host, &["host:adopt"]).expect_code(0);
    assert_eq!(client(&adopted)["accounts"][0]["outcome"], "stays");
    assert_eq!(ask(&host, &["account:show"]).expect_code(0).json, ours);
    let settings = host.folder().join("adopted.toml");
    let text = fs::read_to_string(&settings).unwrap();
    disk::put(&settings, format!("{text}# mine\n"));
    let undone = ask(&host, &["host:adopt", "--undo"]).expect_code(0);
    assert!(
        undone.json["left"]
            .to_string()
            .contains("was changed by somebody")
    );
    assert!(settings.exists());
    assert_eq!(ask(&host, &["account:show"]).expect_code(0).json, ours);
}

/// A file as acme.sh 3.1 writes it.
fn acme_sh_conf(directory: &str, files: &Path) -> String {
    format!(
        "Le_Domain='c.test'\nLe_Alt='no'\nLe_Webroot='/var/www'\nLe_PreHook=''\nLe_API='{directory}'\n\
         Le_Keylength='ec-384'\nLe_NextRenewTime='1798030899'\nLe_RealKeyPath='{0}/c.key'\n\
         Le_ReloadCmd='__ACME_BASE64__START_c3lzdGVtY3RsIHJlbG9hZCBuZ2lueA==__ACME_BASE64__END_'\n\
         Le_RealFullChainPath='{0}/c.pem'\n",
        files.display()
    )
}

/// Writes what acme.sh has for c.test into the host's home; the certificate is copied where nginx reads it.
fn acme_shs(host: &mut Host, directory: &str) -> PathBuf {
    let pair = Authority::new("Older").issue(&["c.test"], Days::left(20));
    let files = host.folder().join("ssl");
    fs::create_dir_all(&files).unwrap();
    disk::put(&files.join("c.pem"), pair.fullchain());
    let key = files.join("c.key");
    disk::put(&key, &pair.key);
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let home = host.folder().join(".acme.sh");
    // Its folder leaves out the port.
    let (host_and_port, path) = directory
        .trim_start_matches("https://")
        .split_once('/')
        .unwrap();
    let (name, _) = host_and_port.split_once(':').unwrap();
    let authority = format!("{name}/{path}");
    let account = home.join("ca").join(authority);
    for folder in [&home.join("c.test_ecc"), &account] {
        fs::create_dir_all(folder).unwrap();
    }
    disk::put(
        &home.join("c.test_ecc/c.test.conf"),
        acme_sh_conf(directory, &files),
    );
    disk::put(&home.join("c.test_ecc/fullchain.cer"), pair.fullchain());
    let key = Program::new("openssl").args(["ecparam", "-genkey", "-name", "prime256v1"]);
    disk::put(&account.join("account.key"), key.run().expect_ok());
    host.nginx
        .add(Site::cloudpanel("c.test").certificate(files.join("c.pem"), files.join("c.key")));
    host.nginx.reload();
    home
}

#[test]
fn what_acme_sh_manages_is_taken_over_with_its_key() {
    let mut host = Host::start([Site::files("c.test")]);
    let pebble = host.with_pebble(|settings| settings);
    let home = acme_shs(&mut host, &pebble.directory());
    let own = disk::tree(&home, &[]);
    let adopted = ask(&host, &["host:adopt", "--from=acme.sh"]).expect_code(0);
    let found = client(&adopted);
    assert_eq!(found["lineages"][0]["outcome"], "taken-over", "{found:#}");
    assert_eq!(
        found["lineages"][0]["hooks"][0]["command"],
        "systemctl reload nginx"
    );
    assert_eq!(
        found["lineages"][0]["sites"][0]["settings"]["key_type"],
        "ecdsa-p384"
    );
    assert_eq!(found["accounts"][0]["outcome"], "taken-over", "{found:#}");
    assert_eq!(pebble.requests().total(), 0, "the CA was asked for nothing");
    let renewed = ask(&host, &["site:renew-certificates", "--domain=c.test"]).expect_code(0);
    pebble.assert_well();
    assert_eq!(renewed.outcome("c.test"), "renewed", "{:#}", renewed.json);
    assert_served(&host, "c.test");
    let text = openssl::x509(&host.live("c.test").join("cert.pem"), &["-text"]);
    assert!(text.contains("secp384r1"), "{text}");
    let before = everything(&host);
    let again = ask(&host, &["host:adopt", "--from=acme.sh"]).expect_code(0);
    assert_eq!(client(&again)["lineages"][0]["outcome"], "taken-over");
    assert_eq!(
        disk::differences(&before, &everything(&host)),
        NOTHING,
        "a second time"
    );
    let undone = ask(&host, &["host:adopt", "--undo"]).expect_code(0);
    let left = undone.json["left"].to_string();
    assert!(left.contains("ssl/c.pem: name that again"), "{left}");
    assert_eq!(disk::differences(&own, &disk::tree(&home, &[])), NOTHING);
}

#[test]
fn a_cron_line_of_acme_sh_for_the_same_names_is_named() {
    let mut host = Host::start([Site::files("c.test")]);
    let pebble = host.with_pebble(|settings| settings);
    let home = acme_shs(&mut host, &pebble.directory());
    let machine = Machine::new(&host);
    let line = format!(
        "41 0 * * * root \"{0}\"/acme.sh --cron --home \"{0}\" > /dev/null\n",
        home.display()
    );
    machine.put("/etc/cron.d/acme", &line);
    let audit = document(&machine.run(&["host:audit"]), 0);
    let finding = &audit["host"][0]["finding"];
    assert_eq!(finding["name"], "other-client-active", "{audit:#}");
    let said = finding["detail"].as_str().unwrap();
    assert!(
        said.contains("c.test") && said.contains("/etc/cron.d/acme"),
        "{said}"
    );
}

#[test]
fn a_host_without_another_client_has_nothing_to_take_over() {
    let host = Host::start([Site::files("a.test")]);
    let output = clpctl(&host).run(&["host:adopt", "--dry-run"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains("nothing to take over"),
        "{}",
        output.stdout
    );
    assert!(!host.state().exists(), "a dry run makes no folder");
    let undo = clpctl(&host).run(&["host:adopt", "--undo"]);
    assert!(
        undo.stdout.contains("nothing to give back"),
        "{}",
        undo.stdout
    );
    let panel = clpctl(&host).run(&["host:adopt", "--from=cloudpanel"]);
    assert_eq!(panel.code, Some(0), "{}", panel.stderr);
    assert!(
        panel
            .stdout
            .starts_with("Nothing of CloudPanel was found here")
    );
}

#[test]
fn a_panel_without_its_cron_file_is_told_of() {
    let mut host = Host::start([Site::files("a.test")]);
    let database = host.folder().join("db.sq3");
    disk::put(&database, "");
    host.set("host", "cloudpanel_database", &format!("{database:?}"));
    let machine = Machine::new(&host);
    let audit = document(&machine.run(&["host:audit"]), 0);
    assert_eq!(
        audit["host"][1]["finding"]["name"], "panel-cron-missing",
        "{audit:#}"
    );
    assert_eq!(audit["verdict"], "at-risk");
    machine.put("/etc/cron.d/clp", "MAILTO=\"\"\n");
    let audit = document(&machine.run(&["host:audit"]), 0);
    assert_eq!(audit["verdict"], "ready", "{audit:#}");
}
