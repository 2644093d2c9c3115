//! `host:audit`: what on this machine, beyond any one site, endangers renewals?
//!
//! It looks and changes nothing.

use std::path::Path;

use clap::Args;
use doctor::clients::{Schedules, judge};
use renewal::finding::{Finding, FindingName, Severity};
use serde_json::json;

use crate::commands::Session;
use crate::commands::host_adopt::find_clients;
use crate::config::Config;
use crate::console::{GOOD, LABEL};
use crate::errors::{CommandError, Kind};
use crate::output::findings::push_finding;

/// The options of `host:audit`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  clpctl host:audit\n  clpctl host:audit --json | jq -r .verdict"
)]
pub struct Arguments {}

/// One thing that was looked at.
struct Check {
    name: &'static str,
    /// What was found; `None` when all is well.
    findings: Vec<Finding>,
    /// Why it was not looked at.
    skipped: Option<&'static str>,
}

/// Looks at the machine.
///
/// # Errors
///
/// When it cannot be looked at.
pub fn run(session: &Session, config: &Config) -> Result<u8, CommandError> {
    let look = crate::wire::look(config, session.clock)?;
    let schedules = Schedules::observe(Path::new("/"));
    let found = find_clients(config, &schedules, session.environment.get("HOME"));
    let checks = [
        Check {
            name: "other-client",
            findings: judge(&found, &schedules, &look.sites),
            skipped: None,
        },
        panel_cron(config),
    ];
    let worst = checks
        .iter()
        .flat_map(|check| &check.findings)
        .map(|finding| finding.severity)
        .min();
    let (verdict, code) = match worst {
        Some(Severity::Fatal) => ("will-fail", Kind::Mend.exit_code()),
        Some(Severity::Error) => ("at-risk", Kind::Mend.exit_code()),
        Some(Severity::Warning) => ("at-risk", 0),
        Some(Severity::Info) | None => ("ready", 0),
    };
    if session.console.json {
        let host: Vec<_> = checks.iter().flat_map(documents).collect();
        session.console.document(
            &json!({"command": "host:audit", "verdict": verdict, "host": host, "sites": []}),
        )?;
    } else {
        session
            .console
            .result(&to_text(&checks, session.console.width))?;
    }
    Ok(code)
}

/// CloudPanel's cron file has been lost in updates, and with it the nightly run that renews.
fn panel_cron(config: &Config) -> Check {
    let name = "panel-cron";
    let has_panel = config
        .host
        .cloudpanel_database
        .as_ref()
        .is_some_and(|database| database.exists());
    let skipped = (!has_panel).then_some("there is no CloudPanel here");
    let missing = has_panel && !Path::new(PANEL_CRON).exists();
    let finding = missing.then(|| {
        Finding::new(
            FindingName::PanelCronMissing,
            "CloudPanel's cron file is missing, so none of its nightly jobs run: no renewal, no backup, no clean-up",
        )
        .detail(format!("{PANEL_CRON} does not exist"))
        .fix("install CloudPanel's package again (apt-get install --reinstall cloudpanel), or copy the file from another host")
    });
    Check {
        name,
        findings: finding.into_iter().collect(),
        skipped,
    }
}

fn documents(check: &Check) -> Vec<serde_json::Value> {
    if check.findings.is_empty() {
        let status = if check.skipped.is_some() {
            "skipped"
        } else {
            "passed"
        };
        return vec![json!({"check": check.name, "status": status, "finding": null})];
    }
    let status = |finding: &Finding| match finding.severity {
        Severity::Fatal | Severity::Error => "failed",
        Severity::Warning | Severity::Info => "warning",
    };
    check
        .findings
        .iter()
        .map(|finding| json!({"check": check.name, "status": status(finding), "finding": finding}))
        .collect()
}

fn to_text(checks: &[Check], width: Option<usize>) -> String {
    let mut out = String::new();
    for check in checks {
        let name = check.name;
        if check.findings.is_empty() {
            let word = check.skipped.unwrap_or("ok");
            out.push_str(&format!("{LABEL}{name}{LABEL:#}  {GOOD}{word}{GOOD:#}\n"));
            continue;
        }
        out.push_str(&format!("{LABEL}{name}{LABEL:#}\n"));
        for finding in &check.findings {
            push_finding(&mut out, finding, 2, width);
        }
    }
    out
}

/// Where the package puts it.
const PANEL_CRON: &str = "/etc/cron.d/clp";
