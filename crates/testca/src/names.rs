//! Which names does the practice CA issue for?
//!
//! The rules and texts of Boulder's `policy/pa.go`, without the list of public suffixes:
//! names in practice end in `.test` and the like.

use crate::problems::{Problem, ProblemKind, Subproblem};

/// Checks the names of an order, all of them: each bad one is told.
///
/// `forbidden` says which are forbidden by policy.
pub(crate) fn check(names: &[String], forbidden: impl Fn(&str) -> bool) -> Result<(), Problem> {
    let mut bad: Vec<Subproblem> = names
        .iter()
        .filter_map(|name| {
            let (kind, text) = if forbidden(name) {
                Err(FORBIDDEN)
            } else {
                check_one(name)
            }
            .err()?;
            Some(Subproblem {
                kind,
                detail: text.to_owned(),
                name: name.clone(),
            })
        })
        .collect();
    let Some(first) = bad.first() else {
        return Ok(());
    };
    let (name, text) = (&first.name, &first.detail);
    if bad.len() == 1 {
        return Err(Problem::new(
            first.kind,
            format!("Cannot issue for {name:?}: {text}"),
        ));
    }
    let detail = format!(
        "Cannot issue for {name:?}: {text} (and {} more problems. Refer to sub-problems for more information.)",
        bad.len() - 1
    );
    let mut problem = Problem::new(ProblemKind::RejectedIdentifier, detail);
    problem.subproblems.append(&mut bad);
    Err(problem)
}

fn check_one(name: &str) -> Result<(), (ProblemKind, &'static str)> {
    let malformed = |text| Err((ProblemKind::Malformed, text));
    let base = name.strip_prefix("*.").unwrap_or(name);
    if base.contains('*') {
        return malformed(if name.matches('*').count() > 1 {
            "Domain name has more than one wildcard"
        } else {
            "Domain name contains an invalid wildcard. A wildcard is only permitted before the first dot in a domain name"
        });
    }
    if base.is_empty() {
        return malformed("Domain name is empty");
    }
    if name.len() > 253 {
        return malformed("Domain name is longer than 253 bytes");
    }
    if base.parse::<std::net::Ipv4Addr>().is_ok() {
        return malformed("Domain name is an IP address");
    }
    if !base.bytes().all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    }) {
        return malformed("Domain name contains an invalid character");
    }
    if base.ends_with('.') {
        return malformed("Domain name ends in a dot");
    }
    let labels: Vec<&str> = base.split('.').collect();
    if labels.len() < 2 {
        return malformed("Domain name needs at least one dot");
    }
    if labels.len() > 10 {
        return malformed("Domain name has more than 10 labels (parts)");
    }
    labels.iter().try_for_each(|label| check_label(label))
}

fn check_label(label: &str) -> Result<(), (ProblemKind, &'static str)> {
    if label.is_empty() {
        return Err((
            ProblemKind::Malformed,
            "Domain name can not have two dots in a row",
        ));
    }
    if label.len() > 63 {
        return Err((
            ProblemKind::Malformed,
            "Domain has a label (component between dots) longer than 63 bytes",
        ));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err((
            ProblemKind::Malformed,
            "Domain name contains an invalid character",
        ));
    }
    if label.as_bytes().get(2..4) == Some(b"--") && !label.starts_with("xn--") {
        return Err((
            ProblemKind::RejectedIdentifier,
            "Domain name contains an invalid label in a reserved format (R-LDH: '??--')",
        ));
    }
    Ok(())
}

const FORBIDDEN: (ProblemKind, &str) = (
    ProblemKind::RejectedIdentifier,
    "The ACME server refuses to issue a certificate for this domain name, because it is forbidden by policy",
);

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check_names(names: &[&str], expected: &Expect) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let seen = check(&names, |name| name == "bank.test").map_or_else(
            |problem| {
                format!(
                    "{} {} ({})",
                    problem.status,
                    problem.detail,
                    problem.subproblems.len()
                )
            },
            |()| "fine".to_owned(),
        );
        expected.assert_eq(&seen);
    }

    #[test]
    fn good_names() {
        check_names(
            &["a.test", "*.a.test", "xn--bcher-kva.example", "1.2.3.test"],
            &expect!["fine"],
        );
    }

    #[test]
    fn bad_names() {
        check_names(
            &["localhost"],
            &expect![[
                r#"400 Cannot issue for "localhost": Domain name needs at least one dot (0)"#
            ]],
        );
        check_names(
            &[""],
            &expect![[r#"400 Cannot issue for "": Domain name is empty (0)"#]],
        );
        check_names(
            &["a..test"],
            &expect![[
                r#"400 Cannot issue for "a..test": Domain name can not have two dots in a row (0)"#
            ]],
        );
        check_names(
            &["a.test."],
            &expect![[r#"400 Cannot issue for "a.test.": Domain name ends in a dot (0)"#]],
        );
        check_names(
            &["a_b.test"],
            &expect![[
                r#"400 Cannot issue for "a_b.test": Domain name contains an invalid character (0)"#
            ]],
        );
        check_names(
            &["ab--c.test"],
            &expect![[
                r#"400 Cannot issue for "ab--c.test": Domain name contains an invalid label in a reserved format (R-LDH: '??--') (0)"#
            ]],
        );
        check_names(
            &["*.*.test"],
            &expect![[
                r#"400 Cannot issue for "*.*.test": Domain name has more than one wildcard (0)"#
            ]],
        );
        check_names(
            &["192.0.2.1"],
            &expect![[r#"400 Cannot issue for "192.0.2.1": Domain name is an IP address (0)"#]],
        );
        check_names(
            &["1.2.3.4.5.6.7.8.9.10.test"],
            &expect![[
                r#"400 Cannot issue for "1.2.3.4.5.6.7.8.9.10.test": Domain name has more than 10 labels (parts) (0)"#
            ]],
        );
    }

    #[test]
    fn each_bad_name_among_several_is_told() {
        check_names(
            &["a.test", "bank.test", "localhost"],
            &expect![[
                r#"400 Cannot issue for "bank.test": The ACME server refuses to issue a certificate for this domain name, because it is forbidden by policy (and 1 more problems. Refer to sub-problems for more information.) (2)"#
            ]],
        );
    }
}
