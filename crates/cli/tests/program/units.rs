//! Does systemd take the units that `service:install` writes?

use testkit::host::Host;
use testkit::program::Program;

use crate::answer::clpctl;

/// Installs the units into a folder of their own and asks systemd about them.
fn check(options: &[&str], unit: &str) {
    let host = Host::prepare();
    let folder = host.folder().join("units");
    std::fs::create_dir(&folder).unwrap();
    let folder_option = format!("--folder={}", folder.display());
    let words: Vec<&str> = ["service:install", &folder_option]
        .into_iter()
        .chain(options.iter().copied())
        .collect();
    let said = clpctl(&host).run(&words).expect_ok();
    assert!(said.contains(&format!("enable --now {unit}")), "{said}");
    // Every word about the units counts; what it says about other units of the machine does not.
    let judged = Program::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(folder.join(unit))
        .run();
    assert!(judged.ok(), "{}\n{}", judged.stdout, judged.stderr);
    let about: Vec<&str> = judged
        .stderr
        .lines()
        .filter(|line| line.contains("clpctl."))
        .collect();
    assert_eq!(about, [""; 0]);
    let again = clpctl(&host).run(&words).expect_ok();
    assert!(again.contains("already as it should be"), "{again}");
    let printed = clpctl(&host)
        .run(&[&words[..], &["--print"]].concat())
        .expect_ok();
    let written = std::fs::read_to_string(folder.join(unit)).unwrap();
    assert!(printed.contains(&written), "{printed}");
}

#[test]
fn the_service() {
    check(&[], "clpctl.service");
}

#[test]
fn the_timer_and_its_service() {
    check(&["--timer"], "clpctl.timer");
}

#[test]
fn printing_writes_nothing() {
    let host = Host::prepare();
    let folder = host.folder().join("none");
    let printed = clpctl(&host)
        .run(&[
            "service:install",
            "--print",
            &format!("--folder={}", folder.display()),
        ])
        .expect_ok();
    assert!(printed.contains("ExecStart="), "{printed}");
    assert!(!folder.exists());
}
