//! Which table does the manual have of all that?

use std::fmt::Write as _;

use super::fault::{Asked, Fault};
use super::host::HostFault;
use super::{files, host, names, odd, pairs, vhosts};
use expect_test::expect_file;

#[test]
fn the_manuals_tables_are_these() {
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor.md")].assert_eq(&page());
}

#[test]
fn there_are_sixty_faults_and_no_two_are_the_same() {
    let mut all: Vec<&str> = of_sites().iter().map(|(_, fault)| fault.what).collect();
    all.extend(of_hosts().iter().map(|(_, fault)| fault.what));
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    assert!(count >= 60, "{count}");
    let odd = odd::configurations().len() + odd::behind_stream().len();
    assert!(odd >= 20, "{odd}");
}

fn of_sites() -> Vec<(&'static str, Fault)> {
    let group = |name, faults: Vec<Fault>| faults.into_iter().map(move |fault| (name, fault));
    group("vhost", vhosts::faults())
        .chain(group("DNS", names::faults()))
        .chain(group("files", files::faults()))
        .collect()
}

fn of_hosts() -> Vec<(&'static str, HostFault)> {
    let group = |name, faults: Vec<HostFault>| faults.into_iter().map(move |fault| (name, fault));
    group("nginx", host::of_nginx())
        .chain(group("firewall", host::of_firewall()))
        .chain(group("host", host::of_host()))
        .collect()
}

fn page() -> String {
    let mut page = String::from(HEAD);
    let found = |finding: &str| format!("[{finding}](findings/{finding}.md)");
    let mut row = |about: &str, what: &str, verdict: &str, finding: &str, fix: &str, said: &str| {
        let what = what.replace('|', "\\|");
        writeln!(
            page,
            "| {about} | {what} | {verdict} | {} | {fix} | {said} |",
            found(finding)
        )
        .expect("text can be added to a String");
    };
    for (about, fault) in of_sites() {
        let said = match fault.asked {
            Asked::Refuses => "refuses",
            Asked::Issues => "issues",
            Asked::Either => "one or the other",
            Asked::Never => "–",
        };
        row(
            about,
            fault.what,
            fault.verdict,
            fault.finding,
            fault.fix,
            said,
        );
    }
    for (about, fault) in of_hosts() {
        row(
            about,
            fault.what,
            fault.verdict,
            fault.finding,
            fault.fix,
            "–",
        );
    }
    page.push_str(PAIRS);
    for pair in pairs::pairs() {
        let ([name, vhost], [first, then]) = (pair.what, pair.findings);
        writeln!(
            page,
            "| {name}, and {vhost} | {} | {} |",
            found(first),
            found(then)
        )
        .expect("text can be added to a String");
    }
    page.push_str(ODD);
    for odd in odd::configurations().iter().chain(&odd::behind_stream()) {
        writeln!(page, "- {}", odd.what).expect("text can be added to a String");
    }
    page
}

const HEAD: &str = "\
# What the doctor was shown

Each fault here is made for real by the tests: a host in a network of its own, nginx on ports 80 and 443, real name
servers and a validating resolver, a firewall, and Let's Encrypt's test CA outside. The doctor must name the cause first;
neither it nor a renewal may cost a failed validation; after the fix the renewal must succeed. The last column is what
the CA says when it is asked all the same, by a client that checks nothing: the verdict *will-fail* is right when it
refuses.

A fault is found in two seconds, or in as long as the thing takes that does not answer, 15 seconds at most. How long all of
it takes here, the command tells that makes it:

```sh
cargo test -p cli --test program matrix::
```

## One fault

| about | fault | verdict | found first | fix | the CA, asked all the same |
| --- | --- | --- | --- | --- | --- |
";

const PAIRS: &str = "
## Two that hide each other

| faults | found first | then |
| --- | --- | --- |
";

const ODD: &str = "
## Odd, and healthy

Nothing fatal is said of these, and the renewal succeeds:

";
