//! `explain`: the page of the manual about one finding.

use clap::Args;
use renewal::finding::FindingName;

use crate::commands::Session;
use crate::console::LABEL;
use crate::errors::CommandError;
use crate::nearest::nearest;
use crate::output::table::Table;

mod pages;

/// The options of `explain`.
#[derive(Args, Debug)]
#[command(
    after_help = "Without a name, all findings are listed.\n\nExamples:\n  clpctl explain\n  clpctl explain port-80-refused"
)]
pub struct Arguments {
    /// The name of the finding
    #[arg(value_name = "FINDING")]
    pub finding: Option<String>,
}

/// Prints a page, or the list of all findings.
///
/// # Errors
///
/// When no finding has the name.
pub fn run(session: &Session, arguments: &Arguments) -> Result<u8, CommandError> {
    let console = &session.console;
    let Some(text) = &arguments.finding else {
        if console.json {
            console.document(&serde_json::json!({"findings": FindingName::ALL.iter().map(describe).collect::<Vec<_>>()}))?;
        } else {
            console.result(&list(console.width))?;
        }
        return Ok(0);
    };
    let name = find(text)?;
    if console.json {
        let mut document = describe(&name);
        document["page"] = page(name).into();
        console.document(&document)?;
    } else {
        console.result(&styled(page(name)))?;
    }
    Ok(0)
}

/// Returns the page about a finding, in Markdown.
#[must_use]
pub fn page(name: FindingName) -> &'static str {
    pages::PAGES
        .iter()
        .find(|(known, _)| *known == name.as_str())
        .map_or("", |(_, page)| page)
}

fn find(text: &str) -> Result<FindingName, CommandError> {
    // People copy the label along with the name.
    let name = text
        .trim()
        .trim_start_matches("finding:")
        .trim()
        .to_ascii_lowercase()
        .replace('_', "-");
    name.parse()
        .map_err(|cause: renewal::finding::UnknownFinding| {
            let error = CommandError::usage("There is no page to show.").because(&cause);
            let error = match nearest(&name, FindingName::ALL.iter().map(|known| known.as_str())) {
                Some(known) => error.hint(format!("did you mean “{known}”?")),
                None => error,
            };
            error.hint("clpctl explain lists all findings")
        })
}

fn describe(name: &FindingName) -> serde_json::Value {
    serde_json::json!({
        "name": name, "severity": name.usual_severity(), "meaning": name.meaning(),
    })
}

fn list(width: Option<usize>) -> String {
    let mut table = Table::new(&["FINDING", "SEVERITY", "MEANS"]);
    for name in FindingName::ALL {
        table.row(vec![
            name.as_str().into(),
            name.usual_severity().as_str().into(),
            name.meaning().into(),
        ]);
    }
    table.render(width)
}

/// Shows headings in bold, and leaves the rest as it is written: it is made to be read.
fn styled(page: &str) -> String {
    let lines = page.lines().map(|line| match line.trim_start_matches('#') {
        heading if heading.len() < line.len() => format!("{LABEL}{}{LABEL:#}\n", heading.trim()),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::{find, page, pages};
    use expect_test::expect;
    use renewal::finding::FindingName;
    use std::path::Path;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/findings")
    }

    #[test]
    fn every_finding_has_a_page_and_every_page_a_finding() {
        let mut files: Vec<String> = std::fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut names: Vec<String> = FindingName::ALL
            .iter()
            .map(|name| format!("{name}.md"))
            .collect();
        names.sort();
        assert_eq!(files, names);
    }

    #[test]
    fn the_list_of_pages_is_generated() {
        let mut list = String::from(
            "//! The pages of the manual about findings. Generated: `UPDATE_EXPECT=1 cargo test -p cli pages`.\n\n\
             /// Every page with its finding's name, in the order of the manual.\n\
             #[rustfmt::skip]\npub(super) const PAGES: &[(&str, &str)] = &[\n",
        );
        for name in FindingName::ALL {
            list += &format!(
                "    (\"{name}\", include_str!(\"../../../../../docs/findings/{name}.md\")),\n"
            );
        }
        list += "];\n";
        expect_test::expect_file!["explain/pages.rs"].assert_eq(&list);
        assert_eq!(pages::PAGES.len(), FindingName::ALL.len());
    }

    #[test]
    fn every_page_says_what_it_means_how_it_was_seen_and_how_to_mend_it() {
        for name in FindingName::ALL {
            let page = page(*name);
            assert!(
                page.starts_with(&format!("# {name}\n")),
                "{name} begins with another heading"
            );
            let headings: Vec<&str> = page
                .lines()
                .filter(|line| line.starts_with("## "))
                .collect();
            assert_eq!(
                headings,
                [
                    "## What it means",
                    "## How clpctl saw it",
                    "## How to mend it"
                ],
                "{name}"
            );
            let lines = page.lines().count();
            assert!((10..=40).contains(&lines), "{name} has {lines} lines");
            assert!(
                page.lines().all(|line| line.chars().count() <= 120),
                "{name} has a line that is too long"
            );
        }
    }

    #[test]
    fn a_page_that_is_not_there() {
        assert_eq!(
            find("finding: Port_80_refused").unwrap(),
            FindingName::Port80Refused
        );
        expect![[r#"
            error: There is no page to show.
            cause: “port-80-refuse” is not the name of a finding
            hint: did you mean “port-80-refused”?
            hint: clpctl explain lists all findings
        "#]]
        .assert_eq(&find("port-80-refuse").unwrap_err().to_text());
        expect![[r#"
            error: There is no page to show.
            cause: “” is not the name of a finding
            hint: clpctl explain lists all findings
        "#]]
        .assert_eq(&find("").unwrap_err().to_text());
    }
}
