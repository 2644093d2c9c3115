//! What every memory keeps, with a file and without: one suite for all.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use renewal::certificate::{Certificate, CertificateId, Fingerprint};
use renewal::deployment::{Deployment, Edit, LinkSwitch, Phase, Splice, Switch};
use renewal::ledger::{Ledger, LimitKind, OrderFacts};
use renewal::name::Name;
use renewal::names::Names;
use renewal::policy::Ca;
use renewal::ports::{HistoryEntry, Memory, Note, OpenOrder, Seen, Stamp};
use renewal::retry::{Attempts, Blame};
use renewal::suggestion::{Chosen, Suggestion};
use renewal::window::Window;
use store::{Database, HISTORY_ENTRIES_MAX, InMemory};

/// Runs each rule of the contract on each memory. `again` opens the memory anew, as the next run would.
macro_rules! contract {
    ($($rule:ident)*) => {
        mod database {
            $(#[test] fn $rule() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("clpctl.db");
                super::$rule(&OnDisk(&path));
            })*
            use super::OnDisk;
        }
        mod in_memory {
            $(#[test] fn $rule() { super::$rule(&super::InRam(super::InMemory::default())); })*
        }
    };
}

contract! {
    a_new_memory_is_empty
    suggestions_and_failures_of_a_site_are_remembered_apart
    a_later_suggestion_replaces_an_earlier_one
    failures_are_forgotten_alone
    a_line_in_a_vhost_is_remembered_until_it_is_not_needed
    certificate_files_come_back_as_they_were_seen
    what_was_spent_counts_in_the_next_run
    an_open_order_is_kept_until_it_is_fulfilled
    a_deployment_stays_open_until_its_end
    numbers_of_deployments_are_never_used_twice
    progress_of_an_unknown_deployment_is_an_error
    history_is_told_newest_first_of_one_site_or_of_all
    history_is_bounded
    hostile_text_comes_back_unchanged
}

/// A memory that can be opened again and again.
trait Kept {
    fn with<T>(&self, work: impl FnOnce(&dyn Ask) -> T) -> T;
}

struct OnDisk<'a>(&'a Path);

impl Kept for OnDisk<'_> {
    fn with<T>(&self, work: impl FnOnce(&dyn Ask) -> T) -> T {
        work(&Database::open(self.0, time(0)).unwrap())
    }
}

struct InRam(InMemory);

impl Kept for InRam {
    fn with<T>(&self, work: impl FnOnce(&dyn Ask) -> T) -> T {
        work(&self.0)
    }
}

/// `Memory`, under a name that can be boxed.
trait Ask: Memory {}
impl<M: Memory> Ask for M {}

fn time(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-02-01T00:00:00.000001Z".parse().unwrap();
    start
        .checked_add(SignedDuration::from_secs(seconds))
        .unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn suggestion(id: &str, chosen: bool) -> Suggestion {
    Suggestion {
        id: CertificateId(id.to_owned()),
        chosen: chosen.then(|| Chosen {
            window: Window::new(time(100), time(200)).unwrap(),
            at: time(150),
            explanation: Some("https://ca.test/why?a=ü".to_owned()),
        }),
        poll_at: time(60),
        failures: 3,
    }
}

fn attempts(cause: &str) -> Attempts {
    Attempts {
        failures: 2,
        blame: Blame::Network,
        last_at: time(1),
        retry_at: time(601),
        cause: cause.to_owned(),
        line_tried_at: Some(time(1)),
        told: true,
        about: Names::new([name("a.test"), name("www.a.test")]),
    }
}

fn seen(names: &[&str], end: Timestamp) -> Seen {
    Seen {
        stamp: Stamp {
            inode: u64::MAX,
            modified_ns: -1,
            size: 3_000,
        },
        key_stamp: Some(Stamp {
            inode: 7,
            modified_ns: i128::from(i64::MAX) + 1,
            size: 0,
        }),
        certificate: std::sync::Arc::new(Certificate {
            names: names.iter().map(|text| name(text)).collect(),
            valid: Window::new(time(0), end).unwrap(),
            issuer: "Prüf-CA “1”".to_owned(),
            serial: "00ff".to_owned(),
            sha256: Fingerprint([0xa5; 32]),
            id: Some(CertificateId(
                "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".to_owned(),
            )),
            self_signed: false,
        }),
        key_fits: true,
    }
}

fn deployment(domain: &str) -> Deployment {
    Deployment {
        switches: vec![Switch {
            domain: name(domain),
            pair: None,
            links: Some(LinkSwitch {
                lineage: domain.to_owned(),
                from: None,
                to: 4,
                serves: Fingerprint([7; 32]),
            }),
            edits: vec![Edit {
                file: PathBuf::from("/etc/nginx/sites-enabled/ä b.conf"),
                before: Fingerprint([8; 32]),
                after: Fingerprint([9; 32]),
                splice: Splice::between(
                    b"# \xff\nserver {}",
                    b"# \xff\nserver { listen 443 ssl; }",
                ),
                what: "listen 443 ssl".to_owned(),
            }],
        }],
        phase: Phase::Begun,
        begun_at: time(5),
    }
}

fn entry(number: i64, domain: Option<&str>) -> HistoryEntry {
    HistoryEntry {
        at: time(number),
        domain: domain.map(name),
        what: "renewed".to_owned(),
        detail: format!("number {number}"),
    }
}

fn record(memory: &dyn Ask, entries: &[HistoryEntry]) {
    let notes: Vec<_> = entries.iter().map(Note::History).collect();
    memory.note(&notes).unwrap();
}

fn details(entries: &[HistoryEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.detail.as_str()).collect()
}

fn a_new_memory_is_empty(memory: &impl Kept) {
    memory.with(|memory| {
        assert!(memory.remembered().unwrap().is_empty());
        assert!(memory.known().unwrap().is_empty());
        assert!(memory.open_deployments().unwrap().is_empty());
        assert!(memory.open_order(&name("a.test")).unwrap().is_none());
        assert!(memory.history(None, 10).unwrap().is_empty());
    });
}

fn suggestions_and_failures_of_a_site_are_remembered_apart(memory: &impl Kept) {
    memory.with(|memory| {
        let both = [
            (name("a.test"), suggestion("one", true)),
            (name("b.test"), suggestion("two", false)),
        ];
        memory.remember_suggestions(&both).unwrap();
        memory
            .note(&[Note::Attempts(
                &name("a.test"),
                Some(&attempts("the CA hangs")),
            )])
            .unwrap();
        memory
            .note(&[Note::Attempts(&name("c.test"), Some(&attempts("x")))])
            .unwrap();
    });
    let sites = memory.with(|memory| memory.remembered().unwrap());
    assert_eq!(sites.len(), 3);
    assert_eq!(sites["a.test"].suggestion, Some(suggestion("one", true)));
    assert_eq!(sites["a.test"].attempts, Some(attempts("the CA hangs")));
    assert_eq!(sites["b.test"].suggestion, Some(suggestion("two", false)));
    assert_eq!(sites["b.test"].attempts, None);
    assert_eq!(sites["c.test"].suggestion, None);
}

fn a_later_suggestion_replaces_an_earlier_one(memory: &impl Kept) {
    for (id, chosen) in [("old", true), ("new", false)] {
        memory
            .with(|memory| memory.remember_suggestions(&[(name("a.test"), suggestion(id, chosen))]))
            .unwrap();
    }
    let sites = memory.with(|memory| memory.remembered().unwrap());
    assert_eq!(sites["a.test"].suggestion, Some(suggestion("new", false)));
}

fn failures_are_forgotten_alone(memory: &impl Kept) {
    let domain = name("a.test");
    memory.with(|memory| {
        memory
            .remember_suggestions(&[(domain.clone(), suggestion("one", true))])
            .unwrap();
        memory
            .note(&[Note::Attempts(&domain, Some(&attempts("x")))])
            .unwrap();
        memory.note(&[Note::Attempts(&domain, None)]).unwrap();
        memory
            .note(&[Note::Attempts(&name("never-failed.test"), None)])
            .unwrap();
    });
    let sites = memory.with(|memory| memory.remembered().unwrap());
    assert_eq!(sites.len(), 1);
    assert_eq!(sites["a.test"].suggestion, Some(suggestion("one", true)));
    assert_eq!(sites["a.test"].attempts, None);
}

fn a_line_in_a_vhost_is_remembered_until_it_is_not_needed(memory: &impl Kept) {
    let domain = name("a.test");
    let note = |note: Note<'_>| memory.with(|memory| memory.note(&[note]).unwrap());
    note(Note::Line(&domain, Some(time(1))));
    note(Note::Line(&domain, Some(time(2))));
    note(Note::Attempts(&domain, None));
    let sites = memory.with(|memory| memory.remembered().unwrap());
    assert_eq!(sites["a.test"].line_at, Some(time(2)));
    note(Note::Line(&domain, None));
    assert!(
        memory
            .with(|memory| memory.remembered().unwrap())
            .is_empty()
    );
}

fn certificate_files_come_back_as_they_were_seen(memory: &impl Kept) {
    let end_of_time: Timestamp = "9999-12-30T00:00:00Z".parse().unwrap();
    let mut files = vec![
        (
            PathBuf::from("/etc/letsencrypt/live/a.test/fullchain.pem"),
            seen(&["a.test", "*.a.test", "192.0.2.7"], time(9)),
        ),
        (PathBuf::from("/tmp/ä b"), seen(&[], end_of_time)),
    ];
    files[1].1.key_stamp = None;
    let certificate = std::sync::Arc::make_mut(&mut files[1].1.certificate);
    certificate.id = None;
    certificate.self_signed = true;
    files[1].1.key_fits = false;
    memory.with(|memory| memory.remember_seen(&files)).unwrap();
    let known = memory.with(|memory| memory.known().unwrap());
    assert_eq!(known, files.into_iter().collect());

    let path = PathBuf::from("/tmp/ä b");
    let newer = seen(&["b.test"], time(9));
    memory
        .with(|memory| memory.remember_seen(&[(path.clone(), newer.clone())]))
        .unwrap();
    let known = memory.with(|memory| memory.known().unwrap());
    assert_eq!((known.len(), known.get(&path)), (2, Some(&newer)));
}

fn what_was_spent_counts_in_the_next_run(memory: &impl Kept) {
    let ca = Ca("https://ca.test/dir".into());
    let names = Names::from(name("a.test"));
    let order = OrderFacts {
        ca: &ca,
        names: &names,
        same_set: true,
        replaces_in_window: true,
        urgent: true,
    };
    for _ in 0..4 {
        memory.with(|memory| {
            let mut ledger: Ledger = memory.ledger().unwrap();
            assert_eq!(ledger.allows(order, time(0)), Ok(()));
            let spent = ledger.failed(&ca, names.domain(), time(0));
            assert!(!spent.is_empty());
            memory.note(&[Note::Spent(&spent)]).unwrap();
        });
    }
    let mut ledger = memory.with(|memory| memory.ledger().unwrap());
    assert!(ledger.allows(order, time(0)).is_err());
    // What a CA told holds longer than what is reckoned, and until it is over.
    let told = ledger.told(
        order,
        LimitKind::OrdersPerAccount,
        None,
        time(86_400),
        time(0),
    );
    memory
        .with(|memory| memory.note(&[Note::Spent(&told)]))
        .unwrap();
    let ledger = memory.with(|memory| memory.ledger().unwrap());
    let refusal = ledger.allows(order, time(4_000)).unwrap_err();
    assert_eq!(refusal.retry_at, time(86_400));
    assert_eq!(ledger.allows(order, time(86_400)), Ok(()));
}

fn an_open_order_is_kept_until_it_is_fulfilled(memory: &impl Kept) {
    let domain = name("a.test");
    let order = |url: &str| OpenOrder {
        ca: Ca("https://ca.test/dir".into()),
        url: url.to_owned(),
        names: Names::new([name("a.test"), name("www.a.test")]).unwrap(),
        placed_at: time(4),
    };
    for url in ["https://ca.test/1", "https://ca.test/2"] {
        memory
            .with(|memory| memory.note(&[Note::Order(&domain, Some(&order(url)))]))
            .unwrap();
        let open = memory.with(|memory| memory.open_order(&domain).unwrap());
        assert_eq!(open, Some(order(url)));
    }
    memory.with(|memory| {
        assert_eq!(memory.open_order(&name("b.test")).unwrap(), None);
        memory.note(&[Note::Order(&domain, None)]).unwrap();
        memory.note(&[Note::Order(&domain, None)]).unwrap();
        assert_eq!(memory.open_order(&domain).unwrap(), None);
    });
}

fn a_deployment_stays_open_until_its_end(memory: &impl Kept) {
    let (first, second) = memory.with(|memory| {
        (
            memory.begin(&deployment("a.test")).unwrap(),
            memory.begin(&deployment("b.test")).unwrap(),
        )
    });
    for phase in [
        Phase::Begun,
        Phase::Switched,
        Phase::Tested,
        Phase::Reloaded,
    ] {
        memory.with(|memory| memory.advance(second, phase)).unwrap();
        let mut moved = deployment("b.test");
        moved.phase = phase;
        let expected = vec![(first, deployment("a.test")), (second, moved)];
        let open = memory.with(|memory| memory.open_deployments().unwrap());
        assert_eq!(
            open, expected,
            "oldest first, with the last phase on record"
        );
    }
    memory.with(|memory| {
        memory.advance(first, Phase::Reverted).unwrap();
        memory.advance(second, Phase::Settled).unwrap();
    });
    assert_eq!(memory.with(|memory| memory.open_deployments()).unwrap(), []);
}

fn numbers_of_deployments_are_never_used_twice(memory: &impl Kept) {
    let begin = || memory.with(|memory| memory.begin(&deployment("a.test")).unwrap());
    let first = begin();
    memory
        .with(|memory| memory.advance(first, Phase::Settled))
        .unwrap();
    assert!(begin() > first);
}

fn progress_of_an_unknown_deployment_is_an_error(memory: &impl Kept) {
    for phase in [Phase::Tested, Phase::Settled] {
        let error = memory
            .with(|memory| memory.advance(77, phase))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no deployment 77 is open"), "{error}");
    }
}

fn history_is_told_newest_first_of_one_site_or_of_all(memory: &impl Kept) {
    let entries = [
        entry(1, Some("a.test")),
        entry(2, None),
        entry(3, Some("b.test")),
        entry(4, Some("a.test")),
    ];
    memory.with(|memory| record(memory, &entries[..2]));
    memory.with(|memory| record(memory, &entries[2..]));
    memory.with(|memory| {
        let mut all = memory.history(None, 10).unwrap();
        assert_eq!(
            details(&all),
            ["number 4", "number 3", "number 2", "number 1"]
        );
        all.reverse();
        assert_eq!(all, entries);
        let of = |domain: &str, limit| memory.history(Some(&name(domain)), limit).unwrap();
        assert_eq!(details(&of("a.test", 10)), ["number 4", "number 1"]);
        assert_eq!(details(&of("a.test", 1)), ["number 4"]);
        assert_eq!(details(&of("c.test", 10)), [""; 0]);
        assert_eq!(details(&memory.history(None, 0).unwrap()), [""; 0]);
        assert_eq!(memory.history(None, usize::MAX).unwrap().len(), 4);
    });
}

fn history_is_bounded(memory: &impl Kept) {
    let surplus = 3;
    let many = i64::try_from(HISTORY_ENTRIES_MAX).unwrap();
    let entries: Vec<_> = (0..many).map(|number| entry(number, None)).collect();
    memory.with(|memory| {
        record(memory, &entries);
        for number in 0..surplus {
            record(memory, &[entry(many + number, None)]);
        }
        let all = memory.history(None, usize::MAX).unwrap();
        assert_eq!(all.len(), HISTORY_ENTRIES_MAX);
        assert_eq!(all[0], entry(many + surplus - 1, None));
        assert_eq!(all[HISTORY_ENTRIES_MAX - 1], entry(surplus, None));
    });
}

fn hostile_text_comes_back_unchanged(memory: &impl Kept) {
    for text in [
        "",
        "'; DROP TABLE attempts; --",
        "\0\u{202e}\n",
        &"x".repeat(1 << 20),
    ] {
        let domain = name("a.test");
        let found = memory.with(|memory| {
            memory
                .note(&[Note::Attempts(&domain, Some(&attempts(text)))])
                .unwrap();
            memory.remembered().unwrap()
        });
        assert_eq!(found["a.test"].attempts, Some(attempts(text)));
    }
}
