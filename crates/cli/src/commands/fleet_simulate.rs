//! `fleet:simulate`: a year of a fleet in seconds.

use clap::Args;
use reconcile::fleet::{Lost, Scenario, Year, simulate};
use serde::Serialize;

use crate::commands::Session;
use crate::console::{ERROR, GOOD, LABEL};
use crate::errors::CommandError;

/// The options of `fleet:simulate`.
#[derive(Args, Debug)]
#[command(
    after_help = "A CA with Let's Encrypt's limits is simulated too. In the middle of the time it revokes a third of all\n\
        certificates, and is gone for five days. Nothing is asked of any CA, and nothing is written.\n\n\
        Examples:\n  clpctl fleet:simulate\n  clpctl fleet:simulate --sites=50000 --lifetime=45"
)]
pub struct Arguments {
    /// Simulate so many sites
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=SITES_MAX))]
    pub sites: u32,
    /// Let so many days pass
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX))]
    pub days: u32,
    /// Let certificates live so many days
    #[arg(long, value_name = "DAYS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=398))]
    pub lifetime: u32,
    /// Have so many sites of a hundred be broken at any moment
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=90))]
    pub broken: u32,
    /// Take all chance from this number; the same number gives the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

/// What is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    command: &'static str,
    sites: u32,
    days: u32,
    lifetime_days: u32,
    broken_percent: u32,
    seed: u64,
    clean: bool,
    certificates: u64,
    first_certificates: u64,
    orders: u64,
    refused: u64,
    refused_by_limit: std::collections::BTreeMap<&'static str, u64>,
    held_back: u64,
    failed_validations: u64,
    stopped_by_checks: u64,
    unanswered: u64,
    expired_while_broken: u64,
    lost: Vec<Lost>,
    revoked: u64,
    replaced_within_a_day: u64,
    revoked_while_broken: u64,
    reloads: u64,
    longest_wait_hours: i64,
    usual_day: u64,
    worst_day: Option<Day>,
    certificates_by_hour: [u64; 24],
}

/// A day, and how many certificates were issued on it.
#[derive(Debug, Serialize)]
struct Day {
    date: jiff::civil::Date,
    certificates: u64,
}

/// Prints what a simulated time would bring; 0 when nothing is lost, 1 when the rules would let a certificate expire or
/// burn a limit.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn run(session: &Session, arguments: &Arguments) -> Result<u8, CommandError> {
    let scenario = Scenario {
        sites: arguments.sites,
        days: arguments.days,
        lifetime_days: arguments.lifetime,
        broken_percent: arguments.broken,
        seed: arguments.seed,
        ..Scenario::default()
    };
    let year = simulate(&scenario);
    let document = Document::new(&scenario, &year);
    if session.console.json {
        session.console.document(&document)?;
    } else {
        session.console.result(&document.to_text())?;
    }
    Ok(u8::from(!year.is_clean()))
}

impl Document {
    pub(crate) fn new(scenario: &Scenario, year: &Year) -> Self {
        Self {
            command: "fleet:simulate",
            sites: scenario.sites,
            days: scenario.days,
            lifetime_days: scenario.lifetime_days,
            broken_percent: scenario.broken_percent,
            seed: scenario.seed,
            clean: year.is_clean(),
            certificates: year.certificates,
            first_certificates: year.first,
            orders: year.orders,
            refused: year.refusals(),
            refused_by_limit: year.refused.clone(),
            held_back: year.held_back,
            failed_validations: year.failed_validations,
            stopped_by_checks: year.stopped_by_checks,
            unanswered: year.unanswered,
            expired_while_broken: year.expired,
            lost: year.lost.clone(),
            revoked: year.revoked,
            replaced_within_a_day: year.replaced_within_a_day,
            revoked_while_broken: year.revoked_while_broken,
            reloads: year.reloads,
            longest_wait_hours: year.longest_wait_ms / 3_600_000,
            usual_day: year.usual_day(scenario),
            worst_day: year
                .worst_day()
                .map(|(date, certificates)| Day { date, certificates }),
            certificates_by_hour: year.hours,
        }
    }

    /// Writes it for people.
    fn to_text(&self) -> String {
        let mut out = format!(
            "{} sites for {} days, certificates of {} days, {} % of the sites broken at any moment, seed {}\n",
            self.sites, self.days, self.lifetime_days, self.broken_percent, self.seed
        );
        let mut line = |label: &str, text: &str| {
            out.push_str(&format!("{LABEL}{label:<9}{LABEL:#} {text}\n"));
        };
        line(
            "issued",
            &format!(
                "{} certificates, {} of them a site's first, of {} orders",
                self.certificates, self.first_certificates, self.orders
            ),
        );
        line("limits", &self.limits());
        line("expired", &self.expired());
        line(
            "revoked",
            &format!(
                "{}; {} replaced within a day, and of {} the site was broken then",
                self.revoked, self.replaced_within_a_day, self.revoked_while_broken
            ),
        );
        line(
            "failed",
            &format!(
                "{} validations; {} orders were stopped by our own checks; {} times the CA did not answer",
                self.failed_validations, self.stopped_by_checks, self.unanswered
            ),
        );
        line(
            "waited",
            &format!(
                "at most {} hours for a first certificate, because of a limit",
                self.longest_wait_hours
            ),
        );
        line("reloads", &self.reloads.to_string());
        if let Some(worst) = &self.worst_day {
            line(
                "busiest",
                &format!(
                    "{}, {} certificates; {} on a usual day",
                    worst.date, worst.certificates, self.usual_day
                ),
            );
        }
        line("by hour", &bars(&self.certificates_by_hour));
        out
    }

    fn limits(&self) -> String {
        let refused = if self.refused == 0 {
            format!("{GOOD}no order was refused for one{GOOD:#}")
        } else {
            let limits = self.refused_by_limit.iter();
            let limits: Vec<String> = limits
                .map(|(limit, count)| format!("{count} for {limit}"))
                .collect();
            let count = self.refused;
            format!(
                "{ERROR}{count} orders were refused for one{ERROR:#} ({})",
                limits.join(", ")
            )
        };
        format!(
            "{refused}; the ledger said “not yet” {} times",
            self.held_back
        )
    }

    fn expired(&self) -> String {
        let lost = if self.lost.is_empty() {
            format!("{GOOD}none that could have been saved{GOOD:#}")
        } else {
            let sites = self.lost.iter().take(LOST_SHOWN);
            let sites: Vec<String> = sites
                .map(|lost| format!("{} on {}", lost.domain, lost.at))
                .collect();
            let count = self.lost.len();
            format!(
                "{ERROR}{count} that could have been saved{ERROR:#} ({})",
                sites.join(", ")
            )
        };
        format!(
            "{lost}; {} of sites that were broken until the end",
            self.expired_while_broken
        )
    }
}

/// Draws how the certificates are spread over the day, from midnight (UTC).
fn bars(hours: &[u64; 24]) -> String {
    let most = hours.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: &u64| {
        let step = (count * 7).div_ceil(most).min(7);
        let index = usize::try_from(step).unwrap_or(0);
        BARS.get(index).copied().unwrap_or(' ')
    };
    let drawn: String = hours.iter().map(bar).collect();
    let least = hours.iter().min().copied().unwrap_or(0);
    format!("{drawn} 00 to 23 h UTC; {least} to {most} certificates in each over the whole time")
}

/// An eighth of a line each.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What fits into memory: about a kilobyte a site.
const SITES_MAX: i64 = 1_000_000;

/// Ten years.
const DAYS_MAX: i64 = 3_650;

/// As many as one reads.
const LOST_SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::{Document, bars};
    use expect_test::expect;
    use reconcile::fleet::{Scenario, Year, simulate};

    #[test]
    fn a_small_fleet_is_told_in_ten_lines() {
        let scenario = Scenario {
            sites: 60,
            days: 120,
            ..Scenario::default()
        };
        let text = Document::new(&scenario, &simulate(&scenario)).to_text();
        let text = anstream::adapter::strip_str(&text).to_string();
        expect![[r#"
            60 sites for 120 days, certificates of 64 days, 5 % of the sites broken at any moment, seed 1
            issued    161 certificates, 12 of them a site's first, of 270 orders
            limits    no order was refused for one; the ledger said “not yet” 0 times
            expired   none that could have been saved; 1 of sites that were broken until the end
            revoked   19; 19 replaced within a day, and of 0 the site was broken then
            failed    47 validations; 2 orders were stopped by our own checks; 62 times the CA did not answer
            waited    at most 0 hours for a first certificate, because of a limit
            reloads   149
            busiest   2027-04-06, 21 certificates; 1 on a usual day
            by hour   ▆▆▆▅▅▇▃▆▃▄▄▅▄▃█▄▂▄▃▅▅▄▅▃ 00 to 23 h UTC; 2 to 14 certificates in each over the whole time
        "#]].assert_eq(&text);
    }

    #[test]
    fn what_is_lost_is_named() {
        let year = Year {
            refused: [("new orders per account", 3)].into(),
            lost: vec![reconcile::fleet::Lost {
                domain: "a.test".into(),
                at: "2027-05-01T00:00:00Z".parse().unwrap(),
            }],
            ..Year::default()
        };
        let text = Document::new(&Scenario::default(), &year).to_text();
        let text = anstream::adapter::strip_str(&text).to_string();
        let lines: Vec<&str> = text.lines().skip(2).take(2).collect();
        expect![[r#"
            limits    3 orders were refused for one (3 for new orders per account); the ledger said “not yet” 0 times
            expired   1 that could have been saved (a.test on 2027-05-01T00:00:00Z); 0 of sites that were broken until the end"#]].assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_day_is_drawn() {
        let mut hours = [0; 24];
        hours[12] = 7;
        hours[13] = 1;
        expect!["▁▁▁▁▁▁▁▁▁▁▁▁█▂▁▁▁▁▁▁▁▁▁▁ 00 to 23 h UTC; 0 to 7 certificates in each over the whole time"].assert_eq(&bars(&hours));
        assert!(bars(&[0; 24]).starts_with('▁'));
    }
}
