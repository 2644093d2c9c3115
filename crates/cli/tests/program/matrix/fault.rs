//! What is a fault, as data?

use super::world::World;
use crate::answer::Answer;
use serde_json::Value;

/// One fault of one site.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    /// Its name, which is also the first label of its site.
    pub(crate) name: &'static str,
    /// What is wrong, in the table's words.
    pub(crate) what: &'static str,
    /// How it is made.
    pub(crate) make: Make,
    /// The verdict about the site.
    pub(crate) verdict: &'static str,
    /// What is found first.
    pub(crate) finding: &'static str,
    /// The told fix, in the table's words.
    pub(crate) fix: &'static str,
    /// What pebble says when it is asked all the same.
    pub(crate) asked: Asked,
}

/// How a fault is made; the told fix takes it back.
#[derive(Clone, Copy)]
pub(crate) enum Make {
    /// These lines stand in the site's server block.
    Lines(&'static str),
    /// The whole vhost reads so; `NAME`, `ROOT` and `PAIR` are replaced.
    Vhost(&'static str),
    /// The name has these records.
    Records(&'static [&'static str]),
    /// Something is done to the world, and undone. Before nginx starts.
    Done(fn(&mut World, &str), fn(&mut World, &str)),
}

/// What a CA says that is asked without a preflight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    /// It refuses.
    Refuses,
    /// It issues: the fault is a risk, or one that pebble does not look at.
    Issues,
    /// It picks one of several addresses, and refuses or not.
    Either,
    /// It is not asked, as no challenge could be put in place.
    Never,
}

impl Fault {
    /// Returns the site's name.
    pub(crate) fn domain(&self) -> String {
        format!("{}.example.net", self.name)
    }

    /// Says whether a renewal succeeds all the same.
    pub(crate) fn renews(&self) -> bool {
        self.verdict != "will-fail"
    }

    /// Says how the doctor judged it wrongly.
    pub(crate) fn misjudged(&self, examined: &Answer) -> Option<String> {
        let site = examined.site(&self.domain());
        let first = first_of(&site["checks"]);
        let (name, fix) = match &first {
            Some(finding) => (text(&finding["name"]), text(&finding["fix"])),
            None => (String::new(), String::new()),
        };
        let right = site["verdict"] == self.verdict && name == self.finding;
        if right && !fix.is_empty() {
            return None;
        }
        Some(format!(
            "{}: {} {} expected, not {} {name}: {site:#}",
            self.name, self.verdict, self.finding, site["verdict"]
        ))
    }
}

/// Returns the worst finding, the first of its severity.
pub(crate) fn first_of(checks: &Value) -> Option<&Value> {
    let severities = ["fatal", "error", "warning", "info"];
    let found = |severity: &&str| {
        let checks = checks.as_array().into_iter().flatten();
        let mut findings = checks.map(|check| &check["finding"]);
        findings.find(|finding| finding["severity"] == **severity)
    };
    severities.iter().find_map(found)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
