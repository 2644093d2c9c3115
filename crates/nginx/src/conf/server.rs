//! What is done to the server blocks of one file?
//!
//! The edits that a deployment makes, from the bytes of a file to its new bytes. A block is known by the line
//! on which it begins, as [`crate::look`] found it.

use super::challenge;
use super::edit::Edits;
use super::error::Fault;
use super::tls::{self, Files, Ports};
use super::tree::{Directive, Tree};

/// What to do to a server block.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Answer challenges for the account with this thumbprint.
    Stateless(&'a str),
    /// Answer challenges no more.
    NotStateless,
    /// Name this certificate and key.
    Point(Files<'a>),
    /// Answer HTTPS with this certificate and key.
    AddTls(Ports, Files<'a>),
}

/// A file that can't be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The file makes no sense.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is no server block on the line: the file changed meanwhile.
    #[error("no server block begins on line {0}")]
    NotThere(u32),
    /// Several server blocks begin on the line, and which one is meant can't be told.
    #[error("several server blocks begin on line {0}; give each its own line")]
    Several(u32),
}

/// Returns the file with the blocks that begin on these lines changed; equal bytes when nothing had to change.
///
/// # Errors
///
/// When the file makes no sense, or the lines don't fit it. Nothing is changed by half.
pub fn changed(file: Vec<u8>, changes: &[(u32, Change<'_>)]) -> Result<Vec<u8>, ChangeError> {
    let tree = Tree::parse(file)?;
    let mut edits = Edits::new(&tree);
    for (line, change) in changes {
        let server = server_on(&tree, *line)?;
        match *change {
            Change::Stateless(thumbprint) => challenge::put(&mut edits, server, thumbprint),
            Change::NotStateless => challenge::take(&mut edits, server),
            Change::Point(files) => tls::point(&mut edits, server, files),
            Change::AddTls(ports, files) => tls::add(&mut edits, server, ports, files),
        }
    }
    Ok(edits.apply())
}

fn server_on(tree: &Tree, line: u32) -> Result<Directive<'_>, ChangeError> {
    let is_server = |directive: &Directive<'_>| {
        directive.line() == line && directive.is("server") && directive.has_block()
    };
    let mut servers = tree.all().filter(is_server);
    match (servers.next(), servers.next()) {
        (Some(server), None) => Ok(server),
        (None, _) => Err(ChangeError::NotThere(line)),
        (Some(_), Some(_)) => Err(ChangeError::Several(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::path::Path;

    #[track_caller]
    fn check(file: &str, changes: &[(u32, Change<'_>)], expected: &Expect) {
        let shown = match changed(file.as_bytes().to_vec(), changes) {
            Ok(bytes) => String::from_utf8(bytes).unwrap(),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&shown);
    }

    fn ours() -> Files<'static> {
        Files {
            certificate: Path::new("/live/a/fullchain.pem"),
            key: Path::new("/live/a/privkey.pem"),
        }
    }

    fn add_tls(http: u16, https: u16) -> Change<'static> {
        Change::AddTls(Ports { http, https }, ours())
    }

    #[test]
    fn the_challenge_line_is_put_first_and_taken_away() {
        let file = "server {\n  listen 80;\n  if ($scheme != \"https\") { return 301 https://$host$uri; }\n}\n";
        let put = [(1, Change::Stateless("AAA"))];
        check(
            file,
            &put,
            &expect![[r#"
            server {
              if ($uri ~ "^/\.well-known/acme-challenge/([-_A-Za-z0-9]+)$") { return 200 "$1.AAA"; } # clpctl http-01
              listen 80;
              if ($scheme != "https") { return 301 https://$host$uri; }
            }
        "#]],
        );
        let with = changed(file.into(), &put).unwrap();
        let without = changed(with, &[(1, Change::NotStateless)]).unwrap();
        assert_eq!(String::from_utf8(without).unwrap(), file);
    }

    #[test]
    fn the_challenge_line_of_another_account_is_replaced() {
        check(
            "server {\n  listen 80;\n  if ($uri ~ \"^/\\.well-known/acme-challenge/([-_A-Za-z0-9]+)$\") { return 200 \"$1.OLD\"; } # clpctl http-01\n}\n",
            &[(1, Change::Stateless("NEW"))],
            &expect![[r#"
                server {
                  if ($uri ~ "^/\.well-known/acme-challenge/([-_A-Za-z0-9]+)$") { return 200 "$1.NEW"; } # clpctl http-01
                  listen 80;
                }
            "#]],
        );
    }

    #[test]
    fn a_thumbprint_that_is_none_changes_nothing() {
        check(
            "server { }",
            &[(1, Change::Stateless("x\"; } evil {"))],
            &expect!["server { }"],
        );
    }

    #[test]
    fn certificate_lines_are_pointed_elsewhere() {
        check(
            "server {\n\tssl_certificate     /old.crt; # managed\n\tssl_certificate_key \"/old.key\";\n}\n",
            &[(1, Change::Point(ours()))],
            &expect![[r#"
                server {
                	ssl_certificate     /live/a/fullchain.pem; # managed
                	ssl_certificate_key /live/a/privkey.pem;
                }
            "#]],
        );
        check(
            "server { ssl_certificate a; ssl_certificate b; ssl_certificate_key a; ssl_certificate_key b; }",
            &[(1, Change::Point(ours()))],
            &expect![
                "server { ssl_certificate /live/a/fullchain.pem; ssl_certificate_key /live/a/privkey.pem; }"
            ],
        );
        check(
            "server {\n    listen 443 ssl;\n}\n",
            &[(1, Change::Point(ours()))],
            &expect![[r#"
            server {
                ssl_certificate /live/a/fullchain.pem;
                ssl_certificate_key /live/a/privkey.pem;
                listen 443 ssl;
            }
        "#]],
        );
        check(
            "server {\n    ssl_certificate x;\n}\n",
            &[(1, Change::Point(ours()))],
            &expect![[r#"
            server {
                ssl_certificate /live/a/fullchain.pem;
                ssl_certificate_key /live/a/privkey.pem;
            }
        "#]],
        );
    }

    #[test]
    fn https_is_added_where_http_is_answered() {
        check(
            "server {\n    listen 80;\n    listen [::]:80;\n    server_name a.test;\n}\n",
            &[(1, add_tls(80, 443))],
            &expect![[r#"
            server {
                listen 80;
                listen [::]:80;
                listen 443 ssl;
                listen [::]:443 ssl;
                ssl_certificate /live/a/fullchain.pem;
                ssl_certificate_key /live/a/privkey.pem;
                server_name a.test;
            }
        "#]],
        );
        check(
            "server {\n    server_name a.test;\n}\n",
            &[(1, add_tls(80, 443))],
            &expect![[r#"
            server {
                listen 80;
                listen 443 ssl;
                ssl_certificate /live/a/fullchain.pem;
                ssl_certificate_key /live/a/privkey.pem;
                server_name a.test;
            }
        "#]],
        );
        check(
            "server { listen 192.0.2.1:8080 default_server; listen 9000; }",
            &[(1, add_tls(8080, 8443))],
            &expect![
                "server { listen 192.0.2.1:8080 default_server; listen 9000; listen 192.0.2.1:8443 ssl; ssl_certificate /live/a/fullchain.pem; ssl_certificate_key /live/a/privkey.pem; }"
            ],
        );
        check(
            "server { listen localhost:3000; }",
            &[(1, add_tls(80, 443))],
            &expect![
                "server { listen localhost:3000; listen 127.0.0.1:443 ssl; ssl_certificate /live/a/fullchain.pem; ssl_certificate_key /live/a/privkey.pem; }"
            ],
        );
    }

    #[test]
    fn https_that_is_there_is_left_alone() {
        check(
            "server {\n    listen 80;\n    listen 443 ssl http2;\n    ssl_certificate /snakeoil.pem;\n    ssl_certificate_key /snakeoil.key;\n}\n",
            &[(1, add_tls(80, 443))],
            &expect![[r#"
                server {
                    listen 80;
                    listen 443 ssl http2;
                    ssl_certificate /live/a/fullchain.pem;
                    ssl_certificate_key /live/a/privkey.pem;
                }
            "#]],
        );
    }

    #[test]
    fn several_blocks_are_changed_at_once() {
        check(
            "server { listen 80; }\nserver {\n    listen 81;\n}\n",
            &[(1, Change::Stateless("A")), (2, Change::Stateless("A"))],
            &expect![[r#"
                server { if ($uri ~ "^/\.well-known/acme-challenge/([-_A-Za-z0-9]+)$") { return 200 "$1.A"; } listen 80; }
                server {
                    if ($uri ~ "^/\.well-known/acme-challenge/([-_A-Za-z0-9]+)$") { return 200 "$1.A"; } # clpctl http-01
                    listen 81;
                }
            "#]],
        );
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_not_touched() {
        check(
            "\nserver { }",
            &[(1, Change::NotStateless)],
            &expect!["no server block begins on line 1"],
        );
        check(
            "server { } server { }",
            &[(1, Change::NotStateless)],
            &expect!["several server blocks begin on line 1; give each its own line"],
        );
        check(
            "server {",
            &[(1, Change::NotStateless)],
            &expect![[r#"unexpected end of file, expecting "}" in line 1"#]],
        );
        check(
            "upstream u { server 127.0.0.1; }",
            &[(1, Change::NotStateless)],
            &expect!["no server block begins on line 1"],
        );
    }
}
