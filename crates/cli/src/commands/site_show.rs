//! `site:show`: one site in full.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use renewal::certificate::Certificate;
use renewal::ending;
use renewal::finding::Finding;
use renewal::name::Name;
use renewal::plan::{Plan, Remembered, Wish, plan};
use renewal::ports::HistoryEntry;
use renewal::report::Served;
use renewal::site::{Server, Site};
use serde_json::json;

use crate::arguments::site_name;
use crate::commands::site_list::{Row, State, row};
use crate::commands::{Session, find_site};
use crate::config::Config;
use crate::console::{ERROR, GOOD, LABEL};
use crate::errors::CommandError;
use crate::output::document::CertificateDocument;
use crate::output::findings::push_finding;
use crate::output::when;
use crate::output::wrap::push_wrapped;

mod of_panel;

/// The options of `site:show`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  clpctl site:show --domain=example.com\n  clpctl site:show --domain=example.com --json"
)]
pub struct Arguments {
    /// The site, by any of its names
    #[arg(long, visible_alias = "domainName", value_name = "DOMAIN", value_parser = site_name)]
    pub domain: Name,
}

/// One member of a lineage on disk.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its number.
    pub number: u32,
    /// Its facts; `None` when its file cannot be read.
    pub certificate: Option<Certificate>,
    /// Its file.
    pub path: PathBuf,
}

/// Everything that is known about one site.
#[derive(Clone, Debug)]
pub struct Portrait<'a> {
    /// The site as it was seen.
    pub site: &'a Site,
    /// What is remembered about it.
    pub remembered: Option<&'a Remembered>,
    /// Its lineage, newest first.
    pub versions: Vec<Version>,
    /// What each address serves now.
    pub served: Vec<Served>,
    /// What happened to it, newest first.
    pub history: Vec<HistoryEntry>,
}

/// Prints one site.
///
/// # Errors
///
/// When there is no such site, or this host cannot be looked at.
pub fn run(session: &Session, config: &Config, arguments: &Arguments) -> Result<u8, CommandError> {
    let look = crate::wire::look(config, session.clock)?;
    let site = find_site(&look, &arguments.domain)?;
    let remembered = crate::wire::remembered(config)?;
    let portrait = Portrait {
        site,
        remembered: remembered.get(site.domain()),
        versions: crate::wire::versions(config, site)?,
        served: crate::wire::served(config, site)?,
        history: crate::wire::history(config, Some(site.domain()), HISTORY_SHOWN)?,
    };
    let now = session.clock.now();
    if session.console.json {
        session.console.document(&portrait.to_json(now))?;
    } else {
        session
            .console
            .result(&portrait.to_text(now, session.console.width))?;
    }
    Ok(0)
}

impl Portrait<'_> {
    /// Returns the document for programs: the row of `site:list`, and more.
    #[must_use]
    pub fn to_json(&self, now: Timestamp) -> serde_json::Value {
        let plan = self.plan(now);
        let row = plan
            .items
            .first()
            .map(|item| row(item, self.remembered, now));
        let mut site = json!(row);
        site["due_reason"] = json!(plan.items.first().map(|item| item.due.reason.to_string()));
        site["lineage"] = json!(self.site.lineage);
        site["servers"] = self
            .site
            .servers
            .iter()
            .map(|server| server_json(server))
            .collect();
        site["versions"] = self.versions.iter().map(version_json).collect();
        site["served"] = json!(self.served);
        site["history"] = json!(self.history);
        site["attempts"] = json!(self.remembered.and_then(|known| known.attempts.as_ref()));
        site["findings"] = json!(self.findings(now));
        site["panel"] = json!(self.site.panel.site().map(of_panel::document));
        json!({"site": site})
    }

    /// Writes it for people.
    #[must_use]
    pub fn to_text(&self, now: Timestamp, width: Option<usize>) -> String {
        let mut out = format!("{LABEL}{}{LABEL:#}\n", self.site.domain());
        let mut line = |label: &str, text: &str| {
            out.push_str(&format!("  {label:<14} "));
            push_wrapped(&mut out, text, LABELLED, width);
        };
        line("names", &self.site.wanted.to_string());
        let plan = self.plan(now);
        if let Some(item) = plan.items.first() {
            let row = row(item, self.remembered, now);
            line("state", row.state.as_str());
            let due = match row.due_at {
                Some(at) if at <= now => format!("now: {}", item.due.reason),
                Some(at) => format!("{}: {}", when::date_and_distance(at, now), item.due.reason),
                None => self.never_due(&row),
            };
            line("due", &due);
        }
        if let Some(current) = &self.site.current {
            let certificate = &current.certificate;
            line("certificate", &current.path.display().to_string());
            line(
                "",
                &format!(
                    "by {}, ends {}",
                    certificate.issuer,
                    when::date_and_distance(certificate.valid.end(), now)
                ),
            );
            line("", &format!("serial {}", certificate.serial));
            line("", &format!("sha256 {}", certificate.sha256));
        }
        line("CA", &self.site.policy.ca.to_string());
        for server in &self.site.servers {
            line("vhost", &server.place.to_string());
        }
        if let Some(root) = self.site.document_root() {
            line("document root", &root.display().to_string());
        }
        for (label, text) in of_panel::lines(self.site.panel.site(), now) {
            line(label, &text);
        }
        if let Some(attempts) = self.remembered.and_then(|known| known.attempts.as_ref()) {
            line(
                "failures",
                &format!(
                    "{} in a row, the last on {}: {}",
                    attempts.failures,
                    when::minute(attempts.last_at),
                    attempts.cause
                ),
            );
            line(
                "",
                &format!("tried again on {}", when::minute(attempts.retry_at)),
            );
        }
        self.push_lists(&mut out, now, width);
        out
    }

    fn push_lists(&self, out: &mut String, now: Timestamp, width: Option<usize>) {
        heading(out, "served now", self.served.is_empty());
        for served in &self.served {
            let (style, word) = if served.ok {
                (GOOD, "ok")
            } else {
                (ERROR, "wrong")
            };
            let what = match (&served.error, served.sha256) {
                (Some(error), _) => format!("no handshake: {error}"),
                (None, Some(_)) if served.ok => "the certificate above".to_owned(),
                (None, Some(other)) => {
                    let by = served
                        .answered_by
                        .as_ref()
                        .map(|by| format!(", from {by}"))
                        .unwrap_or_default();
                    format!("another certificate{by}, sha256 {other}")
                }
                (None, None) => "nothing".to_owned(),
            };
            let address = served.address.to_string();
            out.push_str(&format!("  {address:<21} {style}{word:<5}{style:#} "));
            push_wrapped(out, &what, ADDRESSED, width);
        }
        heading(out, "versions on disk", self.versions.is_empty());
        for version in &self.versions {
            let current = self
                .site
                .current
                .as_ref()
                .and_then(|current| current.version)
                == Some(version.number);
            let mark = if current { "*" } else { " " };
            let facts = version.certificate.as_ref().map_or_else(
                || "cannot be read".to_owned(),
                |certificate| {
                    format!(
                        "by {}, ends {}",
                        certificate.issuer,
                        when::date_and_distance(certificate.valid.end(), now)
                    )
                },
            );
            out.push_str(&format!("{mark} {:<4} ", version.number));
            push_wrapped(
                out,
                &format!("{facts}: {}", version.path.display()),
                7,
                width,
            );
        }
        heading(out, "history", self.history.is_empty());
        for entry in &self.history {
            out.push_str(&format!("  {}  ", when::minute(entry.at)));
            push_wrapped(out, &format!("{} {}", entry.what, entry.detail), 24, width);
        }
        let findings = self.findings(now);
        heading(out, "findings", findings.is_empty());
        for finding in &findings {
            push_finding(out, finding, 2, width);
        }
    }

    /// Says why nothing will be done by itself.
    fn never_due(&self, row: &Row<'_>) -> String {
        match row.state {
            State::Imported => "never by itself: it was imported, so it is only watched".to_owned(),
            _ if row.managed => format!(
                "never by itself: nobody asked for its first certificate (clpctl lets-encrypt:install:certificate --domainName={})",
                self.site.domain()
            ),
            _ => "never: it is only watched".to_owned(),
        }
    }

    fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let seen = self.site.findings.iter().cloned();
        seen.chain(ending::warning(self.site, now)).collect()
    }

    fn plan(&self, now: Timestamp) -> Plan<'_> {
        plan([(self.site, self.remembered)], &Wish::default(), now)
    }
}

fn heading(out: &mut String, text: &str, empty: bool) {
    if !empty {
        out.push_str(&format!("{LABEL}{text}{LABEL:#}\n"));
    }
}

fn server_json(server: &Server) -> serde_json::Value {
    let listens = server.listens.iter().map(|listen| {
        json!({"address": listen.address, "tls": listen.tls, "quic": listen.quic, "default_server": listen.default_server})
    });
    json!({
        "file": server.place.file,
        "line": server.place.line,
        "names": server.names,
        "listens": listens.collect::<Vec<_>>(),
        "document_root": server.document_root,
        "certificate": server.pair.as_ref().map(|pair| &pair.certificate),
        "key": server.pair.as_ref().map(|pair| &pair.key),
    })
}

fn version_json(version: &Version) -> serde_json::Value {
    let certificate = version.certificate.as_ref();
    json!({
        "version": version.number,
        "path": version.path,
        "certificate": certificate.map(|certificate| CertificateDocument::new(certificate, &version.path)),
    })
}

const HISTORY_SHOWN: usize = 10;

/// Where texts begin behind a label, and behind an address.
const LABELLED: usize = 17;
const ADDRESSED: usize = 30;

#[cfg(test)]
mod tests {
    use super::{Portrait, Version};
    use crate::testing::{certificate, name, not_served, now, served, site, time};
    use expect_test::expect;
    use renewal::finding::{Finding, FindingName};
    use renewal::ports::HistoryEntry;

    fn portrait(site: &renewal::site::Site) -> Portrait<'_> {
        let version = |number, certificate| Version {
            number,
            certificate,
            path: format!("/etc/letsencrypt/archive/a.test/fullchain{number}.pem").into(),
        };
        Portrait {
            site,
            remembered: None,
            versions: vec![
                version(3, Some(certificate("a.test www.a.test", "2026-05-01"))),
                version(2, None),
            ],
            served: vec![
                served("127.0.0.1:443"),
                not_served("[::1]:443", "connection refused"),
            ],
            history: vec![HistoryEntry {
                at: time("2026-01-31T04:05:06Z"),
                domain: Some(name("a.test")),
                what: "renewed".into(),
                detail: "version 3".into(),
            }],
        }
    }

    #[test]
    fn a_site_in_full() {
        let mut site = site("a.test www.a.test", Some("2026-05-01"));
        site.findings.push(
            Finding::new(FindingName::Port443Refused, "nothing listens on [::1]:443")
                .fix("add “listen [::]:443 ssl;” to the server block"),
        );
        let text = portrait(&site).to_text(now(), None);
        expect![[r#"
            a.test
              names          a.test, www.a.test
              state          valid
              due            2026-03-31, in 57 days: a third of its life is left
              certificate    /etc/letsencrypt/live/a.test/fullchain.pem
                             by R11, ends 2026-05-01, in 88 days
                             serial 04ab12
                             sha256 abababababababababababababababababababababababababababababababab
              CA             https://acme-v02.api.letsencrypt.org/directory
              vhost          /etc/nginx/sites-enabled/a.test.conf:3
              document root  /home/a.test/htdocs
            served now
              127.0.0.1:443         ok    the certificate above
              [::1]:443             wrong no handshake: connection refused
            versions on disk
            * 3    by R11, ends 2026-05-01, in 88 days: /etc/letsencrypt/archive/a.test/fullchain3.pem
              2    cannot be read: /etc/letsencrypt/archive/a.test/fullchain2.pem
            history
              2026-01-31 04:05 UTC  renewed version 3
            findings
              error: Nothing listens on [::1]:443.
                fix: Add “listen [::]:443 ssl;” to the server block.
                finding: port-443-refused (clpctl explain port-443-refused)
        "#]].assert_eq(&anstream::adapter::strip_str(&text).to_string());
    }

    #[test]
    fn the_document() {
        let site = site("a.test", Some("2026-05-01"));
        let json = portrait(&site).to_json(now());
        let fields: Vec<&String> = json["site"].as_object().unwrap().keys().collect();
        expect![[r#"
            [
                "attempts",
                "certificate",
                "days_left",
                "document_root",
                "domain",
                "due_at",
                "due_reason",
                "findings",
                "history",
                "lineage",
                "managed",
                "names",
                "panel",
                "served",
                "servers",
                "source",
                "state",
                "versions",
                "vhost",
            ]
        "#]]
        .assert_debug_eq(&fields);
        expect![[r#"
            [
              {
                "certificate": null,
                "document_root": "/home/a.test/htdocs",
                "file": "/etc/nginx/sites-enabled/a.test.conf",
                "key": null,
                "line": 3,
                "listens": [
                  {
                    "address": "0.0.0.0:443",
                    "default_server": false,
                    "quic": false,
                    "tls": true
                  }
                ],
                "names": [
                  "a.test"
                ]
              }
            ]"#]]
        .assert_eq(&serde_json::to_string_pretty(&json["site"]["servers"]).unwrap());
    }
}
