//! What else obtains certificates on the panel's host, and what comes of it when that happens amid a run of ours?

use std::time::Duration;

use rustix::process::Signal;
use testkit::panel::PanelMachine;
use testkit::program::wait_until;

use super::*;
use crate::answer::SOON;

/// Has the panel renew a.test while our order is at the CA; the certificate that it gets has so many days left.
fn amid(left: i64) {
    let mut panel = PanelHost::prepare();
    let older = Authority::new("Older");
    for domain in ["a.test", "b.test"] {
        let old = older.issue(&[domain], Days::left(5));
        panel.add_with(&PanelSite::new(domain, Shape::Php), 2, &old);
    }
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    // The panel's CA is trusted as ours is.
    let (bundle, theirs) = (
        panel.host.folder().join("practice.pem"),
        Authority::new("Theirs"),
    );
    fs::write(
        &bundle,
        fs::read_to_string(&bundle).unwrap() + theirs.root(),
    )
    .unwrap();
    practice.slow(Duration::from_secs(4));
    let program = panel.clpctl(env!("CARGO_BIN_EXE_clpctl"));
    let mut ours = program.spawn(&["site:renew-certificates", "--json"]);
    assert!(wait_until(SOON, || practice.orders() == 2));
    // It waits for the CA, and is held until the panel is done.
    ours.signal(Signal::STOP);
    assert_eq!(practice.asked(testca::Endpoint::Finalize), 0);
    let pair = theirs.issue(&["a.test"], Days::left(left));
    panel.database.renew("a.test", &pair);
    panel
        .database
        .project("a.test", &panel.host.nginx.certificates());
    panel.host.nginx.reload();
    ours.signal(Signal::CONT);
    let ended = ours.wait(SOON).expect("it ends");
    let said: Value = serde_json::from_str(&ours.stdout()).unwrap();
    let answer = Answer {
        code: ended.code(),
        json: said,
    };
    let said = answer.finding("a.test", "panel-not-written")["detail"].to_string();
    assert!(said.contains("renewed by CloudPanel meanwhile"), "{said}");
    assert_eq!(answer.outcome("b.test"), "renewed");
    assert_whole(&panel, "b.test", "b.test");
    // Nothing of it is lost: the next run goes on with whichever ends later.
    let _ = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_whole(&panel, "a.test", "a.test");
    let (file, _) = pair.write(panel.host.folder(), "theirs");
    let served = openssl::sha256(&panel.host.nginx.certificates().join("a.test.crt"));
    assert_eq!(served == openssl::sha256(&file), left > 90);
    let again = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(again.site("a.test")["findings"], json!([]));
    assert_eq!((again.reloads(), practice.orders()), (0, 2));
}

#[test]
fn what_the_panel_obtained_amid_our_order_is_replaced_when_ours_ends_later() {
    amid(60);
}

#[test]
fn what_the_panel_obtained_amid_our_order_is_taken_over_when_it_ends_later() {
    amid(400);
}

/// Audits the machine; returns what is said of who renews, each as its name and its detail.
fn audited(machine: &PanelMachine) -> Vec<String> {
    let run = machine.run("clpctl host:audit --json");
    let json: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.stderr));
    let findings = json["host"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| &check["finding"]);
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let said =
        findings.map(|finding| format!("{}: {}", text(finding, "name"), text(finding, "detail")));
    said.filter(|said| said.starts_with("other-client") || said.starts_with("panel-cron"))
        .collect()
}

#[test]
fn the_audit_names_acme_sh_certbot_and_a_cron_file_of_the_panels_that_is_gone() {
    let (machine, _practice) = machine::machine();
    assert_eq!(audited(&machine), [""; 0]);
    let older = Authority::new("Older");
    for (file, name) in [
        ("/root/.acme.sh/files.test_ecc/fullchain.cer", "files.test"),
        ("/etc/letsencrypt/live/node.test/cert.pem", "node.test"),
    ] {
        let issued = older.issue(&[name], Days::left(5)).fullchain();
        machine.write(file, &issued, 0o644);
    }
    let own = "/root/.acme.sh/files.test_ecc/files.test.conf";
    machine.write(own, ACME_SH, 0o644);
    machine.write("/etc/letsencrypt/renewal/node.test.conf", CERTBOT, 0o644);
    assert_eq!(audited(&machine), [""; 0], "nothing starts them");
    machine.write(CRONTAB, ACME_SH_JOB, 0o600);
    let timer = "/etc/systemd/system/timers.target.wants/certbot.timer";
    let _ = machine.run("mkdir -p /run/systemd/system").expect_ok();
    machine.write(timer, "", 0o644);
    let _ = machine.run("rm /etc/cron.d/clp").expect_ok();
    assert_eq!(
        audited(&machine),
        [
            "other-client-active: node.test; started by certbot.timer",
            "other-client-active: files.test_ecc; started by /var/spool/cron/crontabs/root:1",
            "panel-cron-missing: /etc/cron.d/clp does not exist",
        ]
    );
}

#[test]
fn what_acme_sh_put_into_the_panels_files_is_taken_over_and_renewed_there() {
    let (machine, practice) = machine::machine();
    let file = machine.path("/etc/nginx/ssl-certificates/files.test.crt");
    let served = fs::read_to_string(file).unwrap();
    let home = "/root/.acme.sh";
    let kept = format!("{home}/files.test_ecc/fullchain.cer");
    machine.write(&kept, &served, 0o644);
    let own = format!("{home}/files.test_ecc/files.test.conf");
    machine.write(&own, ACME_SH, 0o644);
    let key = format!("{home}/ca/acme-v02.api.letsencrypt.org/directory/account.key");
    machine.write(&key, "", 0o600);
    let make = machine.run(&format!(
        "openssl ecparam -genkey -name prime256v1 -noout -out {key}"
    ));
    let _ = make.expect_ok();
    machine.write(CRONTAB, ACME_SH_JOB, 0o600);
    let record = || machine.database.run("SELECT * FROM certificate;");
    let before = record();
    let adopted = machine::asked(&machine, "host:adopt --from=acme.sh");
    let client = &adopted["clients"][0];
    assert_eq!(client["lineages"][0]["outcome"], "taken-over", "{client:#}");
    assert_eq!(client["accounts"][0]["outcome"], "taken-over", "{client:#}");
    assert_eq!(
        (record(), practice.orders()),
        (before, 0),
        "nothing of the panel's is touched"
    );
    let renew = "clpctl site:renew-certificates --domain=files.test";
    let _ = machine.run(renew).expect_ok();
    machine::whole(&machine, "files.test", "files.test");
    let shown = machine
        .database
        .active("files.test", "c.type, c.default_certificate");
    assert_eq!((shown.as_str(), practice.orders()), ("2|0", 1));
    assert_eq!(machine.database.due(), [""; 0]);
}

/// Root's table of cron.
const CRONTAB: &str = "/var/spool/cron/crontabs/root";

/// The line that acme.sh puts there.
const ACME_SH_JOB: &str =
    "41 0 * * * \"/root/.acme.sh\"/acme.sh --cron --home \"/root/.acme.sh\" > /dev/null\n";

/// What acme.sh has of a certificate.
const ACME_SH: &str = "Le_Domain='files.test'
Le_Alt='no'
Le_Webroot='/home/site4/htdocs/files.test'
Le_API='https://acme-v02.api.letsencrypt.org/directory'
Le_Keylength='ec-256'
Le_RealKeyPath='/etc/nginx/ssl-certificates/files.test.key'
Le_RealFullChainPath='/etc/nginx/ssl-certificates/files.test.crt'
Le_NextRenewTime='1798030899'
";

/// What certbot has of one.
const CERTBOT: &str = "version = 2.1.0
archive_dir = /etc/letsencrypt/archive/node.test
cert = /etc/letsencrypt/live/node.test/cert.pem
privkey = /etc/letsencrypt/live/node.test/privkey.pem
chain = /etc/letsencrypt/live/node.test/chain.pem
fullchain = /etc/letsencrypt/live/node.test/fullchain.pem
[renewalparams]
account = 0123
authenticator = webroot
server = https://acme-v02.api.letsencrypt.org/directory
";
