//! Can the account at the CA be seen, given a new key, and given up?

use serde_json::Value;
use testkit::host::Host;
use testkit::nginx::Site;

use crate::answer::{ask, clpctl};
use crate::disk::assert_served;
use crate::hosts::host_with;
use crate::practice::Practice;

const FORCE: [&str; 3] = ["site:renew-certificates", "--domain=a.test", "--force"];

fn account(host: &Host) -> Value {
    ask(host, &["account:show"]).expect_code(0).json["accounts"][0].clone()
}

#[test]
fn the_account_is_shown_once_there_is_one() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let _practice = Practice::start(&mut host, |_| {});
    assert_eq!(account(&host)["url"], Value::Null);
    assert!(!host.state().exists(), "it only looks");
    let _ = ask(&host, &FORCE).expect_code(0);
    let shown = account(&host);
    assert!(
        shown["url"]
            .as_str()
            .is_some_and(|url| url.starts_with("https://")),
        "{shown:#}"
    );
    let text = clpctl(&host).run(&["account:show"]).expect_ok();
    assert!(
        text.contains(shown["thumbprint"].as_str().unwrap()),
        "{text}"
    );
    assert!(!text.contains("PRIVATE"), "{text}");
}

#[test]
fn a_new_key_is_used_from_then_on_by_the_same_account() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    let _ = ask(&host, &FORCE).expect_code(0);
    let before = account(&host);
    let rolled = ask(&host, &["account:rollover"]).expect_code(0);
    let after = account(&host);
    assert_eq!(after["url"], before["url"]);
    assert_ne!(after["thumbprint"], before["thumbprint"]);
    assert_eq!(rolled.json["thumbprint"], after["thumbprint"]);
    let accounts = pebble.requests().new_account;
    let renewed = ask(&host, &FORCE).expect_code(0);
    pebble.assert_well();
    assert_eq!(renewed.outcome("a.test"), "renewed", "{:#}", renewed.json);
    assert_eq!(pebble.requests().new_account, accounts);
    assert_served(&host, "a.test");
}

#[test]
fn an_account_is_given_up_only_when_that_is_said_twice() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    let _ = ask(&host, &FORCE).expect_code(0);
    let unsure = clpctl(&host).run(&["account:deactivate"]);
    assert_eq!(unsure.code, Some(2), "{}", unsure.stderr);
    let _ = ask(&host, &["account:deactivate", "--yes"]).expect_code(0);
    let orders = pebble.requests().new_order;
    let failed = ask(&host, &FORCE);
    assert_ne!(failed.code, Some(0));
    assert_eq!(
        failed.finding("a.test", "account-gone")["severity"],
        "fatal"
    );
    assert_eq!(pebble.requests().new_order, orders);
}
