//! The CA: it keeps orders, has moods, and judges what it is asked for.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use renewal::certificate::{CertificateId, KeyType};
use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::policy::Ca;
use renewal::ports::{
    Authority, Issued, Memory as _, OrderDesk, OrderFailure, OrderRequest, Waiting,
};
use renewal::retry::Blame;
use renewal::secret::Secret;
use renewal::suggestion::Answer;
use renewal::window::Window;

use crate::world::host::THUMBPRINT;
use crate::world::ports::SimulatedClock;
use crate::world::pulse::Pulse;
use crate::world::truth::{Mood, Order, OrderState, Reach, Shared, Truth};

/// The CA's client.
pub(crate) struct SimulatedAuthority {
    pub(crate) truth: Shared,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) clock: SimulatedClock,
    pub(crate) memory: Arc<store::InMemory>,
}

fn failure(blame: Blame, name: FindingName, text: &str) -> OrderFailure {
    OrderFailure::new(blame, Finding::new(name, text))
}

fn broken_off(resumable: bool) -> OrderFailure {
    OrderFailure {
        resumable,
        ..failure(Blame::Network, FindingName::CaUnreachable, "nobody answers")
    }
}

fn not_validated(failed_names: Vec<Name>) -> OrderFailure {
    OrderFailure {
        failed_names,
        ..failure(
            Blame::Site,
            FindingName::ChallengeNotFound,
            "the CA got 404",
        )
    }
}

impl SimulatedAuthority {
    /// Asks how the CA fares, for a request.
    fn mood(&self, resumable: bool) -> Result<Mood, OrderFailure> {
        let mood = self.truth.lock().mood;
        match mood {
            Mood::Gone => Err(broken_off(resumable)),
            Mood::Busy(minutes) => {
                let now = renewal::ports::Clock::now(&self.clock);
                let wait = SignedDuration::from_mins(minutes);
                Err(OrderFailure {
                    retry_at: now.checked_add(wait).ok(),
                    resumable,
                    ..failure(Blame::Ca, FindingName::CaBusy, "the CA is busy")
                })
            }
            Mood::Well | Mood::LosesReplies | Mood::Confused => Ok(mood),
        }
    }

    /// Looks for the order of an earlier run; `None` when it is of no use any more.
    async fn take_up(&self, request: &OrderRequest) -> Result<Option<String>, OrderFailure> {
        let Some(url) = &request.resume else {
            return Ok(None);
        };
        self.pulse.step().await;
        self.mood(true)?;
        let truth = self.truth.lock();
        let known = truth.orders.get(url);
        let known = known.filter(|order| order.names == texts(request));
        match known.map(|order| &order.state) {
            None => Ok(None),
            Some(OrderState::Pending | OrderState::Valid(_)) => Ok(Some(url.clone())),
            Some(OrderState::Invalid(names)) => {
                let names = names.iter().map(|name| Name::parse(name).unwrap());
                Err(not_validated(names.collect()))
            }
        }
    }

    async fn place<D: OrderDesk>(
        &self,
        request: &OrderRequest,
        desk: &D,
    ) -> Result<String, OrderFailure> {
        self.pulse.step().await;
        self.mood(false)?;
        let now = self.clock.true_now();
        let open = self.memory.open_order(request.names.domain()).unwrap();
        let open = open.map(|open| open.url);
        let url = self
            .pulse
            .act("order placed", || {
                self.truth.lock().place(request, open.as_deref(), now)
            })
            .await?;
        desk.placed(&url);
        self.pulse.step().await;
        if let Some(order) = self.truth.lock().orders.get_mut(&url) {
            order.told = true;
        }
        Ok(url)
    }

    async fn prove<D: OrderDesk>(
        &self,
        request: &OrderRequest,
        url: &str,
        desk: &D,
    ) -> Result<(), OrderFailure> {
        let now = self.clock.true_now();
        let mut failed = Vec::new();
        for name in &request.names {
            desk.present(name, "token", "token.thumbprint")
                .await
                .map_err(|error| OrderFailure {
                    resumable: true,
                    ..OrderFailure::new(Blame::Host, error.0)
                })?;
            self.mood(true)?;
            let valid = self
                .pulse
                .act("validated", || {
                    self.truth.lock().validate(url, name.as_str(), now)
                })
                .await;
            desk.withdraw(name, "token").await;
            if !valid {
                failed.push(name.clone());
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(not_validated(failed))
    }

    async fn fulfil<D: OrderDesk>(
        &self,
        request: &OrderRequest,
        url: &str,
        desk: &D,
    ) -> Result<Issued, OrderFailure> {
        let state = self.truth.lock().orders[url].state.clone();
        let number = match state {
            OrderState::Valid(number) => number,
            OrderState::Invalid(_) => {
                return Err(failure(
                    Blame::Ca,
                    FindingName::OrderRejected,
                    "it is invalid",
                ));
            }
            OrderState::Pending => {
                desk.waiting(Waiting::Validation);
                self.prove(request, url, desk).await?;
                let mood = self.mood(true)?;
                let now = self.clock.true_now();
                let sign = || self.truth.lock().sign(request, url, mood, now);
                let number = self.pulse.act("signed", sign).await;
                if mood == Mood::LosesReplies {
                    return Err(broken_off(true));
                }
                number
            }
        };
        self.pulse.step().await;
        let key = self.truth.lock().certs[&number].key.clone();
        if key != request.key.reveal() {
            let text = "the certificate is for another key";
            return Err(failure(Blame::Ca, FindingName::CertificateRejected, text));
        }
        Ok(Issued {
            chains: vec![number.to_string()],
        })
    }
}

impl Authority for SimulatedAuthority {
    async fn thumbprint(&self, _ca: &Ca) -> Result<String, OrderFailure> {
        self.pulse.step().await;
        Ok(THUMBPRINT.to_owned())
    }

    async fn issuer(&self, _: &Ca) -> Result<renewal::ports::Issuer, OrderFailure> {
        Ok(renewal::ports::Issuer::default())
    }

    async fn order<D: OrderDesk>(
        &self,
        request: &OrderRequest,
        desk: &D,
    ) -> Result<Issued, OrderFailure> {
        let resumed = self.take_up(request).await?;
        let url = match &resumed {
            Some(url) => url.clone(),
            None => self.place(request, desk).await?,
        };
        match self.fulfil(request, &url, desk).await {
            Err(failure)
                if resumed.is_some() && !failure.resumable && failure.blame == Blame::Ca =>
            {
                let url = self.place(request, desk).await?;
                self.fulfil(request, &url, desk).await
            }
            other => other,
        }
    }

    async fn make_key(&self, _kind: KeyType) -> Result<Secret, OrderFailure> {
        self.pulse.step().await;
        let mut truth = self.truth.lock();
        truth.keys_made += 1;
        Ok(Secret::new(format!("key {}", truth.keys_made)))
    }

    async fn suggestion(
        &self,
        _ca: &Ca,
        id: &CertificateId,
    ) -> Result<Option<Answer>, OrderFailure> {
        self.pulse.step().await;
        self.mood(true)?;
        let truth = self.truth.lock();
        let number =
            id.0.strip_prefix("ca.")
                .and_then(|number| number.parse().ok());
        let Some(cert) = number.and_then(|number: u64| truth.certs.get(&number)) else {
            return Ok(None);
        };
        let life = cert.end.duration_since(cert.begin);
        let ideal = cert.end.checked_sub(life / 3).unwrap();
        let (from, until) = if truth.revoked.contains(&cert.number) {
            (
                cert.begin,
                cert.begin
                    .checked_add(SignedDuration::from_mins(30))
                    .unwrap(),
            )
        } else {
            (
                ideal.checked_sub(life / 100).unwrap(),
                ideal.checked_add(life / 100).unwrap(),
            )
        };
        Ok(Some(Answer {
            window: Window::new(from, until).unwrap(),
            explanation: None,
            retry_after: Some(SignedDuration::from_hours(6)),
        }))
    }
}

fn texts(request: &OrderRequest) -> Vec<String> {
    request.names.iter().map(Name::to_string).collect()
}

/// What the CA does, and what it thinks of it.
impl Truth {
    fn place(
        &mut self,
        request: &OrderRequest,
        on_record: Option<&str>,
        now: Timestamp,
    ) -> Result<String, OrderFailure> {
        let names = texts(request);
        self.judge_order(request, &names, on_record, now);
        for name in &names {
            let known = self.failures.entry(name.clone()).or_default();
            let hour = known.iter().filter(|at| now.duration_since(**at) < HOUR);
            if hour.count() >= 5 {
                if !self.clock_was_wrong {
                    self.violated(format!("an order for {name} earned a 429"));
                }
                let mut refused = failure(Blame::Ca, FindingName::RateLimited, "too many failures");
                refused.retry_at = now.checked_add(HOUR).ok();
                return Err(refused);
            }
        }
        self.orders_placed += 1;
        let url = format!("https://ca.test/order/{}", self.orders.len());
        self.orders.insert(
            url.clone(),
            Order {
                names,
                placed_at: now,
                key: request.key.reveal().to_owned(),
                state: OrderState::Pending,
                told: false,
            },
        );
        Ok(url)
    }

    /// Looks whether this order should have been placed at all.
    fn judge_order(
        &mut self,
        request: &OrderRequest,
        names: &[String],
        on_record: Option<&str>,
        now: Timestamp,
    ) {
        let domain = &names[0];
        for name in names {
            if !self.answers(name) {
                self.violated(format!(
                    "an order was placed for {name}, which our own check does not reach"
                ));
            }
            let failed_at = self.failed_at.get(name);
            let lately = failed_at.is_some_and(|at| now.duration_since(*at) < PATIENCE);
            if lately && !self.forced && !self.clock_was_wrong {
                self.violated(format!(
                    "{name} failed within a day and was ordered again unasked"
                ));
            }
        }
        // An order that was placed before, is on record with its key, and can still be fulfilled.
        let placed = on_record.and_then(|url| self.orders.get(url));
        let useful = placed.is_some_and(|order| {
            order.names == names
                && !matches!(order.state, OrderState::Invalid(_))
                && self.kept_keys.get(domain) == Some(&order.key)
                && now.duration_since(order.placed_at) < ORDER_LIFE
        });
        let confused = placed.is_some_and(|order| match &order.state {
            OrderState::Valid(number) => self.certs[number].key != order.key,
            OrderState::Pending | OrderState::Invalid(_) => false,
        });
        if useful && !confused && request.resume.is_none() && !self.clock_was_wrong {
            self.violated(format!(
                "a second order was placed for {domain} while the first can be fulfilled"
            ));
        }
    }

    /// Looks at a name as the CA does.
    fn validate(&mut self, url: &str, name: &str, now: Timestamp) -> bool {
        let owner = self
            .vhosts
            .iter()
            .find(|(_, vhost)| vhost.names.iter().any(|other| other == name));
        let presented = owner
            .is_some_and(|(number, _)| self.presented.contains(&format!("lineage{number} token")));
        if owner.is_some() && !presented {
            self.violated(format!(
                "the CA looked at {name}, and no answer was in place"
            ));
        }
        let valid = presented && self.answers(name) && !self.reach.contains_key(name);
        if !valid {
            debug_assert!(
                self.reach.get(name) != Some(&Reach::Nobody),
                "the check saw it"
            );
            self.failures.entry(name.to_owned()).or_default().push(now);
            self.failed_at.insert(name.to_owned(), now);
            if let Some(order) = self.orders.get_mut(url) {
                let mut names = match &order.state {
                    OrderState::Invalid(names) => names.clone(),
                    OrderState::Pending | OrderState::Valid(_) => Vec::new(),
                };
                names.push(name.to_owned());
                order.state = OrderState::Invalid(names);
            }
        }
        valid
    }

    fn sign(&mut self, request: &OrderRequest, url: &str, mood: Mood, now: Timestamp) -> u64 {
        let names = if mood == Mood::Confused {
            vec!["other.test".to_owned()]
        } else {
            texts(request)
        };
        for name in &request.names {
            self.failed_at.remove(name.as_str());
        }
        let cert = self.issue(names, request.key.reveal().to_owned(), now);
        if let Some(order) = self.orders.get_mut(url) {
            order.state = OrderState::Valid(cert.number);
        }
        cert.number
    }
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A day, less what a run may take between being asked and asking.
const PATIENCE: SignedDuration = SignedDuration::from_mins(24 * 60 - 10);

/// No order is taken up that is older; some time is left to the run that finds it.
const ORDER_LIFE: SignedDuration = SignedDuration::from_hours(6 * 24 - 2);
