//! Does a CA that means harm get anything but its own failure?
//!
//! Every reply is bounded in time and memory, none is followed elsewhere, and when the CA is mended the next run gets
//! its certificate. The whole matrix of texts and steps, and every byte at which a connection can be cut, are played by
//! `cargo run -p acme --example hostile_ca`; here a part of them that changes with neither the clock nor dice.

use std::time::Duration;

use acme::bounds::{FINDINGS_MAX, LOOKUP, WORDS_MAX};
use futures_util::StreamExt as _;
use renewal::finding::FindingName;
use renewal::ports::OrderFailure;
use testca::{ChainFault, Endpoint, Fault, FinalizationFault, IssuanceFault, Options, WireFault};

use crate::cuts::{self, play};
use crate::cutter::Cuts;
use crate::matrix::{STEPS, cell, is_quick};
use crate::rig::{Rig, issued};
use crate::texts;

#[tokio::test]
async fn each_text_at_some_steps_and_each_step_with_many_texts() {
    let texts = texts::all();
    let cells = texts.iter().enumerate().flat_map(|(row, text)| {
        let steps = STEPS.iter().enumerate();
        let some = steps.filter(move |(column, _)| (row + column) % EVERY == 0);
        some.map(move |(_, step)| (*step, text))
    });
    let cells: Vec<_> = cells.filter(|(step, text)| is_quick(*step, text)).collect();
    assert!(cells.len() > 100, "{}", cells.len());
    let played = cells.into_iter().map(|(step, text)| async move {
        let outcome = cell(step, text).await;
        outcome
            .err()
            .map(|why| format!("{step:?}, {}: {why}", text.what))
    });
    let wrong: Vec<String> = futures_util::stream::iter(played.collect::<Vec<_>>())
        .buffer_unordered(32)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_connection_that_is_cut_anywhere_once_costs_no_second_certificate() {
    let whole = cuts::length().await;
    // Every part of the conversation, and no byte twice in a year of runs: the offset is the length's own.
    let stride = whole / SAMPLES;
    let at = (0..SAMPLES).map(|index| index * stride + whole % stride.max(1));
    let played = at.map(|at| async move {
        play(Cuts::Once(at))
            .await
            .map_err(|why| format!("at {at}: {why}"))
    });
    let outcomes: Vec<_> = futures_util::stream::iter(played.collect::<Vec<_>>())
        .buffer_unordered(16)
        .collect()
        .await;
    let wrong: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(
        wrong.is_empty(),
        "{} of {SAMPLES}: {}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn connections_that_are_all_cut_are_given_up_and_mended() {
    let played = [0, 1, 5, 100, 517, 1_000, 1_700, 2_500].map(|at| async move {
        play(Cuts::Each(at))
            .await
            .map_err(|why| format!("each at {at}: {why}"))
    });
    let outcomes = futures_util::future::join_all(played).await;
    let wrong: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Plays a fault at each of some steps, side by side; returns the failures, with how long each took.
async fn at_each(
    steps: &[Endpoint],
    fault: impl Fn() -> WireFault,
) -> Vec<(Endpoint, OrderFailure, Duration)> {
    let played = steps.iter().map(|step| {
        let fault = fault();
        async move {
            let what = format!("{fault:?}").chars().take(80).collect::<String>();
            let mut faults = vec![Fault::new(fault).at(*step)];
            if *step == Endpoint::Order {
                faults.push(Fault::new(FinalizationFault::Processing { polls: 2 }));
            }
            let rig = Rig::with(faults).await;
            let played = rig.fails_and_is_mended("a.test").await;
            let (run, failure) = played.unwrap_or_else(|why| panic!("{what} at {step:?}: {why}"));
            (*step, failure, run.took)
        }
    });
    futures_util::future::join_all(played).await
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off() {
    for (step, failure, took) in at_each(&WITH_BODY, || WireFault::Endless(10 << 30)).await {
        assert!(took < Duration::from_secs(20), "{step:?}: {took:?}");
        assert_eq!(
            failure.findings[0].name,
            FindingName::CaUnreachable,
            "{step:?}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_drips_is_waited_for_no_longer_than_allowed() {
    let drip = || WireFault::Drip(Duration::from_millis(400));
    for (step, failure, took) in
        at_each(&[Endpoint::Directory, Endpoint::Authorization], drip).await
    {
        // Asked three times in all; see `chances`.
        let most = 3 * LOOKUP + Duration::from_secs(10);
        assert!(took < most, "{step:?}: {took:?}");
        assert_eq!(
            failure.findings[0].name,
            FindingName::CaUnreachable,
            "{step:?}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn bombs_of_json_are_refused_at_once_and_told_in_few_words() {
    let bombs = bombs();
    let played = bombs
        .iter()
        .flat_map(|bomb| WITH_JSON.map(|step| (step, bomb)));
    let played = played.map(|(step, (what, bomb))| async move {
        let fault = Fault::new(WireFault::Says(bomb.clone())).at(step);
        let polls = FinalizationFault::Processing { polls: 2 };
        let rig = Rig::with([fault, Fault::new(polls)]).await;
        let run = rig.is_survived("a.test").await;
        let run = run.unwrap_or_else(|why| panic!("{what} at {step:?}: {why}"));
        let took = run.took;
        assert!(
            took < Duration::from_secs(30),
            "{what} at {step:?}: {took:?}"
        );
        let findings = run.outcome.err().map(|failure| failure.findings);
        let findings = findings.unwrap_or_default();
        assert!(findings.len() <= FINDINGS_MAX, "{what} at {step:?}");
        for finding in &findings {
            for text in [&finding.explanation, &finding.detail, &finding.fix] {
                assert!(text.chars().count() <= WORDS_MAX + 1, "{what} at {step:?}");
            }
        }
    });
    futures_util::stream::iter(played.collect::<Vec<_>>())
        .buffer_unordered(32)
        .collect::<Vec<_>>()
        .await;
}

#[tokio::test]
async fn redirects_are_not_followed_and_other_hosts_not_asked() {
    let elsewhere = Rig::with([]).await;
    let there = elsewhere.ca.directory_url();
    let other = there.trim_end_matches("/directory").to_owned();
    for (step, failure, _) in at_each(&WITH_JSON, || WireFault::Redirect(there.clone())).await {
        assert_eq!(
            failure.findings[0].name,
            FindingName::CaUnreachable,
            "{step:?}: {failure:?}"
        );
    }
    for (step, failure, _) in at_each(&[Endpoint::NewAccount, Endpoint::NewOrder], || {
        WireFault::Location(format!("{other}/acme/1"))
    })
    .await
    {
        assert!(
            failure.findings[0]
                .detail
                .contains("directory does not name"),
            "{step:?}: {failure:?}"
        );
    }
    // Every URL in what the CA says, but for its directory, whose hosts are the CA's own by definition.
    for step in [
        Endpoint::NewOrder,
        Endpoint::Authorization,
        Endpoint::Finalize,
    ] {
        let rig = Rig::with([]).await;
        let this = rig.ca.directory_url().replace("/directory", "");
        let by = other.clone();
        rig.ca
            .add_fault(Fault::new(WireFault::Rewritten { this, by }).at(step));
        let (_, failure) = rig.fails_and_is_mended("a.test").await.unwrap();
        assert!(
            failure.findings[0].detail.contains("does not name"),
            "{step:?}: {failure:?}"
        );
    }
    assert_eq!(
        elsewhere.ca.requests().total(),
        0,
        "nothing was asked there"
    );
}

#[tokio::test]
async fn what_stands_around_a_chain_is_dropped() {
    let rig = Rig::with([Fault::new(ChainFault::Junk)]).await;
    let request = rig.request("a.test");
    let run = rig.run(&request).await;
    issued(&run.outcome, &request).unwrap();
    for chain in run.outcome.unwrap().chains {
        let kept = chain.lines().all(|line| {
            line.starts_with("-----") && line.contains("CERTIFICATE-----")
                || line
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
        });
        assert!(kept, "{chain}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_none_of_ours_is_not_taken_for_an_earlier_order() {
    let lost = [
        Fault::new(IssuanceFault::WrongKey).times(1),
        Fault::new(WireFault::DropRequest).at(Endpoint::Certificate),
    ];
    let rig = Rig::with(lost).await;
    // The first run does not live to see the certificate; the second finds one for another key, and orders anew.
    rig.fails_and_is_mended("a.test").await.unwrap();
    assert_eq!((rig.orders(), rig.ca.issued()), (2, 2));
}

#[tokio::test]
async fn three_nonces_in_ten_are_refused_to_a_hundred_orders_at_once() {
    let refuse = Fault::new(testca::NonceFault::Refuse).with_chance(0.3);
    let rig = Rig::new(|options: &mut Options| options.faults = vec![refuse]).await;
    let orders = (0..100).map(|index| {
        let request = rig.request(&format!("n{index}.test"));
        let rig = &rig;
        async move { issued(&rig.run(&request).await.outcome, &request) }
    });
    let outcomes: Vec<_> = futures_util::stream::iter(orders.collect::<Vec<_>>())
        .buffer_unordered(16)
        .collect()
        .await;
    assert_eq!(outcomes, vec![Ok(()); 100]);
    assert_eq!(rig.ca.issued(), 100);
}

/// Bodies that cost more to read than they have bytes, or that mean something else to every reader.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let detail = |text: &str| {
        format!(r#"{{"type":"urn:ietf:params:acme:error:malformed","detail":"{text}"}}"#)
    };
    let mut bombs: Vec<(&str, String)> = vec![
        ("nested arrays", "[".repeat(200_000)),
        ("nested objects", r#"{"a":"#.repeat(40_000)),
        ("a long array", format!("[{}0]", "0,".repeat(100_000))),
        (
            "a huge number",
            format!(r#"{{"status":{}}}"#, "9".repeat(100_000)),
        ),
        (
            "a huge exponent",
            r#"{"status":1e999999999,"detail":2e-999999999}"#.to_owned(),
        ),
        (
            "a key twice",
            r#"{"status":"valid","status":"pending","authorizations":[],"authorizations":["x"]}"#
                .to_owned(),
        ),
        ("half a surrogate", r#"{"status":"\ud800"}"#.to_owned()),
        ("a long text", detail(&"x".repeat(250_000))),
        (
            "a text that a terminal obeys",
            detail("\\u001b]0;owned\\u0007\\u001b[2J\\u0000\\r\\n2026-01-01 error"),
        ),
        (
            "many names",
            format!(
                r#"{{"status":"invalid","identifiers":[{}],"authorizations":[{}]}}"#,
                vec![r#"{"type":"dns","value":"a.test"}"#; 3_000].join(","),
                vec![r#""https://127.0.0.1/a""#; 3_000].join(",")
            ),
        ),
        (
            "every kind of null",
            r#"{"newNonce":null,"status":null,"identifier":null,"challenges":null,"meta":null}"#
                .to_owned(),
        ),
        ("nothing", String::new()),
    ];
    let subproblem = r#"{"type":"x","detail":"y"}"#;
    let many = vec![subproblem; 9_000].join(",");
    bombs.push((
        "many subproblems",
        format!(r#"{{"type":"malformed","detail":"z","subproblems":[{many}]}}"#),
    ));
    let mut bombs: Vec<(&str, Vec<u8>)> = bombs
        .into_iter()
        .map(|(what, text)| (what, text.into_bytes()))
        .collect();
    bombs.push((
        "bytes that are no text",
        (0..=255).cycle().take(100_000).collect(),
    ));
    bombs
}

/// Steps whose replies have a body.
const WITH_BODY: [Endpoint; 8] = [
    Endpoint::Directory,
    Endpoint::NewOrder,
    Endpoint::Authorization,
    Endpoint::Challenge,
    Endpoint::Finalize,
    Endpoint::Order,
    Endpoint::Certificate,
    Endpoint::NewAccount,
];

/// Steps whose replies are read as JSON.
const WITH_JSON: [Endpoint; 5] = [
    Endpoint::Directory,
    Endpoint::NewOrder,
    Endpoint::Authorization,
    Endpoint::Finalize,
    Endpoint::Order,
];

/// One cell in so many is played here; with nine steps, each text meets two or three of them.
const EVERY: usize = 4;

/// Cuts in one run of the tests.
const SAMPLES: u64 = 48;
