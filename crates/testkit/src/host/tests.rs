//! Does the host hold together, and is the program run as it should be?

use std::time::Duration;

use rustix::process::Signal;

use super::*;
use crate::certificate::{Authority, Days};
use crate::openssl;
use crate::program::{self, Program};

/// A program that stands for clpctl here. Written by a shell: were the file open in this process, a child that
/// another test starts at that moment would hold it open too, and the system would refuse to run it.
fn script(host: &Host, lines: &str) -> Clpctl {
    let file = host.folder().join("script");
    let write = "cat > \"$0\" && chmod 755 \"$0\"";
    let _ = Program::new("sh")
        .args(["-c", write])
        .arg(&file)
        .input(format!("#!/bin/sh\n{lines}\n"))
        .run()
        .expect_ok();
    host.clpctl(file)
}

#[test]
fn the_program_gets_the_hosts_configuration() {
    let host = Host::start([Site::files("a.test")]);
    let clpctl = script(&host, r#"echo "$@"; echo "$HOME" >&2; exit 3"#);
    let output = clpctl.run(&["site:list", "--json"]);
    assert_eq!(
        output.stdout,
        format!("--config={} site:list --json\n", host.config().display())
    );
    assert_eq!(output.stderr, format!("{}\n", host.folder().display()));
    assert_eq!(output.code, Some(3));
}

#[test]
fn settings_end_up_in_their_sections() {
    let mut host = Host::start([Site::files("a.test")]);
    host.set("acme", "jobs", "4");
    host.set("renewal", "before_expiry", "\"30d\"");
    host.append("[[site]]\ndomain = \"a.test\"");
    let text = fs::read_to_string(host.config()).unwrap();
    assert!(
        text.contains("[renewal]\nbefore_expiry = \"30d\"\n"),
        "{text}"
    );
    assert!(text.contains("jobs = 4\n"), "{text}");
    assert!(text.ends_with("[[site]]\ndomain = \"a.test\"\n"), "{text}");
    let parsed: toml::Table = text.parse().unwrap();
    assert_eq!(parsed["acme"]["jobs"].as_integer(), Some(4));
    host.unset("acme", "jobs");
    assert!(!fs::read_to_string(host.config()).unwrap().contains("jobs"));
}

#[test]
fn a_lineage_is_served() {
    let mut host = Host::prepare();
    let pair = Authority::new("Practice").issue(&["a.test"], Days::left(10));
    host.add_with_lineage(Site::cloudpanel("a.test"), &pair);
    host.nginx.launch();
    let leaf = openssl::sha256(&host.live("a.test").join("cert.pem"));
    assert_eq!(
        openssl::served(host.nginx.https_addresses()[0], "a.test"),
        Some(leaf)
    );
}

#[test]
fn a_pebble_becomes_the_hosts_ca() {
    let mut host = Host::start([Site::plain("a.test")]);
    let pebble = host.with_pebble(|settings| settings);
    let text = fs::read_to_string(host.config()).unwrap();
    assert!(
        text.contains(&format!("\ndirectory = \"{}\"\n", pebble.directory())),
        "{text}"
    );
    assert!(
        text.contains(&format!("servers = [\"{}\"]\n", pebble.dns().address())),
        "{text}"
    );
    pebble.assert_well();
}

#[test]
fn a_program_left_running_is_killed_with_its_test() {
    let host = Host::start([Site::plain("a.test")]);
    let clpctl = script(&host, "echo ready; exec sleep 600");
    let mut running = clpctl.spawn(&["service:run"]);
    assert!(program::wait_until(Duration::from_secs(20), || running
        .stdout()
        == "ready\n"));
    running.signal(Signal::TERM);
    assert!(running.wait(Duration::from_secs(20)).is_some());
    let running = clpctl.spawn(&["service:run"]);
    let process = format!("/proc/{}", running.pid());
    drop(running);
    assert!(!Path::new(&process).exists());
}
