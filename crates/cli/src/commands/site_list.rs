//! `site:list`: every site, its certificate, and when that is due.

use std::collections::HashMap;

use clap::Args;
use jiff::Timestamp;
use renewal::ending;
use renewal::name::Name;
use renewal::names::Names;
use renewal::plan::{Action, Item, Remembered, SkipReason, Wish, plan};
use renewal::ports::Look;
use renewal::site::{Site, Source};
use serde::Serialize;

use crate::commands::Session;
use crate::config::Config;
use crate::console::{ERROR, FAINT, GOOD, WARNING};
use crate::errors::CommandError;
use crate::output::document::CertificateDocument;
use crate::output::findings::push_finding;
use crate::output::table::{Cell, Table};
use crate::output::when;

/// The options of `site:list`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  clpctl site:list\n  clpctl site:list --json | jq '.sites[] | select(.days_left < 10)'"
)]
pub struct Arguments {}

/// How a site fares.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has no certificate, or its file cannot be read.
    None,
    /// Its certificate is self-signed.
    SelfSigned,
    /// Its certificate has ended, or is not valid yet.
    Expired,
    /// nginx could not start with its key.
    KeyDoesNotFit,
    /// The last attempt to renew failed.
    Failing,
    /// It is to be renewed now.
    Due,
    /// It was made elsewhere, and is only watched.
    Imported,
    /// All is well.
    Valid,
}

impl State {
    /// Returns the words people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SelfSigned => "self-signed",
            Self::Expired => "expired",
            Self::KeyDoesNotFit => "key does not fit",
            Self::Failing => "failing",
            Self::Due => "due",
            Self::Imported => "imported",
            Self::Valid => "valid",
        }
    }
}

/// One site of the list, as JSON shows it.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    /// What it is called.
    pub domain: &'a Name,
    /// The names its certificate should cover.
    pub names: &'a Names,
    /// Where it was learnt of.
    pub source: Source,
    /// Where its first server block begins.
    pub vhost: Option<String>,
    /// Its document root.
    pub document_root: Option<String>,
    /// Whether clpctl renews it.
    pub managed: bool,
    /// How it fares.
    pub state: State,
    /// Whole days until its certificate ends.
    pub days_left: Option<i64>,
    /// When that is due; `None` for a site that is not renewed, or whose first certificate nobody asked for.
    pub due_at: Option<Timestamp>,
    /// Its certificate.
    pub certificate: Option<CertificateDocument<'a>>,
}

/// Prints the list.
///
/// # Errors
///
/// When this host cannot be looked at.
pub fn run(session: &Session, config: &Config, _arguments: &Arguments) -> Result<u8, CommandError> {
    let look = crate::wire::look(config, session.clock)?;
    let remembered = crate::wire::remembered(config)?;
    let now = session.clock.now();
    if session.console.json {
        session.console.document(
            &serde_json::json!({"sites": rows(&look, &remembered, now), "findings": look.findings}),
        )?;
    } else {
        session
            .console
            .result(&to_text(&look, &remembered, now, session.console.width))?;
    }
    Ok(0)
}

/// Returns a row for each site.
#[must_use]
pub fn rows<'a>(
    look: &'a Look,
    remembered: &'a HashMap<Name, Remembered>,
    now: Timestamp,
) -> Vec<Row<'a>> {
    let known = look
        .sites
        .iter()
        .map(|site| (site, remembered.get(site.domain())));
    // As a run sees it to which nobody named a site: that is what happens by itself.
    let plan = plan(known, &Wish::default(), now);
    plan.items
        .iter()
        .map(|item| row(item, remembered.get(item.site.domain()), now))
        .collect()
}

/// Returns the row of one site.
#[must_use]
pub fn row<'a>(item: &Item<'a>, remembered: Option<&Remembered>, now: Timestamp) -> Row<'a> {
    let site = item.site;
    let current = site.current.as_ref();
    Row {
        domain: site.domain(),
        names: &site.wanted,
        source: site.source,
        vhost: site.vhost().map(|place| place.file.display().to_string()),
        document_root: site.document_root().map(|root| root.display().to_string()),
        managed: site.policy.managed && !imported(&item.action),
        state: state(site, &item.action, remembered, now),
        days_left: current.map(|current| when::days_left(current.certificate.valid.end(), now)),
        due_at: (site.policy.managed && !unasked(&item.action) && !imported(&item.action))
            .then_some(item.due.at),
        certificate: current
            .map(|current| CertificateDocument::new(&current.certificate, &current.path)),
    }
}

/// Says whether somebody imported its certificate into CloudPanel, so that it is only watched.
fn imported(action: &Action) -> bool {
    matches!(action, Action::Skip(SkipReason::Imported))
}

/// Says whether the site waits for somebody to ask for a certificate of the CA.
fn unasked(action: &Action) -> bool {
    matches!(
        action,
        Action::Skip(SkipReason::NeverHadOne | SkipReason::MadeElsewhere)
    )
}

fn state(site: &Site, action: &Action, remembered: Option<&Remembered>, now: Timestamp) -> State {
    let Some(current) = &site.current else {
        return State::None;
    };
    if current.certificate.self_signed {
        return State::SelfSigned;
    }
    if !current.certificate.valid.contains(now) {
        return State::Expired;
    }
    if !current.key_fits {
        return State::KeyDoesNotFit;
    }
    if remembered.is_some_and(|known| known.attempts.is_some()) {
        return State::Failing;
    }
    match action {
        Action::Deploy(_) | Action::Order { .. } | Action::Postpone(_) => State::Due,
        Action::Skip(SkipReason::MadeElsewhere) => State::Imported,
        Action::Leave | Action::Skip(_) => State::Valid,
    }
}

fn to_text(
    look: &Look,
    remembered: &HashMap<Name, Remembered>,
    now: Timestamp,
    width: Option<usize>,
) -> String {
    let rows = rows(look, remembered, now);
    let mut text = if rows.is_empty() {
        "No site was found.\n".to_owned()
    } else {
        let whole = table(&rows, now, Others::Named);
        // What the site is called matters more than what else it is called.
        if width.is_some_and(|width| whole.width() > width) {
            table(&rows, now, Others::Counted).render(width)
        } else {
            whole.render(width)
        }
    };
    for site in &look.sites {
        for finding in site.findings.iter().chain(&ending::warning(site, now)) {
            text.push_str(&format!("{}\n", site.domain()));
            push_finding(&mut text, finding, 2, width);
        }
    }
    for finding in &look.findings {
        push_finding(&mut text, finding, 0, width);
    }
    text
}

/// How the names of a site besides its domain are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Others {
    Named,
    Counted,
}

fn table(rows: &[Row<'_>], now: Timestamp, others: Others) -> Table {
    let more = match others {
        Others::Named => "MORE NAMES",
        Others::Counted => "MORE",
    };
    let headings = ["SITE", "CERTIFICATE", "LEFT", "DUE", ISSUER, more];
    let mut table = Table::new(&headings).shortening_first(ISSUER);
    for row in rows {
        let style = match row.state {
            State::None | State::SelfSigned | State::Due => WARNING,
            State::Expired | State::KeyDoesNotFit | State::Failing => ERROR,
            State::Imported | State::Valid => GOOD,
        };
        let end = row.certificate.as_ref().map(CertificateDocument::ends);
        let due = match row.due_at {
            None if row.managed && row.state != State::Imported => {
                Cell::styled("not asked for", FAINT)
            }
            None => Cell::styled("only watched", FAINT),
            Some(at) if at <= now => "now".into(),
            Some(at) => when::date(at).into(),
        };
        let names: Vec<&str> = row.names.iter().skip(1).map(Name::as_str).collect();
        let more = match others {
            Others::Named => names.join(", "),
            Others::Counted if names.is_empty() => String::new(),
            Others::Counted => format!("+{}", names.len()),
        };
        table.row(vec![
            row.domain.as_str().into(),
            Cell::styled(row.state.as_str(), style),
            end.map_or_else(String::new, |end| {
                if end > now {
                    when::between(end, now)
                } else {
                    "none".to_owned()
                }
            })
            .into(),
            due,
            row.certificate
                .as_ref()
                .map_or("", CertificateDocument::issuer)
                .into(),
            more.into(),
        ]);
    }
    table
}

/// Issuers can be long, and are nearly all the same.
const ISSUER: &str = "ISSUER";

#[cfg(test)]
pub(crate) mod tests {
    use super::{rows, to_text};
    use crate::testing::{name, now, site, time};
    use expect_test::expect;
    use renewal::finding::{Finding, FindingName};
    use renewal::name::Name;
    use renewal::plan::Remembered;
    use renewal::ports::Look;
    use renewal::retry::{Attempts, Blame};
    use std::collections::HashMap;
    use std::sync::Arc;

    fn world() -> (Look, HashMap<Name, Remembered>) {
        let mut self_signed = site("self.test", Some("2027-02-01"));
        let current = self_signed.current.as_mut().unwrap();
        std::sync::Arc::make_mut(&mut current.certificate).self_signed = true;
        let mut watched = site("watched.test", Some("2026-04-20"));
        watched.policy.managed = false;
        watched.findings.push(
            Finding::new(
                FindingName::NamesOverlap,
                "two server blocks claim watched.test",
            )
            .detail("/etc/nginx/a.conf:3"),
        );
        let sites = vec![
            site("a.test www.a.test shop.a.test", Some("2026-05-01")),
            site("due.test", Some("2026-02-20")),
            site("failing.test", Some("2026-02-14")),
            site("expired.test", Some("2026-01-30")),
            self_signed,
            site("none.test", None),
            watched,
        ];
        let attempts = Attempts {
            failures: 2,
            blame: Blame::Site,
            last_at: time("2026-02-01T06:00:00Z"),
            retry_at: time("2026-02-02T06:00:00Z"),
            cause: "404".to_owned(),
            line_tried_at: None,
            told: false,
            about: None,
        };
        let known = Remembered {
            attempts: Some(attempts),
            ..Remembered::default()
        };
        (
            Look {
                sites,
                ..Look::default()
            },
            HashMap::from([(name("failing.test"), known)]),
        )
    }

    #[test]
    fn every_state() {
        let (look, remembered) = world();
        let text = to_text(&look, &remembered, now(), None);
        expect![[r#"
            SITE          CERTIFICATE  LEFT      DUE            ISSUER  MORE NAMES
            a.test        valid        88 days   2026-03-31     R11     www.a.test, shop.a.test
            due.test      due          18 days   now            R11
            failing.test  failing      12 days   now            R11
            expired.test  expired      none      now            R11
            self.test     self-signed  364 days  not asked for  R11
            none.test     none                   not asked for
            watched.test  valid        77 days   only watched   R11
            watched.test
              warning: Two server blocks claim watched.test.
                seen: /etc/nginx/a.conf:3
                finding: names-overlap (clpctl explain names-overlap)
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&text).to_string());
    }

    #[test]
    fn usual_domains_fit_on_a_terminal_of_80_columns() {
        let (mut look, remembered) = world();
        let mut shop = site(
            "shop.my-company.example.uk www.shop.my-company.example.uk",
            Some("2026-05-01"),
        );
        let certificate = Arc::make_mut(&mut shop.current.as_mut().unwrap().certificate);
        certificate.issuer = "Pebble Intermediate CA 551719".into();
        look.sites.insert(0, shop);
        look.sites.truncate(4);
        let text = to_text(&look, &remembered, now(), Some(80));
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        expect![[r#"
            SITE                        CERTIFICATE  LEFT     DUE         ISSUER        MORE
            shop.my-company.example.uk  valid        88 days  2026-03-31  Pebble Inte…  +1
            a.test                      valid        88 days  2026-03-31  R11           +2
            due.test                    due          18 days  now         R11
            failing.test                failing      12 days  now         R11
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_narrow_terminal() {
        let (look, remembered) = world();
        let text = to_text(&look, &remembered, now(), Some(60));
        let text = anstream::adapter::strip_str(&text).to_string();
        expect![[r#"
            SITE          CERTIFICATE  LEFT      DUE           ISSUER  MORE
            a.test        valid        88 days   2026-03-31    R11     +2
            due.test      due          18 days   now           R11"#]]
        .assert_eq(&text.lines().take(3).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_first_certificate_that_was_asked_for_is_due() {
        let (mut look, remembered) = world();
        let none = look
            .sites
            .iter_mut()
            .find(|site| site.domain().as_str() == "none.test");
        none.unwrap().policy.listed = true;
        let due: Vec<_> = rows(&look, &remembered, now())
            .iter()
            .filter(|row| ["none.test", "self.test"].contains(&row.domain.as_str()))
            .map(|row| (row.domain.to_string(), row.due_at.is_some()))
            .collect();
        assert_eq!(
            due,
            [
                ("self.test".to_owned(), false),
                ("none.test".to_owned(), true)
            ]
        );
    }

    #[test]
    fn the_document_of_the_contract() {
        let (look, remembered) = world();
        let rows = rows(&look, &remembered, now());
        expect![[r#"
            {
              "domain": "a.test",
              "names": [
                "a.test",
                "www.a.test",
                "shop.a.test"
              ],
              "source": "nginx",
              "vhost": "/etc/nginx/sites-enabled/a.test.conf",
              "document_root": "/home/a.test/htdocs",
              "managed": true,
              "state": "valid",
              "days_left": 88,
              "due_at": "2026-03-31T08:20:21Z",
              "certificate": {
                "serial": "04ab12",
                "issuer": "R11",
                "not_before": "2026-01-31T00:00:00Z",
                "not_after": "2026-05-01T00:00:00Z",
                "sha256": "abababababababababababababababababababababababababababababababab",
                "names": [
                  "a.test",
                  "www.a.test",
                  "shop.a.test"
                ],
                "path": "/etc/letsencrypt/live/a.test/fullchain.pem"
              }
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&rows[0]).unwrap());
        assert_eq!(serde_json::to_value(&rows[5]).unwrap()["state"], "none");
    }

    #[test]
    fn no_site_at_all() {
        assert_eq!(
            to_text(&Look::default(), &HashMap::new(), now(), None),
            "No site was found.\n"
        );
    }
}
