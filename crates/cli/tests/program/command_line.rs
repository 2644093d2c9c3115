//! The program as users start it: exit codes, streams, files.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the program itself is what is tested; helpers of tests may fail as tests do"
)]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use expect_test::{Expect, expect};

/// Prepares a run with an empty configuration and nothing of the user's environment.
fn clpctl(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clpctl"));
    command
        .env_clear()
        .env("CLPCTL_CLOUDPANEL", "/nonexistent/clpctl")
        .args(words)
        .stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn check(command: &mut Command, expect: Expect) {
    let (code, out, err) = run(command);
    expect.assert_eq(&format!("{out}--- stderr\n{err}--- exit {code}\n"));
}

fn write(path: &Path, text: &str, mode: u32) {
    let mut file = File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(mode))
        .unwrap();
}

#[test]
fn the_version_and_the_help_are_results() {
    check(
        &mut clpctl(&["--version"]),
        expect![[r#"
        clpctl 0.1.0
        --- stderr
        --- exit 0
    "#]],
    );
    let (code, out, err) = run(&mut clpctl(&["--help"]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("site:renew-certificates") && out.contains("Examples:"),
        "{out}"
    );
    assert!(!out.contains('\u{1b}'), "no colour on a pipe");
    assert!(!out.contains("clock-offset"), "what is hidden stays hidden");
}

#[test]
fn every_command_has_help_with_an_example() {
    let (_, list, _) = run(&mut clpctl(&["completions", "fish"]));
    let names = [
        "site:renew-certificates",
        "lets-encrypt:install:certificate",
        "lets-encrypt:renew:certificates",
        "site:list",
        "site:show",
        "site:logs",
        "service:run",
        "service:status",
        "service:install",
        "fleet:simulate",
        "explain",
        "demo",
        "config:show",
        "completions",
        "man",
    ];
    for name in names {
        assert!(list.contains(name), "{name} is not completed");
        let (code, out, _) = run(&mut clpctl(&[name, "--help"]));
        assert_eq!(code, 0, "{name}");
        assert!(out.contains("Examples:"), "{name} has no example:\n{out}");
    }
}

#[test]
fn a_fleet_lives_its_year_twice_alike_and_needs_neither_configuration_nor_rights() {
    let simulate = |seed: &str| {
        let seed = format!("--seed={seed}");
        run(&mut clpctl(&[
            "fleet:simulate",
            "--sites=100",
            "--days=200",
            "--json",
            &seed,
        ]))
    };
    let (code, out, err) = simulate("7");
    assert_eq!((code, err.as_str()), (0, ""));
    let year: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(year["refused"], 0);
    assert_eq!(year["lost"].as_array().map(Vec::len), Some(0));
    assert!(year["certificates"].as_u64() > Some(100), "{out}");
    assert_eq!(simulate("7").1, out);
    assert_ne!(simulate("8").1, out);
    let (code, _, err) = run(&mut clpctl(&["fleet:simulate", "--sites=0"]));
    assert_eq!(code, 2, "{err}");
}

#[test]
fn wrong_usage_is_2_and_names_what_was_meant() {
    check(
        &mut clpctl(&["site:lits"]),
        expect![[r#"
        --- stderr
        error: There is no command “site:lits”.
        hint: did you mean “site:list”?
        hint: clpctl --help lists the commands
        --- exit 2
    "#]],
    );
    check(
        &mut clpctl(&[]),
        expect![[r#"
        --- stderr
        error: No command was given.
        hint: clpctl --help lists the commands
        --- exit 2
    "#]],
    );
    check(
        &mut clpctl(&["site:list", "--jsn"]),
        expect![[r#"
        --- stderr
        error: Unexpected argument '--jsn' found.
        hint: a similar argument exists: '--json'
        hint: usage: clpctl site:list --json
        hint: clpctl site:list --help lists the options
        --- exit 2
    "#]],
    );
    check(
        &mut clpctl(&["site:list", "--josn", "--json"]),
        expect![[r#"
        {
          "error": {
            "causes": [],
            "exit_code": 2,
            "finding": null,
            "hints": [
              "a similar argument exists: '--json'",
              "usage: clpctl site:list --json",
              "clpctl site:list --help lists the options"
            ],
            "kind": "usage",
            "message": "Unexpected argument '--josn' found."
          }
        }
        --- stderr
        error: Unexpected argument '--josn' found.
        hint: a similar argument exists: '--json'
        hint: usage: clpctl site:list --json
        hint: clpctl site:list --help lists the options
        --- exit 2
    "#]],
    );
    check(
        &mut clpctl(&[
            "lets-encrypt:install:certificate",
            "--domainName=bücher.example",
        ]),
        expect![[r#"
            --- stderr
            error: Invalid value 'bücher.example' for '--domainName <DOMAIN>': “bücher.example” is not a host name: it contains 'ü'; write the name in its ASCII form (xn--…).
            hint: clpctl lets-encrypt:install:certificate --help lists the options
            --- exit 2
        "#]],
    );
}

#[test]
fn an_unknown_command_becomes_the_panels_own_with_streams_and_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let panel = folder.path().join("clpctl");
    write(
        &panel,
        "#!/bin/sh\nread line\necho \"$line: $*\"\necho to stderr >&2\nexit 7\n",
        0o755,
    );
    let mut command = clpctl(&["site:add:php", "--domainName=a b.test", "--json"]);
    command
        .env("CLPCTL_CLOUDPANEL", &panel)
        .env("PATH", "/usr/bin:/bin");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "hello: site:add:php --domainName=a b.test --json\n"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "to stderr\n");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn the_panels_own_gets_the_very_environment() {
    let folder = tempfile::tempdir().unwrap();
    let panel = folder.path().join("clpctl");
    write(&panel, "#!/bin/sh\nexec env\n", 0o755);
    let mut command = clpctl(&["site:add:php"]);
    command
        .env("CLPCTL_CLOUDPANEL", &panel)
        .env("PATH", "/usr/bin:/bin")
        .env("ODD", "a b\nc");
    let (code, out, err) = run(&mut command);
    assert_eq!(code, 0, "{err}");
    let mut names: Vec<&str> = out
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    // The shell sets PWD and its like for itself.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    assert_eq!(names, ["CLPCTL_CLOUDPANEL", "ODD", "PATH"]);
}

#[test]
fn a_command_is_never_handed_to_ourselves() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("link");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clpctl"), &own).unwrap();
    let (code, _, err) = run(clpctl(&["site:add:php"]).env("CLPCTL_CLOUDPANEL", &own));
    assert_eq!(code, 2, "{err}");

    // Scripts that start us are not ourselves, and would go round for ever: one by name, one by a way that cannot be
    // seen in it, so that only the process above tells.
    let program = env!("CARGO_BIN_EXE_clpctl");
    let (half, rest) = program.split_at(program.len() - 3);
    for (name, text) in [
        ("plain", format!("#!/bin/sh\nexec {program} \"$@\"\n")),
        (
            "hidden",
            format!("#!/bin/sh\nhalf={half}\n${{half}}{rest} \"$@\"\n"),
        ),
    ] {
        let script = folder.path().join(name);
        write(&script, &text, 0o755);
        let (code, _, err) = run(clpctl(&["site:add:php", "--domainName=a b.test"])
            .env("CLPCTL_CLOUDPANEL", &script)
            .env("PATH", "/usr/bin:/bin"));
        assert_eq!(code, 2, "{name}: {err}");
    }

    let broken = folder.path().join("broken");
    write(&broken, "no program", 0o644);
    let (code, _, err) = run(clpctl(&["site:add:php"]).env("CLPCTL_CLOUDPANEL", &broken));
    assert_eq!(code, 1, "{err}");
}

#[test]
fn the_configuration_is_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    write(&path, "[acme]\nkey_tpye = \"rsa-2048\"\n", 0o644);
    let (code, out, err) = run(&mut clpctl(&[
        "site:list",
        "--config",
        path.to_str().unwrap(),
    ]));
    assert_eq!((code, out.as_str()), (2, ""));
    expect![[r#"
        error: The configuration is wrong, so nothing was done.
        cause: …/c.toml:2:1: [acme] has no key “key_tpye”; did you mean “key_type”?
        hint: every setting is described in docs/reference/configuration.md
    "#]]
    .assert_eq(&err.replace(folder.path().to_str().unwrap(), "…"));
    // What needs no configuration is not kept from people by a wrong one.
    let (code, _, _) = run(clpctl(&["explain", "disk-full"]).env("CLPCTL_CONFIG", &path));
    assert_eq!(code, 0);
    check(
        clpctl(&["config:show"]).env("CLPCTL_ACME_JOBS", "many"),
        expect![[r#"
            --- stderr
            error: The configuration is wrong, so nothing was done.
            cause: CLPCTL_ACME_JOBS: “many” is not a number from 1 to 256
            hint: every setting is described in docs/reference/configuration.md
            --- exit 2
        "#]],
    );
    check(
        clpctl(&["config:show"]).env("CLPCTL_CLOCK_OFFSET", "soon"),
        expect![[r#"
            --- stderr
            error: CLPCTL_CLOCK_OFFSET: “soon” is not a time; write a number with s, m, h, d or w, such as 30d or 36h
            --- exit 2
        "#]],
    );
}

#[test]
fn settings_come_from_the_environment_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    write(&path, "[acme]\njobs = 4\nprofile = \"classic\"\n", 0o644);
    let mut command = clpctl(&["config:show", "--json"]);
    let (code, out, _) = run(command
        .env("CLPCTL_CONFIG", &path)
        .env("CLPCTL_ACME_JOBS", "8"));
    assert_eq!(code, 0);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    let found = |key: &str| {
        let settings = document["settings"].as_array().unwrap();
        settings
            .iter()
            .find(|setting| setting["key"] == key)
            .unwrap()
            .clone()
    };
    assert_eq!(
        (&found("acme.jobs")["value"], &found("acme.jobs")["place"]),
        (&8.into(), &"CLPCTL_ACME_JOBS".into())
    );
    assert_eq!(
        (
            &found("acme.profile")["value"],
            &found("acme.profile")["source"]
        ),
        (&"classic".into(), &"file".into())
    );
}

#[test]
fn a_page_of_the_manual() {
    let (code, out, _) = run(&mut clpctl(&["explain", "port-80-refused"]));
    assert_eq!(code, 0);
    assert!(
        out.starts_with("port-80-refused\n\nWhat it means\n"),
        "{out}"
    );
    let (_, out, _) = run(&mut clpctl(&[
        "explain",
        "port-80-refused",
        "--color=always",
    ]));
    assert!(
        out.starts_with("\u{1b}[1mport-80-refused\u{1b}[0m\n"),
        "{out:?}"
    );
    check(
        &mut clpctl(&["explain", "port-81-refused"]),
        expect![[r#"
        --- stderr
        error: There is no page to show.
        cause: “port-81-refused” is not the name of a finding
        hint: did you mean “port-80-refused”?
        hint: clpctl explain lists all findings
        --- exit 2
    "#]],
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = clpctl(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), b"".as_slice())
    );
}

#[test]
fn a_full_disk_behind_a_redirection_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = clpctl(&["explain"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    expect![[r#"
        error: The result could not be written.
        cause: No space left on device (os error 28)
        finding: disk-full (clpctl explain disk-full)
    "#]]
    .assert_eq(&String::from_utf8_lossy(&output.stderr));
}

const SERVICE_PATHS: [(&str, &str); 4] = [
    ("CLPCTL_PATHS_STATE", "state"),
    ("CLPCTL_PATHS_LETSENCRYPT", "letsencrypt"),
    ("CLPCTL_PATHS_LOG", "log/clpctl.log"),
    ("CLPCTL_PATHS_ACME_LOG", "acme/acme.log"),
];

#[test]
fn units_and_manual_pages_are_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().to_str().unwrap();
    // The service's folders are made as well, and the machine's own are none of a test's business.
    let clpctl = |words: &[&str]| {
        let mut command = clpctl(words);
        for (setting, path) in SERVICE_PATHS {
            command.env(setting, folder.path().join(path));
        }
        command
    };
    let (code, out, _) = run(&mut clpctl(&[
        "service:install",
        "--timer",
        "--folder",
        text,
    ]));
    assert_eq!(code, 0);
    let mode = |path| {
        folder
            .path()
            .join(path)
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("state"), mode("letsencrypt")), (0o700, 0o755));
    assert!(folder.path().join("log").is_dir() && folder.path().join("acme").is_dir());
    expect![[r#"
        …/clpctl.service: written
        …/clpctl.timer: written
        Next: systemctl daemon-reload && systemctl enable --now clpctl.timer
    "#]]
    .assert_eq(&out.replace(text, "…"));
    let (_, out, _) = run(&mut clpctl(&[
        "service:install",
        "--timer",
        "--folder",
        text,
    ]));
    assert!(out.contains("already as it should be"), "{out}");
    let (_, out, _) = run(&mut clpctl(&["service:install", "--print"]));
    assert!(
        out.contains("Type=notify") && out.contains("service:run"),
        "{out}"
    );
    check(
        &mut clpctl(&["service:install", "--folder", "/nonexistent/x"]),
        expect![[r#"
            --- stderr
            error: /nonexistent/x/clpctl.service could not be written.
            cause: No such file or directory (os error 2)
            --- exit 1
        "#]],
    );

    let pages = folder.path().join("man1");
    let (code, _, err) = run(&mut clpctl(&["man", "--output", pages.to_str().unwrap()]));
    assert_eq!((code, err.contains("25 pages written")), (0, true), "{err}");
    assert!(pages.join("clpctl-site-list.1").exists());
}

#[test]
fn logs_are_merged_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("clpctl.log");
    write(
        &log,
        "2026-02-01T12:00:00.000Z INFO domain=a.test one\n2026-02-01T12:00:01.000Z INFO domain=b.test two\n",
        0o640,
    );
    let prepare = |words: &[&str]| {
        let mut command = clpctl(words);
        command
            .env("CLPCTL_PATHS_LOG", &log)
            .env("CLPCTL_PATHS_ACME_LOG", folder.path().join("none"))
            // A host that cannot be looked at: the name itself is the filter then.
            .env("CLPCTL_NGINX_CONFIG", folder.path().join("none"));
        command
    };
    let (code, out, _) = run(&mut prepare(&["site:logs", "--domain=a.test"]));
    assert_eq!(
        (code, out.as_str()),
        (
            0,
            "2026-02-01T12:00:00.000Z clpctl INFO domain=a.test one\n"
        )
    );

    let mut follow = prepare(&["site:logs", "--domain=a.test", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(follow.stdout.take().unwrap()));
    // The first line shows that following has begun.
    assert!(lines.next().unwrap().unwrap().ends_with("one"));
    std::fs::OpenOptions::new()
        .append(true)
        .open(&log)
        .unwrap()
        .write_all(b"2026-02-01T12:00:02Z INFO domain=a.test three\n")
        .unwrap();
    assert!(
        lines
            .next()
            .unwrap()
            .unwrap()
            .ends_with("INFO domain=a.test three")
    );
    follow.kill().unwrap();
    follow.wait().unwrap();
}
