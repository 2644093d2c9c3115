//! The manual is compared with the program.

use std::collections::HashMap;
use std::fmt::Write as _;

use doctor::audit::{Aspect, Audited};
use doctor::examination::{self, Checked, SiteExamined, Verdict};
use doctor::{Check, Examination};
use expect_test::expect_file;
use reconcile::fleet::{Scenario, simulate};
use renewal::finding::{Finding, FindingName};
use renewal::fix::{Fix, Remedy, Shown};
use renewal::ports::Look;
use renewal::report::Outcome;
use serde_json::{Value, json};

use crate::commands::fleet_simulate;
use crate::commands::mending::{self, Mended};
use crate::commands::service_status::{Schedule, Status};
use crate::commands::site_list::rows;
use crate::commands::site_show::{Portrait, Version};
use crate::errors::CommandError;
use crate::output::audit::AuditDocument;
use crate::output::document::ReportDocument;
use crate::output::examination::ExaminationDocument;
use crate::testing::{certificate, now, report, served, site, site_report, time};

#[test]
fn the_reference_is_what_the_program_says() {
    expect_file!["../../../../docs/reference/commands.md"].assert_eq(&super::commands());
    expect_file!["../../../../docs/reference/configuration.md"].assert_eq(&super::configuration());
    expect_file!["../../../../docs/reference/findings.md"].assert_eq(&super::findings());
    expect_file!["../../../../docs/reference/json.md"].assert_eq(&json_documents());
}

/// Writes `docs/reference/json.md` from documents that the program makes.
fn json_documents() -> String {
    let mut out = String::from(
        "# JSON\n\nGenerated from the program: `UPDATE_EXPECT=1 cargo test -p cli reference` writes it anew.\n\n\
         With `--json`, a command prints one document on standard output; progress and messages go to standard error.\n\
         Names of fields are stable, times are RFC 3339 in UTC, and what is unknown is `null`. New fields may be added.\n",
    );
    let mut push = |heading: &str, words: &str, document: &Value| {
        let text = serde_json::to_string_pretty(document).unwrap();
        let _ = write!(out, "\n## {heading}\n\n{words}\n\n```json\n{text}\n```\n");
    };
    push(
        "site:renew-certificates, lets-encrypt:…",
        OUTCOMES,
        &renewed(),
    );
    push("site:list", STATES, &list());
    push("site:show", "The fields of `site:list`, and more.", &show());
    push("site:doctor", VERDICTS, &examined());
    push_by_hand(&mut push);
    push(
        "site:logs",
        "One document per line, oldest first. `origin` is `clpctl`, `ca` or `nginx`.",
        &json!({"at": now(), "origin": "nginx", "text": "[error] 7#7: *1 open() failed …"}),
    );
    push(
        "service:status",
        "`schedule` is `service`, `timer`, `not-enabled`, `not-installed` or `no-systemd`; `running` is `null` without systemd.",
        &json!(Status {
            schedule: Schedule::Service,
            running: Some(true),
            lock: None,
            last: Some(history()),
            next_at: Some(time("2026-02-03T06:00:00Z")),
        }),
    );
    let scenario = Scenario {
        sites: 60,
        days: 120,
        ..Scenario::default()
    };
    push(
        "fleet:simulate",
        "`clean` says that no order was refused for a limit and no certificate was lost that could have been saved.",
        &json!(fleet_simulate::Document::new(
            &scenario,
            &simulate(&scenario)
        )),
    );
    push(
        "config:show",
        "`source` is `default`, `file`, `environment` or `flag`; `place` says where exactly. `site` is set for what a `[[site]]` says.",
        &json!({"file": "/etc/clpctl/clpctl.toml", "settings": [
            {"site": null, "key": "acme.jobs", "value": 16, "source": "default", "place": null},
            {"site": "example.com", "key": "key_type", "value": "rsa-2048", "source": "file", "place": "/etc/clpctl/clpctl.toml:16:1"},
        ]}),
    );
    let error =
        CommandError::later("Nothing was done, for two runs must not work at the same time.")
            .cause("another run is at work: process 4711")
            .hint("run it again in a few minutes, or add --wait to wait for the other run")
            .finding(FindingName::AnotherRunHoldsTheLock);
    push(
        "When a command could not do its work at all",
        "`kind` is `mend`, `usage`, `later` or `defect`, and goes with the exit code. The same is said in words on standard error.",
        &error.to_json(),
    );
    out
}

fn renewed() -> Value {
    let mut renewed = site_report("example.com www.example.com", Outcome::Renewed);
    let path = "/etc/letsencrypt/live/example.com/fullchain.pem".into();
    let facts = certificate("example.com www.example.com", "2026-05-02");
    renewed.served.push(served("127.0.0.1:443"));
    renewed.certificate = Some((facts.into(), path));
    renewed.due_at = Some(time("2026-04-01T04:11:08Z"));
    let mut failed = site_report("shop.example.com", Outcome::Failed);
    failed.findings.push(challenge_not_found());
    failed.retry_at = Some(time("2026-02-02T12:00:00Z"));
    let mut run = report(vec![renewed, failed]);
    run.reloads = 1;
    run.wake_at = Some(time("2026-02-02T12:00:00Z"));
    json!(ReportDocument::new("site:renew-certificates", &run))
}

fn list() -> Value {
    let look = Look {
        sites: vec![site("example.com www.example.com", Some("2026-05-01"))],
        ..Look::default()
    };
    json!({"sites": rows(&look, &HashMap::new(), now()), "findings": look.findings})
}

fn show() -> Value {
    let mut site = site("example.com", Some("2026-05-01"));
    site.findings.push(challenge_not_found());
    let facts = certificate("example.com", "2026-05-01");
    let path = "/etc/letsencrypt/archive/example.com/fullchain3.pem".into();
    let portrait = Portrait {
        site: &site,
        remembered: None,
        versions: vec![Version {
            number: 3,
            certificate: Some(facts),
            path,
        }],
        served: vec![served("127.0.0.1:443")],
        history: vec![history()],
    };
    portrait.to_json(now())
}

/// What the commands answer by which a person decides something.
fn push_by_hand(push: &mut impl FnMut(&str, &str, &Value)) {
    push(
        "site:revoke-certificate",
        "`replacement` is a document as of `site:renew-certificates`, or `null` where the certificate was not served.",
        &json!({
            "command": "site:revoke-certificate", "domain": "example.com", "reason": "keyCompromise", "revoked": true,
            "serial": "04ab12", "sha256": "abab…", "replacement": null,
        }),
    );
    push(
        "host:adopt",
        "`outcome` of a lineage is `taken-over` or `stays`, of an account also `taken-over-before`. `settings` are those of \
         the site that differ from the configuration. With `--undo`: `clients`, and what was `done` and is `left` to do, in words.",
        &json!({
            "command": "host:adopt", "dry_run": true, "changed": false, "writes": ["/etc/clpctl/adopted.toml"],
            "clients": [{
                "client": "certbot", "folder": "/etc/letsencrypt", "hooks": [], "problems": [],
                "accounts": [{"directory": "https://acme-v02.api.letsencrypt.org/directory", "outcome": "taken-over", "reason": null,
                    "url": "https://acme-v02.api.letsencrypt.org/acme/acct/123", "file": "/etc/letsencrypt/accounts/clpctl/…/account.json"}],
                "lineages": [{"name": "example.com", "names": ["example.com"], "file": "/etc/letsencrypt/renewal/example.com.conf",
                    "outcome": "taken-over", "reason": null, "notes": [], "hooks": [{"when": "deploy", "command": "…"}],
                    "sites": [{"domain": "example.com", "settings": {"key_type": "rsa-2048"}}]}],
                "schedules": [{"what": "certbot.timer", "file": "/etc/systemd/system/timers.target.wants/certbot.timer", "line": null, "stopped": false}],
            }],
        }),
    );
    push("host:audit", AUDITED, &audited());
    push(
        "account:show",
        "`url` is `null` at a CA that has not been asked for an account yet.",
        &json!({"accounts": [{"directory": "https://acme-v02.api.letsencrypt.org/directory",
            "url": "https://acme-v02.api.letsencrypt.org/acme/acct/123", "thumbprint": "QjzrRlkp2b…", "contact": [],
            "created_at": now(), "file": "/etc/letsencrypt/accounts/clpctl/…/account.json"}]}),
    );
}

fn audited() -> Value {
    let audited = [
        Audited::found(Aspect::OtherClient, vec![other_client()]),
        Audited::skipped(Aspect::PanelCron, "there is no CloudPanel here"),
        Audited::found(Aspect::Test, Vec::new()).noting("0.02 s with 12 server blocks"),
    ];
    let mended = Mended {
        fix: Fix {
            cures: FindingName::KeyReadableByOthers,
            site: None,
            what:
                "Close the private key /etc/letsencrypt/archive/example.com/privkey1.pem to others."
                    .to_owned(),
            remedy: Remedy::Access(Vec::new()),
        },
        shown: vec![Shown {
            place: "/etc/letsencrypt/archive/example.com/privkey1.pem".to_owned(),
            before: "mode 0644, user 0, group 0".to_owned(),
            after: "mode 0600, user 0, group 0".to_owned(),
        }],
        outcome: mending::Outcome::Done,
        why: None,
    };
    json!(AuditDocument::new(&audited, Some(&[mended])))
}

fn examined() -> Value {
    let checked = |check, status, finding: Option<Finding>, note: Option<&str>| Checked {
        check,
        status,
        finding,
        note: note.map(str::to_owned),
    };
    let failed = Some(challenge_not_found());
    let seen = Examination {
        verdict: Verdict::WillFail,
        host: vec![
            checked(Check::Nginx, examination::Status::Passed, None, None),
            checked(
                Check::Schedule,
                examination::Status::Skipped,
                None,
                Some("there is no systemd, and cron is not asked"),
            ),
        ],
        sites: vec![SiteExamined {
            domain: crate::testing::name("example.com"),
            verdict: Verdict::WillFail,
            checks: vec![checked(
                Check::Challenge,
                examination::Status::Failed,
                failed,
                None,
            )],
        }],
    };
    json!(ExaminationDocument::new("site:doctor", &seen))
}

fn history() -> renewal::ports::HistoryEntry {
    renewal::ports::HistoryEntry {
        at: time("2026-02-01T06:00:00Z"),
        domain: Some(crate::testing::name("example.com")),
        what: "renewed".to_owned(),
        detail: "version 3".to_owned(),
    }
}

fn other_client() -> Finding {
    Finding::new(
        FindingName::OtherClientActive,
        "certbot renews certificates that clpctl renews too",
    )
    .detail("example.com; started by certbot.timer")
    .fix("see what clpctl would take over from it: clpctl host:adopt --from=certbot --dry-run")
}

fn challenge_not_found() -> Finding {
    Finding::new(
        FindingName::ChallengeNotFound,
        "the challenge is answered with 404",
    )
    .detail("GET http://example.com/.well-known/acme-challenge/… on 192.0.2.7: 404")
    .fix("let the vhost serve /.well-known/acme-challenge/ from its document root")
}

const OUTCOMES: &str = "\
`outcome` is `issued`, `renewed`, `installed` (by hand), `not-due`, `would-renew` (dry run), `postponed` (with `retry_at`), `skipped` or `failed`.
`served` says what each address showed after the deployment; `error` is there when no handshake came about.";

const VERDICTS: &str = "\
`verdict` is `ready`, `at-risk` or `will-fail`. A check that found several things stands there once for each.
`status` is `passed`, `failed` (something is fatal or broken), `warning` or `skipped`; `note` says why nothing can be said.";

const AUDITED: &str = "\
As of `site:doctor`; `sites` is empty. `score` is what was got of the points of all that was looked at, in percent. With
`--fix`, as with `site:doctor --fix`, `fixes` says what was mended: `outcome` is `done`, `would-fix` (dry run), `undone`
(nginx refused it) or `failed`, the last two with `why`; `before` and `after` are empty for what is added or taken away.";

const STATES: &str = "\
`state` is `valid`, `imported` (only watched), `due`, `failing` (the last attempt failed), `expired`, `self-signed`, `key-does-not-fit` or `none`.
`source` is `nginx` or `cloudpanel`. `due_at` is `null` for a site that is only watched, and for one without a
certificate of a CA for which nobody asked. `findings` is about the host.

`site:show` has under `panel`, on a CloudPanel host, what the panel's database says of the site: its `type` and `user`, the
files its certificate is written to, and the `record` of it; `null` elsewhere.";
