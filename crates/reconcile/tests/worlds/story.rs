//! What befalls a world, step by step.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reconcile::pass::{Pass, Request, RunError, run};
use reconcile::world::{Ending, Stop};
use renewal::name::Name;
use renewal::plan::Wish;
use renewal::ports::Memory as _;

use crate::world::dice::Dice;
use crate::world::judge::Before;
use crate::world::ports::Process;
use crate::world::pulse::{Death, Pulse, Tempo};
use crate::world::truth::{Mood, Nginx, OrderState, Reach, Shared, Truth, Vhost};
use crate::world::{Tale, true_time};

/// A world while it happens.
pub(crate) struct Story {
    pub(super) dice: Dice,
    pub(super) truth: Shared,
    pub(super) memory: Arc<store::InMemory>,
    pub(super) tempo: Arc<Tempo>,
    pub(super) tale: Tale,
}

impl Story {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let tempo = Tempo::new(Dice::new(dice.next()));
        let truth = Shared::default();
        let mut story = Self {
            dice,
            truth,
            memory: Arc::default(),
            tempo,
            tale: Tale::default(),
        };
        let lifetimes = [6, 45, 64, 90];
        let lifetime = *story.dice.pick(&lifetimes).unwrap();
        story.truth.lock().lifetime_days = lifetime;
        for _ in 0..=story.dice.below(4) {
            story.add_site();
        }
        story.truth.lock().load();
        story
    }

    /// Tells it from the beginning to the end.
    pub(crate) async fn tell(mut self) -> Tale {
        let steps = 6 + self.dice.below(14);
        for _ in 0..steps {
            for _ in 0..=self.dice.below(2) {
                let text = self.befall();
                self.tale.steps.push(text);
            }
            self.pass_time().await;
            self.work().await;
            if !self.truth.lock().violations.is_empty() {
                break;
            }
        }
        if self.truth.lock().violations.is_empty() {
            self.heal();
            self.come_to_rest().await;
        }
        let truth = self.truth.lock();
        self.tale.orders = u32::try_from(truth.orders.len()).unwrap();
        self.tale.reloads = truth.reloads;
        self.tale.violations = truth.violations.clone();
        drop(truth);
        self.tale
    }

    /// Lets minutes or weeks pass.
    async fn pass_time(&mut self) {
        let minutes = match self.dice.below(4) {
            0 => self.dice.below(10),
            1 => self.dice.below(24 * 60),
            2 => self.dice.below(7 * 24 * 60),
            _ => self.dice.below(40 * 24 * 60),
        };
        self.tempo.wait(Duration::from_mins(minutes)).await;
        self.tale.steps.push(format!("{minutes} minutes pass"));
    }

    /// Has the driver make a pass, which may die; then, now and then, another one.
    async fn work(&mut self) {
        let mut again = true;
        while again {
            let death = self.dice.percent(50).then(|| {
                // Many passes have few effects.
                let most = *self.dice.pick(&[4, 12, 40]).unwrap();
                Death {
                    at: 1 + u32::try_from(self.dice.below(most)).unwrap(),
                    after: self.dice.percent(50),
                }
            });
            let request = self.request();
            let stop = self.dice.percent(8).then(|| {
                let ending = if self.dice.percent(50) {
                    Ending::Soon
                } else {
                    Ending::Now
                };
                (Duration::from_millis(self.dice.below(4_000)), ending)
            });
            let survived = self.pass(&request, death, stop).await;
            again = !survived && self.dice.percent(70);
        }
    }

    fn request(&mut self) -> Request {
        let mut request = Request::default();
        match self.dice.below(20) {
            0 => request.dry_run = true,
            1 | 2 => request.wish.force = true,
            3 => {
                let truth = self.truth.lock();
                let domains: Vec<&String> =
                    truth.vhosts.values().map(|vhost| &vhost.names[0]).collect();
                let named = self
                    .dice
                    .pick(&domains)
                    .map(|name| Name::parse(name).unwrap());
                request.wish = Wish {
                    only: named.map(|name| [name].into()),
                    ..Wish::default()
                };
            }
            _ => {}
        }
        request
    }

    /// Makes one pass and looks at what it left; says whether it lived to the end.
    pub(super) async fn pass(
        &mut self,
        request: &Request,
        death: Option<Death>,
        stop: Option<(Duration, Ending)>,
    ) -> bool {
        let before = Before::look(&self.truth, &self.memory, self.now());
        {
            let mut truth = self.truth.lock();
            truth.forced = request.wish.force;
            truth.may_repeat_reload = before.work_open;
        }
        let pulse = Pulse::new(death, Arc::clone(&self.tempo));
        let process = Process::new(&self.truth, &self.memory, &pulse, &self.tempo);
        let (sender, wish) = Stop::channel();
        let asked_to_end = stop.is_some();
        let ending = async {
            if let Some((after, ending)) = stop {
                self.tempo.wait(after).await;
                _ = sender.send(ending);
            }
            std::future::pending::<()>().await;
        };
        let passed = tokio::select! {
            biased;
            () = pulse.died() => None,
            passed = run(&process, request, &wish) => Some(passed),
            () = ending => None,
        };
        // What it says after its death nobody hears.
        let passed = passed.filter(|_| !pulse.is_dead());
        self.tale.passes += 1;
        self.tale.deaths += u32::from(passed.is_none());
        let text = passed.as_ref().map_or_else(
            || format!("a pass dies at effect {death:?}"),
            |passed| shown(request, passed),
        );
        self.tale.steps.push(text);
        before.judge(self, request, passed.as_ref(), &pulse, asked_to_end);
        if !self.truth.lock().violations.is_empty() {
            let effects = format!("its effects: {:?}", pulse.effects());
            self.tale.steps.push(effects);
        }
        passed.is_some()
    }

    pub(super) fn now(&self) -> Timestamp {
        true_time(&self.tempo)
    }

    /// Has something happen.
    fn befall(&mut self) -> String {
        match self.dice.below(24) {
            0 => self.add_site(),
            1 => self.remove_site(),
            2 => self.change_names(),
            3..6 => self.change_reach(),
            6 | 7 => self.change_configuration(),
            8 => self.change_nginx(),
            9 => self.jump_clock(),
            10 | 11 => self.meddle(),
            12..16 => self.change_mood(),
            16 => self.revoke(),
            17 => self.change_vhost(),
            _ => "nothing happens".to_owned(),
        }
    }

    fn add_site(&mut self) -> String {
        let now = self.now();
        let mut truth = self.truth.lock();
        let number = truth.vhosts.keys().last().map_or(0, |last| last + 1);
        let mut names = vec![format!("s{number}.test")];
        for alias in 0..self.dice.below(3) {
            names.push(format!("a{alias}.s{number}.test"));
        }
        let mut vhost = Vhost {
            names: names.clone(),
            folder: self.dice.percent(85),
            ..Vhost::default()
        };
        if self.dice.percent(80) {
            let life = u64::try_from(truth.lifetime_days * 24).unwrap();
            let age = i64::try_from(self.dice.below(life)).unwrap();
            let began = now.checked_sub(SignedDuration::from_hours(age)).unwrap();
            let cert = truth.issue(names.clone(), format!("first key {number}"), began);
            vhost.versions.insert(1, cert);
            vhost.linked = Some(1);
        }
        truth.vhosts.insert(number, vhost);
        if truth.accepts() && truth.nginx == Nginx::Runs {
            truth.load();
        }
        format!("site {number} appears: {names:?}")
    }

    fn remove_site(&mut self) -> String {
        let mut truth = self.truth.lock();
        let numbers: Vec<u32> = truth.vhosts.keys().copied().collect();
        let Some(number) = self.dice.pick(&numbers).filter(|_| numbers.len() > 1) else {
            return "nothing happens".to_owned();
        };
        truth.vhosts.remove(number);
        truth.loaded.certs.remove(number);
        truth.loaded.lines.remove(number);
        let lineage = format!("lineage{number} ");
        truth
            .presented
            .retain(|answer| !answer.starts_with(&lineage));
        format!("site {number} vanishes")
    }

    fn change_names(&mut self) -> String {
        let Some((number, mut vhost)) = self.some_site() else {
            return "nothing happens".to_owned();
        };
        self.forget_unheard(&vhost.names);
        match self.dice.below(3) {
            0 => vhost
                .names
                .push(format!("n{}.s{number}.test", self.dice.below(100))),
            1 if vhost.names.len() > 1 => _ = vhost.names.pop(),
            _ => vhost.names.rotate_left(1),
        }
        vhost.names.dedup();
        let text = format!("site {number} wants {:?}", vhost.names);
        self.truth.lock().vhosts.insert(number, vhost);
        text
    }

    /// A verdict of the CA that a dead process did not hear is asked for by the next one, as long as the order is for
    /// the names that are wanted. After that nobody can know of it.
    fn forget_unheard(&self, names: &[String]) {
        let domain = Name::parse(&names[0]).unwrap();
        let open = self.memory.open_order(&domain).unwrap();
        let truth = &mut *self.truth.lock();
        let order = open.and_then(|open| truth.orders.get(&open.url));
        if let Some(OrderState::Invalid(failed)) = order.map(|order| &order.state) {
            truth.failed_at.retain(|name, _| !failed.contains(name));
        }
    }

    fn change_reach(&mut self) -> String {
        let Some((_, vhost)) = self.some_site() else {
            return "nothing happens".to_owned();
        };
        let Some(name) = self.dice.pick(&vhost.names).cloned() else {
            return "nothing happens".to_owned();
        };
        let mut truth = self.truth.lock();
        if truth.reach.remove(&name).is_some() {
            return format!("{name} is reached again");
        }
        let reach = if self.dice.percent(50) {
            Reach::Nobody
        } else {
            Reach::NotTheCa
        };
        truth.reach.insert(name.clone(), reach);
        format!("{name} is reached by {reach:?}")
    }

    fn change_configuration(&mut self) -> String {
        let mut truth = self.truth.lock();
        truth.broken = !truth.broken;
        format!("the configuration is broken: {}", truth.broken)
    }

    fn change_vhost(&mut self) -> String {
        let Some((number, mut vhost)) = self.some_site() else {
            return "nothing happens".to_owned();
        };
        if vhost.refuses_above.take().is_none() {
            vhost.refuses_above = vhost.linked.or(Some(0));
        }
        let text = format!(
            "nginx refuses versions of site {number} above {:?}",
            vhost.refuses_above
        );
        self.truth.lock().vhosts.insert(number, vhost);
        text
    }

    fn change_nginx(&mut self) -> String {
        let mut truth = self.truth.lock();
        match (truth.nginx, self.dice.below(2)) {
            (Nginx::Runs, 0) => truth.nginx = Nginx::Dead,
            (Nginx::Runs, _) => truth.deaf = !truth.deaf,
            (Nginx::Dead, _) => truth.start_nginx(),
        }
        format!("nginx {:?}, deaf: {}", truth.nginx, truth.deaf)
    }

    fn jump_clock(&mut self) -> String {
        let hours = match self.dice.below(3) {
            0 => 1,
            1 => self.dice.below(48),
            _ => self.dice.below(24 * 400),
        };
        let ahead = i64::try_from(hours).unwrap() * 3_600;
        let mut truth = self.truth.lock();
        truth.clock_ahead = match self.dice.below(3) {
            0 => 0,
            1 => ahead,
            _ => -ahead,
        };
        truth.clock_was_wrong |= truth.clock_ahead != 0;
        format!("the clock is {} h ahead", truth.clock_ahead / 3_600)
    }

    /// Another client does as it likes.
    fn meddle(&mut self) -> String {
        let now = self.now();
        let Some((number, mut vhost)) = self.some_site() else {
            return "nothing happens".to_owned();
        };
        let mut truth = self.truth.lock();
        let text = match self.dice.below(3) {
            0 => {
                let mut cert = truth.issue(vhost.names.clone(), format!("foreign {number}"), now);
                cert.foreign = true;
                truth.certs.insert(cert.number, cert.clone());
                let version = vhost.versions.keys().last().map_or(1, |last| last + 1);
                vhost.versions.insert(version, cert);
                vhost.linked = Some(version);
                format!("another client links a new version {version} of site {number}")
            }
            1 => {
                let versions: Vec<u32> = vhost.versions.keys().copied().collect();
                vhost.linked = self.dice.pick(&versions).copied().or(vhost.linked);
                format!(
                    "another client links version {:?} of site {number}",
                    vhost.linked
                )
            }
            _ => {
                vhost.line = !vhost.line;
                format!(
                    "somebody has our line in the vhost of site {number}: {}",
                    vhost.line
                )
            }
        };
        vhost.meddled = vhost.linked;
        truth.written = true;
        truth.vhosts.insert(number, vhost);
        if truth.accepts() && truth.nginx == Nginx::Runs && self.dice.percent(50) {
            truth.load();
            return format!("{text}, and reloads");
        }
        text
    }

    fn change_mood(&mut self) -> String {
        let mut truth = self.truth.lock();
        truth.mood = match self.dice.below(8) {
            0 => Mood::Gone,
            1 => Mood::Busy(i64::try_from(self.dice.below(3 * 24 * 60)).unwrap()),
            2 => Mood::LosesReplies,
            3 => Mood::Confused,
            _ => Mood::Well,
        };
        format!("the CA is {:?}", truth.mood)
    }

    fn revoke(&mut self) -> String {
        let Some((number, vhost)) = self.some_site() else {
            return "nothing happens".to_owned();
        };
        let Some(cert) = vhost.linked_cert() else {
            return "nothing happens".to_owned();
        };
        self.truth.lock().revoked.insert(cert.number);
        format!("the certificate of site {number} is revoked")
    }

    fn some_site(&mut self) -> Option<(u32, Vhost)> {
        let truth = self.truth.lock();
        let numbers: Vec<u32> = truth.vhosts.keys().copied().collect();
        let number = *self.dice.pick(&numbers)?;
        Some((number, truth.vhosts[&number].clone()))
    }

    /// Mends everything but what the driver must mend.
    fn heal(&mut self) {
        let mut truth = self.truth.lock();
        truth.reach.clear();
        truth.broken = false;
        truth.deaf = false;
        truth.mood = Mood::Well;
        truth.clock_ahead = 0;
        for vhost in truth.vhosts.values_mut() {
            vhost.refuses_above = None;
        }
        truth.start_nginx();
        self.tale.steps.push("everything is healed".to_owned());
    }

    /// Lets the driver work as the service would, until nothing is left to do.
    async fn come_to_rest(&mut self) {
        let end = self.now().checked_add(REST).unwrap();
        while self.now() < end && self.truth.lock().violations.is_empty() {
            self.pass(&Request::default(), None, None).await;
            self.tempo.wait(Duration::from_hours(3)).await;
        }
        if !self.truth.lock().violations.is_empty() {
            return;
        }
        self.pass(&Request::default(), None, None).await;
        self.judge_rest().await;
    }

    /// Returns how many deployments are open.
    pub(super) fn open_deployments(&self) -> usize {
        self.memory.open_deployments().unwrap().len()
    }
}

impl Truth {
    fn start_nginx(&mut self) {
        if self.accepts() {
            self.nginx = Nginx::Runs;
            self.load();
        }
    }
}

fn shown(request: &Request, passed: &Result<Pass, RunError>) -> String {
    let wish = match (request.dry_run, request.wish.force, &request.wish.only) {
        (true, ..) => "a dry pass",
        (_, true, _) => "a forced pass",
        (_, _, Some(_)) => "a pass for one site",
        _ => "a pass",
    };
    match passed {
        Ok(pass) => {
            let sites = pass.report.sites.iter().map(|site| {
                let cause = site
                    .findings
                    .first()
                    .map(|cause| format!(" [{}]", cause.name));
                format!(
                    "{} {}{}",
                    site.domain(),
                    site.outcome.as_str(),
                    cause.unwrap_or_default()
                )
            });
            let sites: Vec<String> = sites.collect();
            format!(
                "{wish}: {}; {} reloads",
                sites.join(", "),
                pass.report.reloads
            )
        }
        Err(error) => format!("{wish} could not begin: {error}"),
    }
}

/// A CA's word is obeyed for up to eight days.
const REST: SignedDuration = SignedDuration::from_hours(24 * 10);
