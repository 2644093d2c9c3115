//! The same before a real nginx, with the vhosts people have.

use std::fs::{File, create_dir_all};
use std::io::Write;

use expect_test::{Expect, expect};
use testkit::nginx::{Nginx, Site};
use testkit::port::Port;

use crate::world::World;

/// Starts nginx with one site, puts a challenge file where certbot would, and probes the site's domain.
#[track_caller]
fn check(site: Site, domain: &str, expect: Expect) {
    let nginx = Nginx::start([Site::refusal(), site]);
    let folder = nginx
        .document_root(domain)
        .join(".well-known/acme-challenge");
    if !domain.starts_with("no-file") {
        create_dir_all(&folder).unwrap();
        let mut file = File::create(folder.join("t0ken")).unwrap();
        file.write_all(b"t0ken.thumb\n").unwrap();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answer = runtime.block_on(async {
        let world = World::start().await;
        world
            .ports(nginx.http_port(), nginx.https_port())
            .probe(domain)
            .await
    });
    expect.assert_eq(&answer);
}

#[test]
fn sites_that_answer() {
    check(
        Site::plain("a.test"),
        "a.test",
        expect!["reached: 127.0.0.1:HTTP"],
    );
    check(
        Site::cloudpanel("a.test"),
        "a.test",
        expect!["reached: 127.0.0.1:HTTP"],
    );
    check(
        Site::plain("no-file.test").extra(
            "location ~ ^/\\.well-known/acme-challenge/([-_a-zA-Z0-9]+)$ { return 200 \"$1.thumb\"; }",
        ),
        "no-file.test",
        expect!["reached: 127.0.0.1:HTTP"],
    );
}

#[test]
fn sites_that_do_not() {
    check(
        Site::plain("no-file.test"),
        "no-file.test",
        expect![[r#"
        challenge-not-found: no-file.test does not know the challenge (404, at 127.0.0.1): another server block, folder or host answers.
          http://no-file.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 404, “<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n…”"#]],
    );
    check(
        Site::plain("a.test").extra("location ~ /\\. { deny all; }"),
        "a.test",
        expect![[r#"
            challenge-forbidden: a.test forbids the challenge (403, at 127.0.0.1).
              http://a.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 403, “<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n…”"#]],
    );
    check(
        Site::plain("a.test").extra("auth_basic x; auth_basic_user_file /dev/null;"),
        "a.test",
        expect![[r#"
            challenge-forbidden: a.test asks for a password before it answers the challenge (401, at 127.0.0.1).
              http://a.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 401, “<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>\r\n<center><h1>401 Authorizatio…”"#]],
    );
    check(
        Site::plain("a.test").extra("location ^~ / { return 200 welcome; }"),
        "a.test",
        expect![[r#"
            challenge-wrong-answer: a.test answers the challenge with another page (at 127.0.0.1): a catch-all rule, or another host.
              http://a.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 200, “welcome”"#]],
    );
    check(
        Site::plain("a.test").extra("return 301 http://$http_host$request_uri;"),
        "a.test",
        expect![[r#"
            challenge-redirect-loop: a.test redirects the challenge in a circle: it leads to a place it came from.
              http://a.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 301 to “http://a.test:HTTP/.well-known/acme-challenge/TOKEN”"#]],
    );
    check(
        Site::plain("a.test"),
        "no-file-and-no-site.test",
        expect![[r#"
            challenge-connection-closed: 127.0.0.1:HTTP takes the connection for no-file-and-no-site.test, but does not answer: the connection is closed before the answer is complete.
              http://no-file-and-no-site.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: waiting for the answer: the connection is closed before the answer is complete"#]],
    );
}

#[test]
fn an_application_that_is_down() {
    let nobody = Port::free();
    check(
        Site::reverse_proxy("a.test", nobody.v4()),
        "a.test",
        expect![[r#"
            challenge-server-error: a.test answers the challenge with a server error (502, at 127.0.0.1).
              http://a.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 502, “<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></cente…”"#]],
    );
}
