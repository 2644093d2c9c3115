//! The client against pebble, Let's Encrypt's test CA.

use std::path::PathBuf;

use crate::desk::{Both, Desk, Fault, authorities, request};
use renewal::finding::FindingName;
use renewal::policy::Ca;
use renewal::ports::{Authority as _, Issued, OrderFailure, OrderRequest, Waiting};
use renewal::retry::Blame;
use renewal::revocation::RevocationReason;
use testkit::pebble::{Pebble, Settings};
use x509::chain::Chain;

/// A CA, the way to it, and a desk at which it knocks.
struct World {
    pebble: Pebble,
    desk: Desk,
    authorities: acme::Authorities,
    accounts: tempfile::TempDir,
}

impl World {
    fn new(settings: impl FnOnce(Settings) -> Settings) -> Self {
        let desk = Desk::open();
        let pebble = settings(Pebble::settings(desk.port, desk.port)).start();
        let accounts = tempfile::tempdir().expect("a folder can be made");
        let authorities = authorities(accounts.path(), &pebble.ca_bundle());
        Self {
            pebble,
            desk,
            authorities,
            accounts,
        }
    }

    fn request(&self, names: &str) -> OrderRequest {
        request(&self.pebble.directory(), names)
    }

    fn ca(&self) -> Ca {
        Ca(self.pebble.directory().into())
    }

    async fn order(&self, request: &OrderRequest) -> Result<Issued, OrderFailure> {
        let outcome = self.authorities.order(request, &self.desk).await;
        if outcome.is_err() {
            self.pebble.assert_well();
        }
        outcome
    }

    async fn chain(&self, request: &OrderRequest) -> Chain {
        let issued = self
            .order(request)
            .await
            .expect("the certificate is issued");
        assert_eq!(issued.chains.len(), 1);
        let chain = Chain::read(issued.chains[0].as_bytes()).expect("it is a chain");
        assert_eq!(chain.fault(), None);
        assert!(x509::key::fits(&request.key, chain.leaf_der()).expect("both can be read"));
        assert_eq!(chain.leaf.missing(&request.names), None);
        chain
    }

    fn account_file(&self) -> PathBuf {
        self.authorities
            .account(&self.ca())
            .expect("it can be read")
            .expect("there is one")
            .file
    }
}

fn new() -> World {
    World::new(|settings| settings)
}

#[tokio::test]
async fn a_first_certificate_takes_an_account_and_seven_requests() {
    let world = new();
    let request = world.request("a.test");
    world.chain(&request).await;
    let requests = world.pebble.requests();
    assert_eq!(
        (requests.directory, requests.new_nonce, requests.new_account),
        (1, 1, 1),
        "{requests:?}"
    );
    assert!(requests.of_orders() <= 9, "{requests:?}");
    assert_eq!(world.desk.placed().len(), 1);
    assert_eq!(world.desk.counts(), (1, 1, 0));
    let waited = [
        Waiting::Order,
        Waiting::Validation,
        Waiting::Issuance,
        Waiting::Download,
    ];
    assert_eq!(world.desk.waiting(), waited);

    let account = world.authorities.account(&world.ca()).unwrap().unwrap();
    assert_eq!(account.contact, ["admin@example.com"]);
    assert_eq!(
        world.authorities.thumbprint(&world.ca()).await.unwrap(),
        account.thumbprint
    );
    assert!(
        account
            .file
            .starts_with(world.accounts.path().join("clpctl"))
    );
}

#[tokio::test]
async fn many_names_and_an_rsa_key_are_one_order() {
    let world = new();
    let names: Vec<String> = (0..20).map(|index| format!("n{index}.a.test")).collect();
    let key = world
        .authorities
        .make_key(renewal::certificate::KeyType::Rsa2048)
        .await
        .unwrap();
    let request = OrderRequest {
        key,
        ..world.request(&names.join(" "))
    };
    world.chain(&request).await;
    assert_eq!(world.desk.counts(), (20, 20, 0));
}

#[tokio::test]
async fn many_orders_share_account_and_nonces() {
    let world = new();
    let orders = (0..20).map(|index| {
        let world = &world;
        async move {
            let desk = Desk::open();
            let request = world.request(&format!("n{index}.a.test"));
            // The CA knocks at the first desk only, so all answers go there.
            let both = Both(&world.desk, desk);
            world.authorities.order(&request, &both).await.map(|_| ())
        }
    });
    let outcomes: Vec<_> = {
        use futures_util::StreamExt as _;
        futures_util::stream::iter(orders.collect::<Vec<_>>())
            .buffer_unordered(4)
            .collect()
            .await
    };
    world.pebble.assert_well();
    for outcome in outcomes {
        outcome.unwrap();
    }
    let requests = world.pebble.requests();
    assert_eq!(requests.new_account, 1, "{requests:?}");
    assert!(requests.new_nonce <= 6, "{requests:?}");
    assert!(requests.of_orders() <= 20 * 8, "{requests:?}");
}

#[tokio::test]
async fn three_refused_nonces_in_ten_fail_nothing() {
    let world = World::new(|settings| settings.rejected_nonces(30));
    for index in 0..10 {
        let desk = Both(&world.desk, Desk::open());
        let request = world.request(&format!("n{index}.a.test"));
        world.authorities.order(&request, &desk).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_is_proved_already_is_not_proved_again() {
    let world = World::new(|settings| settings.reused_authorizations(100));
    world.chain(&world.request("a.test")).await;
    let desk = Desk::open();
    world
        .authorities
        .order(&world.request("a.test"), &desk)
        .await
        .unwrap();
    assert_eq!(desk.counts(), (0, 0, 0));
    assert_eq!(world.pebble.requests().challenge, 1);
}

#[tokio::test]
async fn an_order_cut_off_before_its_challenges_is_taken_up() {
    let world = new();
    world.desk.misbehave(Fault::CannotPresent);
    let mut request = world.request("a.test b.test");
    let failure = world.order(&request).await.unwrap_err();
    assert!(failure.resumable, "{failure:?}");
    assert_eq!(
        (failure.blame, failure.findings[0].name),
        (Blame::Host, FindingName::WebrootNotWritable)
    );
    assert!(failure.failed_names.is_empty());

    world.desk.misbehave(Fault::None);
    request.resume = world.desk.placed().pop();
    world.chain(&request).await;
    assert_eq!(world.pebble.requests().new_order, 1);
}

#[tokio::test]
async fn a_certificate_that_was_issued_while_nobody_looked_is_fetched() {
    let world = new();
    let mut request = world.request("a.test");
    let first = world.chain(&request).await;
    request.resume = world.desk.placed().pop();
    let again = world.chain(&request).await;
    assert_eq!(first, again);
    assert_eq!(world.pebble.requests().new_order, 1);
}

#[tokio::test]
async fn an_order_that_is_of_no_use_is_replaced_by_a_new_one() {
    let world = new();
    world.chain(&world.request("a.test")).await;
    let finished = world.desk.placed().pop().unwrap();
    let unknown = finished[..finished.len() - 3].to_owned();
    for (names, resume) in [
        ("a.test", finished.clone()),
        ("a.test b.test", finished),
        ("a.test", unknown),
        ("a.test", "https://evil.test/order/1".to_owned()),
    ] {
        let orders = world.pebble.requests().new_order;
        let desk = Both(&world.desk, Desk::open());
        let request = OrderRequest {
            resume: Some(resume.clone()),
            ..world.request(names)
        };
        // Another key than the finished order's, so that one cannot serve either.
        let issued = world.authorities.order(&request, &desk).await;
        let issued = issued.unwrap_or_else(|failure| panic!("{names} {resume}: {failure:?}"));
        let chain = Chain::read(issued.chains[0].as_bytes()).unwrap();
        assert!(x509::key::fits(&request.key, chain.leaf_der()).unwrap());
        assert_eq!(
            world.pebble.requests().new_order,
            orders + 1,
            "{names} {resume}"
        );
    }
}

#[tokio::test]
async fn a_failed_validation_names_its_cause_and_its_name() {
    for (fault, finding) in [
        (Fault::Status(404), FindingName::ChallengeNotFound),
        (Fault::Status(403), FindingName::ChallengeForbidden),
        (Fault::Status(502), FindingName::ChallengeServerError),
        (Fault::WrongAnswer, FindingName::ChallengeWrongAnswer),
    ] {
        let world = new();
        world.desk.misbehave(fault);
        let failure = world.order(&world.request("a.test")).await.unwrap_err();
        assert_eq!(
            (failure.blame, failure.findings[0].name),
            (Blame::Site, finding),
            "{failure:?}"
        );
        assert_eq!(
            failure.failed_names,
            [crate::desk::names("a.test").domain().clone()]
        );
        assert!(!failure.resumable);
        assert!(
            !failure.findings[0].detail.contains("LPJNul"),
            "{failure:?}"
        );
        assert_eq!(world.desk.counts(), (1, 1, 0), "the answer is taken away");
    }
}

#[tokio::test]
async fn nothing_that_listens_is_said_so() {
    let desk = Desk::open();
    let closed = testkit::port::Port::free().number();
    let pebble = Pebble::settings(closed, closed).start();
    let accounts = tempfile::tempdir().unwrap();
    let authorities = authorities(accounts.path(), &pebble.ca_bundle());
    let failure = authorities
        .order(&request(&pebble.directory(), "a.test"), &desk)
        .await
        .unwrap_err();
    assert_eq!(
        failure.findings[0].name,
        FindingName::Port80Refused,
        "{failure:?}"
    );
}

#[tokio::test]
async fn an_account_that_the_ca_forgot_is_made_again_with_the_same_key() {
    let world = new();
    world.chain(&world.request("a.test")).await;
    let before = world.authorities.account(&world.ca()).unwrap().unwrap();
    let text = std::fs::read_to_string(&before.file).unwrap();
    let lost = text.replace(&before.url, &format!("{}0", before.url));
    #[expect(clippy::disallowed_methods, reason = "the test damages the file")]
    std::fs::write(&before.file, lost).unwrap();

    let again = authorities(world.accounts.path(), &world.pebble.ca_bundle());
    let desk = Both(&world.desk, Desk::open());
    again.order(&world.request("b.test"), &desk).await.unwrap();
    let after = again.account(&world.ca()).unwrap().unwrap();
    assert_eq!(
        (after.url, after.thumbprint),
        (before.url, before.thumbprint)
    );
}

#[tokio::test]
async fn a_second_process_finds_the_account_and_asks_for_none() {
    let world = new();
    world.chain(&world.request("a.test")).await;
    let again = authorities(world.accounts.path(), &world.pebble.ca_bundle());
    let desk = Both(&world.desk, Desk::open());
    again.order(&world.request("b.test"), &desk).await.unwrap();
    assert_eq!(world.pebble.requests().new_account, 1);
    assert!(world.account_file().exists());
}

#[tokio::test]
async fn an_account_gets_a_new_key_and_is_deactivated_in_the_end() {
    let world = new();
    world.chain(&world.request("a.test")).await;
    let before = world.authorities.thumbprint(&world.ca()).await.unwrap();
    let after = world.authorities.roll_over(&world.ca()).await.unwrap();
    assert_ne!(before, after);
    let desk = Both(&world.desk, Desk::open());
    world
        .authorities
        .order(&world.request("b.test"), &desk)
        .await
        .unwrap();

    let again = authorities(world.accounts.path(), &world.pebble.ca_bundle());
    assert_eq!(again.thumbprint(&world.ca()).await.unwrap(), after);
    again.deactivate(&world.ca()).await.unwrap();
    let failure = again
        .order(&world.request("c.test"), &Desk::open())
        .await
        .unwrap_err();
    assert_eq!(failure.findings[0].name, FindingName::AccountGone);
    let failure = world
        .authorities
        .order(&world.request("c.test"), &Desk::open())
        .await
        .unwrap_err();
    assert_eq!(
        failure.findings[0].name,
        FindingName::AccountGone,
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_certificate_is_revoked_once_and_once_more() {
    let world = new();
    let chain = world.chain(&world.request("a.test")).await;
    for _ in 0..2 {
        let reason = RevocationReason::Superseded;
        world
            .authorities
            .revoke(&world.ca(), chain.leaf_der(), None, reason)
            .await
            .unwrap();
    }
    let status = world
        .pebble
        .status_of(&chain.leaf.serial)
        .expect("pebble issued it");
    assert!(status.contains("Revoked"), "{status}");
}

#[tokio::test]
async fn a_certificate_of_another_account_is_revoked_with_its_own_key() {
    let world = new();
    let stranger = tempfile::tempdir().unwrap();
    let stranger = authorities(stranger.path(), &world.pebble.ca_bundle());
    for reason in [
        RevocationReason::Superseded,
        RevocationReason::KeyCompromise,
    ] {
        let request = world.request("a.test");
        let chain = world.chain(&request).await;
        let der = chain.leaf_der();
        let refused = stranger.revoke(&world.ca(), der, None, reason).await;
        assert!(refused.is_err(), "another account may not");
        let key = Some(&request.key);
        stranger
            .revoke(&world.ca(), der, key, reason)
            .await
            .unwrap();
        let status = world.pebble.status_of(&chain.leaf.serial).unwrap();
        assert!(status.contains("Revoked"), "{status}");
    }
}

#[tokio::test]
async fn renewal_information_profiles_and_replaces_work_with_a_ca_that_has_them() {
    let life = std::time::Duration::from_secs(6 * 86_400);
    let world = World::new(|settings| settings.newer().profile("shortlived", life));
    let about = world.authorities.about(&world.ca()).await.unwrap();
    assert!(about.profiles.contains_key("shortlived"), "{about:?}");
    let mut request = world.request("a.test");
    request.profile = Some("shortlived".to_owned());
    let first = world.chain(&request).await.leaf;
    assert!(
        first.valid.length().as_hours() <= 6 * 24,
        "{:?}",
        first.valid
    );

    let id = first.id.clone().expect("pebble's have a key identifier");
    let answer = world
        .authorities
        .suggestion(&world.ca(), &id)
        .await
        .unwrap()
        .expect("it has ARI");
    assert!(
        first.valid.contains(answer.window.start()) && answer.retry_after.is_some(),
        "{answer:?}"
    );

    // The first replacement is taken as one; the second is refused as such, and made without.
    for _ in 0..2 {
        let desk = Both(&world.desk, Desk::open());
        let request = OrderRequest {
            replaces: Some(id.clone()),
            ..world.request("a.test")
        };
        world.authorities.order(&request, &desk).await.unwrap();
    }
    let orders = world.pebble.requests().new_order;
    assert_eq!(orders, 4, "one, one more, and one twice");

    let unknown = renewal::certificate::CertificateId("AAAA.AAAA".to_owned());
    let failure = world
        .authorities
        .suggestion(&world.ca(), &unknown)
        .await
        .unwrap_err();
    assert_eq!(failure.blame, Blame::Ca, "a refusal lasts");

    let request = OrderRequest {
        profile: Some("nope".to_owned()),
        ..world.request("a.test")
    };
    let failure = world
        .authorities
        .order(&request, &Desk::open())
        .await
        .unwrap_err();
    assert!(
        failure.summary().contains("offers no profile “nope”, only"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_ca_without_renewal_information_has_no_suggestion() {
    let world = new();
    let id = renewal::certificate::CertificateId("AAAA.AAAA".to_owned());
    assert_eq!(
        world
            .authorities
            .suggestion(&world.ca(), &id)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_ca_that_is_gone_or_not_trusted_or_no_ca_is_told_apart() {
    let world = new();
    let untrusting = acme::Authorities::new(
        acme::Settings {
            user_agent: "clpctl/0".to_owned(),
            roots: Vec::new(),
            accounts: world.accounts.path().to_owned(),
            contact: Vec::new(),
            own_addresses: Vec::new(),
        },
        || jiff::Timestamp::UNIX_EPOCH,
    )
    .unwrap();
    let failure = untrusting.about(&world.ca()).await.unwrap_err();
    assert_eq!(
        failure.findings[0].name,
        FindingName::CaNotTrusted,
        "{failure:?}"
    );

    let elsewhere = Ca(world.pebble.directory().replace("/dir", "/nothing").into());
    let failure = world.authorities.about(&elsewhere).await.unwrap_err();
    let summary = failure.summary();
    assert!(
        summary.contains("/nothing answered with") && summary.ends_with("not an ACME directory"),
        "{summary}"
    );

    world.pebble.kill();
    let failure = world
        .authorities
        .order(&world.request("a.test"), &Desk::open())
        .await
        .unwrap_err();
    assert_eq!(
        (failure.blame, failure.findings[0].name),
        (Blame::Network, FindingName::CaUnreachable)
    );
    assert!(!failure.resumable, "there is no order to take up");
}
