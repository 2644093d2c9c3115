//! How is it told what was, or would be, taken over?

use acme::Takeover;
use doctor::clients::Kind;
use renewal::adoption::{Client, Settings};
use renewal::name::Name;
use serde_json::{Value, json};

use super::plan::{AccountPlan, ClientPlan, Lineage};
use super::record::{Record, Stopped, lines};
use super::undo::Undone;
use super::{Arguments, COMMAND, Files};
use crate::commands::Session;
use crate::console::{GOOD, LABEL, WARNING};
use crate::errors::CommandError;
use crate::output::wrap::push_wrapped;

/// Tells that no client was found.
pub(super) fn nothing(session: &Session, only: Option<Client>) -> Result<u8, CommandError> {
    if session.console.json {
        session
            .console
            .document(&json!({"command": COMMAND, "clients": []}))?;
        return Ok(0);
    }
    let who = only.map_or_else(
        || "certbot, acme.sh or CloudPanel".to_owned(),
        |client| client.to_string(),
    );
    session.console.result(&format!(
        "Nothing of {who} was found here, so there is nothing to take over.\n"
    ))?;
    Ok(0)
}

/// Tells what was done, or would be.
pub(super) fn plans(
    session: &Session,
    arguments: &Arguments,
    files: &Files,
    plans: &[ClientPlan],
    record: &Record,
    before: &Record,
) -> Result<u8, CommandError> {
    let dry = arguments.dry_run;
    let changed = record != before;
    let written = writes(files, plans, record, before);
    if session.console.json {
        let clients: Vec<Value> = plans
            .iter()
            .map(|plan| client_json(plan, arguments))
            .collect();
        session.console.document(&json!({
            "command": COMMAND,
            "dry_run": dry,
            "changed": changed && !dry,
            "writes": written,
            "clients": clients,
        }))?;
        return Ok(0);
    }
    let mut out = String::new();
    for plan in plans {
        push_client(&mut out, plan, arguments, session.console.width);
    }
    let files = if written.is_empty() {
        "no file".to_owned()
    } else {
        written.join(", ")
    };
    let last = match (dry, changed) {
        (true, _) => format!("This was a dry run: nothing was changed. It would write {files}."),
        (false, true) => format!("Taken over, without a new order. Written: {files}."),
        (false, false) => "All of it was taken over before: nothing was changed.".to_owned(),
    };
    push_wrapped(&mut out, &last, 0, session.console.width);
    session.console.result(&out)?;
    Ok(0)
}

/// Tells what was given back, or would be.
pub(super) fn undone(session: &Session, dry: bool, undone: &Undone) -> Result<u8, CommandError> {
    let clients: Vec<&str> = undone
        .clients
        .iter()
        .map(|client| client.as_str())
        .collect();
    if session.console.json {
        session.console.document(&json!({
            "command": COMMAND,
            "undo": true,
            "dry_run": dry,
            "clients": clients,
            "done": undone.done,
            "left": undone.left,
        }))?;
        return Ok(0);
    }
    let mut out = String::new();
    let width = session.console.width;
    if clients.is_empty() {
        out.push_str("Nothing was taken over, so there is nothing to give back.\n");
    }
    let done = undone.done.iter().map(|line| (GOOD, "-", line));
    let left = undone.left.iter().map(|line| (WARNING, "!", line));
    for (style, mark, line) in done.chain(left) {
        out.push_str(&format!("{style}{mark}{style:#} "));
        push_wrapped(&mut out, line, 2, width);
    }
    if !clients.is_empty() {
        let clients = clients.join(" and ");
        let last = if dry {
            "This was a dry run: nothing was changed.".to_owned()
        } else if undone.clients == [Client::Cloudpanel] {
            "clpctl orders with an account of its own from now on. CloudPanel's was never changed."
                .to_owned()
        } else {
            format!(
                "{clients} can renew again. So that the two do not renew the same certificates, stop clpctl: \
                 systemctl disable --now clpctl.service clpctl.timer"
            )
        };
        push_wrapped(&mut out, &last, 0, width);
    }
    session.console.result(&out)?;
    Ok(0)
}

/// Lists the files that are written, or would be.
fn writes(files: &Files, plans: &[ClientPlan], record: &Record, before: &Record) -> Vec<String> {
    let mut written = Vec::new();
    if record != before {
        written.push(files.record.display().to_string());
    }
    for plan in plans.iter().flat_map(|plan| &plan.accounts) {
        if let Ok(Takeover::Taken(path)) = &plan.outcome {
            written.push(path.display().to_string());
        }
    }
    if record.settings() != before.settings() {
        written.push(files.settings.display().to_string());
    }
    written
}

fn push_client(out: &mut String, plan: &ClientPlan, arguments: &Arguments, width: Option<usize>) {
    let found = &plan.found;
    out.push_str(&format!(
        "{LABEL}{}{LABEL:#}  {}\n",
        found.client,
        found.place.display()
    ));
    let mut line = |indent: usize, mark: &str, text: String| {
        out.extend(std::iter::repeat_n(' ', indent));
        // The mark has colours, which are not to be counted as columns.
        out.push_str(mark);
        push_wrapped(out, &text, indent + 2, width);
    };
    for account in &plan.accounts {
        line(2, "", account_words(account));
    }
    for lineage in &plan.lineages {
        let managed = &found.managed[lineage.index];
        let (style, word) = match &lineage.outcome {
            Ok(_) => (GOOD, "taken over"),
            Err(_) => (WARNING, "stays"),
        };
        let name = &managed.name;
        let mark = format!("{LABEL}{name}{LABEL:#}  {style}{word}{style:#}: ");
        line(2, &mark, lineage_words(lineage));
        for (when, what) in &managed.hooks {
            line(4, "", format!("{when}: {what} ({NO_HOOKS})"));
        }
        for note in &managed.notes {
            line(4, "", format!("{note}."));
        }
    }
    for (when, what) in &found.hooks {
        line(2, "", format!("for all, {when}: {what} ({NO_HOOKS})"));
    }
    let mark = format!("{WARNING}!{WARNING:#} ");
    for problem in &found.problems {
        line(2, &mark, problem.clone());
    }
    for schedule in &plan.schedules {
        line(2, "", schedule_words(found.client, schedule, arguments));
    }
}

fn account_words(plan: &AccountPlan) -> String {
    let url = plan.account.url.as_deref().unwrap_or("its account");
    let directory = &plan.account.directory;
    match &plan.outcome {
        Ok(Takeover::Taken(path)) => format!(
            "account {url} at {directory}: the same key is clpctl's as well, in {}",
            path.display()
        ),
        Ok(Takeover::Same(_)) => format!("account {url} at {directory}: clpctl's already"),
        Ok(Takeover::Another(path)) => format!(
            "account {url} at {directory}: stays the other client's, for clpctl has one of its own there ({}); CAA \
             records that name the account must name that one",
            path.display()
        ),
        Err(why) => format!("account {url} at {directory}: cannot be taken over: {why}"),
    }
}

fn lineage_words(lineage: &Lineage) -> String {
    match &lineage.outcome {
        Ok(sites) => {
            let each: Vec<String> = sites
                .iter()
                .map(|(site, settings)| site_words(site.domain(), settings, site.policy.listed))
                .collect();
            each.join("; ")
        }
        Err(stays) => stays.to_string(),
    }
}

fn site_words(domain: &Name, settings: &Settings, listed: bool) -> String {
    let kept: Vec<String> = lines(settings)
        .into_iter()
        .map(|(key, value)| format!("{key} = \"{value}\""))
        .collect();
    match (kept.is_empty(), listed) {
        (true, _) => format!("the site {domain}"),
        (false, false) => format!("the site {domain}, with {}", kept.join(", ")),
        (false, true) => format!(
            "the site {domain}; its [[site]] in the configuration says otherwise than {}",
            kept.join(", ")
        ),
    }
}

fn schedule_words(
    client: Client,
    schedule: &doctor::clients::Schedule,
    arguments: &Arguments,
) -> String {
    let stops = arguments.disable_other_client;
    match (Stopped::of(schedule), stops) {
        (Some(_), true) if arguments.dry_run => format!("{schedule} would be stopped"),
        (Some(_), true) => format!("{schedule} does not start {client} any more"),
        (Some(_), false) => {
            format!("{schedule} still starts {client}; --disable-other-client stops that")
        }
        (None, _) => format!("{schedule} still starts {client}: take out that line yourself"),
    }
}

fn client_json(plan: &ClientPlan, arguments: &Arguments) -> Value {
    let found = &plan.found;
    let accounts = plan.accounts.iter().map(|plan| {
        let (outcome, file) = match &plan.outcome {
            Ok(Takeover::Taken(path)) => ("taken-over", Some(path)),
            Ok(Takeover::Same(path)) => ("taken-over-before", Some(path)),
            Ok(Takeover::Another(path)) => ("stays", Some(path)),
            Err(_) => ("stays", None),
        };
        json!({
            "directory": plan.account.directory, "url": plan.account.url, "outcome": outcome, "file": file,
            "reason": plan.outcome.as_ref().err(),
        })
    });
    let lineages = plan.lineages.iter().map(|lineage| {
        let managed = &found.managed[lineage.index];
        let sites = lineage.outcome.iter().flatten();
        let sites =
            sites.map(|(site, settings)| json!({"domain": site.domain(), "settings": settings}));
        json!({
            "name": managed.name,
            "names": managed.names,
            "file": managed.place,
            "outcome": if lineage.outcome.is_ok() { "taken-over" } else { "stays" },
            "reason": lineage.outcome.as_ref().err().map(ToString::to_string),
            "sites": sites.collect::<Vec<_>>(),
            "hooks": hooks_json(&managed.hooks),
            "notes": managed.notes,
        })
    });
    let schedules = plan.schedules.iter().map(|schedule| {
        let stopped = arguments.disable_other_client && Stopped::of(schedule).is_some();
        let line = match schedule.kind {
            Kind::CronLine(line) => Some(line),
            Kind::Timer(_) | Kind::CronFile => None,
        };
        json!({"what": schedule.to_string(), "file": schedule.place, "line": line, "stopped": stopped && !arguments.dry_run})
    });
    json!({
        "client": found.client,
        "folder": found.place,
        "accounts": accounts.collect::<Vec<_>>(),
        "lineages": lineages.collect::<Vec<_>>(),
        "hooks": hooks_json(&found.hooks),
        "schedules": schedules.collect::<Vec<_>>(),
        "problems": found.problems,
    })
}

fn hooks_json(hooks: &[(String, String)]) -> Vec<Value> {
    hooks
        .iter()
        .map(|(when, what)| json!({"when": when, "command": what}))
        .collect()
}

/// What a person has to think of.
const NO_HOOKS: &str = "clpctl runs no such programs: see to it that nothing needs it";
