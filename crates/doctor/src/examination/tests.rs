//! What becomes of recorded observations?

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use super::{Examination, Eyes, examine};
use crate::check::{About, Check};
use crate::observation::Observation;
use expect_test::{Expect, expect};
use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::site::{Server, Site};

/// Eyes that see what was recorded; all is well with the rest.
#[derive(Default)]
struct Recorded {
    observations: HashMap<(Check, Option<String>), Observation>,
    looked: RefCell<Vec<Check>>,
    under_way: Cell<usize>,
    most_under_way: Cell<usize>,
}

impl Eyes for Recorded {
    async fn observe(&self, check: Check, site: Option<&Site>) -> Observation {
        assert_eq!(check.about() == About::Site, site.is_some());
        self.looked.borrow_mut().push(check);
        self.under_way.set(self.under_way.get() + 1);
        self.most_under_way
            .set(self.most_under_way.get().max(self.under_way.get()));
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        self.under_way.set(self.under_way.get() - 1);
        let key = (check, site.map(|site| site.domain().to_string()));
        self.observations
            .get(&key)
            .cloned()
            .unwrap_or(Observation::Told(Vec::new()))
    }
}

fn site(domain: &str) -> Site {
    Site {
        servers: vec![Arc::new(Server::default())],
        ..Site::new(Name::parse(domain).unwrap().into())
    }
}

async fn examined(recorded: &[(Check, &str, FindingName)]) -> (Recorded, Examination) {
    let mut eyes = Recorded::default();
    for (check, about, name) in recorded {
        let told = Observation::Told(vec![Finding::new(*name, "e")]);
        let about = (*about != "host").then(|| (*about).to_owned());
        eyes.observations.insert((*check, about), told);
    }
    let examination = examine(&eyes, &[site("a.test"), site("b.test")]).await;
    (eyes, examination)
}

async fn check(recorded: &[(Check, &str, FindingName)], expect: Expect) {
    let (_, examination) = examined(recorded).await;
    let odd = |checks: &[super::Checked]| {
        let odd = checks
            .iter()
            .filter(|checked| checked.status != super::Status::Passed);
        let shown = odd.map(|checked| {
            let what = checked
                .finding
                .as_ref()
                .map(|finding| finding.name.to_string());
            let why = checked.note.clone().unwrap_or_default();
            format!(
                "{} {:?} {}\n",
                checked.check,
                checked.status,
                what.unwrap_or(why)
            )
        });
        shown.collect::<String>()
    };
    let mut shown = format!(
        "{}\n{}",
        examination.verdict.as_str(),
        odd(&examination.host)
    );
    for site in &examination.sites {
        shown += &format!(
            "{} {}\n{}",
            site.domain,
            site.verdict.as_str(),
            odd(&site.checks)
        );
    }
    expect.assert_eq(&shown);
}

#[tokio::test(start_paused = true)]
async fn all_is_well() {
    check(
        &[],
        expect![[r#"
        ready
        a.test ready
        b.test ready
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_fatal_for_one_site_stops_what_depends_on_it_alone() {
    check(
        &[(Check::Dns, "a.test", FindingName::DnsNoSuchName)],
        expect![[r#"
        will-fail
        a.test will-fail
        dns Failed dns-no-such-name
        caa Skipped “dns” comes first
        challenge Skipped “dns” comes first
        b.test ready
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_fatal_for_the_host_is_fatal_for_every_site() {
    check(
        &[(Check::Nginx, "host", FindingName::NginxNotInstalled)],
        expect![[r#"
            will-fail
            nginx Failed nginx-not-installed
            nginx-configuration Skipped “nginx” comes first
            nginx-running Skipped “nginx” comes first
            limits Skipped “nginx” comes first
            a.test will-fail
            served Skipped “nginx-running” comes first
            b.test will-fail
            served Skipped “nginx-running” comes first
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_risk_is_no_failure() {
    let risks = [
        (Check::Schedule, "host", FindingName::ServiceNotRunning),
        (
            Check::Certificate,
            "b.test",
            FindingName::KeyReadableByOthers,
        ),
        (Check::Challenge, "b.test", FindingName::ProxiedByCdn),
    ];
    check(
        &risks,
        expect![[r#"
        at-risk
        schedule Warning service-not-running
        a.test ready
        b.test at-risk
        certificate Failed key-readable-by-others
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_can_be_looked_at_at_once_is() {
    let begin = tokio::time::Instant::now();
    let (eyes, _) = examined(&[]).await;
    // Each look takes a second, and the longest chain is nginx, nginx-running, served.
    assert_eq!(begin.elapsed().as_secs(), 3);
    assert!(
        eyes.most_under_way.get() > 10,
        "{}",
        eyes.most_under_way.get()
    );
    let looked = eyes.looked.borrow().len();
    let of_sites = Check::ALL
        .iter()
        .filter(|check| check.about() == About::Site)
        .count();
    assert_eq!(
        looked,
        Check::ALL.len() + of_sites,
        "each check once for each site"
    );
}

#[tokio::test(start_paused = true)]
async fn a_look_that_does_not_end_says_so() {
    struct Stuck;
    impl Eyes for Stuck {
        async fn observe(&self, check: Check, _: Option<&Site>) -> Observation {
            if check == Check::DocumentRoot {
                std::future::pending::<()>().await;
            }
            Observation::Told(Vec::new())
        }
    }
    let begin = tokio::time::Instant::now();
    let examination = examine(&Stuck, &[site("a.test")]).await;
    assert!(begin.elapsed().as_secs() <= 15);
    let mut checks = examination.sites[0].checks.iter();
    let stuck = checks
        .find(|checked| checked.check == Check::DocumentRoot)
        .unwrap();
    assert_eq!(stuck.note.as_deref(), Some("it was not seen within 14 s"));
}
