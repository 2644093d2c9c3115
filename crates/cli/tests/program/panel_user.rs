//! Do the panel's own commands work for root and for the panel's user?

use testkit::host::Host;
use testkit::nginx::Site;
use testkit::program::{Output, Program};

use crate::answer::ask;
use crate::bad_input::readable_program;
use crate::disk::{self, assert_served};
use crate::hosts::host_with;

/// Runs a command as the user `clp`, who exists for it alone; `sudo` is a stand-in that says what it is asked.
fn as_clp(host: &Host, words: &[&str]) -> Output {
    let folder = host.folder();
    let (passwd, bin) = (folder.join("passwd"), folder.join("bin"));
    disk::put(
        &passwd,
        "root:x:0:0:root:/root:/bin/sh\nclp:x:4711:4711::/home/clp:/bin/sh\n",
    );
    std::fs::create_dir_all(&bin).unwrap();
    let write = "cat > \"$0\" && chmod 755 \"$0\"";
    let sudo = Program::new("sh").args(["-c", write]).arg(bin.join("sudo"));
    let _ = sudo
        .input("#!/bin/sh\necho \"sudo $*\"\nexit 3\n")
        .run()
        .expect_ok();
    Program::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg(format!("mount --bind {} /etc/passwd && exec setpriv --reuid=4711 --regid=4711 --clear-groups \"$@\"", passwd.display()))
        .arg("sh")
        .arg(readable_program())
        .args(words)
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .run()
}

#[test]
fn the_panels_user_renews_by_sudo() {
    let host = Host::prepare();
    let words = [
        "lets-encrypt:renew:certificates",
        "--config=/nowhere/clpctl.toml",
    ];
    let output = as_clp(&host, &words);
    let program = readable_program();
    let expected = format!("sudo -n -- {} {}\n", program.display(), words.join(" "));
    assert_eq!(
        (output.stdout, output.code),
        (expected, Some(3)),
        "{}",
        output.stderr
    );
}

#[test]
fn what_needs_no_root_is_done_as_the_user() {
    let host = Host::prepare();
    let output = as_clp(&host, &["explain", "port-80-refused"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.starts_with("port-80-refused\n"),
        "{}",
        output.stdout
    );
}

#[test]
fn root_renews_by_the_panels_name_of_it() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    let answer = ask(&host, &["lets-encrypt:renew:certificates"]).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "renewed", "{:#}", answer.json);
    assert_served(&host, "a.test");
}
