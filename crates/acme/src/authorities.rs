//! Which CAs do we know, and how is each asked?

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use renewal::certificate::{CertificateId, KeyType};
use renewal::finding::{Finding, FindingName};
use renewal::policy::Ca;
use renewal::ports::{Authority, Issued, Issuer, OrderDesk, OrderFailure, OrderRequest, Waiting};
use renewal::retry::Blame;
use renewal::revocation::RevocationReason;
use renewal::secret::Secret;
use renewal::suggestion::Answer;
use rustls_pki_types::CertificateDer;
use tokio::time::timeout;

use crate::account::{self, AccountError, AccountFile, AccountSummary, ForeignAccount, Takeover};
use crate::bounds::ORDER_LONGEST;
use crate::client::{Client, Now};
use crate::directory::About;
use crate::failure;
use crate::http::{Http, SetupError};
use crate::presented::Presented;

/// What the CAs' clients need to know of this host.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name and version of the program, such as `clpctl/1.2.3`.
    pub user_agent: String,
    /// Root certificates that are trusted besides the public ones; see [`crate::roots`].
    pub roots: Vec<CertificateDer<'static>>,
    /// Where accounts are kept, such as `/etc/letsencrypt/accounts`.
    pub accounts: PathBuf,
    /// E-mail addresses for new accounts.
    pub contact: Vec<String>,
    /// This host's public addresses, when they are known: they tell "wrong host" from "broken host".
    pub own_addresses: Vec<IpAddr>,
}

/// All CAs that a policy names, each contacted on first use.
pub struct Authorities {
    settings: Settings,
    http: Arc<Http>,
    now: Now,
    clients: Mutex<HashMap<Ca, Arc<Client>>>,
}

impl Authorities {
    /// Prepares the way to the CAs; asks them for nothing. `now` tells the time.
    ///
    /// # Errors
    ///
    /// When an extra root certificate cannot be used.
    pub fn new(
        settings: Settings,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            http: Arc::new(Http::new(&settings.user_agent, &settings.roots)?),
            settings,
            now: Arc::new(now),
            clients: Mutex::default(),
        })
    }

    /// Returns what the CA says about itself.
    ///
    /// # Errors
    ///
    /// When its directory cannot be had.
    pub async fn about(&self, ca: &Ca) -> Result<About, OrderFailure> {
        let directory = self.client(ca).directory(&quiet).await?;
        Ok(directory.about.clone())
    }

    /// Returns what the CA's clock says, by the reply to a question that costs nothing; `None` when it does not say.
    ///
    /// # Errors
    ///
    /// When its directory cannot be had.
    pub async fn clock(&self, ca: &Ca) -> Result<Option<Timestamp>, OrderFailure> {
        Ok(self.client(ca).clock(&quiet).await?)
    }

    /// Returns our account at the CA, as far as this host knows it; asks the CA for nothing.
    ///
    /// # Errors
    ///
    /// When the account's file cannot be read.
    pub fn account(&self, ca: &Ca) -> Result<Option<AccountSummary>, AccountError> {
        self.client(ca).account_summary()
    }

    /// Takes over an account that another client made at `ca`, unless we have one there; with `apply` false, only says
    /// what would come of it. The CA is asked for nothing.
    ///
    /// # Errors
    ///
    /// When its key can be none of an account, or our file cannot be used.
    pub fn take_over(
        &self,
        ca: &Ca,
        theirs: &ForeignAccount,
        apply: bool,
    ) -> Result<Takeover, AccountError> {
        account::take_over(&self.file(ca), ca, theirs, apply)
    }

    /// Forgets our account at `ca` when its key is the one with this thumbprint; says whether it is forgotten.
    ///
    /// # Errors
    ///
    /// When our file cannot be used.
    pub fn give_back(&self, ca: &Ca, thumbprint: &str) -> Result<bool, AccountError> {
        account::give_back(&self.file(ca), thumbprint)
    }

    /// Revokes a certificate of `ca`, in the name of our account or with the certificate's own key where there is one.
    /// One that is revoked already is no error.
    ///
    /// # Errors
    ///
    /// When the CA refuses or cannot be reached.
    pub async fn revoke(
        &self,
        ca: &Ca,
        certificate_der: &[u8],
        key: Option<&Secret>,
        reason: RevocationReason,
    ) -> Result<(), OrderFailure> {
        Ok(self
            .client(ca)
            .revoke(certificate_der, key, reason, &quiet)
            .await?)
    }

    /// Gives our account at `ca` a new key; returns the new thumbprint, with which stateless lines must agree.
    ///
    /// # Errors
    ///
    /// When the CA refuses or cannot be reached, or the account's file cannot be written.
    pub async fn roll_over(&self, ca: &Ca) -> Result<String, OrderFailure> {
        Ok(self.client(ca).roll_over(&quiet).await?.thumbprint.clone())
    }

    /// Deactivates our account at `ca`, for good.
    ///
    /// # Errors
    ///
    /// When the CA refuses or cannot be reached, or the account's file cannot be written.
    pub async fn deactivate(&self, ca: &Ca) -> Result<(), OrderFailure> {
        Ok(self.client(ca).deactivate(&quiet).await?)
    }

    fn file(&self, ca: &Ca) -> AccountFile {
        AccountFile::new(&self.settings.accounts, ca)
    }

    fn client(&self, ca: &Ca) -> Arc<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(ca.clone()).or_insert_with(|| {
            Arc::new(Client::new(
                ca.clone(),
                Arc::clone(&self.http),
                self.file(ca),
                self.settings.contact.clone(),
                self.settings.own_addresses.clone(),
                Arc::clone(&self.now),
            ))
        });
        Arc::clone(client)
    }
}

impl Authority for Authorities {
    async fn thumbprint(&self, ca: &Ca) -> Result<String, OrderFailure> {
        let account = self.client(ca).account(&quiet).await?;
        Ok(account.thumbprint.clone())
    }

    async fn issuer(&self, ca: &Ca) -> Result<Issuer, OrderFailure> {
        let client = self.client(ca);
        let directory = client.directory(&quiet).await?;
        let account = client.account(&quiet).await?;
        Ok(Issuer {
            identities: directory.about.caa_identities.clone(),
            account: Some(account.url.clone()),
        })
    }

    async fn order<D: OrderDesk>(
        &self,
        request: &OrderRequest,
        desk: &D,
    ) -> Result<Issued, OrderFailure> {
        let client = self.client(&request.ca);
        let presented = Presented::new(desk);
        match timeout(ORDER_LONGEST, client.obtain(request, &presented)).await {
            Ok(outcome) => outcome.map_err(failure::bounded),
            Err(_) => {
                presented.withdraw_all().await;
                let minutes = ORDER_LONGEST.as_secs() / 60;
                let what = format!("the order was given up after {minutes} minutes");
                Err(failure::slow(&what))
            }
        }
    }

    async fn make_key(&self, kind: KeyType) -> Result<Secret, OrderFailure> {
        let failed = |why: String| {
            let finding = Finding::new(FindingName::OrderRejected, "no private key could be made")
                .detail(why);
            OrderFailure::new(Blame::Host, finding)
        };
        let quick = matches!(kind, KeyType::EcdsaP256 | KeyType::EcdsaP384);
        let made = if quick {
            x509::key::generate(kind)
        } else {
            let made = tokio::task::spawn_blocking(move || x509::key::generate(kind)).await;
            made.map_err(|error| failed(error.to_string()))?
        };
        made.map_err(|error| failed(error.to_string()))
    }

    async fn suggestion(
        &self,
        ca: &Ca,
        id: &CertificateId,
    ) -> Result<Option<Answer>, OrderFailure> {
        let answer = self.client(ca).suggestion(id).await;
        answer.map_err(failure::bounded)
    }
}

/// For questions behind which nobody watches progress.
fn quiet(_: Waiting) {}
