//! Does a host that comes from certbot work on, and could it go back?

use std::fs;

use testkit::host::Host;
use testkit::nginx::Site;
use testkit::{certbot, openssl};

use crate::answer::ask;
use crate::disk::{self, assert_served, linked_version};

#[test]
fn a_lineage_of_certbots_is_renewed_and_certbot_still_accepts_it() {
    let mut host = Host::start([Site::cloudpanel("a.test").also("www.a.test")]);
    let pebble = host.with_pebble(|settings| settings);
    let (letsencrypt, root) = (host.letsencrypt(), host.nginx.document_root("a.test"));
    certbot::issue(&letsencrypt, &pebble, &root, &["a.test", "www.a.test"]);
    let live = host.live("a.test");
    let site = Site::cloudpanel("a.test").also("www.a.test");
    host.nginx
        .add(site.certificate(live.join("fullchain.pem"), live.join("privkey.pem")));
    host.nginx.reload();
    let vhost = disk::entry(&host.nginx.vhost("a.test"));
    let parameters = disk::entry(&letsencrypt.join("renewal/a.test.conf"));
    let accounts = disk::tree(&letsencrypt.join("accounts"), &[]);
    let first = disk::tree(&host.archive("a.test"), &[]);
    let ordered = pebble.requests().new_order;
    let answer = ask(
        &host,
        &["site:renew-certificates", "--force", "--domain=a.test"],
    )
    .expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "renewed", "{:#}", answer.json);
    assert_eq!(pebble.requests().new_order, ordered + 1);
    assert_eq!(linked_version(&host, "a.test"), 2);
    assert_served(&host, "a.test");
    assert_eq!(
        disk::entry(&letsencrypt.join("renewal/a.test.conf")),
        parameters
    );
    assert_eq!(disk::entry(&host.nginx.vhost("a.test")), vhost);
    for (path, before) in first
        .iter()
        .chain(&accounts)
        .filter(|(path, _)| path.is_file())
    {
        assert_eq!(&disk::entry(path), before, "{}", path.display());
    }
    let listed = certbot::certificates(&letsencrypt);
    let serial = openssl::x509(&live.join("cert.pem"), &["-serial"]);
    let serial = serial
        .trim()
        .trim_start_matches("serial=")
        .trim_start_matches('0')
        .to_lowercase();
    assert!(
        listed.to_lowercase().contains(&serial),
        "{serial} is not in:\n{listed}"
    );
    for part in [
        "Certificate Name: a.test",
        "Domains: a.test www.a.test",
        "VALID",
    ] {
        assert!(listed.contains(part), "{listed}");
    }
    assert!(
        !listed.contains("INVALID") && !listed.contains("parse failures"),
        "{listed}"
    );
    assert!(
        !fs::read_to_string(letsencrypt.join("renewal/a.test.conf"))
            .unwrap()
            .is_empty()
    );
}
