//! Does nginx accept its configuration, and if not, where does it stumble?

use std::time::Duration;

use renewal::finding::{Finding, FindingName};
use renewal::ports::HostFailure;

use crate::command::{self, CommandError, Output};
use crate::settings::Settings;

/// Has nginx test its configuration.
///
/// # Errors
///
/// With nginx's own words, file and line among them.
pub(crate) async fn test(settings: &Settings) -> Result<(), HostFailure> {
    let mut arguments = vec!["-t".into()];
    arguments.extend(settings.nginx_arguments());
    let output = command::run(&settings.binary, arguments, LIMIT)
        .await
        .map_err(|error| not_run(&error))?;
    judge(&output)
}

/// Returns the finding for an nginx that could not be asked.
pub(crate) fn not_run(error: &CommandError) -> HostFailure {
    let finding = match error {
        CommandError::Missing { .. } => Finding::new(
            FindingName::NginxNotInstalled,
            "nginx is not where the configuration says.",
        )
        .fix("Install nginx, or set nginx.binary to its path."),
        CommandError::NotStarted { .. } => Finding::new(
            FindingName::NginxNotInstalled,
            "nginx cannot be started to test its configuration.",
        )
        .fix("See whether nginx.binary is a program, and whether memory is left."),
        CommandError::TimedOut { .. } => Finding::new(
            FindingName::NginxConfigInvalid,
            "nginx does not come to an end with its configuration.",
        )
        .fix("Run nginx -t by hand. Names in proxy_pass that DNS does not answer are the usual cause."),
    };
    HostFailure(finding.detail(error.to_string()))
}

fn judge(output: &Output) -> Result<(), HostFailure> {
    if output.success {
        return Ok(());
    }
    let finding = Finding::new(
        FindingName::NginxConfigInvalid,
        "nginx refuses its configuration, so nothing is reloaded.",
    )
    .detail(complaint(output))
    .fix("Mend the line that nginx names; nginx -t says whether it is right.");
    Err(HostFailure(finding))
}

/// Returns nginx's complaint without its prefix: the first that is fatal, else its last words.
fn complaint(output: &Output) -> String {
    let lines = || {
        output
            .said
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let with_level = |level: &str| {
        lines().find_map(|line| {
            let (before, words) = line.split_once(level)?;
            // Elsewhere in a line it is part of what nginx quotes.
            (before.len() <= LOG_PREFIX_BYTES_MAX).then(|| without_process(words.trim()))
        })
    };
    // What is only alarming comes before what ends it: a log that cannot be opened, for one.
    let fatal = ["[emerg]", "[crit]", "[alert]"]
        .into_iter()
        .find_map(with_level);
    match fatal.or_else(|| lines().next_back()) {
        Some(words) => words.strip_prefix("nginx: ").unwrap_or(words).to_owned(),
        None => format!("nginx ended with {} and said nothing", output.ending),
    }
}

/// Drops the numbers of process and thread that nginx puts before its words in a log.
pub(crate) fn without_process(words: &str) -> &str {
    match words.split_once(": ") {
        Some((numbers, rest)) if is_process(numbers) => rest,
        _ => words,
    }
}

fn is_process(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('#')
        .is_some_and(|(process, thread)| is_number(process) && is_number(thread))
}

/// 10,000 virtual hosts take nginx 1.22 nine seconds.
const LIMIT: Duration = Duration::from_secs(180);

/// `nginx: `, or with an error log on standard error `2026/03/01 00:00:00 `.
const LOG_PREFIX_BYTES_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(said: &str, expect: Expect) {
        let output = Output {
            success: false,
            ending: "exit status: 1".into(),
            said: said.into(),
        };
        expect.assert_eq(&judge(&output).unwrap_err().0.detail);
    }

    #[test]
    fn file_and_line_are_named() {
        check(
            "nginx: [warn] conflicting server name \"a.test\" on 0.0.0.0:80, ignored\n\
             nginx: [emerg] unknown directive \"sevrer\" in /etc/nginx/sites-enabled/a.conf:3\n\
             nginx: configuration file /etc/nginx/nginx.conf test failed\n",
            expect![[r#"unknown directive "sevrer" in /etc/nginx/sites-enabled/a.conf:3"#]],
        );
        check(
            "2026/03/01 00:00:00 [emerg] 1#1: cannot load certificate \"/x.pem\": BIO_new_file() failed\n",
            expect![[r#"cannot load certificate "/x.pem": BIO_new_file() failed"#]],
        );
    }

    #[test]
    fn what_ended_it_is_told_rather_than_what_came_before() {
        check(
            "nginx: [alert] could not open error log file: open() \"/var/log/nginx/error.log\" failed (13: Permission denied)\n\
             2026/03/01 00:00:00 [emerg] 7#7: host not found in upstream \"app\" in /etc/nginx/a.conf:9\n",
            expect![[r#"host not found in upstream "app" in /etc/nginx/a.conf:9"#]],
        );
    }

    #[test]
    fn other_words_are_passed_on() {
        check(
            "",
            expect!["nginx ended with exit status: 1 and said nothing"],
        );
        check(
            "nginx: invalid option: \"-Q\"\n\n",
            expect![[r#"invalid option: "-Q""#]],
        );
    }

    #[tokio::test]
    async fn a_missing_nginx_is_a_finding() {
        let settings = Settings {
            binary: "/nowhere/nginx".into(),
            ..Settings::default()
        };
        let finding = test(&settings).await.unwrap_err().0;
        assert_eq!(finding.name, FindingName::NginxNotInstalled);
        assert_eq!(finding.detail, "/nowhere/nginx does not exist");
    }
}
