//! Which CAs do we know, and how is each asked?

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use renewal::certificate::{CertificateId, KeyType};
use renewal::finding::{Finding, FindingName};
use renewal::policy::Ca;
use renewal::ports::{Authority, Issued, OrderDesk, OrderFailure, OrderRequest, Waiting};
use renewal::retry::Blame;
use renewal::secret::Secret;
use renewal::suggestion::Answer;
use rustls_pki_types::CertificateDer;

use crate::account::{AccountError, AccountFile, AccountSummary};
use crate::client::{Client, Now};
use crate::directory::About;
use crate::http::{Http, SetupError};
use crate::revocation::RevocationReason;

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

    /// Returns our account at the CA, as far as this host knows it; asks the CA for nothing.
    ///
    /// # Errors
    ///
    /// When the account's file cannot be read.
    pub fn account(&self, ca: &Ca) -> Result<Option<AccountSummary>, AccountError> {
        self.client(ca).account_summary()
    }

    /// Revokes a certificate that our account at `ca` obtained. One that is revoked already is no error.
    ///
    /// # Errors
    ///
    /// When the CA refuses or cannot be reached.
    pub async fn revoke(
        &self,
        ca: &Ca,
        certificate_der: &[u8],
        reason: RevocationReason,
    ) -> Result<(), OrderFailure> {
        Ok(self
            .client(ca)
            .revoke(certificate_der, reason, &quiet)
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

    fn client(&self, ca: &Ca) -> Arc<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(ca.clone()).or_insert_with(|| {
            Arc::new(Client::new(
                ca.clone(),
                Arc::clone(&self.http),
                AccountFile::new(&self.settings.accounts, ca),
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

    async fn order<D: OrderDesk>(
        &self,
        request: &OrderRequest,
        desk: &D,
    ) -> Result<Issued, OrderFailure> {
        self.client(&request.ca).obtain(request, desk).await
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
        self.client(ca).suggestion(id).await
    }
}

/// For questions behind which nobody watches progress.
fn quiet(_: Waiting) {}
