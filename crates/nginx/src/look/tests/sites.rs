//! Which blocks become one site, with which names.

use super::*;

#[test]
fn names_that_no_ca_could_issue_for_are_not_wanted() {
    check(
        &[(
            "a.conf",
            "server { server_name WWW1.a.test localhost _ intranet ~^x\\.test$ *.a.test 192.0.2.1 printer.local .a.test A.test. \"\" mail.* $hostname; }",
        )],
        &expect![[r#"
            a.test
              sites/a.conf:1 [0.0.0.0:80]
        "#]],
    );
    check(
        &[
            ("a.conf", "server { server_name _; }"),
            ("b.conf", "server { server_name localhost nas.lan; }"),
        ],
        &expect![[r#"
        no site
          sites/a.conf:1 [0.0.0.0:80]
          sites/b.conf:1 [0.0.0.0:80]
    "#]],
    );
    check(
        &[("a.conf", "server { server_name bücher.test a..b ok.test; }")],
        &expect![[r#"
        ok.test
          sites/a.conf:1 [0.0.0.0:80]
        ! name-not-public: “bücher.test” is not a host name: it contains 'ü'; write the name in its ASCII form (xn--…). server_name bücher.test in the server block at /etc/nginx/sites/a.conf:1
        ! name-not-public: “a..b” is not a host name: two dots follow each other, or it begins with one. server_name a..b in the server block at /etc/nginx/sites/a.conf:1
    "#]],
    );
    check(
        &[("a.conf", "server { server_name bücher.test; }")],
        &expect![[r#"
        no site
          sites/a.conf:1 [0.0.0.0:80]
        ! name-not-public: “bücher.test” is not a host name: it contains 'ü'; write the name in its ASCII form (xn--…). server_name bücher.test in the server block at /etc/nginx/sites/a.conf:1
    "#]],
    );
}

#[test]
fn a_placeholder_joins_nothing() {
    let vhost = |name: &str| {
        format!(
            "server {{ listen 80; listen 443 ssl; server_name {name}; ssl_certificate /snakeoil.pem; ssl_certificate_key /snakeoil.key; }}\n"
        )
    };
    check(
        &[
            ("a.conf", &vhost("a.test")),
            ("b.conf", &vhost("b.test")),
            ("c.conf", &(vhost("c.test") + &vhost("www.c.test"))),
        ],
        &expect![[r#"
        a.test
          sites/a.conf:1 [0.0.0.0:80 0.0.0.0:443+tls] pair /snakeoil.pem /snakeoil.key line 1
        b.test
          sites/b.conf:1 [0.0.0.0:80 0.0.0.0:443+tls] pair /snakeoil.pem /snakeoil.key line 1
        c.test, www.c.test
          sites/c.conf:1 [0.0.0.0:80 0.0.0.0:443+tls] pair /snakeoil.pem /snakeoil.key line 1
          sites/c.conf:2 [0.0.0.0:80 0.0.0.0:443+tls] pair /snakeoil.pem /snakeoil.key line 2
    "#]],
    );
}

#[test]
fn a_certificate_from_a_ca_joins_what_it_covers() {
    let vhost = |name: &str| {
        format!(
            "server {{ listen 443 ssl; server_name {name}; ssl_certificate /live/a/fullchain.pem; ssl_certificate_key /live/a/privkey.pem; }}\n"
        )
    };
    check_issued(
        &[
            ("a.conf", &vhost("a.test")),
            ("b.conf", &vhost("b.test")),
            ("c.conf", &vhost("c.test")),
            ("default.conf", &vhost("_")),
        ],
        &[("/live/a/fullchain.pem", &["b.test", "a.test", "old.test"])],
        &expect![[r#"
            a.test, b.test, old.test
              sites/a.conf:1 [0.0.0.0:443+tls] pair /live/a/fullchain.pem /live/a/privkey.pem line 1
              sites/b.conf:1 [0.0.0.0:443+tls] pair /live/a/fullchain.pem /live/a/privkey.pem line 1
              sites/default.conf:1 [0.0.0.0:443+tls] pair /live/a/fullchain.pem /live/a/privkey.pem line 1
            c.test
              sites/c.conf:1 [0.0.0.0:443+tls] pair /live/a/fullchain.pem /live/a/privkey.pem line 1
        "#]],
    );
}

#[test]
fn a_wildcard_certificate_is_not_wanted_again() {
    check_issued(
        &[(
            "a.conf",
            "server { listen 443 ssl; server_name a.test x.a.test y.a.test; ssl_certificate /w.pem; ssl_certificate_key /w.key; }",
        )],
        &[("/w.pem", &["*.a.test", "a.test"])],
        &expect![[r#"
            a.test, x.a.test, y.a.test
              sites/a.conf:1 [0.0.0.0:443+tls] pair /w.pem /w.key line 1
            ! name-not-public: a wildcard cannot be proved over HTTP, so a renewal could not cover *.a.test. The present certificate covers *.a.test.
        "#]],
    );
}

#[test]
fn http_and_https_of_one_name_are_one_site_and_the_visited_block_names_it() {
    check(
        &[
            (
                "1.conf",
                "server { listen 80; server_name b.test a.test; location / { return 301 https://$host$request_uri; } }",
            ),
            (
                "2.conf",
                "server { listen 443 ssl; server_name a.test b.test; root /srv; }",
            ),
        ],
        &expect![[r#"
            a.test, b.test
              sites/1.conf:1 [0.0.0.0:80]
              sites/2.conf:1 [0.0.0.0:443+tls] root /srv challenge /srv/
        "#]],
    );
}

#[test]
fn the_first_block_keeps_a_name_that_two_claim() {
    check(
        &[
            ("1.conf", "server { listen 80; server_name a.test b.test; }"),
            ("2.conf", "server { listen 80; server_name b.test c.test; }"),
            ("3.conf", "server { listen 80; server_name A.test; }"),
        ],
        &expect![[r#"
            a.test, b.test
              sites/1.conf:1 [0.0.0.0:80]
            c.test
              sites/2.conf:1 [0.0.0.0:80]
            ! names-overlap: Two server blocks claim b.test, and nginx answers with the first. b.test is a server_name of the blocks at /etc/nginx/sites/1.conf:1 and /etc/nginx/sites/2.conf:1; on 0.0.0.0:80 nginx answers with the one at /etc/nginx/sites/1.conf:1.
            no site
              sites/3.conf:1 [0.0.0.0:80]
            ! names-overlap: Two server blocks claim a.test, and nginx answers with the first. a.test is a server_name of the blocks at /etc/nginx/sites/1.conf:1 and /etc/nginx/sites/3.conf:1; on 0.0.0.0:80 nginx answers with the one at /etc/nginx/sites/1.conf:1.
        "#]],
    );
    check(
        &[
            (
                "1.conf",
                "server { listen 80; server_name a.test; return 301 https://a.test; }",
            ),
            (
                "2.conf",
                "server { listen 80; listen 443 ssl; server_name a.test; root /a; }",
            ),
        ],
        &expect![[r#"
            a.test
              sites/1.conf:1 [0.0.0.0:80]
              sites/2.conf:1 [0.0.0.0:80 0.0.0.0:443+tls] root /a challenge /a/
        "#]],
    );
}

#[test]
fn what_is_listed_comes_before_what_is_found() {
    let name = |text: &str| Name::parse(text).unwrap();
    let listed = |domain, names: Option<&[&str]>| Listed {
        domain: name(domain),
        names: names.and_then(|names| Names::new(names.iter().map(|text| name(text)))),
    };
    let settings = Settings {
        listed: vec![
            listed("www.a.test", None),
            listed("b.test", Some(&["b.test", "more.b.test"])),
            listed("nowhere.test", None),
        ],
        ..Settings::default()
    };
    let vhosts = [
        ("a.conf", "server { server_name a.test www.a.test; }"),
        ("b.conf", "server { server_name www.b.test b.test; }"),
    ];
    expect![[r#"
        www.a.test, a.test
          sites/a.conf:1 [0.0.0.0:80]
        b.test, more.b.test
          sites/b.conf:1 [0.0.0.0:80]
        unknown: nowhere.test
    "#]]
    .assert_eq(&shown(&seen(MAIN, &vhosts, settings, &[])));
}

#[test]
fn a_catch_all_that_borrows_a_certificate_is_no_site_but_one_with_its_own_is() {
    let catch_all = |file: &str| {
        format!(
            "server {{ listen 443 ssl default_server; server_name _; ssl_certificate {file}; ssl_certificate_key /k; }}"
        )
    };
    let vhosts = [
        (
            "a.conf",
            "server { listen 443 ssl; server_name a.test; ssl_certificate /a.crt; ssl_certificate_key /k; }",
        ),
        ("b.conf", &catch_all("/copy/of/a.crt")),
        ("c.conf", &catch_all("/c.crt")),
    ];
    check_issued(
        &vhosts,
        &[
            ("/a.crt", &["a.test"]),
            ("/copy/of/a.crt", &["a.test"]),
            ("/c.crt", &["c.test"]),
        ],
        &expect![[r#"
            a.test
              sites/a.conf:1 [0.0.0.0:443+tls] pair /a.crt /k line 1
            c.test
              sites/c.conf:1 [0.0.0.0:443+tls+default] pair /c.crt /k line 1
            no site
              sites/b.conf:1 [0.0.0.0:443+tls+default] pair /copy/of/a.crt /k line 1
        "#]],
    );
}
