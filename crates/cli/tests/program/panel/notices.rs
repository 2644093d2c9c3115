//! Do the panel's users learn of a failure that needs them, and of its end, once each?

use super::*;

const SHOWN: &str = "SELECT severity, is_read, subject FROM notification ORDER BY id;";

#[test]
fn a_failure_is_told_once_and_so_is_its_end() {
    let mut panel = PanelHost::prepare();
    let old = Authority::new("Older").issue(&["a.test"], Days::left(10));
    panel.add_with(&PanelSite::new("a.test", Shape::Php), 2, &old);
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    practice.dns.change(|zone| zone.nxdomain("a.test"));
    for _ in 0..2 {
        let _ = ask(&panel, &["site:renew-certificates"]).expect_code(1);
        assert_eq!(
            panel.database.run(SHOWN),
            "3|0|clpctl: the certificate of a.test could not be renewed"
        );
    }
    let message = panel.database.run("SELECT message FROM notification;");
    assert!(message.contains("dns-no-such-name"), "{message}");
    let hash = panel.database.run("SELECT hash FROM notification;");
    let md5 = testkit::program::Program::new("md5sum")
        .input("clpctl: the certificate of a.test could not be renewed")
        .run()
        .expect_ok();
    assert_eq!(md5.split(' ').next(), Some(hash.as_str()));
    practice.dns.change(|zone| zone.forget("a.test"));
    for _ in 0..2 {
        let _ = ask(&panel, &["site:renew-certificates"]).expect_code(0);
        assert_eq!(
            panel.database.run(SHOWN),
            "1|0|clpctl: the certificate of a.test is renewed again"
        );
    }
}

#[test]
fn an_imported_certificate_that_ends_soon_is_told_once_even_when_the_notice_is_deleted() {
    let mut panel = PanelHost::prepare();
    let bought = Authority::new("Bought").issue(&["a.test"], Days::left(20));
    panel.add_with(&PanelSite::new("a.test", Shape::Php), 3, &bought);
    panel.host.nginx.launch();
    let _ = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    let shown = panel.database.run(SHOWN);
    assert!(
        shown.starts_with("2|0|clpctl: the imported certificate of a.test ends on"),
        "{shown}"
    );
    let _ = panel.database.run("DELETE FROM notification;");
    let before = fs::read(panel.database.path()).unwrap();
    let _ = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(fs::read(panel.database.path()).unwrap(), before);
}
