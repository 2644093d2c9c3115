//! The client against a CA that misbehaves, in every way that was ever seen.

use std::time::Duration;

use crate::desk::{Both, Desk, authorities_from, request};
use acme::Authorities;
use futures_util::StreamExt as _;
use renewal::certificate::CertificateId;
use renewal::finding::FindingName;
use renewal::ledger::LimitKind;
use renewal::policy::Ca;
use renewal::ports::{Authority as _, Issued, OrderFailure, OrderRequest, Waiting};
use renewal::retry::Blame;
use testca::{
    ChainFault, Endpoint, Fault, FinalizationFault, Handle, NameFault, NonceFault, Options,
    RateLimit, Refusal, RenewalInfoFault, ReplacesFault, ReplacesRefusal, ReplyHeader, RetryAfter,
    TestCa, ValidationFault, WireFault,
};
use x509::chain::Chain;

struct World {
    ca: Handle,
    desk: Desk,
    authorities: Authorities,
    _accounts: tempfile::TempDir,
}

impl World {
    async fn new(faults: impl IntoIterator<Item = Fault>) -> Self {
        let desk = Desk::open();
        let options = Options {
            http_port: desk.port,
            faults: faults.into_iter().collect(),
            ..Options::default()
        };
        let ca = TestCa::start(options).await.expect("the CA starts");
        let accounts = tempfile::tempdir().expect("a folder can be made");
        let authorities = authorities_from(accounts.path(), ca.ca_bundle_pem().as_bytes());
        Self {
            ca,
            desk,
            authorities,
            _accounts: accounts,
        }
    }

    fn ca(&self) -> Ca {
        Ca(self.ca.directory_url().into())
    }

    fn request(&self, names: &str) -> OrderRequest {
        request(&self.ca.directory_url(), names)
    }

    async fn order(&self, request: &OrderRequest) -> Result<Issued, OrderFailure> {
        let desk = Both(&self.desk, Desk::open());
        let outcome = self.authorities.order(request, &desk).await;
        let (presented, withdrawn, left) = self.desk.counts();
        assert_eq!(
            (presented, left),
            (withdrawn, 0),
            "every answer is taken away"
        );
        outcome
    }

    async fn fails(&self, names: &str) -> OrderFailure {
        let failure = self
            .order(&self.request(names))
            .await
            .expect_err("the CA refuses");
        assert!(!failure.findings.is_empty());
        failure
    }
}

/// Where an order passes.
const ON_THE_WAY: [Endpoint; 8] = [
    Endpoint::Directory,
    Endpoint::NewNonce,
    Endpoint::NewAccount,
    Endpoint::NewOrder,
    Endpoint::Authorization,
    Endpoint::Challenge,
    Endpoint::Finalize,
    Endpoint::Certificate,
];

#[track_caller]
fn assert_issued(outcome: Result<Issued, OrderFailure>, request: &OrderRequest, what: &str) {
    let issued = outcome.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    let chain = Chain::read(issued.chains[0].as_bytes()).expect("it is a chain");
    assert!(
        x509::key::fits(&request.key, chain.leaf_der()).expect("both can be read"),
        "{what}"
    );
}

#[tokio::test]
async fn a_request_or_a_reply_that_is_lost_once_costs_no_certificate() {
    for endpoint in ON_THE_WAY {
        for fault in [
            WireFault::DropRequest,
            WireFault::LoseReply,
            WireFault::CutReply { after: 10 },
        ] {
            let what = format!("{fault:?} at {endpoint:?}");
            let bodiless =
                endpoint == Endpoint::NewNonce && fault == WireFault::CutReply { after: 10 };
            let world = World::new([Fault::new(fault).at(endpoint).times(1)]).await;
            let request = world.request("a.test");
            assert_issued(world.order(&request).await, &request, &what);
            assert!(
                bodiless || world.ca.faults().is_empty(),
                "{what}: it was met"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_once_costs_no_certificate() {
    for endpoint in [
        Endpoint::NewOrder,
        Endpoint::Authorization,
        Endpoint::Challenge,
        Endpoint::Finalize,
        Endpoint::Certificate,
    ] {
        for fault in [WireFault::BrokenJson, WireFault::Html] {
            let what = format!("{fault:?} at {endpoint:?}");
            let world = World::new([Fault::new(fault).at(endpoint).times(1)]).await;
            let request = world.request("a.test");
            assert_issued(world.order(&request).await, &request, &what);
        }
    }
}

#[tokio::test]
async fn a_busy_ca_is_waited_for() {
    let soon = [
        Some(RetryAfter::Seconds(1)),
        Some(RetryAfter::DateIn(2)),
        None,
    ];
    let worlds = ON_THE_WAY.into_iter().flat_map(|endpoint| {
        soon.into_iter().flat_map(move |retry_after| {
            let refusals = [
                Refusal::Unavailable { retry_after },
                Refusal::Busy {
                    status: 503,
                    retry_after,
                },
                Refusal::Busy {
                    status: 429,
                    retry_after,
                },
            ];
            refusals.into_iter().map(move |refusal| (endpoint, refusal))
        })
    });
    let checks = worlds.map(|(endpoint, refusal)| async move {
        let what = format!("{refusal:?} at {endpoint:?}");
        let world = World::new([Fault::new(refusal).at(endpoint).times(1)]).await;
        let request = world.request("a.test");
        let desk = Both(&world.desk, Desk::open());
        let outcome = world.authorities.order(&request, &desk).await;
        assert_issued(outcome, &request, &what);
        let told = desk
            .1
            .waiting()
            .iter()
            .any(|waiting| matches!(waiting, Waiting::Until(_)));
        assert!(told, "{what}: the wait is told");
    });
    // They wait, so all may wait at once.
    futures_util::stream::iter(checks.collect::<Vec<_>>())
        .buffer_unordered(100)
        .collect::<Vec<_>>()
        .await;
}

#[tokio::test]
async fn a_long_wait_is_left_to_the_driver() {
    let hour = RetryAfter::Seconds(3600);
    let world = World::new([Fault::new(Refusal::Unavailable {
        retry_after: Some(hour),
    })
    .at(Endpoint::Finalize)])
    .await;
    let failure = world.fails("a.test").await;
    assert_eq!(
        (failure.blame, failure.findings[0].name),
        (Blame::Ca, FindingName::CaBusy)
    );
    #[expect(clippy::disallowed_methods, reason = "the CA's clock is the real one")]
    let now = jiff::Timestamp::now();
    let minutes = failure.retry_at.unwrap().duration_since(now).as_mins();
    assert!((58..=60).contains(&minutes), "{minutes}");
    assert!(failure.resumable, "nothing was refused");
}

#[tokio::test]
async fn each_rate_limit_is_told_by_name_and_moment() {
    use RateLimit as L;
    for (limit, endpoint, says, kept) in [
        (
            L::RegistrationsPerAddress,
            Endpoint::NewAccount,
            "this host made too many accounts",
            Some(LimitKind::RegistrationsPerAddress),
        ),
        (
            L::RegistrationsPerRange,
            Endpoint::NewAccount,
            "this host's IPv6 network made too many accounts",
            Some(LimitKind::RegistrationsPerRange),
        ),
        (
            L::OrdersPerAccount,
            Endpoint::NewOrder,
            "our account has placed too many orders",
            Some(LimitKind::OrdersPerAccount),
        ),
        (
            L::FailedAuthorizations,
            Endpoint::NewOrder,
            "the validation of this name failed too often",
            Some(LimitKind::FailuresPerName),
        ),
        (
            L::CertificatesPerDomain,
            Endpoint::NewOrder,
            "too many certificates were issued for this registered domain",
            Some(LimitKind::CertificatesPerDomain),
        ),
        (
            L::CertificatesPerExactSet,
            Endpoint::NewOrder,
            "this exact set of names got too many certificates",
            Some(LimitKind::CertificatesPerExactSet),
        ),
    ] {
        let retry_after = RetryAfter::DateIn(7200);
        let world =
            World::new([Fault::new(Refusal::RateLimited { limit, retry_after }).at(endpoint)])
                .await;
        let failure = world.fails("a.test").await;
        assert_eq!(failure.findings[0].name, FindingName::RateLimited);
        assert!(
            failure.findings[0].explanation.starts_with(says),
            "{limit:?}: {failure:?}"
        );
        assert!(failure.retry_at.is_some());
        assert_eq!(failure.limit, kept, "{limit:?}");
        let about_a_name = [L::FailedAuthorizations, L::CertificatesPerDomain].contains(&limit);
        assert_eq!(failure.limit_about.is_some(), about_a_name, "{limit:?}");
        assert!(!failure.resumable, "there is no order");
    }
}

#[tokio::test]
async fn a_pause_is_for_a_person_and_shows_the_page() {
    let world = World::new([Fault::new(Refusal::Paused).at(Endpoint::NewOrder)]).await;
    let failure = world.fails("a.test").await;
    let finding = &failure.findings[0];
    assert_eq!(finding.name, FindingName::AccountPaused);
    assert!(
        finding.fix.contains(" The page: https://") && finding.fix.contains("jwt="),
        "{finding:?}"
    );
    assert_eq!(
        world.ca.requests().of(Endpoint::NewOrder),
        1,
        "not tried again"
    );
}

#[tokio::test]
async fn a_refused_replacement_is_ordered_without() {
    use ReplacesRefusal as R;
    let refusals = [
        R::UnknownIssuer,
        R::UnknownSerial,
        R::AlreadyReplaced,
        R::ForeignAccount,
        R::NoCommonName,
    ];
    let refused = refusals
        .into_iter()
        .map(|refusal| (Fault::new(ReplacesFault::Refuse(refusal)), 2));
    for (fault, orders) in refused.chain([(Fault::new(ReplacesFault::Forget), 1)]) {
        let world = World::new([]).await;
        let first = world.request("a.test");
        assert_issued(world.order(&first).await, &first, "the first");
        let before = world.ca.requests().of(Endpoint::NewOrder);
        world.ca.add_fault(fault);
        let replaces = world.ca.certificate_id("a.test").map(CertificateId);
        let request = OrderRequest {
            replaces,
            ..world.request("a.test")
        };
        assert_issued(world.order(&request).await, &request, "the second");
        assert_eq!(world.ca.requests().of(Endpoint::NewOrder) - before, orders);
    }
}

#[tokio::test]
async fn a_rate_limit_is_not_mistaken_for_a_refused_replacement() {
    let limit = Refusal::RateLimited {
        limit: RateLimit::OrdersPerAccount,
        retry_after: RetryAfter::Seconds(7200),
    };
    let world = World::new([Fault::new(limit).at(Endpoint::NewOrder)]).await;
    let request = OrderRequest {
        replaces: Some(CertificateId("AAAA.AAAA".to_owned())),
        ..world.request("a.test")
    };
    let failure = world.order(&request).await.unwrap_err();
    assert_eq!(failure.findings[0].name, FindingName::RateLimited);
    assert_eq!(world.ca.requests().of(Endpoint::NewOrder), 1);
}

#[tokio::test]
async fn what_the_ca_forbids_is_told_by_name() {
    let world = World::new([Fault::new(NameFault::Forbid).of_name("b.test")]).await;
    let failure = world.fails("a.test b.test").await;
    assert_eq!(
        failure.findings[0].name,
        FindingName::NameNotAllowed,
        "{failure:?}"
    );
    assert!(
        failure.findings[0].explanation.contains("b.test"),
        "{failure:?}"
    );
    assert!(failure.failed_names.is_empty(), "nothing was validated");

    let world = World::new([Fault::new(FinalizationFault::CaaForbids)]).await;
    assert_eq!(
        world.fails("a.test").await.findings[0].name,
        FindingName::CaaForbids
    );

    let world = World::new([Fault::new(ValidationFault::CaaForbids)]).await;
    let failure = world.fails("a.test").await;
    assert_eq!(failure.findings[0].name, FindingName::CaaForbids);
    assert_eq!(failure.failed_names.len(), 1);

    let world = World::new([Fault::new(ValidationFault::FailsElsewhere)]).await;
    let failure = world.fails("a.test").await;
    assert!(
        failure.findings[0]
            .fix
            .contains("Only some of the CA's locations"),
        "{failure:?}"
    );

    let world = World::new([Fault::new(FinalizationFault::Fails)]).await;
    let failure = world.fails("a.test").await;
    assert!(
        !failure.resumable && failure.failed_names.is_empty(),
        "{failure:?}"
    );
}

#[tokio::test]
async fn one_slow_and_one_failing_name_delay_nobody_else() {
    let world = World::new([
        Fault::new(ValidationFault::Slow(Duration::from_secs(4))).of_name("slow.test"),
        Fault::new(NameFault::Forbid).of_name("bad.test"),
    ])
    .await;
    let (slow, bad, good) = (
        world.request("slow.test"),
        world.request("bad.test"),
        world.request("good.test"),
    );
    let desks = [(); 3].map(|()| Both(&world.desk, Desk::open()));
    let start = std::time::Instant::now();
    let (slow, bad, good) = tokio::join!(
        async {
            world
                .authorities
                .order(&slow, &desks[0])
                .await
                .map(|_| start.elapsed())
        },
        world.authorities.order(&bad, &desks[1]),
        async {
            world
                .authorities
                .order(&good, &desks[2])
                .await
                .map(|_| start.elapsed())
        },
    );
    let (slow, good) = (slow.unwrap(), good.unwrap());
    assert!(bad.is_err());
    assert!(
        slow >= Duration::from_secs(4) && good < slow,
        "{good:?} {slow:?}"
    );
}

#[tokio::test]
async fn an_order_is_taken_up_while_the_ca_is_signing() {
    let world = World::new([Fault::new(FinalizationFault::Processing { polls: 3 })]).await;
    let request = world.request("a.test");
    let desk = Both(&world.desk, Desk::open());
    // The run ends in the middle of the order, as when it is killed.
    let lost = [
        Fault::new(WireFault::LoseReply).at(Endpoint::Finalize),
        Fault::new(WireFault::LoseReply).at(Endpoint::Order),
    ];
    lost.into_iter().for_each(|fault| world.ca.add_fault(fault));
    let failure = world.authorities.order(&request, &desk).await.unwrap_err();
    assert!(
        failure.resumable && failure.blame == Blame::Network,
        "{failure:?}"
    );
    world.ca.set_faults(vec![]);
    let request = OrderRequest {
        resume: desk.1.placed().pop(),
        ..request
    };
    assert_issued(world.order(&request).await, &request, "taken up");
    assert_eq!(world.ca.requests().of(Endpoint::NewOrder), 1);
    assert_eq!(world.ca.issued(), 1);
}

#[tokio::test]
async fn a_failure_of_which_nobody_lived_to_hear_is_told_and_not_repeated() {
    let world = World::new([]).await;
    world.desk.misbehave(crate::desk::Fault::Status(404));
    let request = world.request("a.test");
    let desk = Both(&world.desk, Desk::open());
    let failure = world.authorities.order(&request, &desk).await.unwrap_err();
    assert_eq!(failure.failed_names.len(), 1);
    // That run died before it could write it down; the next one knows the order alone.
    let request = OrderRequest {
        resume: desk.1.placed().pop(),
        ..request
    };
    let again = world.order(&request).await.unwrap_err();
    assert_eq!(again, failure);
    assert_eq!(world.ca.requests().of(Endpoint::NewOrder), 1);
    assert_eq!(world.ca.requests().of(Endpoint::Challenge), 1);
}

#[tokio::test]
async fn three_refused_nonces_in_ten_and_replies_without_any_fail_nothing() {
    let world = World::new([Fault::new(NonceFault::Refuse).with_chance(0.3)]).await;
    for index in 0..20 {
        let request = world.request(&format!("n{index}.test"));
        assert_issued(world.order(&request).await, &request, "refused nonces");
    }
    let world = World::new([
        Fault::new(WireFault::Without(ReplyHeader::ReplayNonce)).at(Endpoint::Authorization)
    ])
    .await;
    let request = world.request("a.test");
    assert_issued(world.order(&request).await, &request, "no nonces");
}

#[tokio::test]
async fn a_chain_that_does_not_hold_brings_the_alternates_along() {
    for (fault, chains) in [
        (ChainFault::LeafOnly, 2),
        (ChainFault::Reversed, 2),
        (ChainFault::ForeignIntermediate, 2),
        (ChainFault::WithRoot, 1),
    ] {
        let what = format!("{fault:?}");
        let world = World::new([Fault::new(fault).times(1)]).await;
        let issued = world.order(&world.request("a.test")).await.unwrap();
        assert_eq!(issued.chains.len(), chains, "{what}");
        let whole = issued
            .chains
            .iter()
            .filter(|chain| Chain::read(chain.as_bytes()).unwrap().fault().is_none());
        assert_eq!(whole.count(), 1, "{what}");
    }
    let world = World::new([Fault::new(ChainFault::Truncated).times(1)]).await;
    let issued = world.order(&world.request("a.test")).await.unwrap();
    assert_eq!(
        Chain::read(issued.chains[0].as_bytes()).unwrap().fault(),
        None,
        "fetched again"
    );
}

#[tokio::test]
async fn a_certificate_that_stays_unreadable_can_be_fetched_later() {
    let world = World::new([Fault::new(ChainFault::Truncated)]).await;
    let failure = world.fails("a.test").await;
    assert_eq!(
        (failure.blame, failure.findings[0].name),
        (Blame::Ca, FindingName::CertificateRejected)
    );
    assert!(failure.resumable);
}

#[tokio::test]
async fn renewal_information_that_makes_no_sense_lasts_and_an_outage_passes() {
    let world = World::new([]).await;
    let request = world.request("a.test");
    assert_issued(world.order(&request).await, &request, "the certificate");
    let id = world
        .ca
        .certificate_id("a.test")
        .map(CertificateId)
        .unwrap();
    let asked = async |fault: Fault| {
        world.ca.set_faults(vec![fault.at(Endpoint::RenewalInfo)]);
        world.authorities.suggestion(&world.ca(), &id).await
    };
    for fault in [
        RenewalInfoFault::EndsBeforeStart,
        RenewalInfoFault::NoWindow,
    ] {
        assert_eq!(asked(Fault::new(fault)).await.unwrap_err().blame, Blame::Ca);
    }
    assert_eq!(
        asked(Fault::new(WireFault::BrokenJson))
            .await
            .unwrap_err()
            .blame,
        Blame::Ca
    );
    for fault in [
        Fault::new(WireFault::DropRequest),
        Fault::new(Refusal::Unavailable { retry_after: None }),
    ] {
        assert_eq!(asked(fault).await.unwrap_err().blame, Blame::Network);
    }
    let answer = asked(Fault::new(RenewalInfoFault::NoRetryAfter))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.retry_after, None);
    world.ca.set_faults(vec![]);
    let answer = world
        .authorities
        .suggestion(&world.ca(), &id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.retry_after.unwrap().as_hours(), 6);
}

#[tokio::test]
async fn a_web_page_instead_of_a_directory_is_said_so() {
    let world = World::new([Fault::new(WireFault::Html).at(Endpoint::Directory)]).await;
    let failure = world.fails("a.test").await;
    let url = world.ca.directory_url();
    assert!(
        failure.summary().starts_with(&format!(
            "{url} answered with a web page, not an ACME directory"
        )),
        "{failure:?}"
    );
}

#[tokio::test]
async fn sixty_four_in_flight_share_the_nonces() {
    let world = World::new([]).await;
    let orders = (0..200).map(|index| {
        let world = &world;
        async move {
            let request = world.request(&format!("n{index}.test"));
            let desk = Both(&world.desk, Desk::open());
            world.authorities.order(&request, &desk).await.map(|_| ())
        }
    });
    let outcomes: Vec<_> = futures_util::stream::iter(orders.collect::<Vec<_>>())
        .buffer_unordered(64)
        .collect()
        .await;
    for outcome in outcomes {
        outcome.unwrap();
    }
    let requests = world.ca.requests();
    assert_eq!(requests.of(Endpoint::NewAccount), 1);
    assert!(
        requests.of(Endpoint::NewNonce) <= 64,
        "{}",
        requests.of(Endpoint::NewNonce)
    );
    assert!(
        requests.total() <= 200 * 15 / 2 + 70,
        "{}",
        requests.total()
    );
}
