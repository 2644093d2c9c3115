//! From where does a run against a CA that misbehaves start, and what must have come of it?

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use acme::Authorities;
use renewal::name::Name;
use renewal::ports::{
    Authority as _, Issued, OrderDesk, OrderFailure, OrderRequest, PresentError, Waiting,
};
use testca::{Endpoint, Fault, Handle, Options, TestCa};
use x509::chain::Chain;

use crate::desk::{Desk, authorities_from, request};

/// A CA, and a folder for accounts. Challenges are answered by one desk for all rigs, for it listens until the end.
pub(crate) struct Rig {
    pub(crate) ca: Handle,
    accounts: tempfile::TempDir,
}

static DESK: LazyLock<Desk> = LazyLock::new(Desk::open);

/// What one run has told its desk.
#[derive(Default)]
struct Watch {
    placed: Mutex<Vec<String>>,
    /// The answers that are in place.
    there: Mutex<Vec<String>>,
}

impl OrderDesk for Watch {
    fn placed(&self, url: &str) {
        lock(&self.placed).push(url.to_owned());
    }

    async fn recorded(&self) -> Result<(), PresentError> {
        Ok(())
    }

    fn waiting(&self, _: Waiting) {}

    async fn present(&self, name: &Name, token: &str, answer: &str) -> Result<(), PresentError> {
        lock(&self.there).push(token.to_owned());
        DESK.present(name, token, answer).await
    }

    async fn withdraw(&self, name: &Name, token: &str) {
        lock(&self.there).retain(|there| there != token);
        DESK.withdraw(name, token).await;
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of one run.
pub(crate) struct Run {
    pub(crate) outcome: Result<Issued, OrderFailure>,
    pub(crate) took: Duration,
    /// The URL of the order, for the next run.
    placed: Option<String>,
    /// The answers that were left behind.
    left: usize,
}

impl Rig {
    pub(crate) async fn new(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options {
            http_port: DESK.port,
            ..Options::default()
        };
        change(&mut options);
        let ca = TestCa::start(options).await.expect("the CA starts");
        let accounts = tempfile::tempdir().expect("a folder can be made");
        Self { ca, accounts }
    }

    /// Starts with these faults.
    pub(crate) async fn with(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self::new(|options| options.faults = faults.into_iter().collect()).await
    }

    /// A client as the next process has it: it knows what is on disk, and nothing else.
    fn client(&self) -> Authorities {
        authorities_from(self.accounts.path(), self.ca.ca_bundle_pem().as_bytes())
    }

    pub(crate) fn request(&self, names: &str) -> OrderRequest {
        request(&self.ca.directory_url(), names)
    }

    /// Orders, in a process of its own.
    pub(crate) async fn run(&self, request: &OrderRequest) -> Run {
        let desk = Watch::default();
        let begun = Instant::now();
        let outcome = self.client().order(request, &desk).await;
        Run {
            outcome,
            took: begun.elapsed(),
            placed: lock(&desk.placed).pop(),
            left: lock(&desk.there).len(),
        }
    }

    /// Runs until the CA has failed it, mends the CA, and runs once more as the driver would. Returns the failure.
    pub(crate) async fn fails_and_is_mended(
        &self,
        names: &str,
    ) -> Result<(Run, OrderFailure), String> {
        let run = self.is_survived(names).await?;
        match run.outcome.clone() {
            Ok(_) => Err("it was issued all the same".to_owned()),
            Err(failure) => Ok((run, failure)),
        }
    }

    /// As [`Rig::fails_and_is_mended`], where the run may also go well. Returns the first run.
    pub(crate) async fn is_survived(&self, names: &str) -> Result<Run, String> {
        let request = self.request(names);
        let first = self.run(&request).await;
        if first.left > 0 {
            return Err(format!("{} answers were left behind", first.left));
        }
        let Err(failure) = &first.outcome else {
            issued(&first.outcome, &request)?;
            return Ok(first);
        };
        if failure.findings.is_empty() {
            return Err("it failed without a finding".to_owned());
        }
        self.ca.set_faults(Vec::new());
        let next = OrderRequest {
            resume: first.placed.clone().filter(|_| failure.resumable),
            ..request
        };
        let mended = self.run(&next).await;
        issued(&mended.outcome, &next).map_err(|why| format!("mended: {why}"))?;
        Ok(first)
    }

    /// Returns how many orders were asked for.
    pub(crate) fn orders(&self) -> u64 {
        self.ca.requests().of(Endpoint::NewOrder)
    }
}

/// Says whether the right certificate was issued.
pub(crate) fn issued(
    outcome: &Result<Issued, OrderFailure>,
    request: &OrderRequest,
) -> Result<(), String> {
    let issued = outcome.as_ref().map_err(|failure| format!("{failure:?}"))?;
    let fits = issued.chains.iter().any(|pem| {
        let chain = Chain::read(pem.as_bytes()).expect("only chains are handed on");
        x509::key::fits(&request.key, chain.leaf_der()).is_ok_and(|fits| fits)
    });
    if fits {
        Ok(())
    } else {
        Err("for another key".to_owned())
    }
}
