//! Does the panel show the replacement when a certificate is revoked?

use testca::{Endpoint, Fault, ValidationFault};

use super::*;

/// A site of the panel's with a certificate of the practice CA.
fn issued() -> (PanelHost, Practice) {
    let mut panel = PanelHost::prepare();
    panel.add(&PanelSite::new("a.test", Shape::Php));
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    let _ = ask(&panel, &["site:renew-certificates", "--domain=a.test"]).expect_code(0);
    (panel, practice)
}

fn key(panel: &PanelHost) -> String {
    panel.database.active("a.test", "c.private_key")
}

#[test]
fn the_replacement_is_recorded_and_a_compromised_key_is_in_no_active_row() {
    let (panel, practice) = issued();
    let mut keys = vec![key(&panel)];
    for reason in ["superseded", "key-compromise"] {
        let reason = format!("--reason={reason}");
        let words = ["site:revoke-certificate", "--domain=a.test", &reason];
        let answer = ask(&panel, &words).expect_code(0);
        assert_eq!(answer.json["revoked"], true, "{:#}", answer.json);
        assert_whole(&panel, "a.test", "a.test");
        assert!(shown(&panel, "a.test").starts_with("2|0|"));
        assert!(!keys.contains(&key(&panel)), "{reason}");
        keys.push(key(&panel));
    }
    assert_eq!(practice.asked(Endpoint::RevokeCert), 2);
    let again = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(again.site("a.test")["findings"], json!([]));
}

#[test]
fn without_a_replacement_the_panels_record_stays() {
    let (panel, practice) = issued();
    let before = key(&panel);
    let forbidden = vec![Fault::new(ValidationFault::CaaForbids)];
    practice.ca.set_faults(forbidden);
    let answer = ask(&panel, &["site:revoke-certificate", "--domain=a.test"]).expect_code(1);
    assert_eq!(answer.json["revoked"], false, "{:#}", answer.json);
    assert_eq!(key(&panel), before);
    assert_whole(&panel, "a.test", "a.test");
}
