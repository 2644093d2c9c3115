//! Are certbot's files read as certbot means them?

use super::{Parameters, managed, read};
use expect_test::{Expect, expect};
use std::path::Path;

#[track_caller]
fn check(text: &str, expect: Expect) {
    let managed = managed(
        Path::new("/nowhere"),
        Path::new("/nowhere/renewal/a.test.conf"),
        text,
    );
    let ca = managed.ca.map(|ca| ca.0);
    let account = managed.account;
    expect.assert_eq(&format!(
        "{ca:?} {account:?} {:?} {:?} {:?} {:?} renews: {} {:?} {:?}",
        managed.key_type,
        managed.profile,
        managed.before_expiry,
        managed.proof,
        managed.renews,
        managed.hooks,
        managed.notes
    ));
}

/// As certbot 2.1 writes it.
const OLD: &str = "\
# renew_before_expiry = 30 days
version = 2.1.0
cert = /nowhere/live/a.test/cert.pem

# Options used in the renewal process
[renewalparams]
account = a44ada954fcface26c6651939d6cd624
key_type = rsa
renew_hook = systemctl reload postfix = now
server = https://acme-v02.api.letsencrypt.org/directory
authenticator = webroot
webroot_path = /var/www,
[[webroot_map]]
www.a.test = /var/www
a.test = /var/www
";

#[test]
fn what_certbot_writes_is_understood() {
    check(
        OLD,
        expect![[
            r#"Some("https://acme-v02.api.letsencrypt.org/directory") Some("a44ada954fcface26c6651939d6cd624") Some(Rsa2048) None None Http renews: true [("deploy", "systemctl reload postfix = now")] ["certbot puts challenge files for a.test in /var/www, www.a.test in /var/www; clpctl asks nginx's configuration where"]"#
        ]],
    );
    check(
        "version = 5.8.0\nrenew_before_expiry = 20 days\n[renewalparams]\nkey_type = ecdsa\nelliptic_curve = secp384r1\n\
         pre_hook = \"true; x\"\nauthenticator = dns-cloudflare\nautorenew = False\npreferred_profile = shortlived\nreuse_key = True\n",
        expect![[
            r#"None None Some(EcdsaP384) Some("shortlived") Some(480h) Other("dns-cloudflare") renews: false [("before", "true; x")] ["certbot keeps its key (reuse_key); clpctl makes a new one at each renewal"]"#
        ]],
    );
    check(
        "[renewalparams]\nkey_type = rsa\nrsa_key_size = 4096\nauthenticator = nginx\npreferred_chain = ISRG Root X1\n",
        expect![[
            r#"None None Some(Rsa4096) None None Http renews: true [] ["certbot prefers the chain “ISRG Root X1”; clpctl takes the CA's first"]"#
        ]],
    );
}

#[test]
fn nonsense_is_nothing() {
    check(
        "",
        expect![[
            r#"None None None None None Other("nothing that is written down") renews: true [] []"#
        ]],
    );
    check(
        "\0[[[\n=\n= x\nkey_type\nautorenew = maybe\nrenew_before_expiry = 99999999999999999999 days",
        expect![[
            r#"None None None None None Other("nothing that is written down") renews: true [] []"#
        ]],
    );
    assert!(Parameters::read("# server = x").values.is_empty());
}

#[test]
fn a_host_without_certbot_has_none() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read(folder.path()).is_none());
    std::fs::create_dir_all(folder.path().join("renewal/clpctl")).unwrap();
    assert!(read(folder.path()).is_none());
}

#[test]
fn an_account_that_leads_out_of_the_folder_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let renewal = folder.path().join("renewal");
    std::fs::create_dir_all(&renewal).unwrap();
    for (name, account, server) in [
        ("a", "../../../../etc", "https://ca.test/directory"),
        ("b", "0123", "https://ca.test/../../../x"),
        ("c", "0123", "https://ca.test/directory"),
    ] {
        let text = format!("[renewalparams]\naccount = {account}\nserver = {server}\n");
        crate::testing::put(&renewal.join(format!("{name}.conf")), &text);
    }
    let found = read(folder.path()).unwrap();
    assert!(found.accounts.is_empty());
    let problems = found.problems.join("\n");
    assert_eq!(
        problems.matches("has no plain name").count(),
        2,
        "{problems}"
    );
    assert!(
        problems.contains("directory/0123/private_key.json: No such file"),
        "{problems}"
    );
}
