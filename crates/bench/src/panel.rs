//! What does CloudPanel cost: a run that has nothing to do, and a renewal that the panel waits for?
//!
//! A host whose sites are the panel's is measured beside a plain one with as many. Every site was renewed before: its
//! lineage is linked, its pair lies in plain files, and its row holds the same. Then sites are renewed one by one, and
//! each says in its log how long it kept the database from others.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use testkit::certificate::{Authority, Days};
use testkit::lineage;
use testkit::panel::{PanelHost, PanelSite, Shape};

use crate::arguments::Arguments;
use crate::host;
use crate::measure::{Cost, Program};
use crate::nothing_due::{self, PASS, first_pass, middle};
use crate::table::{Table, number};

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let sites = arguments.choose(2_000, 200);
    let plain = nothing_due::clpctl(arguments, sites)?;
    let mut panel = serve(sites);
    let pebble = host::pebble(
        arguments,
        panel.host.nginx.http_port(),
        panel.host.nginx.https_port(),
    )?;
    host::use_pebble(&mut panel.host, &pebble);
    let inside: Vec<String> = panel.inside().into();
    let words = Program::new("unshare", panel.host.folder()).args(&inside[1..]);
    let program = words
        .arg(host::program(arguments)?)
        .arg("--config")
        .arg(panel.host.config())
        .limit(PASS);
    let idle = first_pass(program.clone(), sites)?;
    let before = touched(&panel)?;
    let with_panel = middle(&idle)?;
    let untouched = touched(&panel)? == before;

    let mut table = Table::new(["host", "sites", "CPU, ms", "wall, ms", "peak memory, MB"]);
    for (name, cost) in [("plain nginx", plain), ("CloudPanel", with_panel)] {
        table.line(cells(name, sites, cost));
    }
    println!("{table}");
    let mut ratios = Table::new(["ratio", "measured", "to reach"]);
    let ratio = |of: fn(&Cost) -> f64| number(of(&with_panel) / of(&plain));
    ratios.line(["CPU, CloudPanel to plain", &ratio(|cost| cost.cpu), "≤ 2"]);
    ratios.line([
        "memory, CloudPanel to plain",
        &ratio(|cost| cost.peak_mb),
        "≤ 2",
    ]);
    let said = if untouched { "nothing" } else { "something" };
    ratios.line(["written by the runs to database and files", said, "nothing"]);
    for index in 0..arguments.choose(RENEWALS, RENEWALS_QUICK) {
        let domain = host::domain(index);
        let renewal = program.clone().arg("site:renew-certificates");
        let _ = renewal.args(["--force", "--domain", &domain]).run()?;
    }
    let mut held = held(&panel.host.log());
    held.sort_by(f64::total_cmp);
    let count = held.len();
    let at = |index: usize| {
        held.get(index)
            .copied()
            .map_or_else(|| "–".to_owned(), number)
    };
    for (which, index, reach) in [
        ("longest", count.saturating_sub(1), "< 50"),
        ("median", count / 2, ""),
    ] {
        let what = format!("{which} time that one of {count} renewals kept the database, ms");
        ratios.line([what.as_str(), &at(index), reach]);
    }
    println!("{ratios}");
    Ok(())
}

/// Starts a host whose sites are the panel's and were renewed by clpctl before.
fn serve(sites: usize) -> PanelHost {
    let mut panel = PanelHost::prepare();
    let authority = Authority::new("Fleet");
    let domains: Vec<String> = (0..sites).map(host::domain).collect();
    let letsencrypt = panel.host.letsencrypt();
    let all: Vec<_> = domains
        .iter()
        .map(|domain| {
            let days = Days {
                since: 10,
                left: 80,
            };
            let pair = authority.issue(&[domain], days);
            lineage::write(&letsencrypt, domain, 1, &pair);
            (PanelSite::new(domain, Shape::Static), 2, pair)
        })
        .collect();
    panel.add_many(all);
    panel.host.nginx.launch();
    panel
}

/// Returns what a write to the panel's database or to a site's files would change.
fn touched(panel: &PanelHost) -> Result<(Vec<u8>, Vec<SystemTime>), Box<dyn Error>> {
    let modified = |path: &Path| path.metadata().and_then(|facts| facts.modified());
    let database = panel.database.path();
    let folders = [
        database,
        database.parent().unwrap_or(database),
        &panel.host.nginx.certificates(),
        &panel.host.nginx.folder().join("sites-enabled"),
    ];
    let times: Result<Vec<_>, _> = folders.into_iter().map(modified).collect();
    Ok((fs::read(database)?, times?))
}

/// Returns how long each renewal kept the database, in milliseconds, as the log has it.
fn held(log: &str) -> Vec<f64> {
    let values = log
        .lines()
        .filter_map(|line| line.split_once("held_ms=")?.1.split_whitespace().next());
    values.filter_map(|value| value.parse().ok()).collect()
}

fn cells(name: &str, sites: usize, cost: Cost) -> [String; 5] {
    [
        name.to_owned(),
        sites.to_string(),
        number(cost.cpu * 1e3),
        number(cost.wall * 1e3),
        number(cost.peak_mb),
    ]
}

/// So many sites are renewed, one after another: the longest of few says little about a disk.
const RENEWALS: usize = 60;
const RENEWALS_QUICK: usize = 10;

#[cfg(test)]
mod tests {
    use super::held;

    #[test]
    fn what_the_log_says_is_read() {
        let log =
            "INFO recorded domain=a.test held_ms=2.5 waited_ms=0.1\nINFO else\nheld_ms=10 x\n";
        assert_eq!(held(log), [2.5, 10.0]);
    }
}
