//! A CA that issues at once, or does whatever a test wants.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use renewal::certificate::{CertificateId, KeyType};
use renewal::finding::{Finding, FindingName};
use renewal::ledger::LimitKind;
use renewal::name::Name;
use renewal::policy::Ca;
use renewal::ports::{
    Authority, Clock as _, Issued, Issuer, OrderDesk, OrderFailure, OrderRequest, Waiting,
};
use renewal::retry::Blame;
use renewal::secret::Secret;
use renewal::suggestion::Answer;
use renewal::window::Window;

use super::{FakeClock, lock};

/// The CA.
pub(crate) struct FakeAuthority {
    clock: FakeClock,
    /// What the next order of a domain comes to; it is issued where nothing is said.
    pub(crate) behaviours: Mutex<HashMap<String, Vec<Behaviour>>>,
    /// The orders placed, by domain.
    pub(crate) placed: Mutex<Vec<String>>,
    /// The certificates that orders said they replace.
    pub(crate) replaced: Mutex<Vec<String>>,
    /// How often windows were asked for.
    pub(crate) polls: Mutex<u32>,
    /// The window that is answered for a certificate, by its identifier's text.
    pub(crate) windows: Mutex<HashMap<String, Window>>,
    /// How long the CA takes to say when it would like a renewal.
    pub(crate) slow_suggestions: Mutex<Duration>,
}

/// What becomes of an order.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// The validation fails.
    Refuse,
    /// The CA is busy until so long from now.
    Busy(SignedDuration),
    /// The account's limit of new orders is used up until so long from now.
    Limited(SignedDuration),
    /// The CA has paused the name, and says when its own limits would allow the next order.
    Pause,
    /// It is a fulfilled one, and leads to this chain.
    Send(String),
    /// It takes so long.
    Slow(Duration),
    /// The connection breaks after the order was placed.
    Break,
    /// The CA asks for the challenge, finds it, and issues something that must not be deployed.
    IssueForOther,
}

impl FakeAuthority {
    pub(crate) fn new(clock: FakeClock) -> Self {
        Self {
            clock,
            behaviours: Mutex::default(),
            placed: Mutex::default(),
            replaced: Mutex::default(),
            polls: Mutex::default(),
            windows: Mutex::default(),
            slow_suggestions: Mutex::default(),
        }
    }

    pub(crate) fn will(&self, domain: &str, behaviour: Behaviour) {
        lock(&self.behaviours)
            .entry(domain.to_owned())
            .or_default()
            .push(behaviour);
    }

    /// Says no at once, where that is how the CA behaves.
    fn refuses(&self, behaviour: &Behaviour) -> Result<(), OrderFailure> {
        let until = |wait: SignedDuration| self.clock.now().checked_add(wait).ok();
        match behaviour {
            Behaviour::Busy(wait) => Err(OrderFailure {
                retry_at: until(*wait),
                ..failure(Blame::Ca, FindingName::CaBusy, "the CA is busy")
            }),
            Behaviour::Limited(wait) => Err(OrderFailure {
                retry_at: until(*wait),
                limit: Some(LimitKind::OrdersPerAccount),
                ..failure(
                    Blame::Ca,
                    FindingName::RateLimited,
                    "our account has placed too many orders",
                )
            }),
            Behaviour::Pause => Err(OrderFailure {
                retry_at: until(SignedDuration::ZERO),
                ..failure(Blame::Site, FindingName::AccountPaused, "it is paused")
            }),
            Behaviour::Break => Err(OrderFailure {
                resumable: true,
                ..failure(
                    Blame::Network,
                    FindingName::CaUnreachable,
                    "the connection broke",
                )
            }),
            Behaviour::Refuse
            | Behaviour::Slow(_)
            | Behaviour::Send(_)
            | Behaviour::IssueForOther => Ok(()),
        }
    }

    fn next_behaviour(&self, domain: &Name) -> Option<Behaviour> {
        let mut behaviours = lock(&self.behaviours);
        let queue = behaviours.get_mut(domain.as_str())?;
        (!queue.is_empty()).then(|| queue.remove(0))
    }
}

fn failure(blame: Blame, name: FindingName, text: &str) -> OrderFailure {
    OrderFailure::new(blame, Finding::new(name, text))
}

impl Authority for FakeAuthority {
    async fn thumbprint(&self, _ca: &Ca) -> Result<String, OrderFailure> {
        Ok("thumbprint".into())
    }

    async fn issuer(&self, _: &Ca) -> Result<Issuer, OrderFailure> {
        Ok(Issuer::default())
    }

    async fn order<D: OrderDesk>(
        &self,
        request: &OrderRequest,
        desk: &D,
    ) -> Result<Issued, OrderFailure> {
        let domain = request.names.domain();
        if request.resume.is_none() {
            lock(&self.placed).push(domain.to_string());
            lock(&self.replaced).extend(request.replaces.as_ref().map(|id| id.0.clone()));
            desk.placed(&format!("https://ca.test/order/{domain}"));
        }
        desk.waiting(Waiting::Validation);
        let behaviour = self.next_behaviour(domain);
        match &behaviour {
            Some(Behaviour::Slow(wait)) => tokio::time::sleep(*wait).await,
            Some(Behaviour::Send(chain)) => {
                return Ok(Issued {
                    chains: vec![chain.clone()],
                });
            }
            Some(other) => self.refuses(other)?,
            None => {}
        }
        for name in &request.names {
            let presented = desk.present(name, "token", "token.thumbprint").await;
            presented.map_err(|error| OrderFailure::new(Blame::Host, error.0))?;
            desk.withdraw(name, "token").await;
        }
        if matches!(behaviour, Some(Behaviour::Refuse)) {
            let mut failure = failure(
                Blame::Site,
                FindingName::ChallengeNotFound,
                "the CA got 404",
            );
            failure.failed_names = vec![domain.clone()];
            return Err(failure);
        }
        let names = match behaviour {
            Some(Behaviour::IssueForOther) => "other.test".to_owned(),
            _ => request
                .names
                .iter()
                .map(Name::as_str)
                .collect::<Vec<_>>()
                .join(" "),
        };
        let nth = lock(&self.placed).len();
        Ok(Issued {
            chains: vec![format!("{names}|{}|{nth}", self.clock.now())],
        })
    }

    async fn make_key(&self, _kind: KeyType) -> Result<Secret, OrderFailure> {
        Ok(Secret::new("key".into()))
    }

    async fn suggestion(
        &self,
        _ca: &Ca,
        id: &CertificateId,
    ) -> Result<Option<Answer>, OrderFailure> {
        *lock(&self.polls) += 1;
        let slow = *lock(&self.slow_suggestions);
        tokio::time::sleep(slow).await;
        let window = lock(&self.windows).get(&id.0).copied();
        Ok(window.map(|window| Answer {
            window,
            explanation: None,
            retry_after: Some(SignedDuration::from_hours(6)),
        }))
    }
}

/// When a chain of this CA begins: the text that [`Issued`] carries here is `names|moment|number`.
pub(crate) fn read_chain(chain: &str) -> (Vec<Name>, Timestamp, u8) {
    let fields: Vec<&str> = chain.split('|').collect();
    let names = fields[0]
        .split(' ')
        .map(|name| Name::parse(name).unwrap())
        .collect();
    (
        names,
        fields[1].parse().unwrap(),
        fields[2].parse().unwrap(),
    )
}
