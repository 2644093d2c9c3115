//! Does systemd take the units that `service:install` writes?

use testkit::host::Host;
use testkit::nginx::Site;
use testkit::program::Program;

use crate::answer::{Answer, clpctl};
use crate::disk::assert_served;
use crate::hosts::host_with;
use crate::practice::Practice;

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

/// What systemd counts as exposure: the sum, and the name of each part.
fn exposure(unit: &std::path::Path) -> (f64, Vec<String>) {
    let judged = |json: &str| {
        Program::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", json])
            .arg(unit)
            .run()
            .expect_ok()
    };
    let parts: serde_json::Value = serde_json::from_str(&judged("--json=short")).unwrap();
    let parts = parts.as_array().unwrap().iter().filter(|part| {
        let counted = part["exposure"].as_str().unwrap_or_default();
        !matches!(counted, "" | "0.0")
    });
    let names = parts.map(|part| part["json_field"].as_str().unwrap().to_owned());
    let text = judged("--json=off");
    let sum = text
        .split_once("Overall exposure level for ")
        .and_then(|(_, rest)| rest.split_once(": "))
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    (sum.unwrap_or_else(|| panic!("{text}")), names.collect())
}

#[test]
fn the_service_has_the_least_that_works_and_a_reason_for_the_rest() {
    let host = Host::prepare();
    let folder = host.folder().join("units");
    std::fs::create_dir(&folder).unwrap();
    for options in [&[][..], &["--timer"]] {
        let folder_option = format!("--folder={}", folder.display());
        let words = ["service:install", &folder_option];
        let _ = clpctl(&host)
            .run(&[&words[..], options].concat())
            .expect_ok();
        let unit = folder.join("clpctl.service");
        let (sum, parts) = exposure(&unit);
        assert!(sum < 4.0, "{sum}: {parts:?}");
        assert!(parts.len() > 5, "{parts:?}");
        let text = std::fs::read_to_string(&unit).unwrap();
        let silent: Vec<_> = parts
            .iter()
            // ProtectClock gives the clock's device for reading, and systemd counts its own gift.
            .filter(|part| *part != "DeviceAllow")
            .filter(|part| !text.contains(&format!("#   {part}: ")))
            .collect();
        assert!(silent.is_empty(), "no reason is given for {silent:?}");
    }
}

#[test]
fn a_renewal_works_with_the_rights_that_the_unit_leaves() {
    let mut host = host_with([(Site::files("a.test"), 10), (Site::files("b.test"), 10)]);
    // A document root that is closed to all but its owner and nginx's group.
    let closed = host.nginx.document_root("b.test");
    std::os::unix::fs::chown(&closed, Some(4711), Some(33)).unwrap();
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
    let practice = Practice::start(&mut host, |_| {});
    let unit = clpctl(&host)
        .run(&["service:install", "--print"])
        .expect_ok();
    let kept = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="))
        .expect("the unit says which rights it keeps");
    let kept: String = kept
        .split(' ')
        .map(|right| format!(",+{}", right.trim_start_matches("CAP_").to_lowercase()))
        .collect();
    let bounding = format!("--bounding-set=-all{kept}");
    let output = clpctl(&host)
        .inside(&["setpriv", &bounding, "--no-new-privs"])
        .run(&["site:renew-certificates", "--json"]);
    let answer = Answer::read(&output).expect_code(0);
    for domain in ["a.test", "b.test"] {
        assert_eq!(answer.outcome(domain), "renewed", "{:#}", answer.json);
        assert_served(&host, domain);
    }
    assert_eq!(practice.ca.issued(), 2);
}
