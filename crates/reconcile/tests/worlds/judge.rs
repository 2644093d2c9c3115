//! What must hold after each step, looked at from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::pass::{Pass, Request, RunError};
use renewal::ports::Memory as _;
use renewal::report::Outcome;

use crate::world::pulse::Pulse;
use crate::world::story::Story;
use crate::world::truth::{Cert, Mood, Nginx, Shared, Truth};

/// What was so before a pass.
pub(crate) struct Before {
    /// Whether nginx accepted its configuration.
    accepted: bool,
    /// Whether an earlier run left a deployment open.
    pub(crate) work_open: bool,
    /// The sites for which nothing is in the way, and whose certificate is due beyond doubt.
    healthy_and_due: Vec<u32>,
    /// The sites' versions.
    versions: BTreeMap<u32, BTreeMap<u32, Cert>>,
    /// How often links were written.
    link_writes: u32,
    orders: u32,
    probes: u32,
    reloads: u32,
}

impl Before {
    pub(crate) fn look(truth: &Shared, memory: &Arc<store::InMemory>, now: Timestamp) -> Self {
        let remembered = memory.remembered().unwrap();
        let truth = truth.lock();
        let failed_before = |domain: &str| {
            let mut known = remembered.iter();
            known.any(|(name, known)| name.as_str() == domain && known.attempts.is_some())
        };
        let healthy = truth.all_is_well() && !truth.clock_was_wrong;
        let due = truth.vhosts.iter().filter(|(_, vhost)| {
            healthy
                && vhost.folder
                && vhost.refuses_above.is_none()
                && !failed_before(&vhost.names[0])
                && vhost.names.iter().all(|name| {
                    !truth.reach.contains_key(name) && !truth.failures.contains_key(name)
                })
                && truth.is_surely_due(vhost.linked_cert(), &vhost.names, now)
        });
        Self {
            accepted: truth.accepts(),
            work_open: !memory.open_deployments().unwrap().is_empty(),
            healthy_and_due: due.map(|(number, _)| *number).collect(),
            versions: truth
                .vhosts
                .iter()
                .map(|(number, vhost)| (*number, vhost.versions.clone()))
                .collect(),
            link_writes: truth.link_writes(),
            orders: truth.orders_placed,
            probes: truth.probes,
            reloads: truth.reloads,
        }
    }

    /// Judges what a pass left behind.
    pub(crate) fn judge(
        &self,
        story: &Story,
        request: &Request,
        passed: Option<&Result<Pass, RunError>>,
        pulse: &Pulse,
        asked_to_end: bool,
    ) {
        let now = story.now();
        let open = story.open_deployments();
        let truth = &mut *story.truth.lock();
        self.judge_files(truth);
        let Some(passed) = passed else {
            // The dead take nothing away. What they left is a file that nobody asks for.
            truth.presented.clear();
            return;
        };
        let pass = match passed {
            Ok(pass) => pass,
            Err(error) => {
                truth.violated(format!("a pass could not begin: {error}"));
                return;
            }
        };
        if self.accepted && !truth.accepts() {
            truth.violated(
                "nginx accepted its configuration before the pass, and does not after it",
            );
        }
        if !truth.presented.is_empty() {
            let left = format!("answers were left behind: {:?}", truth.presented);
            truth.violated(left);
        }
        if open > 0
            && !request.dry_run
            && !truth.deaf
            && truth.nginx == Nginx::Runs
            && truth.accepts()
        {
            let open = story.memory.open_deployments();
            truth.violated(format!("deployments were left open: {open:?}"));
        }
        self.judge_report(truth, pass, request, pulse);
        if request.wish.only.is_none() && !request.dry_run && !asked_to_end {
            for number in &self.healthy_and_due {
                let names = truth.vhosts[number].names.clone();
                let served = truth.served(*number);
                if !served.is_some_and(|cert| cert.valid_at(now) && cert.covers(&names)) {
                    truth.violated(format!(
                        "{names:?} was due, nothing was in its way, and it was not renewed"
                    ));
                }
            }
        }
    }

    /// Whatever happened, and wherever the process died.
    fn judge_files(&self, truth: &mut Truth) {
        let mut wrong = Vec::new();
        for (number, vhost) in &truth.vhosts {
            if vhost.linked.is_some() && vhost.linked_cert().is_none() {
                wrong.push(format!("the links of {:?} lead nowhere", vhost.names));
            }
            for (version, cert) in self.versions.get(number).into_iter().flatten() {
                if vhost.versions.get(version) != Some(cert) {
                    wrong.push(format!(
                        "version {version} of {:?} was changed",
                        vhost.names
                    ));
                }
            }
        }
        truth.violations.extend(wrong);
    }

    fn judge_report(&self, truth: &mut Truth, pass: &Pass, request: &Request, pulse: &Pulse) {
        let mut idle = true;
        for site in &pass.report.sites {
            let domain = site.domain().as_str();
            let number = truth.by_domain(domain);
            let served = number
                .and_then(|number| truth.served(number))
                .map(Cert::sha256);
            let claimed = site
                .certificate
                .as_ref()
                .map(|(certificate, _)| certificate.sha256);
            match site.outcome {
                Outcome::Issued | Outcome::Renewed | Outcome::Installed
                    if served != claimed || truth.nginx == Nginx::Dead =>
                {
                    truth.violated(format!(
                        "{domain} is said to be {}, and does not serve it",
                        site.outcome.as_str()
                    ));
                }
                Outcome::Failed if site.reason.contains("defect") => {
                    truth.violated(format!("the task of {domain} died"));
                }
                Outcome::Failed if site.findings.is_empty() => {
                    truth.violated(format!("{domain} failed, and nobody says why"));
                }
                Outcome::Postponed if site.retry_at.is_none() => {
                    truth.violated(format!("{domain} is postponed, and nobody says until when"));
                }
                Outcome::Issued
                | Outcome::Renewed
                | Outcome::Installed
                | Outcome::Failed
                | Outcome::Postponed
                | Outcome::NotDue
                | Outcome::WouldRenew
                | Outcome::Skipped => {}
            }
            idle &= matches!(
                site.outcome,
                Outcome::NotDue | Outcome::Skipped | Outcome::WouldRenew
            );
        }
        let asked = truth.orders_placed > self.orders || truth.probes > self.probes;
        if (idle || request.dry_run) && asked {
            truth.violated("nothing was due, and a CA or a site was asked");
        }
        let touched = truth.reloads > self.reloads || truth.link_writes() > self.link_writes;
        if request.dry_run && (touched || !pulse.effects().is_empty()) {
            truth.violated(format!(
                "a dry run changed something: {:?}",
                pulse.effects()
            ));
        }
        if pass.report.reloads < truth.reloads - self.reloads {
            truth.violated("nginx was reloaded more often than is told");
        }
    }
}

impl Story {
    /// Judges a world that was healed and left to the driver for long enough.
    pub(super) async fn judge_rest(&mut self) {
        let now = self.now();
        {
            let truth = &mut *self.truth.lock();
            let mut wrong = Vec::new();
            for (number, vhost) in &truth.vhosts {
                let served = truth.served(*number);
                let good = served.is_some_and(|cert| {
                    cert.valid_at(now)
                        && cert.covers(&vhost.names)
                        && !truth.revoked.contains(&cert.number)
                });
                if !good {
                    wrong.push(format!(
                        "{:?} serves {served:?} long after everything was healed",
                        vhost.names
                    ));
                }
            }
            if truth.loaded != truth.loadable() {
                wrong.push("nginx serves something else than what is linked".to_owned());
            }
            truth.violations.extend(wrong);
        }
        if self.open_deployments() > 0 {
            self.truth
                .lock()
                .violated("a deployment is open long after everything was healed");
        }
        // Once more: nothing is left to do, so nothing is done. Asking for a window is allowed, it costs nothing.
        let pulse = Pulse::new(None, Arc::clone(&self.tempo));
        let process =
            crate::world::ports::Process::new(&self.truth, &self.memory, &pulse, &self.tempo);
        let (_sender, stop) = reconcile::world::Stop::channel();
        let passed = reconcile::pass::run(&process, &Request::default(), &stop).await;
        let mut effects = pulse.effects();
        effects.remove("windows remembered");
        if passed.is_err() || !effects.is_empty() {
            self.truth.lock().violated(format!(
                "nothing was left to do, and this was done: {effects:?}"
            ));
        }
    }
}

impl Truth {
    fn all_is_well(&self) -> bool {
        self.accepts() && self.nginx == Nginx::Runs && !self.deaf && self.mood == Mood::Well
    }

    /// Says whether a certificate is due whatever the CA suggests.
    fn is_surely_due(&self, cert: Option<&Cert>, names: &[String], now: Timestamp) -> bool {
        let Some(cert) = cert else {
            return true;
        };
        let life = cert.end.duration_since(cert.begin);
        let late = cert.end.checked_sub(life / 5).unwrap_or(cert.end);
        let begun = cert.begin <= now;
        begun && (now >= late || !cert.covers(names))
    }

    fn link_writes(&self) -> u32 {
        self.vhosts.values().map(|vhost| vhost.link_writes).sum()
    }
}
