//! What in the configuration could stop a challenge, and on which line?
//!
//! Read only when a challenge was stopped: what [`look`](super::look) keeps of ten thousand vhosts has no place for it.
//! The list is of what *could*, the likeliest first: server level, where rules run before any location is chosen,
//! then the locations that fit, then what all servers inherit. What a variable or a map decides is not known here.

use std::path::Path;

use renewal::site::Place;

use super::challenge_path::{CHALLENGE_PATH, split_modifier};
use super::pattern;
use crate::conf::challenge;
use crate::conf::include::{File, Walk};
use crate::conf::read::Reader;
use crate::conf::tree::Directive;

/// Returns the rules of the server blocks at `servers`, as `FILE:LINE: DIRECTIVE`.
pub(crate) fn rules(reader: &dyn Reader, main: &Path, servers: &[&Place]) -> Vec<String> {
    let mut found = Found::default();
    let mut walk = Walk::new(reader, main);
    walk.main(main, &mut |walk, file, directive| {
        if directive.is("http") {
            walk.each(file, directive.block(), &mut |walk, file, directive| {
                found.in_http(walk, file, directive, servers);
            });
        }
    });
    let Found {
        early,
        located,
        inherited,
    } = found;
    let mut rules = early;
    rules.extend(located);
    rules.extend(inherited);
    rules.truncate(RULES_MAX);
    rules
}

#[derive(Default)]
struct Found {
    early: Vec<String>,
    located: Vec<String>,
    inherited: Vec<String>,
}

impl Found {
    fn in_http(
        &mut self,
        walk: &mut Walk<'_>,
        file: &File,
        directive: Directive<'_>,
        servers: &[&Place],
    ) {
        if directive.is("server") {
            let place = file.place(directive);
            if servers.iter().any(|server| **server == place) {
                walk.each_of_server(file, directive.block(), &mut |walk, file, directive| {
                    self.in_server(walk, file, directive);
                });
            }
        } else if limits(directive) {
            self.inherited.push(shown(file, directive));
        }
    }

    fn in_server(&mut self, walk: &mut Walk<'_>, file: &File, directive: Directive<'_>) {
        if directive.is("location") {
            self.in_location(walk, file, directive);
        } else if answers(directive) || limits(directive) {
            self.early.push(shown(file, directive));
        }
    }

    fn in_location(&mut self, walk: &mut Walk<'_>, file: &File, location: Directive<'_>) {
        if !fits(location) {
            return;
        }
        walk.each(file, location.block(), &mut |walk, file, directive| {
            if directive.is("location") {
                self.in_location(walk, file, directive);
            } else if answers(directive) || limits(directive) || hands_on(directive) {
                let rule = shown(file, directive);
                self.located.push(format!("{rule} in {}", words(location)));
            }
        });
    }
}

/// Says whether the directive answers by itself, or sends the visitor elsewhere.
fn answers(directive: Directive<'_>) -> bool {
    match &*directive.name() {
        b"return" => true,
        b"rewrite" => directive
            .argument()
            .is_none_or(|pattern| matches(&pattern, false) != Some(false)),
        b"if" => {
            challenge::thumbprint_of(directive).is_none()
                && directive
                    .block()
                    .any(|inner| answers(inner) || limits(inner))
        }
        _ => false,
    }
}

/// Says whether the directive keeps some visitors away.
fn limits(directive: Directive<'_>) -> bool {
    match &*directive.name() {
        b"deny"
        | b"internal"
        | b"valid_referers"
        | b"limit_req"
        | b"limit_conn"
        | b"auth_request"
        | b"access_by_lua_block"
        | b"access_by_lua_file"
        | b"disable_symlinks"
        | b"modsecurity" => true,
        b"auth_basic" => directive.argument().as_deref() != Some(b"off"),
        _ => false,
    }
}

/// Says whether the directive leaves the answer to another program.
fn hands_on(directive: Directive<'_>) -> bool {
    let name = directive.name();
    name.ends_with(b"_pass") || name.starts_with(b"content_by_lua")
}

fn fits(location: Directive<'_>) -> bool {
    let mut words = location.arguments();
    let Some(first) = words.next() else {
        return false;
    };
    let second = words.next();
    let (modifier, pattern) = match &second {
        Some(pattern) => (&first[..], &pattern[..]),
        None => split_modifier(&first),
    };
    match modifier {
        b"=" => pattern == CHALLENGE_PATH.as_bytes(),
        b"~" | b"~*" => matches(pattern, modifier == b"~*") != Some(false),
        _ => CHALLENGE_PATH.as_bytes().starts_with(pattern),
    }
}

fn matches(pattern: &[u8], any_case: bool) -> Option<bool> {
    let pattern = std::str::from_utf8(pattern).ok()?;
    pattern::matches(pattern, any_case, CHALLENGE_PATH)
}

fn shown(file: &File, directive: Directive<'_>) -> String {
    let inner = directive.block().next();
    let inner = inner
        .map(|inner| format!(" {{ {}; … }}", words(inner)))
        .unwrap_or_default();
    format!("{}: {}{inner}", file.place(directive), words(directive))
}

/// Returns the directive up to its `;` or `{`, on one line.
fn words(directive: Directive<'_>) -> String {
    let begin = directive.name_span();
    let end = directive
        .argument_spans()
        .last()
        .map_or(begin.end, |last| last.end);
    let written = &directive.tree().source()[begin.start..end];
    let written = String::from_utf8_lossy(written);
    let text = written.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// More would hide the likeliest.
const RULES_MAX: usize = 6;

/// A list of a hundred user agents is recognised by its beginning.
const CHARACTERS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::rules;
    use crate::conf::read::Disk;
    use expect_test::{Expect, expect};
    use renewal::site::Place;
    use std::io::Write as _;

    /// Shows the rules of the server block on the second line of a configuration.
    fn check(server: &str, expect: Expect) {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("nginx.conf");
        let text = format!(
            "http {{ deny 192.0.2.1;\nserver {{\n{server}\n}}\nserver {{ return 403; }} }}"
        );
        std::fs::File::create(&main)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let place = Place {
            file: main.clone(),
            line: 2,
        };
        let found = rules(&Disk, &main, &[&place]).join("\n");
        expect.assert_eq(&found.replace(folder.path().to_str().unwrap(), "/etc/nginx"));
    }

    #[test]
    fn what_runs_first_stands_first() {
        check(
            "location / { auth_basic x; }\nif ($http_user_agent ~* (curl|compatible)) { return 403; }",
            expect![[r#"
                /etc/nginx/nginx.conf:4: if ($http_user_agent ~* (curl|compatible)) { return 403; … }
                /etc/nginx/nginx.conf:3: auth_basic x in location /
                /etc/nginx/nginx.conf:1: deny 192.0.2.1"#]],
        );
    }

    #[test]
    fn locations_that_do_not_fit_are_passed_over() {
        check(
            "location ~ /\\.(ht|svn) { deny all; }\nlocation ~ /\\. { deny all; }\nlocation /shop { return 404; }\n\
             rewrite ^/old https://b.test/ permanent;",
            expect![[r#"
                /etc/nginx/nginx.conf:4: deny all in location ~ /\.
                /etc/nginx/nginx.conf:1: deny 192.0.2.1"#]],
        );
    }
}
