//! Vhosts as people have them, and the sites that are in them.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use renewal::site::{ChallengeFolder, Listen};

use super::*;
use crate::conf::read::InMemory;

mod sites;

const MAIN: &str = "events { }\nhttp { include sites/*.conf; }\n";

/// Looks at vhosts (each in its own file, by name) under a main file.
fn seen(
    main: &str,
    vhosts: &[(&str, &str)],
    settings: Settings,
    issued: &[(&str, &[&str])],
) -> Look {
    let files = vhosts
        .iter()
        .map(|(name, text)| (format!("/etc/nginx/sites/{name}"), (*text).to_owned()));
    let main = ("/etc/nginx/nginx.conf".to_owned(), main.to_owned());
    let reader: InMemory = files.chain([main]).collect();
    let settings = Settings {
        config: "/etc/nginx/nginx.conf".into(),
        prefix: "/usr/share/nginx".into(),
        ..settings
    };
    look(&reader, &settings, &|path| {
        let (_, names) = issued.iter().find(|(file, _)| Path::new(file) == path)?;
        Some(
            names
                .iter()
                .map(|name| Name::parse(name).unwrap())
                .collect(),
        )
    })
}

fn shown(look: &Look) -> String {
    let mut out = String::new();
    for site in &look.sites {
        let variable = if site.by_variable {
            " (certificate by variable)"
        } else {
            ""
        };
        writeln!(out, "{}{variable}", site.wanted).unwrap();
        for server in &site.servers {
            show_server(server, &mut out);
        }
        site.findings
            .iter()
            .for_each(|finding| show_finding(finding, &mut out));
    }
    if !look.others.is_empty() {
        out.push_str("no site\n");
        look.others
            .iter()
            .for_each(|server| show_server(server, &mut out));
    }
    look.findings
        .iter()
        .for_each(|finding| show_finding(finding, &mut out));
    for name in &look.unknown {
        writeln!(out, "unknown: {name}").unwrap();
    }
    out
}

fn show_server(server: &Server, out: &mut String) {
    let listens: Vec<String> = server.listens.iter().map(show_listen).collect();
    write!(
        out,
        "  {} [{}]",
        server.place.to_string().replace("/etc/nginx/", ""),
        listens.join(" ")
    )
    .unwrap();
    if let Some(root) = &server.document_root {
        write!(out, " root {}", root.display()).unwrap();
    }
    match &server.challenge_folder {
        Some(ChallengeFolder::Root(path)) => write!(out, " challenge {}/", path.display()).unwrap(),
        Some(ChallengeFolder::Alias(path)) => {
            write!(out, " challenge alias {}", path.display()).unwrap();
        }
        None => {}
    }
    if let Some(thumbprint) = &server.stateless {
        write!(out, " stateless {thumbprint}").unwrap();
    }
    if let Some(pair) = &server.pair {
        let inherited = if pair.inherited { " inherited" } else { "" };
        write!(
            out,
            " pair {} {}{inherited} line {}",
            pair.certificate.display(),
            pair.key.display(),
            pair.place.line
        )
        .unwrap();
    }
    out.push('\n');
}

fn show_listen(listen: &Listen) -> String {
    let mut shown = listen.address.to_string();
    for (flag, mark) in [
        (listen.tls, "+tls"),
        (listen.quic, "+quic"),
        (listen.default_server, "+default"),
        (listen.proxy_protocol, "+proxy"),
    ] {
        shown.push_str(if flag { mark } else { "" });
    }
    shown
}

fn show_finding(finding: &Finding, out: &mut String) {
    writeln!(
        out,
        "! {}: {} {}",
        finding.name, finding.explanation, finding.detail
    )
    .unwrap();
}

#[track_caller]
fn check(vhosts: &[(&str, &str)], expected: &Expect) {
    expected.assert_eq(&shown(&seen(MAIN, vhosts, Settings::default(), &[])));
}

#[track_caller]
fn check_issued(vhosts: &[(&str, &str)], issued: &[(&str, &[&str])], expected: &Expect) {
    expected.assert_eq(&shown(&seen(MAIN, vhosts, Settings::default(), issued)));
}

macro_rules! testdata {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../testdata/working_", $name)),
        )
    };
}

#[test]
fn vhosts_of_cloudpanel() {
    check(
        &[
            testdata!("cloudpanel_redirect.conf"),
            testdata!("cloudpanel_v2_http3.conf"),
            testdata!("cloudpanel_varnish.conf"),
            testdata!("reverse_proxy.conf"),
        ],
        &expect![[r#"
            www.apex.test, apex.test
              sites/cloudpanel_redirect.conf:1 [0.0.0.0:80 [::]:80 0.0.0.0:443+tls [::]:443+tls] pair /etc/nginx/ssl-certificates/www.apex.test.crt /etc/nginx/ssl-certificates/www.apex.test.key line 7
              sites/cloudpanel_redirect.conf:12 [0.0.0.0:80 [::]:80 0.0.0.0:443+tls [::]:443+tls] root /home/apex/htdocs/www.apex.test challenge /home/apex/htdocs/www.apex.test/ pair /etc/nginx/ssl-certificates/www.apex.test.crt /etc/nginx/ssl-certificates/www.apex.test.key line 18
            shop.example.test
              sites/cloudpanel_v2_http3.conf:1 [0.0.0.0:80 [::]:80 0.0.0.0:443+quic 0.0.0.0:443+tls [::]:443+quic [::]:443+tls] root /home/shop/htdocs/shop.example.test/public challenge /home/shop/htdocs/shop.example.test/public/ pair /etc/nginx/ssl-certificates/shop.example.test.crt /etc/nginx/ssl-certificates/shop.example.test.key line 11
            news.test
              sites/cloudpanel_varnish.conf:1 [0.0.0.0:80 [::]:80 0.0.0.0:443+tls [::]:443+tls] root /home/news/htdocs/news.test challenge /home/news/htdocs/news.test/ pair /etc/nginx/ssl-certificates/news.test.crt /etc/nginx/ssl-certificates/news.test.key line 7
              sites/cloudpanel_varnish.conf:31 [0.0.0.0:8080 [::]:8080] root /home/news/htdocs/news.test challenge /home/news/htdocs/news.test/
            app.test
              sites/reverse_proxy.conf:1 [0.0.0.0:80 [::]:80 0.0.0.0:443+tls [::]:443+tls] root /home/app/htdocs/app.test challenge /home/app/htdocs/app.test/ pair /etc/nginx/ssl-certificates/app.test.crt /etc/nginx/ssl-certificates/app.test.key line 7
        "#]],
    );
}

#[test]
fn vhosts_written_by_hand() {
    check(
        &[
            testdata!("crlf.conf"),
            testdata!("debian_default.conf"),
            testdata!("laravel.conf"),
            testdata!("lua.conf"),
            testdata!("maps.conf"),
            testdata!("one_line.conf"),
            testdata!("tricky_words.conf"),
            testdata!("wordpress.conf"),
        ],
        &expect![[r#"
            crlf.test
              sites/crlf.conf:1 [0.0.0.0:80] root /srv/crlf challenge /srv/crlf/
            api.test, admin.api.test
              sites/laravel.conf:1 [0.0.0.0:80 [::]:80] root /home/api/htdocs/api.test/public challenge /home/api/htdocs/api.test/public/
            lua.test
              sites/lua.conf:1 [0.0.0.0:80] root /srv/lua
            maps.test
              sites/maps.conf:12 [0.0.0.0:80] challenge /srv/maps/
            one.test
              sites/one_line.conf:1 [0.0.0.0:80]
              sites/one_line.conf:2 [0.0.0.0:443+tls] root /srv/one challenge /srv/one/ pair /etc/nginx/ssl-certificates/one.test.crt /etc/nginx/ssl-certificates/one.test.key line 2
            tricky.test
              sites/tricky_words.conf:2 [0.0.0.0:80] root /srv/tricky
            blog.test, www.blog.test
              sites/wordpress.conf:3 [0.0.0.0:80]
              sites/wordpress.conf:9 [0.0.0.0:443+tls] root /var/www/blog challenge /var/www/blog/ pair /etc/letsencrypt/live/blog.test/fullchain.pem /etc/letsencrypt/live/blog.test/privkey.pem line 14
            no site
              sites/debian_default.conf:5 [0.0.0.0:80+default [::]:80+default] root /var/www/html challenge /var/www/html/
        "#]],
    );
}

#[test]
fn what_http_says_is_inherited_wherever_it_stands() {
    let main = "http { include sites/*.conf; root htdocs; ssl_certificate all.pem; ssl_certificate_key all.key; ssl on; }";
    let look = seen(
        main,
        &[(
            "a.conf",
            "server { server_name a.test; }\nserver { server_name b.test; ssl_certificate b.pem; root /b; }",
        )],
        Settings::default(),
        &[],
    );
    expect![[r#"
        a.test
          sites/a.conf:1 [0.0.0.0:80+tls] root /usr/share/nginx/htdocs challenge /usr/share/nginx/htdocs/ pair /etc/nginx/all.pem /etc/nginx/all.key inherited line 1
        b.test
          sites/a.conf:2 [0.0.0.0:80+tls] root /b challenge /b/ pair /etc/nginx/b.pem /etc/nginx/all.key line 2
    "#]].assert_eq(&shown(&look));
}

#[test]
fn certificates_by_variable_name_no_file() {
    check(
        &[
            (
                "a.conf",
                "server { listen 443 ssl; server_name a.test; ssl_certificate $ssl_server_name.crt; ssl_certificate_key $ssl_server_name.key; }",
            ),
            (
                "b.conf",
                "server { listen 443 ssl; server_name b.test; ssl_certificate data:$pem; ssl_certificate_key engine:x; }",
            ),
            (
                "c.conf",
                "server { listen 443 ssl; server_name c.test; ssl_certificate rsa.pem; ssl_certificate_key rsa.key; ssl_certificate ec.pem; ssl_certificate_key ec.key; }",
            ),
        ],
        &expect![[r#"
            a.test (certificate by variable)
              sites/a.conf:1 [0.0.0.0:443+tls]
            b.test (certificate by variable)
              sites/b.conf:1 [0.0.0.0:443+tls]
            c.test
              sites/c.conf:1 [0.0.0.0:443+tls] pair /etc/nginx/rsa.pem /etc/nginx/rsa.key line 1
        "#]],
    );
}

#[test]
fn the_options_of_a_socket_are_shared() {
    check(
        &[
            (
                "a.conf",
                "server { listen 443 ssl proxy_protocol; server_name a.test; }",
            ),
            ("b.conf", "server { listen 443; server_name b.test; }"),
        ],
        &expect![[r#"
            a.test
              sites/a.conf:1 [0.0.0.0:443+tls+proxy]
            b.test
              sites/b.conf:1 [0.0.0.0:443+tls+proxy]
        "#]],
    );
}

#[test]
fn a_vhost_that_makes_no_sense_is_said_and_the_others_go_on() {
    check(
        &[
            (
                "a.conf",
                "server { server_name a.test; include gone.conf; }",
            ),
            ("b.conf", "server { server_name b.test;"),
            ("c.conf", "server { server_name c.test; listen 1.2.3:x; }"),
            ("c.conf.bak", "server { server_name bak.test; }"),
            ("d.conf", "include sites/d.conf;"),
        ],
        &expect![[r#"
            a.test
              sites/a.conf:1 [0.0.0.0:80]
            c.test
              sites/c.conf:1 [0.0.0.0:80]
            ! vhost-not-understood: A directive of the vhost is not understood. nginx does not take this "listen" directive in /etc/nginx/sites/c.conf:1
            ! nginx-config-invalid: A file that the nginx configuration includes can't be read. open() "/etc/nginx/gone.conf" failed (entity not found) in /etc/nginx/sites/a.conf:1
            ! vhost-not-understood: A configuration file makes no sense to nginx; what stands in it is not looked after. unexpected end of file, expecting "}" in /etc/nginx/sites/b.conf:1
            ! nginx-config-invalid: An include of the nginx configuration can't be followed. include loop: /etc/nginx/nginx.conf includes /etc/nginx/sites/d.conf includes /etc/nginx/sites/d.conf in /etc/nginx/sites/d.conf:1
        "#]],
    );
    expect![[r#"
        ! nginx-config-invalid: The main configuration file of nginx can't be read, so no site is seen. open() "/etc/nginx/nginx.conf" failed (entity not found)
    "#]].assert_eq(&shown(&look(&InMemory::default(), &Settings { config: "/etc/nginx/nginx.conf".into(), ..Settings::default() }, &|_| None)));
}

/// Checks in which folder nginx would look for a challenge, in a block with these lines.
#[track_caller]
fn folder(block: &str, expected: Option<&str>) {
    let vhost = format!("server {{ server_name a.test; {block} }}");
    let look = seen(MAIN, &[("a.conf", &vhost)], Settings::default(), &[]);
    let shown = match &look.sites[0].servers[0].challenge_folder {
        Some(ChallengeFolder::Root(path)) => Some(path.display().to_string()),
        Some(ChallengeFolder::Alias(path)) => Some(format!("alias {}", path.display())),
        None => None,
    };
    assert_eq!(shown.as_deref(), expected, "{block}");
}

#[test]
fn the_folder_of_a_challenge_follows_the_locations() {
    folder("root /s;", Some("/s"));
    folder("root s;", Some("/usr/share/nginx/s"));
    folder("root /s/$host;", None);
    folder("", None);
    folder("root /s; location / { root /l; }", Some("/l"));
    folder("root /s; location / { proxy_pass http://x; }", None);
    folder(
        "root /s; location / { proxy_pass http://x; } location /.well-known/ { }",
        Some("/s"),
    );
    folder(
        "root /s; location ^~ /.well-known { root /p; } location ~ well { root /r; }",
        Some("/p"),
    );
    folder(
        "root /s; location /.well-known { root /p; } location ~ well { root /r; } location ~ . { root /q; }",
        Some("/r"),
    );
    folder(
        "root /s; location /.well-known/acme-challenge/ { alias /var/acme/; }",
        Some("alias /var/acme"),
    );
    folder(
        "root /s; location /.well-known/ { alias /var/acme/; }",
        Some("alias /var/acme/acme-challenge"),
    );
    folder(
        "root /s; location /.well-known/acme-challenge/ { alias /var/acme; }",
        None,
    );
    folder(
        "root /s; location ~ ^/.well-known/(.*) { alias /var/$1; }",
        None,
    );
    folder(
        "root /s; location / { root /l; location /.well-known { root /n; } location ~ \\.php$ { root /r; } }",
        Some("/n"),
    );
    folder(
        "root /s; location / { location ~ well { root /n; } } location ~ challenge { root /r; }",
        Some("/n"),
    );
    folder("root /s; location = /.well-known { root /e; }", Some("/s"));
}

#[test]
fn where_a_rule_stops_the_challenge_there_is_no_folder() {
    folder("root /s; location ~ /\\. { deny all; }", None);
    folder(
        "root /s; location ~ /\\.(?!well-known) { deny all; }",
        Some("/s"),
    );
    folder(
        "root /s; deny all; location /.well-known { allow all; }",
        Some("/s"),
    );
    folder("root /s; auth_basic x;", None);
    folder(
        "root /s; auth_basic x; location /.well-known { auth_basic off; }",
        Some("/s"),
    );
    folder("root /s; return 301 https://x;", None);
    folder(
        "root /s; if ($scheme = http) { return 301 https://x; }",
        Some("/s"),
    );
    folder("root /s; rewrite ^ https://x permanent;", None);
    folder("root /s; rewrite ^/old /new;", Some("/s"));
    folder("root /s; location ~ \"(?{what})\" { }", None);
    folder("root /s; location ^~/.well-known{root /p;}", Some("/p"));
    folder("root /s; location @x { root /n; }", Some("/s"));
}

#[test]
fn the_challenge_line_is_seen() {
    let line = crate::conf::challenge::statement("THUMB-print_0");
    let vhost = format!(
        "server {{ server_name a.test; include line.conf; }}\nserver {{ server_name b.test; {line} }}\nserver {{ server_name c.test; if ($uri ~ x) {{ return 200 x; }} }}"
    );
    let files = [
        ("/etc/nginx/nginx.conf", MAIN.to_owned()),
        ("/etc/nginx/sites/a.conf", vhost),
        ("/etc/nginx/line.conf", line),
    ];
    let reader: InMemory = files.into_iter().collect();
    let settings = Settings {
        config: "/etc/nginx/nginx.conf".into(),
        ..Settings::default()
    };
    expect![[r#"
        a.test
          sites/a.conf:1 [0.0.0.0:80] stateless THUMB-print_0
        b.test
          sites/a.conf:2 [0.0.0.0:80] stateless THUMB-print_0
        c.test
          sites/a.conf:3 [0.0.0.0:80]
    "#]]
    .assert_eq(&shown(&look(&reader, &settings, &|_| None)));
}
