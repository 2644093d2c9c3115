//! Does any configuration make the readers of this crate panic or hang, or lose a byte of it?
//!
//! [`read`] takes one text for nginx's main file and for a vhost. It is played with seeded noise by the tests below,
//! and with coverage-guided fuzzing by `fuzz/run`.

use std::hint::black_box;
use std::path::Path;

use crate::conf::glob;
use crate::conf::read::InMemory;
use crate::conf::server::{Change, changed};
use crate::conf::tls::{Files, Ports};
use crate::conf::tree::Tree;
use crate::look::{Settings, look};

/// Has every reader read these bytes.
///
/// # Panics
///
/// When one of them breaks a promise.
pub fn read(bytes: &[u8]) {
    if let Ok(tree) = Tree::parse(bytes.to_vec()) {
        let starts = tree.tokens().iter().map(|token| token.start as usize);
        let ends = starts.clone().skip(1).chain([tree.source().len()]);
        let printed: Vec<u8> = starts
            .zip(ends)
            .flat_map(|(start, end)| &tree.source()[start..end])
            .copied()
            .collect();
        assert_eq!(printed, bytes, "what was read can be printed back");
        for directive in tree.all() {
            assert!(directive.span().end <= bytes.len());
            assert!(directive.arguments().count() < bytes.len());
        }
        edit(bytes);
    }
    let vhost = [b"server {\n", bytes, b"\n}\n"].concat();
    edit(&vhost);
    edit(&[b"server {", bytes, b"}"].concat());
    let main = b"events {}\nhttp { include /etc/nginx/vhost.conf; include /etc/nginx/*.conf; }\n";
    for main in [&main[..], bytes] {
        let files = [
            ("/etc/nginx/nginx.conf", main),
            ("/etc/nginx/vhost.conf", &vhost),
        ];
        let reader: InMemory = files.into_iter().collect();
        let found = look(&reader, &Settings::default(), &|_| None);
        black_box(found.addresses());
    }
    // No word of a configuration is longer, and no name of a file.
    let (pattern, name) = bytes.split_at(bytes.len() / 2);
    let (pattern, name) = (pattern.iter().take(4096), name.iter().take(255));
    let (pattern, name): (Vec<u8>, Vec<u8>) = (pattern.copied().collect(), name.copied().collect());
    black_box(glob::matches(&pattern, &name));
}

/// Makes every edit; a second time it must change nothing.
fn edit(bytes: &[u8]) {
    let files = Files {
        certificate: Path::new("/c"),
        key: Path::new("/k"),
    };
    let ports = Ports {
        http: 80,
        https: 443,
    };
    for change in [
        Change::Stateless("x"),
        Change::NotStateless,
        Change::Point(files),
        Change::AddTls(ports, files),
    ] {
        if let Ok(after) = changed(bytes.to_vec(), &[(1, change)]) {
            assert!(
                Tree::parse(after.clone()).is_ok(),
                "it is still a configuration"
            );
            assert_eq!(changed(after.clone(), &[(1, change)]), Ok(after));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use testkit::noise;

    use super::read;

    #[test]
    fn noise_is_read_by_all() {
        noise::bytes(750, 200, read);
        noise::signs(750, 80, b"ab ;{}\"'\\$#\n\r)\xff", read);
    }

    #[test]
    fn pieces_of_vhosts_are_read_by_all() {
        noise::pieces(2_000, 25, &PIECES, read);
        noise::pieces(1_500, 20, &LINES, read);
    }

    #[test]
    fn large_files_take_linear_time() {
        // Without optimisation, on a machine at work, and read a dozen times.
        noise::repeated(1 << 20, PIECES, Duration::from_secs(30), read);
    }

    const PIECES: [&str; 34] = [
        "{",
        "}",
        ";",
        "\"",
        "'",
        "\\",
        "#",
        "\n",
        " ",
        "$",
        "a{",
        "a;",
        "${x}",
        "server {",
        "http {",
        "location ~ ",
        "location ^~ /.well-known {",
        "if ($host = a.test) {",
        "return 301 https://$host$uri;",
        "server_name a.test *.b.test ~^(?<n>.+)\\.c$;",
        "server_name ~(a+)+$;",
        "listen [::]:443 ssl http2;",
        "listen unix:/x;",
        "root /nonexistent;",
        "alias /nonexistent/;",
        "include /etc/nginx/*.conf;",
        "include /etc/nginx/nginx.conf;",
        "ssl_certificate /nonexistent/c.pem;",
        "ssl_certificate_key /nonexistent/k.pem;",
        "content_by_lua_block {",
        "--[[",
        "]]",
        "map $a $b { default 0; }",
        "rewrite ^/(.*)$ /$1 last;",
    ];

    /// Where an edit goes in depends on how lines begin and end.
    const LINES: [&str; 12] = [
        "server",
        " {",
        "{",
        "\n",
        "  ",
        " }",
        "}\n",
        "listen 80;",
        "listen 80;\n",
        "# c\n",
        "ssl_certificate a;",
        "root \"/x y\";",
    ];
}
