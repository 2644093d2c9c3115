//! Does the next run bring record, files and nginx together, wherever a run died?

use super::*;

/// Renews by force, and dies at the nth of these system calls that one of its threads makes; says whether it died.
fn die_at(panel: &PanelHost, calls: &str, nth: u32) -> bool {
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:signal=KILL:when={nth}");
    let output = panel
        .host
        .clpctl(env!("CARGO_BIN_EXE_clpctl"))
        .inside(&[
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &trace,
            "-e",
            &inject,
        ])
        .run(&["site:renew-certificates", "--force", "--domain=a.test"]);
    assert!(matches!(output.code, None | Some(0)), "{}", output.stdout);
    output.code.is_none()
}

#[test]
fn a_pair_that_a_crash_tore_is_put_together_by_the_next_run() {
    let mut panel = PanelHost::prepare();
    let old = Authority::new("Older").issue(&["a.test"], Days::left(20));
    panel.add_with(&PanelSite::new("a.test", Shape::Php), 2, &old);
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    let folder = panel.host.nginx.certificates();
    let (certificate, key) = (folder.join("a.test.crt"), folder.join("a.test.key"));
    let before = openssl::sha256(&certificate);
    // It dies when the certificate is about to take its place: the new key is in its own already.
    let path = certificate.to_str().unwrap();
    let killed = panel.host.clpctl(env!("CARGO_BIN_EXE_clpctl")).inside(&[
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-P",
        path,
        "-e",
        "trace=rename,renameat,renameat2",
        "-e",
        "inject=rename,renameat,renameat2:signal=KILL:when=1",
    ]);
    let killed = killed.run(&["site:renew-certificates", "--force", "--domain=a.test"]);
    assert_eq!(killed.code, None, "{}", killed.stdout);
    assert!(!openssl::key_fits(&certificate, &key), "the pair is torn");
    assert!(!panel.host.nginx.test().ok());
    let address = panel.host.nginx.https_addresses()[0];
    assert_eq!(
        openssl::served(address, "a.test"),
        Some(before.clone()),
        "nginx has the old pair in memory"
    );
    let answer = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_whole(&panel, "a.test", "a.test");
    assert_ne!(openssl::sha256(&certificate), before, "{:#}", answer.json);
    assert_eq!(
        practice.orders(),
        1,
        "what was obtained is not ordered again"
    );
    assert!(panel.host.nginx.test().ok());
}

/// Lets runs die at every one of these system calls, or at every few of them. They are counted by thread, so how many
/// there are differs from run to run.
fn everywhere(calls: &str, step: u32, at_least: u32) {
    let mut panel = PanelHost::prepare();
    let old = Authority::new("Older").issue(&["a.test"], Days::left(20));
    panel.add_with(&PanelSite::new("a.test", Shape::Php), 2, &old);
    panel.add(&PanelSite::new("other.test", Shape::Static));
    panel.host.nginx.launch();
    let _practice = Practice::start(&mut panel.host, |_| {});
    let mut nth = 1;
    while die_at(&panel, calls, nth) {
        let answer = ask(&panel, &["site:renew-certificates"]).expect_code(0);
        assert_whole(&panel, "a.test", "a.test");
        let row = shown(&panel, "a.test");
        assert!(row.starts_with("2|0|"), "{calls} {nth}: {row}");
        assert!(
            panel.host.nginx.test().ok(),
            "{calls} {nth}: {:#}",
            answer.json
        );
        let again = ask(&panel, &["site:renew-certificates"]).expect_code(0);
        assert_eq!(again.site("a.test")["findings"], json!([]), "{calls} {nth}");
        assert_eq!(again.reloads(), 0, "{calls} {nth}");
        let left: Vec<_> = fs::read_dir(panel.host.nginx.certificates())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{calls} {nth}: {left:?}");
        nth += step;
    }
    assert!(nth > at_least, "only {nth} calls of {calls}");
}

#[test]
fn at_every_name_that_is_given_or_taken() {
    everywhere("renameat2,linkat", 1, 2);
}

#[test]
fn at_every_sync() {
    everywhere("fdatasync,fsync", 1, 4);
}

#[test]
fn amid_the_writes_to_a_database() {
    everywhere("pwrite64", 3, 4);
}
