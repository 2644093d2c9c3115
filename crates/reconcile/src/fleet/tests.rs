//! Years of a fleet, judged.

use expect_test::{Expect, expect};

use super::ca::Rule;
use super::life::Fleet;
use super::{HOUR_MS, Scenario, Year, simulate};

/// Shows what the rules promise, and enough of the rest to see that something happened.
#[track_caller]
fn check(scenario: Scenario, expect: Expect) {
    let year = simulate(&scenario);
    let (worst, most) = year.worst_day().unwrap();
    expect.assert_eq(&format!(
        "{} certificates ({} first) of {} orders, {} held back\n\
         refused: {:?}; lost: {:?}; expired of broken sites: {}\n\
         failed validations: {}, {} within a day of another, at most {} an hour\n\
         revoked: {}, replaced within a day: {}, broken on it: {}\n\
         reloads: {}; worst day: {worst}, {most}\n",
        year.certificates,
        year.first,
        year.orders,
        year.held_back,
        year.refused,
        year.lost,
        year.expired,
        year.failed_validations,
        year.failures_within_a_day,
        year.most_failures_per_hour,
        year.revoked,
        year.replaced_within_a_day,
        year.revoked_while_broken,
        year.reloads,
    ));
    judge(&year, &scenario);
}

/// What must hold in every year.
#[track_caller]
fn judge(year: &Year, scenario: &Scenario) {
    assert!(year.is_clean(), "{scenario:?}: {year:?}");
    assert_eq!(year.failures_within_a_day, 0, "{scenario:?}");
    let replaced = year.replaced_within_a_day + year.revoked_while_broken;
    assert!(replaced >= year.revoked, "{scenario:?}: {year:?}");
}

#[test]
fn ten_thousand_sites_live_a_year_on_64_days() {
    check(
        Scenario::default(),
        expect![[r#"
        83303 certificates (2000 first) of 111894 orders, 110840 held back
        refused: {}; lost: []; expired of broken sites: 544
        failed validations: 31132, 0 within a day of another, at most 1 an hour
        revoked: 3215, replaced within a day: 3095, broken on it: 158
        reloads: 50104; worst day: 2027-06-18, 3285
    "#]],
    );
}

#[test]
fn ten_thousand_sites_live_a_year_on_45_days() {
    check(
        Scenario {
            lifetime_days: 45,
            ..Scenario::default()
        },
        expect![[r#"
            118739 certificates (2000 first) of 156140 orders, 126000 held back
            refused: {}; lost: []; expired of broken sites: 1030
            failed validations: 41874, 0 within a day of another, at most 1 an hour
            revoked: 3215, replaced within a day: 3095, broken on it: 158
            reloads: 65934; worst day: 2027-06-18, 3306
        "#]],
    );
}

#[test]
fn other_seeds_and_lifetimes_lose_nothing_either() {
    for seed in 2..10 {
        for lifetime_days in [6, 45, 64, 90] {
            let scenario = Scenario {
                sites: 300,
                lifetime_days,
                seed,
                broken_percent: 15,
                ..Scenario::default()
            };
            judge(&simulate(&scenario), &scenario);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_year() {
    let scenario = |seed| Scenario {
        sites: 200,
        seed,
        ..Scenario::default()
    };
    assert_eq!(simulate(&scenario(7)), simulate(&scenario(7)));
    assert_ne!(simulate(&scenario(7)), simulate(&scenario(8)));
}

#[test]
fn a_ca_that_is_stricter_than_it_says_is_believed_after_one_word() {
    // 600 sites come at once, and the CA takes a third of the orders that it publishes.
    let scenario = Scenario {
        sites: 4_000,
        days: 60,
        broken_percent: 0,
        mass_revocation: false,
        ..Scenario::default()
    };
    let mut fleet = Fleet::new(scenario);
    fleet
        .ca
        .sizes
        .insert(Rule::OrdersPerAccount, (100, 3 * HOUR_MS));
    fleet.live();
    let year = fleet.into_year();
    assert_eq!(year.lost, []);
    let refused = year.refusals();
    assert!(
        (1..=300).contains(&refused),
        "{refused} of 800 orders: each word holds for all sites"
    );
}

#[test]
fn sites_that_nobody_mends_lose_their_certificates_and_are_not_held_against_the_rules() {
    let scenario = Scenario {
        sites: 200,
        broken_percent: 90,
        ..Scenario::default()
    };
    let year = simulate(&scenario);
    assert!(year.expired > 100, "{year:?}");
    judge(&year, &scenario);
}
