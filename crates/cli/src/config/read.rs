//! How do the layers of the configuration become values?

use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::settings::SETTINGS;
use super::text::Parsed;
use super::values::Value;
use super::{Flags, Shown, Source};
use crate::environment::Environment;
use crate::nearest::{did_you_mean, nearest};
use renewal::name::Name;

/// Reads values, and gathers what is wrong and what is shown.
pub(super) struct Reader<'a> {
    pub(super) file: Option<&'a Parsed<'a>>,
    environment: &'a Environment,
    flags: &'a Flags,
    problems: Vec<Problem>,
    shown: Vec<Shown>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        file: Option<&'a Parsed<'a>>,
        environment: &'a Environment,
        flags: &'a Flags,
    ) -> Self {
        Self {
            file,
            environment,
            flags,
            problems: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// Reads one value: the highest layer that has it wins, and a wrong one is a problem even below that.
    pub(super) fn value<V: Value>(&mut self, section: &str, key: &str, default: &str) -> V {
        let path = format!("{section}.{key}");
        let flag = self.flags.get(&path);
        let flag = flag.map(|(flag, text)| (V::from_text(text), Source::Flag(flag.to_owned())));
        let variable =
            format!("{}{section}_{key}", crate::environment::PREFIX).to_ascii_uppercase();
        let environment = self
            .environment
            .settings()
            .find(|(name, _)| *name == variable);
        let environment =
            environment.map(|(_, text)| (V::from_text(text), Source::Environment(variable)));
        let file = self.file.and_then(|file| {
            let (key, value) = file
                .table
                .get(section)?
                .get_ref()
                .as_table()?
                .get_key_value(key)?;
            Some((
                V::from_toml(value.get_ref()),
                Source::File(file.place(&key.span())),
            ))
        });
        let mut chosen: Option<(V, Source)> = None;
        for (value, source) in [flag, environment, file].into_iter().flatten() {
            match value {
                Ok(value) if chosen.is_none() => chosen = Some((value, source)),
                Ok(_) => {}
                Err(what) => self.problem(&source, key, what),
            }
        }
        let (value, source) = chosen.unwrap_or_else(|| (read_default(default), Source::Default));
        self.shown.push(Shown {
            site: None,
            key: path,
            value: value.show(),
            source,
        });
        value
    }

    /// Complains about every table, key and variable that is no setting.
    pub(super) fn check_names(&mut self) {
        for name in self.environment.unreadable() {
            self.problems
                .push(Problem::of(name, "its value is not UTF-8".to_owned()));
        }
        let variables: Vec<String> = SETTINGS.iter().map(super::Setting::variable).collect();
        for (name, _) in self.environment.settings() {
            if !variables.iter().any(|known| known == name) {
                let meant = did_you_mean(name, variables.iter().map(String::as_str));
                self.problems.push(Problem::of(
                    name,
                    format!("no setting has this variable{meant}"),
                ));
            }
        }
        let Some(file) = self.file else { return };
        for (section, value) in &file.table {
            let place = file.place(&section.span());
            let name = section.get_ref().as_ref();
            if name == SITE {
                continue;
            }
            let keys = keys_of(name);
            if keys.is_empty() {
                self.problems
                    .push(Problem::at(&place, unknown_section(name)));
            } else if let DeValue::Table(table) = value.get_ref() {
                for key in table
                    .keys()
                    .filter(|key| !keys.contains(&key.get_ref().as_ref()))
                {
                    let place = file.place(&key.span());
                    self.problems
                        .push(Problem::at(&place, unknown_key(key.get_ref(), name, &keys)));
                }
            } else {
                self.problems.push(Problem::at(
                    &place,
                    format!("“{name}” is a table; write [{name}] and its keys below"),
                ));
            }
        }
    }

    pub(super) fn complain(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn finish(self) -> (Vec<Problem>, Vec<Shown>) {
        (self.problems, self.shown)
    }

    fn problem(&mut self, source: &Source, key: &str, what: String) {
        let problem = match source {
            Source::File(place) => Problem::at(place, format!("{key}: {what}")),
            Source::Environment(name) | Source::Flag(name) => Problem::of(name, what),
            Source::Default => Problem::of("default", what),
        };
        self.problems.push(problem);
    }
}

/// Reads what one `[[site]]` says differently.
pub(super) struct SiteReader<'a> {
    pub(super) file: &'a Parsed<'a>,
    pub(super) table: &'a DeTable<'a>,
    pub(super) domain: Name,
    pub(super) problems: Vec<Problem>,
    pub(super) shown: Vec<Shown>,
}

impl SiteReader<'_> {
    /// Reads one value, when the site has it.
    pub(super) fn value<V: Value>(&mut self, key: &str) -> Option<V> {
        let (name, value) = self.table.get_key_value(key)?;
        let place = self.file.place(&name.span());
        match V::from_toml(value.get_ref()) {
            Ok(value) => {
                let (site, shown) = (Some(self.domain.clone()), value.show());
                self.shown.push(Shown {
                    site,
                    key: key.to_owned(),
                    value: shown,
                    source: Source::File(place),
                });
                Some(value)
            }
            Err(what) => {
                self.problems
                    .push(Problem::at(&place, format!("{key}: {what}")));
                None
            }
        }
    }
}

impl Reader<'_> {
    /// Takes in what came of a site.
    pub(super) fn take_in(&mut self, problems: Vec<Problem>, shown: Vec<Shown>) {
        self.problems.extend(problems);
        self.shown.extend(shown);
    }
}

fn read_default<V: Value>(default: &str) -> V {
    let value = DeValue::parse(default).expect("every default is TOML: a test reads them all");
    V::from_toml(value.get_ref())
        .expect("every default is a value of its setting: a test reads them all")
}

fn keys_of(section: &str) -> Vec<&'static str> {
    SETTINGS
        .iter()
        .filter(|setting| setting.section == section)
        .map(|setting| setting.key)
        .collect()
}

fn unknown_section(name: &str) -> String {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == name) {
        return format!("“{name}” belongs into the table [{}]", setting.section);
    }
    let sections = SETTINGS.iter().map(|setting| setting.section).chain([SITE]);
    match nearest(name, sections) {
        Some(SITE) => format!(
            "there is no table “{}”; did you mean [[site]]?",
            name.escape_debug()
        ),
        Some(section) => format!(
            "there is no table “{}”; did you mean [{section}]?",
            name.escape_debug()
        ),
        None => format!("there is no table “{}”", name.escape_debug()),
    }
}

fn unknown_key(key: &str, section: &str, keys: &[&'static str]) -> String {
    let shown = key.escape_debug();
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
        return format!(
            "[{section}] has no key “{shown}”; it belongs into [{}]",
            setting.section
        );
    }
    format!(
        "[{section}] has no key “{shown}”{}",
        did_you_mean(key, keys.iter().copied())
    )
}

/// The name of the tables that are about one site each.
pub(super) const SITE: &str = "site";
