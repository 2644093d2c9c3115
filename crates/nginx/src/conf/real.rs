//! Does the real nginx read configurations as we do?
//!
//! Compares with the distribution's nginx: what it accepts, what it refuses and with which words, what a quoted
//! word means to it, and whether the line that answers challenges comes first.

#![expect(clippy::disallowed_methods, reason = "scratch files of tests")]

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use testkit::certificate::{Days, self_signed};
use testkit::fetch;
use testkit::nginx::Nginx;
use testkit::noise;

use super::server::{Change, changed};
use super::tree::Tree;

/// Files in `testdata/` whose directives Debian's nginx does not know; only their syntax is ours to judge.
const UNKNOWN_TO_DEBIAN: [&str; 4] = [
    "working_cloudpanel_v2_http3.conf",
    "working_lua.conf",
    "working_mail.conf",
    "working_stream.conf",
];

#[test]
fn every_working_vhost_reads_back_byte_for_byte() {
    for (name, text) in testdata("working_") {
        let tree = Tree::parse(text.clone()).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(printed(&tree), text, "{name}");
        assert!(tree.directives().next().is_some(), "{name}");
    }
}

#[test]
fn nginx_accepts_the_working_vhosts_too() {
    for (name, text) in testdata("working_") {
        if !UNKNOWN_TO_DEBIAN.contains(&name.as_str()) {
            let nginx = Nginx::prepare([]);
            write_vhost(&nginx, &text);
            let output = nginx.test();
            assert_eq!(output.code, Some(0), "{name}: {}", output.stderr);
        }
    }
}

#[test]
fn nginx_refuses_the_busted_vhosts_in_our_words() {
    let cases = testdata("busted_");
    assert!(cases.len() > 10);
    for (name, text) in cases {
        let nginx = Nginx::prepare([]);
        let file = nginx.vhost("it");
        fs::write(&file, &text).unwrap();
        let ours = Tree::parse(text).expect_err(&name).of(file).to_string();
        let said = nginx.test().stderr;
        assert!(
            said.contains(&ours),
            "{name}: we say\n{ours}\nand nginx\n{said}"
        );
    }
}

#[test]
fn words_mean_the_same_to_nginx() {
    let mut words: Vec<String> = [
        r"a\ b",
        r#""a\"b""#,
        r"'a\'b'",
        r"a\tb",
        r#""\q\\n""#,
        r"\;x",
        r#"a"b"#,
        "a'b",
        r"a}b",
        r"a#b",
    ]
    .map(str::to_owned)
    .into();
    // No `$`, for nginx would put a value there.
    let inside = [
        "a", " ", "\\", "\\\\", "\\\"", "\\'", "\\t", "\\n", ";", "{", "}", "#", "é",
    ];
    let quoted = noise::samples(60, 1..8, &inside).into_iter();
    words.extend(quoted.map(|text| format!("\"{text}\"")));
    words.retain(|word| meaning(word).is_some());
    assert!(words.len() > 40);
    let mut nginx = Nginx::prepare([]);
    let locations = words
        .iter()
        .enumerate()
        .map(|(at, word)| format!("location = /{at} {{ return 200 {word}; }}\n"));
    let port = nginx.http_port();
    let vhost = format!(
        "server {{ listen 127.0.0.1:{port}; {} }}",
        locations.collect::<String>()
    );
    fs::write(nginx.vhost("it"), vhost).unwrap();
    nginx.launch();
    for (at, word) in words.iter().enumerate() {
        let reply = fetch::http(([127, 0, 0, 1], port).into(), "x", &format!("/{at}")).unwrap();
        assert_eq!(Some(reply.body), meaning(word), "{word}");
    }
}

#[test]
fn nginx_finds_the_same_faults_in_noise() {
    let pieces = [
        "env ",
        "a",
        "b c",
        "\"",
        "'",
        "\"d e\"",
        "'f'",
        "\\",
        ";",
        ";\n",
        "{",
        "}",
        "#",
        "\n",
        " ",
        "${x}",
        "$",
        ")",
        "env g;\n",
        "events { }\n",
    ];
    let nginx = Nginx::prepare([]);
    let mut compared = 0;
    for text in noise::samples(250, 1..14, &pieces) {
        let text = format!("pid {}/nginx.pid;\n{text}", nginx.folder().display());
        fs::write(nginx.config(), &text).unwrap();
        let ours = Tree::parse(text.clone().into_bytes())
            .map_err(|fault| fault.of(nginx.config()).to_string());
        let output = nginx.test();
        let said = output.stderr.lines().find(|line| line.contains("[emerg]"));
        let syntax =
            said.filter(|line| line.contains("] unexpected ") || line.contains("] too long "));
        match (syntax, ours) {
            // It stopped earlier at a directive that it does not know, or does not know there.
            (None, _) if said.is_some() && !output.stderr.contains("no \"events\"") => {}
            (None, ours) => {
                compared += 1;
                assert_eq!(ours.map(|_| ()), Ok(()), "{text:?}\n{}", output.stderr);
            }
            (Some(said), ours) => {
                compared += 1;
                let ours = ours.expect_err(&text);
                assert!(
                    said.contains(&ours),
                    "{text:?}: we say {ours}, nginx {said}"
                );
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn the_challenge_line_comes_before_forced_https_deny_and_passwords() {
    let mut nginx = Nginx::prepare([]);
    let port = nginx.http_port();
    let vhost = format!(
        "server {{
            listen 127.0.0.1:{port};
            server_name a.test;
            deny all;
            auth_basic \"closed\";
            auth_basic_user_file /nonexistent;
            if ($scheme != \"https\") {{ rewrite ^ https://$host$uri permanent; }}
            location ^~ /.well-known {{ deny all; }}
        }}
        server {{ listen 127.0.0.1:{port}; server_name b.test; return 301 https://b.test$request_uri; }}
        "
    );
    let path = "/.well-known/acme-challenge/to-ken_1";
    let before = vhost.clone().into_bytes();
    let both = [1, 10].map(|line| (line, Change::Stateless("thumb-Print_9")));
    let after = changed(before.clone(), &both).unwrap();
    fs::write(nginx.vhost("it"), &after).unwrap();
    nginx.launch();
    let address = ([127, 0, 0, 1], port).into();
    for host in ["a.test", "b.test"] {
        let reply = fetch::http(address, host, path).unwrap();
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (200, "to-ken_1.thumb-Print_9"),
            "{host}"
        );
        let other = fetch::http(address, host, "/.well-known/acme-challenge/a/b").unwrap();
        assert_eq!(other.status, 301, "{host}");
    }
    let neither = [(1, Change::NotStateless), (11, Change::NotStateless)];
    assert_eq!(
        String::from_utf8(changed(after, &neither).unwrap()),
        String::from_utf8(before)
    );
}

/// Puts the tokens together again.
fn printed(tree: &Tree) -> Vec<u8> {
    let starts = tree.tokens().iter().map(|token| token.start as usize);
    let ends = starts.clone().skip(1).chain([tree.source().len()]);
    starts
        .zip(ends)
        .flat_map(|(start, end)| &tree.source()[start..end])
        .copied()
        .collect()
}

fn meaning(word: &str) -> Option<String> {
    let tree = Tree::parse(format!("x {word};").into_bytes()).ok()?;
    let directive = tree.directives().next()?;
    let argument = directive.argument()?.into_owned();
    let alone = directive.arguments().count() == 1 && tree.directives().count() == 1;
    let text = String::from_utf8(argument).ok()?;
    (alone && !text.is_empty()).then_some(text)
}

fn testdata(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let named = files.into_iter().map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    });
    named.filter(|(name, _)| name.starts_with(kind)).collect()
}

/// Writes a vhost with everything it needs to be accepted, all of it below nginx's folder.
fn write_vhost(nginx: &Nginx, text: &[u8]) {
    let folder = nginx.folder().display().to_string();
    let mut text = text.to_vec();
    for place in ["/etc/nginx/", "/etc/letsencrypt/", "/home/"] {
        text = replaced(
            &text,
            place.as_bytes(),
            format!("{folder}{place}").as_bytes(),
        );
    }
    let pair = self_signed(&["a.test"], Days::left(30));
    let tree = Tree::parse(text.clone()).unwrap();
    for directive in tree.all() {
        let Some(argument) = directive.argument() else {
            continue;
        };
        let path = nginx.folder().join(std::ffi::OsStr::from_bytes(&argument));
        let content = match &*directive.name() {
            b"ssl_certificate" => &pair.leaf,
            b"ssl_certificate_key" => &pair.key,
            b"include" | b"access_log" | b"error_log" if path.starts_with(nginx.folder()) => "",
            _ => continue,
        };
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::write(nginx.vhost("it"), text).unwrap();
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    result.extend_from_slice(rest);
    result
}
