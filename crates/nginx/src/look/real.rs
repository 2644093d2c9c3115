//! Does the real nginx answer names, and find files, as we say?

#![expect(clippy::disallowed_methods, reason = "scratch files of tests")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use renewal::site::ChallengeFolder;
use testkit::fetch;
use testkit::nginx::Nginx;
use testkit::port::Port;

use super::{Answering, How, Settings, look};
use crate::conf::read::Disk;

fn settings(nginx: &Nginx) -> Settings {
    Settings {
        config: nginx.config(),
        prefix: nginx.folder().to_owned(),
        hostname: String::new(),
        listed: Vec::new(),
    }
}

/// Blocks whose order, names and defaults leave room for mistakes; each answers with its line.
const BLOCKS: &str = "\
server { listen 127.0.0.1:A; server_name first.test; return 200 1; }
server { listen 127.0.0.1:A default_server; server_name _; return 200 2; }
server { listen 127.0.0.1:A; server_name a.test *.a.test www.*; return 200 3; }
server { listen 127.0.0.1:A; server_name a.test .x.a.test mail.a.*; return 200 4; }
server { listen 127.0.0.1:A; server_name .b.test www.b.*; return 200 5; }
server { listen 127.0.0.1:A; server_name b.test sub.b.test; return 200 6; }
server { listen 127.0.0.1:A; server_name ~^re\\d+\\. ~(?i)^CASE\\.; return 200 7; }
server { listen 127.0.0.1:A; server_name ~^re1\\.test$ *.re.test; return 200 8; }
server { listen 127.0.0.1:A; server_name \"\" UPPER.test; return 200 9; }
server { listen B; server_name any.test; return 200 10; }
server { listen 127.0.0.2:B; server_name two.test; return 200 11; }
server { listen B; server_name more.test; return 200 12; }
server { listen 127.0.0.2:B; server_name more.test ~^Upper; return 200 13; }
server { listen [::]:C ipv6only=off; server_name six.test; return 200 14; }
server { listen [::]:C; server_name seven.test; return 200 15; }
server { listen 127.0.0.1:A; server_name *.c.test; return 200 16; }
server { listen 127.0.0.1:A; server_name .c.test; return 200 17; }
server { listen 127.0.0.1:A; server_name c.test; return 200 18; }
";

const NAMES: [&str; 32] = [
    "first.test",
    "FIRST.test",
    "first.test.",
    "_",
    "nobody.test",
    "a.test",
    "x.a.test",
    "y.x.a.test",
    "www.zzz",
    "www.zzz.test",
    "www.a.test",
    "mail.a.test",
    "mail.a.org",
    "mail.b.org",
    "b.test",
    "sub.b.test",
    "www.b.test",
    "www.b.org",
    "deep.sub.b.test",
    "re1.test",
    "re2.test",
    "x.re.test",
    "case.x",
    "upper.test",
    "any.test",
    "two.test",
    "more.test",
    "six.test",
    "seven.test",
    "c.test",
    "x.c.test",
    "127.0.0.1",
];

#[test]
fn every_name_on_every_address_is_answered_by_the_block_we_say() {
    let mut nginx = Nginx::prepare([]);
    let ports = [Port::free(), Port::free(), Port::free()];
    let [a, b, c] = [0, 1, 2].map(|at: usize| ports[at].number());
    let blocks = BLOCKS
        .replace(":A", &format!(":{a}"))
        .replace(":B", &format!(":{b}"))
        .replace("listen B", &format!("listen {b}"))
        .replace(":C", &format!(":{c}"));
    fs::write(nginx.vhost("it"), blocks).unwrap();
    nginx.launch();
    let seen = look(&Disk, &settings(&nginx), &|_| None);
    let mut asked = 0;
    for (host, port) in [(1, a), (1, b), (2, b), (3, b), (1, c)] {
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), port));
        for name in NAMES {
            let Answering { server, how, .. } = seen.answering(address, name).unwrap();
            let reply = fetch::http(address, name, "/").unwrap();
            assert_ne!(how, How::Perhaps);
            assert_eq!(
                reply.body,
                server.place.line.to_string(),
                "{name} on {address}"
            );
            asked += 1;
        }
    }
    assert_eq!(asked, 5 * NAMES.len());
    assert!(
        seen.answering((Ipv4Addr::LOCALHOST, 1).into(), "a.test")
            .is_none()
    );
}

/// Ways to find the file of a challenge; `S`, `P` and `R` are folders, `N` the name.
const LOCATIONS: [&str; 12] = [
    "root S;",
    "root S; location / { root P; }",
    "root S; location ^~ /.well-known { root P; } location ~ well { root R; }",
    "root S; location /.well-known { root P; } location ~ well { root R; }",
    "root S; location /.well-known/acme-challenge/ { alias P/; }",
    "root S; location /.well-known/ { alias P/; }",
    "root S; location / { root P; location /.well-known { root R; } }",
    "root S; location / { location ~ well { root R; } } location ~ challenge { root P; }",
    "root S; location ~ /\\.(?!well-known) { deny all; }",
    "root S; deny all; location ~ /.well-known { allow all; }",
    "root S; location /.well-known { location ~* CHALLENGE/ { root R; } root P; }",
    "root S; location ^~ /.well-known { location ^~ /.well-known/acme { root R; } } location ~ . { root P; }",
];

#[test]
fn a_file_in_the_folder_we_say_is_served_as_the_answer_to_a_challenge() {
    let mut nginx = Nginx::prepare([]);
    let port = nginx.http_port();
    let folder = nginx.folder().to_owned();
    let mut vhost = String::new();
    for (at, locations) in LOCATIONS.iter().enumerate() {
        let mut text = (*locations).to_owned();
        for place in ["S", "P", "R"] {
            let path = folder.join(format!("{place}{at}"));
            fs::create_dir(&path).unwrap();
            text = text.replace(&format!(" {place}"), &format!(" {}", path.display()));
        }
        vhost += &format!("server {{ listen 127.0.0.1:{port}; server_name l{at}.test; {text} }}\n");
    }
    fs::write(nginx.vhost("it"), vhost).unwrap();
    let seen = look(&Disk, &settings(&nginx), &|_| None);
    assert_eq!(seen.sites.len(), LOCATIONS.len());
    for site in &seen.sites {
        let inside = match site.servers[0].challenge_folder.clone().unwrap() {
            ChallengeFolder::Root(path) => path.join(".well-known/acme-challenge"),
            ChallengeFolder::Alias(path) => path,
        };
        fs::create_dir_all(&inside).unwrap();
        fs::write(inside.join("token"), site.wanted.domain().as_str()).unwrap();
    }
    nginx.launch();
    let address = (Ipv4Addr::LOCALHOST, port).into();
    for (at, locations) in LOCATIONS.iter().enumerate() {
        let name = format!("l{at}.test");
        let reply = fetch::http(address, &name, "/.well-known/acme-challenge/token").unwrap();
        assert_eq!((reply.status, reply.body), (200, name), "{locations}");
    }
}
