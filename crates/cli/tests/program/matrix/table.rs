//! Which table does the manual have of all that?

use std::fmt::Write as _;

use super::fault::{Asked, Fault};
use super::host::HostFault;
use super::{files, host, names, odd, pairs, vhosts};
use expect_test::expect_file;
use renewal::finding::FindingName;

#[test]
fn the_manuals_tables_are_these() {
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor.md")].assert_eq(&page());
}

#[test]
fn the_manuals_list_of_findings_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/troubleshooting.md");
    expect_file![path].assert_eq(&troubleshooting());
}

#[test]
fn every_finding_stands_in_one_group() {
    let mut listed: Vec<&str> = GROUPS
        .iter()
        .flat_map(|(_, names)| names.split_whitespace())
        .collect();
    listed.sort_unstable();
    let mut all: Vec<&str> = FindingName::ALL.iter().map(|name| name.as_str()).collect();
    all.sort_unstable();
    assert_eq!(listed, all);
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
        .chain(group("host", host::of_resolver()))
        .chain(group("host", host::of_outbound()))
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

fn troubleshooting() -> String {
    let mut page = String::from(TROUBLESHOOTING);
    let mut causes: Vec<(&str, &str)> = of_sites()
        .iter()
        .map(|(_, fault)| (fault.finding, fault.what))
        .collect();
    causes.extend(
        of_hosts()
            .iter()
            .map(|(_, fault)| (fault.finding, fault.what)),
    );
    for (group, names) in GROUPS {
        write!(
            page,
            "\n## {group}\n\n| finding | means | for instance |\n| --- | --- | --- |\n"
        )
        .expect("text can be added to a String");
        for name in names.split_whitespace() {
            let means = name.parse::<FindingName>().map_or("", FindingName::meaning);
            let of_name = causes.iter().filter(|(finding, _)| *finding == name);
            let causes: Vec<&str> = of_name.map(|(_, what)| *what).collect();
            let causes = causes.join("; ").replace('|', "\\|");
            writeln!(
                page,
                "| [{name}](findings/{name}.md) | {means} | {causes} |"
            )
            .expect("text can be added to a String");
        }
    }
    page
}

/// What the findings are about.
const GROUPS: [(&str, &str); 9] = [
    (
        "nginx",
        "nginx-not-installed nginx-not-running nginx-config-invalid nginx-reload-failed vhost-symlink-broken vhost-missing \
         vhost-not-understood vhost-changed vhost-needs-lines name-not-served names-overlap certificate-not-served \
         worker-connections-low",
    ),
    (
        "Ports and firewalls",
        "port-80-refused port-80-taken port-80-timeout port-80-no-ipv6 port-443-refused firewall-blocks-80 \
         cloud-firewall-suspected",
    ),
    (
        "DNS",
        "dns-no-such-name dns-no-address dns-server-failure dns-timeout dnssec-bogus dns-points-elsewhere \
         ipv6-points-elsewhere dns-private-address resolver-unreachable proxied-by-cdn",
    ),
    (
        "What a name and its CAA records allow",
        "caa-forbids caa-forbids-account caa-forbids-method caa-malformed name-not-public name-left-out name-not-allowed",
    ),
    (
        "The challenge",
        "challenge-forbidden challenge-not-found challenge-server-error challenge-wrong-answer challenge-redirect-loop \
         challenge-redirect-elsewhere challenge-redirect-port challenge-redirect-malformed challenge-blocked-by-rule \
         challenge-connection-closed",
    ),
    (
        "Files and certificates",
        "webroot-not-writable webroot-missing webroot-symlink-owner disk-full inodes-exhausted file-not-usable \
         key-readable-by-others key-folder-open key-does-not-fit live-links-broken chain-incomplete certificate-expired \
         certificate-self-signed certificate-ends-soon certificate-rejected",
    ),
    (
        "The CA",
        "ca-unreachable ca-not-trusted ca-busy rate-limited account-paused account-gone order-rejected",
    ),
    (
        "The host",
        "clock-wrong service-not-running another-run-holds-the-lock other-client-active panel-unreadable panel-not-written \
         panel-schema-unknown panel-drift panel-cron-missing",
    ),
    (
        "What an audit finds besides",
        "tls-too-old stapling-useless log-grows disk-slow nginx-test-slow",
    ),
];

const TROUBLESHOOTING: &str = "\
# Troubleshooting

Everything that clpctl may find, by what it is about. `clpctl explain NAME` prints the page about one: what you see, what
it means, how to mend it. The last column names faults that the tests make for real, and that lead to it.
";

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
cargo test -p cli --test program matrix:: -- --nocapture
```

What pebble does not know is made for real elsewhere, with a practice CA that does: CAA records, a used-up limit, an IPv6
address that is dead where the CA tries IPv4 after it.

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
