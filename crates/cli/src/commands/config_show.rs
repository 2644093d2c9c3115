//! `config:show`: every setting, its value, and where that came from.

use clap::Args;

use crate::commands::Session;
use crate::config::{Config, Shown, Source};
use crate::console::FAINT;
use crate::errors::CommandError;
use crate::output::table::{Cell, Table};

/// The options of `config:show`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  clpctl config:show\n  CLPCTL_ACME_JOBS=4 clpctl config:show --json"
)]
pub struct Arguments {}

/// Prints every setting.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn run(session: &Session, config: &Config) -> Result<u8, CommandError> {
    if session.console.json {
        session.console.document(&to_json(config))?;
    } else {
        session
            .console
            .result(&to_text(config, session.console.width))?;
    }
    Ok(0)
}

fn to_text(config: &Config, width: Option<usize>) -> String {
    let mut table = Table::new(&["SETTING", "VALUE", "SOURCE"]);
    for shown in &config.shown {
        let source = shown.source.to_string();
        let source = if shown.source == Source::Default {
            Cell::styled(&source, FAINT)
        } else {
            source.into()
        };
        table.row(vec![
            name(shown).into(),
            shown.value.as_str().into(),
            source,
        ]);
    }
    let file = match &config.file {
        Some(file) => format!("Read from {}.\n", file.display()),
        None => format!("There is no {}; that is fine.\n", crate::config::FILE_USUAL),
    };
    table.render(width) + &file
}

fn to_json(config: &Config) -> serde_json::Value {
    let settings = config.shown.iter().map(|shown| {
        let (kind, place) = match &shown.source {
            Source::Default => ("default", None),
            Source::File(place) => ("file", Some(place.to_string())),
            Source::Environment(variable) => ("environment", Some(variable.clone())),
            Source::Flag(flag) => ("flag", Some(flag.clone())),
        };
        serde_json::json!({
            "site": shown.site, "key": shown.key, "value": value(&shown.value), "source": kind, "place": place,
        })
    });
    serde_json::json!({"file": config.file, "settings": settings.collect::<Vec<_>>()})
}

fn name(shown: &Shown) -> String {
    match &shown.site {
        Some(site) => format!("{site}: {}", shown.key),
        None => shown.key.clone(),
    }
}

/// Turns a value as TOML writes it into one as JSON writes it.
fn value(text: &str) -> serde_json::Value {
    let parsed: Result<toml::Table, _> = toml::from_str(&format!("value = {text}"));
    let value = parsed.ok().and_then(|mut table| table.remove("value"));
    value
        .and_then(|value| serde_json::to_value(value).ok())
        .unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::{to_json, to_text};
    use crate::config::{Flags, load};
    use crate::environment::Environment;
    use expect_test::expect;
    use std::ffi::OsString;
    use std::io::Write;

    #[test]
    fn every_source_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clpctl.toml");
        let text = "[acme]\nprofile = \"classic\"\n[[site]]\ndomain = \"a.test\"\nprofile = \"shortlived\"\n";
        std::fs::File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let variables = [(OsString::from("CLPCTL_DNS_SERVERS"), OsString::from("::1"))];
        let mut flags = Flags::default();
        flags.set("acme.jobs", "--jobs", "4".to_owned());
        let config = load(Some(&path), &Environment::new(variables), &flags).unwrap();
        let plain = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
        let table = anstream::adapter::strip_str(&to_text(&config, None)).to_string();
        let kept: String = table
            .lines()
            .filter(|line| !line.contains(" default"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n")
            .collect();
        expect![[r#"
            SETTING VALUE SOURCE
            acme.profile "classic" clpctl.toml:2
            acme.jobs 4 --jobs
            dns.servers ["[::1]:53"] CLPCTL_DNS_SERVERS
            a.test: profile "shortlived" clpctl.toml:5
            Read from clpctl.toml.
        "#]]
        .assert_eq(&plain(kept));
        let json = to_json(&config);
        let found = |key: &str| {
            json["settings"]
                .as_array()
                .unwrap()
                .iter()
                .rfind(|shown| shown["key"] == key)
                .unwrap()
                .to_string()
        };
        expect![[r#"
            {"key":"acme.jobs","place":"--jobs","site":null,"source":"flag","value":4}
            {"key":"dns.servers","place":"CLPCTL_DNS_SERVERS","site":null,"source":"environment","value":["[::1]:53"]}
            {"key":"profile","place":"clpctl.toml:5:1","site":"a.test","source":"file","value":"shortlived"}
            {"key":"nginx.edit","place":null,"site":null,"source":"default","value":"auto"}"#]].assert_eq(&plain(
            [
                found("acme.jobs"),
                found("dns.servers"),
                found("profile"),
                found("nginx.edit"),
            ]
            .join("\n"),
        ));
    }
}
