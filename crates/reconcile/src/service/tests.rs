//! The service over a world of fakes: months pass in milliseconds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use renewal::ports::Clock as _;
use renewal::report::Report;
use renewal::window::Window;
use tokio::sync::Notify;

use crate::fakes::{Behaviour, FakeWorld, lock};
use crate::pass::RunError;
use crate::service::{ServiceSettings, Supervisor, Watcher, serve};
use crate::world::{Ending, Stop};

/// Tells of changes when a test says so, once it watches at all, and counts how often they were to be forgotten.
#[derive(Clone, Default)]
struct Bell(Arc<Notify>, Arc<AtomicUsize>, Arc<AtomicBool>);

impl Bell {
    /// Changes something; nobody sees it who does not watch by now.
    fn ring(&self) {
        if self.2.load(Ordering::Relaxed) {
            self.0.notify_one();
        }
    }
}

impl Watcher for Bell {
    fn watch(&mut self, _paths: &[PathBuf]) {
        self.2.store(true, Ordering::Relaxed);
    }

    async fn changed(&mut self) {
        self.0.notified().await;
    }

    fn forget(&mut self) -> bool {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.notified().now_or_never().is_some()
    }
}

/// Keeps the moments of all passes.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<Timestamp>>>);

impl Supervisor for Diary {
    fn passed(&self, report: &Result<Report, RunError>, _next: Timestamp) {
        lock(&self.0).push(report.as_ref().unwrap().finished_at);
    }
}

/// Lets the service run for so long; returns the moments of its passes. `meanwhile` may disturb it.
async fn serve_for(
    world: &Arc<FakeWorld>,
    length: Duration,
    meanwhile: impl Future<Output = ()>,
    bell: Bell,
) -> Vec<Timestamp> {
    let (sender, stop) = Stop::channel();
    let diary = Diary::default();
    let task = tokio::spawn({
        let (world, diary, mut bell) = (Arc::clone(world), diary.clone(), bell);
        async move {
            serve(
                || Arc::clone(&world),
                ServiceSettings::default(),
                &mut bell,
                &diary,
                stop,
            )
            .await;
        }
    });
    tokio::join!(tokio::time::sleep(length), meanwhile);
    sender.send(Ending::Soon).unwrap();
    task.await.unwrap();
    std::mem::take(&mut *lock(&diary.0))
}

const DAY: Duration = Duration::from_hours(24);

#[tokio::test(start_paused = true)]
async fn a_year_of_a_fleet_needs_a_reload_per_batch_and_lets_nothing_expire() {
    let sites: Vec<String> = (0..20)
        .map(|number| format!("s{number:02}.test/{}", 31 + number))
        .collect();
    let world = FakeWorld::new(&sites.iter().map(String::as_str).collect::<Vec<_>>());
    let now = world.clock.now();
    let passes = serve_for(&world, 365 * DAY, async {}, Bell::default()).await;
    let year_later = now
        .checked_add(SignedDuration::from_hours(365 * 24))
        .unwrap();
    let state = lock(&world.host.state);
    let mut renewals = 0;
    for (domain, lineage) in &state.lineages {
        let served = lineage
            .versions
            .values()
            .find(|one| Some(one.sha256) == lineage.served)
            .unwrap();
        assert!(served.valid.contains(year_later), "{domain} expired");
        let versions: Vec<_> = lineage.versions.values().collect();
        for pair in versions.windows(2) {
            assert!(
                pair[1].valid.start() < pair[0].valid.end(),
                "{domain} was without a certificate"
            );
        }
        renewals += versions.len() - 1;
    }
    assert!((100..=140).contains(&renewals), "{renewals} renewals");
    assert!(
        state.reloads as usize <= renewals,
        "{} reloads",
        state.reloads
    );
    assert!(
        passes.len() < 365 + 2 * renewals + 10,
        "{} passes",
        passes.len()
    );
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_due_no_pass_is_made_but_the_daily_one() {
    let world = FakeWorld::new(&["a.test/80", "b.test/85"]);
    let now = world.clock.now();
    let day = |n: i64| now.checked_add(SignedDuration::from_hours(24 * n)).unwrap();
    for id in ["key.c8", "key.c9"] {
        lock(&world.authority.windows).insert(id.into(), Window::new(day(50), day(52)).unwrap());
    }
    let bell = Bell::default();
    let passes = serve_for(&world, 10 * DAY, async {}, bell.clone()).await;
    assert_eq!(passes.len(), 10, "{passes:?}");
    let forgotten = bell.1.load(Ordering::Relaxed);
    assert_eq!(
        forgotten, 0,
        "a change during an idle pass is not the service's own"
    );
    let polls = *lock(&world.authority.polls);
    assert!(
        (60..=90).contains(&polls),
        "asked {polls} times: every six hours, for two sites"
    );
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_is_replaced_the_same_day() {
    let world = FakeWorld::new(&["a.test/80"]);
    let now = world.clock.now();
    let hour = |n: i64| now.checked_add(SignedDuration::from_hours(n)).unwrap();
    lock(&world.authority.windows).insert(
        "key.c8".into(),
        Window::new(hour(1000), hour(1040)).unwrap(),
    );
    let revoke = async {
        tokio::time::sleep(Duration::from_hours(30)).await;
        lock(&world.authority.windows)
            .insert("key.c8".into(), Window::new(hour(28), hour(29)).unwrap());
    };
    serve_for(&world, 2 * DAY, revoke, Bell::default()).await;
    assert_eq!(world.host.serves("a.test"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_changed_configuration_is_looked_at_at_once() {
    let world = FakeWorld::new(&["a.test/80"]);
    let bell = Bell::default();
    let ring = {
        let bell = bell.clone();
        async move {
            tokio::time::sleep(Duration::from_mins(30)).await;
            bell.ring();
        }
    };
    let passes = serve_for(&world, Duration::from_hours(1), ring, bell).await;
    let minutes: Vec<i64> = passes
        .iter()
        .map(|at| at.duration_since(crate::fakes::start()).as_secs() / 60)
        .collect();
    assert_eq!(minutes, [0, 30]);
}

/// Returns the minutes of the passes within an hour, while something changes after so many seconds.
async fn minutes_with_a_change_after(world: &Arc<FakeWorld>, seconds: u64) -> Vec<i64> {
    let bell = Bell::default();
    let ring = {
        let bell = bell.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            bell.ring();
        }
    };
    let passes = serve_for(world, Duration::from_hours(1), ring, bell).await;
    let minute = |at: &Timestamp| at.duration_since(crate::fakes::start()).as_secs() / 60;
    passes.iter().map(minute).collect()
}

#[tokio::test(start_paused = true)]
async fn a_change_during_the_first_pass_is_seen() {
    // A pass that does nothing, but takes a minute: the CA is slow to say when it would like a renewal. The next one
    // comes within the same minute.
    let world = FakeWorld::new(&["a.test/80"]);
    *lock(&world.authority.slow_suggestions) = Duration::from_mins(1);
    assert_eq!(minutes_with_a_change_after(&world, 30).await, [1, 1]);
    let world = FakeWorld::new(&["a.test/80"]);
    assert_eq!(minutes_with_a_change_after(&world, 7200).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_change_among_the_services_own_is_looked_at_soon() {
    // A pass that fails after a minute, and is not repeated before tomorrow.
    let fail_slowly = || {
        let world = FakeWorld::new(&["a.test/10"]);
        *lock(&world.authority.slow_suggestions) = Duration::from_mins(1);
        world.authority.will("a.test", Behaviour::Refuse);
        world
    };
    assert_eq!(
        minutes_with_a_change_after(&fail_slowly(), 30).await,
        [1, 14]
    );
    assert_eq!(minutes_with_a_change_after(&fail_slowly(), 7200).await, [1]);
}
