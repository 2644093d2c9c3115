//! What did the program answer?

use std::time::Duration;

use serde_json::Value;
use testkit::host::{Clpctl, Host};
use testkit::program::Output;

/// The end of a run: its exit code and its JSON document.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) json: Value,
}

/// Returns the program on this host.
pub(crate) fn clpctl(host: &Host) -> Clpctl {
    host.clpctl(env!("CARGO_BIN_EXE_clpctl"))
}

/// Runs the program with `--json` and reads what it answers.
#[track_caller]
pub(crate) fn ask(host: &Host, words: &[&str]) -> Answer {
    let mut words = words.to_vec();
    words.push("--json");
    Answer::read(&clpctl(host).run(&words))
}

/// Renews what is due, which must go well.
#[track_caller]
pub(crate) fn renew(host: &Host) -> Answer {
    ask(host, &["site:renew-certificates"]).expect_code(0)
}

/// Returns the JSON document of a run that ended with this code.
#[track_caller]
pub(crate) fn document(output: &Output, code: i32) -> Value {
    let Answer { json, .. } = Answer::read(output).expect_code(code);
    json
}

impl Answer {
    /// Reads the document.
    #[track_caller]
    pub(crate) fn read(output: &Output) -> Self {
        let json = serde_json::from_str(&output.stdout);
        let json = json.unwrap_or_else(|error| {
            panic!(
                "no JSON, {error}; ended with {:?}:\n{}\n{}",
                output.code, output.stdout, output.stderr
            )
        });
        Self {
            code: output.code,
            json,
        }
    }

    /// Fails the test unless the exit code is this one; the message holds everything that was said.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{:#}", self.json);
        self
    }

    /// Returns the part about one site.
    #[track_caller]
    pub(crate) fn site(&self, domain: &str) -> &Value {
        let sites = self.json["sites"].as_array().into_iter().flatten();
        let mut of_domain = sites.filter(|site| site["domain"] == domain);
        of_domain
            .next()
            .unwrap_or_else(|| panic!("{domain} is not in the answer: {:#}", self.json))
    }

    /// Returns what happened to one site.
    #[track_caller]
    pub(crate) fn outcome(&self, domain: &str) -> &str {
        self.site(domain)["outcome"]
            .as_str()
            .expect("an outcome is a word")
    }

    /// Returns the finding of this name about one site.
    #[track_caller]
    pub(crate) fn finding(&self, domain: &str, name: &str) -> &Value {
        let findings = self.site(domain)["findings"].as_array();
        let mut of_name = findings
            .into_iter()
            .flatten()
            .filter(|finding| finding["name"] == name);
        of_name
            .next()
            .unwrap_or_else(|| panic!("no {name} about {domain}: {:#}", self.json))
    }

    /// Returns how often the program says that it reloaded nginx.
    #[track_caller]
    pub(crate) fn reloads(&self) -> u64 {
        self.json["reloads"].as_u64().expect("reloads are counted")
    }
}

/// How long what must happen soon may take: generous, for busy machines.
pub(crate) const SOON: Duration = Duration::from_secs(60);
