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
