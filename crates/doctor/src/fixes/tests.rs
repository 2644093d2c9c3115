//! Which fix follows from one look, as it is recorded?

use expect_test::{Expect, expect};
use renewal::fix::Remedy;
use serde_json::json;

use super::{Ground, Recorded, fixes, of_link};
use crate::check::Check;
use crate::links::LinkSeen;
use renewal::name::Name;
use renewal::policy::EditVhosts;

/// Decides about one observation, as it is recorded in JSON.
fn check(check: Check, seen: serde_json::Value, expect: Expect) {
    let recorded = Recorded {
        check,
        site: Some(Name::parse("a.test").unwrap()),
        seen: serde_json::from_value(seen).unwrap(),
    };
    let decided = fixes(
        &[recorded],
        &Ground {
            edit: EditVhosts::All,
            port: 80,
            ..Ground::default()
        },
    );
    let lines = decided.iter().map(|fix| {
        let grants = match &fix.remedy {
            Remedy::Access(grants) => grants
                .iter()
                .map(|grant| {
                    format!(
                        "\n  {}: {} -> {}",
                        grant.path().display(),
                        grant.before,
                        grant.after
                    )
                })
                .collect(),
            Remedy::Link(_) | Remedy::Lines(_) | Remedy::ChallengeLine | Remedy::Reload => {
                String::new()
            }
        };
        format!("{}: {}{grants}", fix.cures, fix.what)
    });
    expect.assert_eq(&lines.collect::<Vec<_>>().join("\n"));
}

/// A document root of user 1000, with these modes of the folders on the way.
fn folders(root: u32, inner: &[u32]) -> serde_json::Value {
    let part = |path: &str, owner: u32, mode: u32| json!({"path": path, "kind": "folder", "owner": owner, "group": owner, "mode": mode});
    let mut way = vec![part("/home", 0, 0o755), part("/home/a", 1000, root)];
    let names = ["/home/a/.well-known", "/home/a/.well-known/acme-challenge"];
    way.extend(
        names
            .iter()
            .zip(inner)
            .map(|(path, mode)| part(path, 0, *mode)),
    );
    json!({"folders": [{
        "folder": "/home/a", "way": way, "owner": 1000, "read_only": false,
        "reader": {"name": "www-data", "user": 33, "groups": [33]}, "needed": true,
    }]})
}

#[test]
fn challenge_folders_are_opened_and_nothing_above_them() {
    check(
        Check::DocumentRoot,
        folders(0o755, &[0o755, 0o755]),
        expect![""],
    );
    check(
        Check::DocumentRoot,
        folders(0o755, &[0o700, 0o755]),
        expect![[r#"
        challenge-forbidden: Let nginx pass through the challenge folders.
          /home/a/.well-known: mode 0700, user 0, group 0 -> mode 0755, user 1000, group 1000"#]],
    );
    check(
        Check::DocumentRoot,
        folders(0o711, &[0o700, 0o750]),
        expect![[r#"
        challenge-forbidden: Let nginx pass through the challenge folders.
          /home/a/.well-known: mode 0700, user 0, group 0 -> mode 0711, user 1000, group 1000
          /home/a/.well-known/acme-challenge: mode 0750, user 0, group 0 -> mode 0711, user 1000, group 1000"#]],
    );
    check(Check::DocumentRoot, folders(0o700, &[0o700]), expect![""]);
    check(Check::DocumentRoot, folders(0o700, &[]), expect![""]);
}

#[test]
fn what_is_served_from_memory_is_read_anew() {
    let served = |sha256: serde_json::Value, by: serde_json::Value| {
        json!({"served": {"domain": "a.test", "addresses": [
            {"address": "127.0.0.1:443", "sha256": sha256, "ok": false, "error": null, "answered_by": by},
        ]}})
    };
    let leaf = json!("ab".repeat(32));
    check(
        Check::Served,
        served(leaf.clone(), json!(null)),
        expect!["certificate-not-served: Let nginx take up what is on disk."],
    );
    check(Check::Served, served(leaf, json!("b.conf:1")), expect![""]);
    check(
        Check::Served,
        served(json!(null), json!(null)),
        expect!["port-443-refused: Let nginx take up what is on disk."],
    );
}

#[test]
fn a_link_is_mended_where_it_enables_a_vhost() {
    let seen = |among_enabled, target: Option<&str>| LinkSeen {
        link: "/etc/nginx/sites-enabled/a.conf".into(),
        leads_to: "/old/a.conf".into(),
        among_enabled,
        target: target.map(Into::into),
    };
    let what = |seen| of_link(&seen).map(|fix| fix.what);
    let expected =
        "Let the link /etc/nginx/sites-enabled/a.conf lead to /etc/nginx/sites-available/a.conf.";
    assert_eq!(
        what(seen(true, Some("/etc/nginx/sites-available/a.conf"))).unwrap(),
        expected
    );
    let expected = "Take the link /etc/nginx/sites-enabled/a.conf away, and keep a copy of it.";
    assert_eq!(what(seen(true, None)).unwrap(), expected);
    assert_eq!(what(seen(false, None)), None);
}
