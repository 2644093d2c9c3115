//! How does one site get a new certificate into its archive?
//!
//! In three steps, for only the middle one needs the CA: the key is made and kept ([`prepare`]), the certificate
//! obtained ([`order`]), checked and written ([`stage`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join;
use jiff::{SignedDuration, Timestamp};
use renewal::certificate::CertificateId;
use renewal::challenge::Way;
use renewal::finding::{Finding, FindingName};
use renewal::ledger::{Ledger, OrderFacts, Refusal, Spent};
use renewal::name::Name;
use renewal::ports::{
    Authority as _, Clock as _, Event, Host as _, HostFailure, Issued, Memory as _, MemoryFailure,
    Note, Observer as _, OpenOrder, OrderDesk, OrderFailure, OrderRequest, PresentError, Staged,
    Waiting,
};
use renewal::retry::Blame;
use renewal::secret::Secret;
use renewal::site::Site;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tracing::Instrument as _;

use crate::answers::Answers;
use crate::tally::Failure;
use crate::world::World;

/// What all orders of a run share.
pub(crate) struct Books {
    ledger: Mutex<Ledger>,
    /// Answers that are in place, so that what is broken off leaves none behind.
    pub(crate) answers: Answers,
}

impl Books {
    /// Opens the books with what was remembered; what only a clock that was ahead can have written is mended.
    pub(crate) fn open<W: World>(world: &W) -> Result<Self, MemoryFailure> {
        let mut ledger = world.memory().ledger()?;
        let mended = ledger.mend(world.clock().now());
        if !mended.is_empty() {
            world.memory().note(&[Note::Spent(&mended)])?;
        }
        Ok(Self {
            ledger: Mutex::new(ledger),
            answers: Answers::default(),
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut Ledger) -> R) -> R {
        act(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in the limit and the moment that the CA named: the other sites wait as well, in this run and in later
    /// ones, rather than each asking for itself.
    fn told(&self, facts: OrderFacts<'_>, failure: &OrderFailure, now: Timestamp) -> Vec<Spent> {
        let (Some(limit), Some(until)) = (failure.limit, failure.retry_at) else {
            return Vec::new();
        };
        let about = failure.limit_about.as_ref();
        self.with(|ledger| ledger.told(facts, limit, about, until, now))
    }

    /// Asks the ledger, before anything is spent.
    pub(crate) fn allows<W: World>(
        &self,
        world: &W,
        site: &Site,
        terms: &Terms,
    ) -> Result<(), Failure> {
        let now = world.clock().now();
        self.with(|ledger| ledger.allows(terms.facts(site, now), now))
            .map_err(must_wait)
    }

    /// Asks the ledger, and debits a new order at once: others are on their way at this moment.
    fn reserve<W: World>(&self, world: &W, site: &Site, terms: &Terms) -> Result<(), Failure> {
        let now = world.clock().now();
        let reserved = self.with(|ledger| ledger.reserve(terms.facts(site, now), now));
        reserved.map(drop).map_err(must_wait)
    }
}

/// Under which terms an order is placed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// The certificate that it replaces, inside the CA's window.
    pub(crate) replaces: Option<CertificateId>,
    /// Whether a person asked for it.
    pub(crate) urgent: bool,
}

impl Terms {
    pub(crate) fn facts<'a>(&self, site: &'a Site, now: Timestamp) -> OrderFacts<'a> {
        OrderFacts::of(site, self.replaces.is_some(), self.urgent, now)
    }
}

pub(crate) fn must_wait(refusal: Refusal) -> Failure {
    let explanation = if refusal.kind.is_own() {
        "a validation failed lately, so the CA is not asked again yet"
    } else {
        "the CA would refuse this order, so it is not placed"
    };
    let retry_at = refusal.retry_at;
    Failure {
        blame: Blame::Ca,
        asked_ca: false,
        from_ledger: true,
        retry_at: Some(retry_at),
        findings: vec![
            Finding::new(FindingName::RateLimited, explanation)
                .detail(refusal.to_string())
                .fix(format!("nothing: it is tried again after {retry_at}")),
        ],
    }
}

/// What an order begins with.
pub(crate) struct Prepared {
    key: Secret,
    /// The URL of an order that an earlier run placed.
    resume: Option<String>,
}

impl Prepared {
    /// Says whether an order of an earlier run is taken up.
    pub(crate) fn is_taken_up(&self) -> bool {
        self.resume.is_some()
    }
}

/// Returns the key to order with, and the order to take up if one is open.
///
/// An order without its key, or a key without its order, is of no use: both are then made anew.
pub(crate) async fn prepare<W: World>(world: &W, site: &Site) -> Result<Prepared, Failure> {
    let domain = site.domain();
    let oldest = world
        .clock()
        .now()
        .checked_sub(ORDER_LIFE)
        .unwrap_or(Timestamp::MIN);
    let open = world
        .memory()
        .open_order(domain)
        .map_err(forgot)?
        .filter(|open| {
            open.ca == site.policy.ca && open.names == site.wanted && open.placed_at > oldest
        });
    if let Some(open) = open
        && let Some(key) = world.host().kept_key(domain).await.map_err(Failure::host)?
    {
        return Ok(Prepared {
            key,
            resume: Some(open.url),
        });
    }
    let key = world
        .authority()
        .make_key(site.policy.key_type)
        .await
        .map_err(refused)?;
    world
        .host()
        .keep_key(domain, &key)
        .await
        .map_err(Failure::host)?;
    Ok(Prepared { key, resume: None })
}

/// What the CA sent, and the key it was made for.
pub(crate) struct Obtained {
    key: Secret,
    issued: Issued,
    terms: Terms,
}

/// Obtains a certificate from the CA.
pub(crate) async fn order<W: World>(
    world: &Arc<W>,
    books: &Books,
    site: &Arc<Site>,
    way: Way,
    terms: Terms,
    prepared: Prepared,
) -> Result<Obtained, Failure> {
    let places = prepared.resume.is_none();
    if places {
        books.reserve(&**world, site, &terms)?;
    } else {
        books.allows(&**world, site, &terms)?;
    }
    let request = OrderRequest {
        ca: site.policy.ca.clone(),
        names: site.wanted.clone(),
        key: prepared.key,
        profile: site.policy.profile.clone(),
        replaces: terms.replaces.clone(),
        resume: prepared.resume,
    };
    let desk = Desk {
        world,
        books,
        site,
        way,
        terms: &terms,
        reserved: AtomicBool::new(places),
        noted: Mutex::new(None),
    };
    // What the CA's client says is about this site, whom it does not know.
    let about = tracing::info_span!("order", domain = %site.domain());
    let answer = world
        .authority()
        .order(&request, &desk)
        .instrument(about)
        .await;
    if let Err(error) = desk.written_down().await {
        tracing::warn!(domain = %site.domain(), %error, "the order's URL could not be written down");
    }
    let unplaced = desk.reserved.into_inner();
    let issued = answer
        .map_err(|failure| settle_failure(&**world, books, &terms, site, failure, unplaced))?;
    Ok(Obtained {
        key: request.key,
        issued,
        terms,
    })
}

/// Has what the CA sent checked and written to the archive; then the order is done with. Nothing that nginx
/// reads is touched.
pub(crate) async fn stage<W: World>(
    world: &Arc<W>,
    books: &Books,
    site: &Site,
    obtained: &Obtained,
) -> Result<Staged, Failure> {
    let Obtained { key, issued, terms } = obtained;
    let now = world.clock().now();
    let staged = world.host().stage(site, key, issued, now).await;
    let answer = match staged {
        Ok(staged) => Ok(staged),
        // A certificate that must not be deployed was issued all the same: the order can give nothing better,
        // and asking for another at once would only spend it.
        Err(HostFailure(finding)) if finding.name == FindingName::CertificateRejected => {
            Err(Failure {
                blame: Blame::Ca,
                asked_ca: true,
                from_ledger: false,
                retry_at: None,
                findings: vec![finding],
            })
        }
        // A full disk is this host's, and the order is taken up again: it counts when it is done with.
        Err(failure) => return Err(Failure::host(failure)),
    };
    let spent = books.with(|ledger| ledger.issued(terms.facts(site, now), now));
    let (remembering, domain) = (Arc::clone(world), site.domain().clone());
    spawn_blocking(move || {
        let notes = [Note::Spent(&spent), Note::Order(&domain, None)];
        remembering.memory().note(&notes)
    })
    .await
    .unwrap_or_else(died)
    .map_err(forgot)?;
    if answer.is_ok() {
        world.observer().saw(Event::Obtained(site.domain()));
    }
    answer
}

/// Takes a failed order into the books. `unplaced` says that it was reserved and that the CA never had it.
fn settle_failure<W: World>(
    world: &W,
    books: &Books,
    terms: &Terms,
    site: &Site,
    failure: OrderFailure,
    unplaced: bool,
) -> Failure {
    let now = world.clock().now();
    let mut spent = books.with(|ledger| {
        let names = failure.failed_names.iter();
        let failed = names.flat_map(|name| ledger.failed(&site.policy.ca, name, now));
        let mut spent: Vec<_> = failed.collect();
        // A reply that was lost on the way says nothing of what the CA counted.
        if unplaced && failure.blame != Blame::Network {
            spent.extend(ledger.not_placed(terms.facts(site, now), now));
        }
        spent
    });
    spent.extend(books.told(terms.facts(site, now), &failure, now));
    let mut notes = vec![Note::Spent(&spent)];
    if !failure.resumable {
        notes.push(Note::Order(site.domain(), None));
    }
    remembered(world, &notes, failure)
}

/// Takes in what the CA refused before there was an order.
pub(crate) fn told<W: World>(
    world: &W,
    books: &Books,
    site: &Site,
    failure: OrderFailure,
) -> Failure {
    let now = world.clock().now();
    let spent = books.told(Terms::default().facts(site, now), &failure, now);
    remembered(world, &[Note::Spent(&spent)], failure)
}

fn remembered<W: World>(world: &W, notes: &[Note<'_>], failure: OrderFailure) -> Failure {
    let noted = world.memory().note(notes);
    let mut answer = refused(failure);
    if let Err(error) = noted {
        answer.findings.extend(forgot(error).findings);
    }
    answer
}

fn refused(failure: OrderFailure) -> Failure {
    Failure {
        blame: failure.blame,
        asked_ca: true,
        from_ledger: false,
        retry_at: failure.retry_at,
        findings: failure.findings,
    }
}

/// Hands on the panic of what wrote something down.
fn died<T>(error: JoinError) -> T {
    std::panic::resume_unwind(error.into_panic())
}

pub(crate) fn forgot(failure: MemoryFailure) -> Failure {
    let finding = Finding::new(FindingName::DiskFull, failure.what)
        .detail(failure.cause)
        .fix("make room or mend the rights of the state folder; nothing was ordered that is not on record");
    Failure {
        blame: Blame::Host,
        asked_ca: false,
        from_ledger: false,
        retry_at: None,
        findings: vec![finding],
    }
}

/// Does the driver's part while the CA works on the order.
struct Desk<'a, W: World> {
    world: &'a Arc<W>,
    books: &'a Books,
    site: &'a Arc<Site>,
    way: Way,
    terms: &'a Terms,
    /// Whether the order is debited already, and not placed yet.
    reserved: AtomicBool,
    /// What is being written down of the order.
    noted: Mutex<Option<JoinHandle<Result<(), MemoryFailure>>>>,
}

impl<W: World> Desk<'_, W> {
    /// Waits until the order is on record, if one was placed.
    async fn written_down(&self) -> Result<(), MemoryFailure> {
        let noted = self
            .noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match noted {
            Some(noted) => noted.await.unwrap_or_else(died),
            None => Ok(()),
        }
    }
}

impl<W: World> OrderDesk for Desk<'_, W> {
    fn placed(&self, url: &str) {
        let order = OpenOrder {
            ca: self.site.policy.ca.clone(),
            url: url.to_owned(),
            names: self.site.wanted.clone(),
            placed_at: self.world.clock().now(),
        };
        let facts = self.terms.facts(self.site, order.placed_at);
        let reserved = self.reserved.swap(false, Ordering::Relaxed);
        let spent = self.books.with(|ledger| {
            if reserved {
                ledger.reserved(facts)
            } else {
                ledger.ordered(facts, order.placed_at)
            }
        });
        let (world, site) = (Arc::clone(self.world), Arc::clone(self.site));
        // While the disk works, the CA is asked what is to be proved.
        let noted = spawn_blocking(move || {
            // In one commit, so that an order that is taken up after a crash is one that was counted.
            world.memory().note(&[
                Note::Order(site.domain(), Some(&order)),
                Note::Spent(&spent),
            ])
        });
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(noted);
    }

    async fn recorded(&self) -> Result<(), PresentError> {
        let noted = self.written_down().await;
        noted.map_err(|fault| PresentError(forgot(fault).findings.remove(0)))
    }

    fn waiting(&self, waiting: Waiting) {
        self.world
            .observer()
            .saw(Event::Ordering(self.site.domain(), waiting));
    }

    async fn present(
        &self,
        _name: &Name,
        token: &str,
        key_authorization: &str,
    ) -> Result<(), PresentError> {
        let (world, answers) = (&**self.world, &self.books.answers);
        let presented = answers.present(world, self.site, self.way, token, key_authorization);
        // Without its URL on record the order would be placed again after a crash.
        let (recorded, presented) = join(self.recorded(), presented).await;
        recorded.and(presented)
    }

    async fn withdraw(&self, _name: &Name, token: &str) {
        let (world, answers) = (&**self.world, &self.books.answers);
        answers.withdraw(world, self.site, self.way, token).await;
    }
}

/// An order older than this is not taken up again: no CA keeps one open longer, and one that was fulfilled then
/// holds an old certificate.
const ORDER_LIFE: SignedDuration = SignedDuration::from_hours(6 * 24);
