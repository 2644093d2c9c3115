//! How are single directives of a file changed, wherever they stand?
//!
//! Each is known by its line and its name, as they were when the configuration was looked at.

use renewal::fix::Amendment;

use super::edit::{Edits, quoted};
use super::error::Fault;
use super::tree::{Directive, Tree};

/// A file that can't be amended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmendError {
    /// The file makes no sense.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is no such directive on the line, or more than one.
    #[error("no single “{directive}” begins on line {line}")]
    NotThere {
        /// What was looked for.
        directive: String,
        /// Where.
        line: u32,
    },
}

/// Returns the file with the amendments made.
///
/// # Errors
///
/// When the file makes no sense, or the lines don't fit it. Nothing is changed by half.
pub fn amended(file: Vec<u8>, amendments: &[&Amendment]) -> Result<Vec<u8>, AmendError> {
    let tree = Tree::parse(file)?;
    let mut edits = Edits::new(&tree);
    for amendment in amendments {
        match amendment {
            Amendment::Arguments {
                at,
                directive,
                arguments,
            } => {
                let found = find(&tree, at.line, directive)?;
                let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
                edits.replace_arguments(found, &arguments);
            }
            Amendment::Inside {
                at,
                block,
                behind,
                statement,
            } => {
                let found = find(&tree, at.line, block)?;
                let is_neighbour =
                    |inner: &Directive<'_>| behind.as_ref().is_some_and(|name| inner.is(name));
                match found.block().filter(is_neighbour).last() {
                    Some(neighbour) => edits.insert_after(neighbour, statement, None),
                    None => edits.insert_first(found, statement, None),
                }
            }
            Amendment::Behind {
                at,
                directive,
                statement,
            } => {
                let found = find(&tree, at.line, directive)?;
                edits.insert_after(found, statement, None);
            }
        }
    }
    Ok(edits.apply())
}

fn find<'t>(tree: &'t Tree, line: u32, name: &str) -> Result<Directive<'t>, AmendError> {
    let mut found = tree
        .all()
        .filter(|directive| directive.line() == line && directive.is(name));
    match (found.next(), found.next()) {
        (Some(directive), None) => Ok(directive),
        (None | Some(_), _) => Err(AmendError::NotThere {
            directive: name.to_owned(),
            line,
        }),
    }
}

/// Returns a statement as it must stand in a file.
#[must_use]
pub fn statement(name: &str, arguments: &[&str]) -> String {
    let words = arguments.iter().map(|word| quoted(word.as_bytes()));
    let words: Vec<u8> = words
        .flat_map(|word| [b" ".to_vec(), word].concat())
        .collect();
    format!("{name}{};", String::from_utf8_lossy(&words))
}

#[cfg(test)]
mod tests {
    use super::amended;
    use expect_test::{Expect, expect};
    use renewal::fix::Amendment;
    use renewal::site::Place;

    fn at(line: u32) -> Place {
        Place {
            file: "/etc/nginx/nginx.conf".into(),
            line,
        }
    }

    fn check(file: &str, amendments: &[Amendment], expect: Expect) {
        let amendments: Vec<&Amendment> = amendments.iter().collect();
        let shown = match amended(file.as_bytes().to_vec(), &amendments) {
            Ok(bytes) => String::from_utf8(bytes).unwrap(),
            Err(error) => error.to_string(),
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn limits_are_raised_and_added() {
        let file = "worker_processes auto;\nevents {\n    worker_connections 768; # few\n}\n";
        let raise = Amendment::Arguments {
            at: at(3),
            directive: "worker_connections".to_owned(),
            arguments: vec!["4096".to_owned()],
        };
        let add = Amendment::Behind {
            at: at(1),
            directive: "worker_processes".to_owned(),
            statement: "worker_rlimit_nofile 16384;".to_owned(),
        };
        check(
            file,
            &[raise, add],
            expect![[r#"
                worker_processes auto;
                worker_rlimit_nofile 16384;
                events {
                    worker_connections 4096; # few
                }
            "#]],
        );
    }

    #[test]
    fn a_listen_comes_behind_the_others() {
        let listen = |line| Amendment::Inside {
            at: at(line),
            block: "server".to_owned(),
            behind: Some("listen".to_owned()),
            statement: "listen [::]:80;".to_owned(),
        };
        check(
            "server {\n  listen 80;\n  listen 443 ssl;\n  root /x;\n}\nserver { server_name b; }\n",
            &[listen(1), listen(6)],
            expect![[r#"
                server {
                  listen 80;
                  listen 443 ssl;
                  listen [::]:80;
                  root /x;
                }
                server { listen [::]:80; server_name b; }
            "#]],
        );
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_not_touched() {
        let wrong = Amendment::Arguments {
            at: at(1),
            directive: "worker_connections".to_owned(),
            arguments: vec!["1".to_owned()],
        };
        check(
            "events { }",
            &[wrong],
            expect!["no single “worker_connections” begins on line 1"],
        );
    }
}
