//! `site:logs`: what clpctl, nginx and the CA said about a site, merged by time.

use clap::Args;
use jiff::tz::TimeZone;
use renewal::name::Name;

use crate::arguments::site_name;
use crate::commands::{Session, find_site};
use crate::config::Config;
use crate::console::FAINT;
use crate::errors::CommandError;
use crate::logs::follow::Followed;
use crate::logs::merge::{Entry, Filter, Origin, newest, origins};
use crate::output::wrap::clean;

/// The options of `site:logs`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    clpctl site:logs --domain=example.com\n  \
    clpctl site:logs --domain=example.com --lines=200 | less\n  \
    clpctl site:logs --follow")]
pub struct Arguments {
    /// Only lines about this site; any of its names
    #[arg(long, visible_alias = "domainName", value_name = "DOMAIN", value_parser = site_name)]
    pub domain: Option<Name>,
    /// Show so many of the newest lines
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub lines: u32,
    /// Go on showing what is written, until interrupted
    #[arg(long)]
    pub follow: bool,
}

/// Prints the newest lines, and with `--follow` those to come.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn run(session: &Session, config: &Config, arguments: &Arguments) -> Result<u8, CommandError> {
    let console = &session.console;
    // Logs are read most when something is wrong: neither a host that cannot be looked at nor a site that is gone
    // must keep them from view.
    let look = crate::wire::look(config, session.clock);
    let found = arguments.domain.as_ref().map(|domain| match &look {
        Ok(look) => find_site(look, domain),
        Err(error) => Err(error.clone()),
    });
    let site = found.and_then(|found| {
        let warn = |error: CommandError| {
            let meant = error
                .hints
                .first()
                .map(|hint| format!(" ({hint})"))
                .unwrap_or_default();
            let why = error.error.trim_end_matches(", so nothing was done.");
            console.warn(&format!(
                "{why}{meant}: only lines with this very name are shown"
            ));
        };
        found.map_err(warn).ok()
    });
    let names = site.map_or_else(
        || arguments.domain.iter().cloned().collect(),
        |site| site.wanted.iter().cloned().collect(),
    );
    let filter = Filter::new(names);
    // As with the look above: without nginx's logs there are still two others.
    let error_logs = crate::wire::error_logs(config, site).unwrap_or_default();
    let origins = origins(&config.paths.log, &config.paths.acme_log, &error_logs);
    let zone = TimeZone::system();
    // Followed from before the newest lines are read, so that none is missed between.
    let mut followed = arguments
        .follow
        .then(|| Followed::new(&origins, filter.clone(), zone.clone(), session.clock.now()));
    let lines = usize::try_from(arguments.lines).unwrap_or(usize::MAX);
    let (entries, missing) = newest(&origins, &filter, lines, &zone);
    for missing in &missing {
        console.warn(missing);
    }
    if entries.is_empty() && !arguments.follow {
        console.say(&nothing_found(arguments.domain.as_ref(), &origins));
    }
    show(session, &entries)?;
    while let Some(followed) = &mut followed {
        std::thread::sleep(LOOK_EVERY);
        show(session, &followed.poll())?;
    }
    Ok(0)
}

/// Says where was looked in vain.
fn nothing_found(domain: Option<&Name>, origins: &[Origin]) -> String {
    let about = domain.map_or_else(String::new, |domain| format!(" about {domain}"));
    let places = origins.iter().map(|origin| {
        let there = origin.path.try_exists().unwrap_or(true);
        let missing = if there {
            ""
        } else {
            " (there is no such file)"
        };
        format!("\n  {}{missing}", clean(&origin.path.display().to_string()))
    });
    format!("Nothing{about} was found in:{}", places.collect::<String>())
}

fn show(session: &Session, entries: &[Entry]) -> Result<(), CommandError> {
    let mut text = String::new();
    for entry in entries {
        if session.console.json {
            let line =
                serde_json::json!({"at": entry.at, "origin": entry.origin, "text": entry.text});
            text.push_str(&format!("{line}\n"));
        } else {
            let Entry {
                at,
                origin,
                text: said,
            } = entry;
            text.push_str(&format!(
                "{at:.3} {FAINT}{origin:<6}{FAINT:#} {}\n",
                clean(said)
            ));
        }
    }
    if text.is_empty() {
        Ok(())
    } else {
        session.console.result(&text)
    }
}

/// Quick enough for people, and a handful of system calls each.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::nothing_found;
    use crate::logs::merge::origins;
    use crate::testing::name;

    #[test]
    fn it_is_said_where_was_looked() {
        let folder = tempfile::tempdir().unwrap();
        let (there, gone) = (folder.path().join("a.log"), folder.path().join("gone.log"));
        std::fs::File::create(&there).unwrap();
        let origins = origins(&there, &gone, &[]);
        assert_eq!(
            nothing_found(Some(&name("a.test")), &origins),
            format!(
                "Nothing about a.test was found in:\n  {}\n  {} (there is no such file)",
                there.display(),
                gone.display()
            )
        );
        assert!(nothing_found(None, &origins).starts_with("Nothing was found in:"));
    }
}
