//! The configuration, from files as people write them.

use std::ffi::OsString;
use std::path::Path;

use expect_test::{Expect, expect};
use renewal::name::Name;

use super::{Config, Flags, SETTINGS, load};
use crate::environment::Environment;
use crate::errors::CommandError;

fn read(text: &[u8], variables: &[(&str, &str)], flags: &Flags) -> Result<Config, CommandError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clpctl.toml");
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let answer = load(Some(&path), &Environment::new(variables), flags);
    let plain = |text: &str| text.replace(&format!("{}/", folder.path().display()), "");
    answer
        .map(|mut config| {
            config
                .shown
                .retain(|shown| shown.source != super::Source::Default);
            config
        })
        .map_err(|mut error| {
            error.error = plain(&error.error);
            error.causes = error.causes.iter().map(|cause| plain(cause)).collect();
            error
        })
}

fn check(text: &str, expect: Expect) {
    check_with(text, &[], &Flags::default(), expect);
}

fn check_with(text: &str, variables: &[(&str, &str)], flags: &Flags, expect: Expect) {
    let answer = match read(text.as_bytes(), variables, flags) {
        Ok(config) => config
            .shown
            .iter()
            .map(|shown| {
                let site = shown
                    .site
                    .as_ref()
                    .map(|site| format!("{site}: "))
                    .unwrap_or_default();
                let source = shown.source.to_string();
                let source = source
                    .rsplit_once('/')
                    .map_or(source.as_str(), |(_, name)| name);
                format!("{site}{} = {} ({source})\n", shown.key, shown.value)
            })
            .collect(),
        Err(error) => error
            .causes
            .iter()
            .map(|cause| format!("{cause}\n"))
            .collect::<String>(),
    };
    expect.assert_eq(&answer);
}

#[test]
fn an_empty_file_and_every_default() {
    check("", expect![""]);
    let config = read(b"", &[], &Flags::default()).unwrap();
    assert_eq!(config.acme.jobs.0, 16);
    assert_eq!(config.renewal.before_expiry, None);
    assert_eq!(config.nginx.prefix, None);
}

#[test]
fn the_file_of_the_manual() {
    check(
        include_str!("../../../../docs/guide/clpctl.toml"),
        expect![[r#"
            acme.contact = ["admin@example.com"] (clpctl.toml:4)
            renewal.before_expiry = "30d" (clpctl.toml:7)
            dns.servers = ["192.0.2.53:53"] (clpctl.toml:10)
            example.com: key_type = "rsa-2048" (clpctl.toml:16)
        "#]],
    );
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let mut flags = Flags::default();
    flags.set("acme.jobs", "--jobs", "4".to_owned());
    let variables = [
        ("CLPCTL_ACME_JOBS", "8"),
        ("CLPCTL_DNS_SERVERS", "127.0.0.1:8053,::1"),
        ("CLPCTL_ACME_PROFILE", ""),
    ];
    check_with(
        "[acme]\njobs = 2\nprofile = \"shortlived\"\nkey_type = \"rsa-2048\"",
        &variables,
        &flags,
        expect![[r#"
            acme.profile = "" (CLPCTL_ACME_PROFILE)
            acme.key_type = "rsa-2048" (clpctl.toml:4)
            acme.jobs = 4 (--jobs)
            dns.servers = ["127.0.0.1:8053", "[::1]:53"] (CLPCTL_DNS_SERVERS)
        "#]],
    );
}

#[test]
fn a_wrong_value_is_refused_even_where_a_higher_layer_has_a_good_one() {
    check_with(
        "[acme]\njobs = 0",
        &[("CLPCTL_ACME_JOBS", "8")],
        &Flags::default(),
        expect![[r#"
            clpctl.toml:2:1: jobs: “0” is not a number from 1 to 256
        "#]],
    );
}

#[test]
fn unknown_names() {
    check(
        "[pathz]\nstate = \"/x\"",
        expect![[r#"
        clpctl.toml:1:2: there is no table “pathz”; did you mean [paths]?
    "#]],
    );
    check(
        "[paths]\nstat = \"/x\"\n  acme-log = \"/y\"",
        expect![[r#"
            clpctl.toml:2:1: [paths] has no key “stat”; did you mean “state”?
            clpctl.toml:3:3: [paths] has no key “acme-log”; did you mean “acme_log”?
        "#]],
    );
    check(
        "[acme]\nbefore_expiry = \"30d\"",
        expect![[r#"
        clpctl.toml:2:1: [acme] has no key “before_expiry”; it belongs into [renewal]
    "#]],
    );
    check(
        "directory = \"https://ca.example\"",
        expect![[r#"
        clpctl.toml:1:1: “directory” belongs into the table [acme]
    "#]],
    );
    check(
        "[sites]\n",
        expect![[r#"
        clpctl.toml:1:2: there is no table “sites”; did you mean [[site]]?
    "#]],
    );
    check(
        "\"\\u0000\" = 1\n[acme]\n\"\\n\" = 2",
        expect![[r#"
        clpctl.toml:1:1: there is no table “\0”
        clpctl.toml:3:1: [acme] has no key “\n”
    "#]],
    );
    check_with(
        "",
        &[
            ("CLPCTL_ACME_JOB", "8"),
            ("CLPCTL_CONFIG", ""),
            ("PATH", "x"),
        ],
        &Flags::default(),
        expect![[r#"
            CLPCTL_ACME_JOB: no setting has this variable; did you mean “CLPCTL_ACME_JOBS”?
        "#]],
    );
}

#[test]
fn values_of_the_wrong_kind() {
    check(
        "[acme]\njobs = \"16\"\ncontact = \"a@b.example\"\ndirectory = 1\nkey_type = \"ecdsa-p265\"",
        expect![[r#"
            clpctl.toml:2:1: jobs: a number from 1 to 256 is expected here, and this is a text in quotes
            clpctl.toml:3:1: contact: a list of e-mail addresses is expected here, and this is a text in quotes
            clpctl.toml:4:1: directory: an https URL (http for loopback addresses) is expected here, and this is a number
            clpctl.toml:5:1: key_type: “ecdsa-p265” is not one of ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096; did you mean “ecdsa-p256”?
        "#]],
    );
    check(
        "acme = 1",
        expect![[r#"
        clpctl.toml:1:1: “acme” is a table; write [acme] and its keys below
    "#]],
    );
    check(
        "[nginx]\nedit = \"yes\"\nbinary = \"nginx\"\nhttps_port = 0xff",
        expect![[r#"
            clpctl.toml:2:1: edit: “yes” is not true, false, or auto
            clpctl.toml:3:1: binary: “nginx” is not an absolute path
            clpctl.toml:4:1: https_port: a port from 1 to 65535 is expected here, and this is a number
        "#]],
    );
    check(
        "[acme]\ncontact = [\"a@b.example\", 1]\nca_bundle = \"ca.pem\"",
        expect![[r#"
            clpctl.toml:2:1: contact: an e-mail address is expected here, and this is a number
            clpctl.toml:3:1: ca_bundle: “ca.pem” is not an absolute path
        "#]],
    );
}

#[test]
fn what_is_no_toml() {
    check(
        "[acme\n",
        expect![[r#"
        clpctl.toml:1:6: unclosed table, expected `]`
    "#]],
    );
    check(
        "[acme]\njobs = 1\njobs = 2\n",
        expect![[r#"
        clpctl.toml:3:1: duplicate key
    "#]],
    );
    check(
        "a = ",
        expect![[r#"
        clpctl.toml:1:5: string values must be quoted, expected literal string
    "#]],
    );
    check(
        &format!("a = {}1", "[".repeat(100_000)),
        expect![[r#"
        clpctl.toml:1:85: cannot recurse further; max recursion depth met
    "#]],
    );
}

#[test]
fn a_site() {
    check(
        "[[site]]\ndomain = \"Example.com\"\nnames = [\"example.com\", \"www.example.com\"]\nkey_type = \"rsa-4096\"\nmanage = \"none\"",
        expect![[r#"
            example.com: key_type = "rsa-4096" (clpctl.toml:4)
            example.com: manage = "none" (clpctl.toml:5)
        "#]],
    );
    let text = "[acme]\nprofile = \"tlsserver\"\n[renewal]\nmanage = \"listed\"\n[[site]]\ndomain = \"a.test\"\nbefore_expiry = \"10d\"\nnames = [\"b.test\"]";
    let flags = Flags::new(true);
    let config = read(text.as_bytes(), &[], &flags).unwrap();
    let name = |text| Name::parse(text).unwrap();
    let policies = [
        config.policy_for(&name("b.test")),
        config.policy_for(&name("c.test")),
    ];
    expect![[r#"
        [
            Policy {
                ca: Ca(
                    "https://acme-staging-v02.api.letsencrypt.org/directory",
                ),
                profile: Some(
                    "tlsserver",
                ),
                key_type: EcdsaP256,
                http01: Auto,
                before_expiry: Some(
                    864000s,
                ),
                dead_names: Fail,
                managed: true,
                listed: true,
            },
            Policy {
                ca: Ca(
                    "https://acme-staging-v02.api.letsencrypt.org/directory",
                ),
                profile: Some(
                    "tlsserver",
                ),
                key_type: EcdsaP256,
                http01: Auto,
                before_expiry: None,
                dead_names: Drop,
                managed: false,
                listed: false,
            },
        ]
    "#]]
    .assert_debug_eq(&policies);
    assert_eq!(
        config.names_for(&name("a.test")).unwrap().to_string(),
        "a.test, b.test"
    );
}

#[test]
fn sites_that_are_wrong() {
    check(
        "[[site]]\ndomain = \"a.test\"\n\n[[site]]\ndomain = \"b.test\"\nnames = [\"A.test\"]",
        expect![[r#"
            clpctl.toml:5:1: the site b.test claims a.test, as the site of line 2 does
        "#]],
    );
    check(
        "[[site]]\nnames = []",
        expect![[r#"
        clpctl.toml:1:1: a [[site]] needs a domain
    "#]],
    );
    check(
        "[[site]]\ndomain = \"localhost\"\n[[site]]\ndomain = \"a.test\"\nnames = [\"www1.a.test\", \"*.a.test\", 7, \"a b\"]",
        expect![[r#"
            clpctl.toml:2:1: domain: “localhost”: no CA can issue for it: it has no dot, so it is a name of the local network
            clpctl.toml:5:10: names: “www1.a.test”: no CA can issue for it: “www1.” is an alias that CloudPanel adds and nobody's DNS knows
            clpctl.toml:5:25: names: “*.a.test”: no CA can issue for it: a wildcard cannot be proved over HTTP
            clpctl.toml:5:37: names: a host name in quotes is expected here
            clpctl.toml:5:40: names: “a b” is not a host name: it contains ' '
        "#]],
    );
    check(
        "[[site]]\ndomain = \"a.test\"\nname = \"b.test\"\nkeytype = \"rsa-2048\"\nedit = true\nmode = \"webrot\"",
        expect![[r#"
            clpctl.toml:3:1: a [[site]] has no key “name”; did you mean “names”?
            clpctl.toml:4:1: a [[site]] has no key “keytype”; did you mean “key_type”?
            clpctl.toml:5:1: a [[site]] has no key “edit”
            clpctl.toml:6:1: mode: “webrot” is not one of auto, stateless, webroot, standalone; did you mean “webroot”?
        "#]],
    );
    check(
        "[site]\ndomain = \"a.test\"",
        expect![[r#"
        clpctl.toml:1:2: there may be several sites; write [[site]]
    "#]],
    );
    check(
        "site = [1]",
        expect![[r#"
        clpctl.toml:1:1: each site is a table; write [[site]] and its keys below
    "#]],
    );
    let many: Vec<String> = (0..101).map(|n| format!("\"{n}.a.test\"")).collect();
    check(
        &format!(
            "[[site]]\ndomain = \"a.test\"\nnames = [{}]",
            many.join(",")
        ),
        expect![[r#"
            clpctl.toml:3:1: names: 102 names are more than the 100 that one certificate can cover
        "#]],
    );
}

fn check_file(bytes: &[u8], expect: Expect) {
    expect.assert_eq(&read(bytes, &[], &Flags::default()).unwrap_err().to_text());
}

#[test]
fn files_that_are_no_configuration() {
    check_file(
        b"# fine\n\xff\xfe",
        expect![[r#"
        error: The configuration file clpctl.toml is not UTF-8 (line 2), so nothing was done.
    "#]],
    );
    check_file(
        &vec![b'#'; (1 << 20) + 1],
        expect![[r#"
        error: The configuration file clpctl.toml is larger than 1 MiB, so nothing was done.
    "#]],
    );
}

#[test]
fn a_missing_file_is_an_error_only_when_it_was_asked_for() {
    let environment = Environment::default();
    let asked = load(
        Some(Path::new("/nonexistent/clpctl.toml")),
        &environment,
        &Flags::default(),
    );
    expect![[r#"
        error: The configuration file /nonexistent/clpctl.toml cannot be read, so nothing was done.
        cause: No such file or directory (os error 2)
    "#]]
    .assert_eq(&asked.unwrap_err().to_text());
    let folder = load(Some(Path::new("/")), &environment, &Flags::default());
    expect![[r#"
        error: The configuration file / is not a file, so nothing was done.
    "#]]
    .assert_eq(&folder.unwrap_err().to_text());
    assert_eq!(
        super::text::read(Path::new("/nonexistent/clpctl.toml"), false),
        Ok(None)
    );
}

#[test]
fn every_setting_is_told_apart_from_every_other() {
    let mut variables: Vec<String> = SETTINGS.iter().map(super::Setting::variable).collect();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), SETTINGS.len());
    let mut site: Vec<&str> = SETTINGS
        .iter()
        .filter(|setting| setting.per_site)
        .map(|setting| setting.key)
        .collect();
    site.sort_unstable();
    site.dedup();
    assert_eq!(
        site.len(),
        SETTINGS.iter().filter(|setting| setting.per_site).count()
    );
}
