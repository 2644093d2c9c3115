//! Which account do we have at a CA? (RFC 8555 section 7.1.2)
//!
//! One per CA, made on first use. Its key is on disk before the CA hears of it, so that a crash never leaves an
//! account without its key; and an account that is known is never asked for again.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use renewal::certificate::KeyType;
use renewal::secret::Secret;
use serde_json::json;
use zeroize::Zeroizing;

use crate::client::{Client, Question, Shared, Told};
use crate::error::RequestError;
use crate::jws::{self, AccountKey, Signer};

pub use self::file::AccountError;
pub(crate) use self::file::{AccountFile, Record};
pub use self::foreign::{ForeignAccount, JwkError, Takeover, pem_of_jwk, thumbprint_of};
pub(crate) use self::foreign::{give_back, take_over};

mod file;
mod foreign;

/// An account that the CA knows.
pub(crate) struct Account {
    pub(crate) key: AccountKey,
    pub(crate) url: String,
    pub(crate) thumbprint: String,
}

/// What people may know of an account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccountSummary {
    /// The CA's directory.
    pub directory: String,
    /// The account's URL, by which the CA and CAA records know it.
    pub url: String,
    /// The thumbprint of its key (RFC 7638).
    pub thumbprint: String,
    /// The addresses that the CA may write to.
    pub contact: Vec<String>,
    /// Where it is kept.
    pub file: std::path::PathBuf,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Client {
    /// Returns our account; makes it on first use.
    pub(crate) async fn account(&self, told: Told<'_>) -> Result<Arc<Account>, RequestError> {
        let mut shared = self.account.lock().await;
        if let Some(recent) = shared.recent(FOR_GOOD) {
            return recent;
        }
        let found = self.find_account(told).await;
        shared.keep(found)
    }

    /// Makes the account anew, with the same key, after the CA forgot it; once for all who noticed.
    pub(crate) async fn account_again(
        &self,
        gone: &Account,
        told: Told<'_>,
    ) -> Result<Arc<Account>, RequestError> {
        let mut shared = self.account.lock().await;
        match &*shared {
            Shared::Known(account, _) if account.url != gone.url => return Ok(Arc::clone(account)),
            Shared::Failed(error, since) if since.elapsed() < Duration::from_secs(5) => {
                return Err(error.clone());
            }
            Shared::Known(..) | Shared::Failed(..) | Shared::Unknown => {}
        }
        tracing::warn!(target: "acme", account = gone.url, "the CA does not know the account any more; it is made again with the same key");
        let found = match self.file.read()? {
            Some(record) => self.register(record, told).await,
            None => Err(RequestError::NotOffered(
                "the account's file is gone".to_owned(),
            )),
        };
        shared.keep(found)
    }

    /// Returns what people may know of our account; makes none.
    pub(crate) fn account_summary(&self) -> Result<Option<AccountSummary>, AccountError> {
        let Some(record) = self.file.read()? else {
            return Ok(None);
        };
        let key = AccountKey::read(&record.key.into())
            .map_err(|_| self.file.unusable("its key cannot be read"))?;
        Ok(record.url.map(|url| AccountSummary {
            directory: record.directory,
            url,
            thumbprint: key.thumbprint(),
            contact: record.contact,
            file: self.file.path().to_owned(),
            created_at: record.created_at,
        }))
    }

    async fn find_account(&self, told: Told<'_>) -> Result<Account, RequestError> {
        let record = match self.file.read()? {
            Some(record) => record,
            None => {
                let key = x509::key::generate(KeyType::EcdsaP256)
                    .map_err(|error| self.file.unusable(error))?;
                self.file.create(&Record {
                    directory: self.ca.0.to_string(),
                    url: None,
                    key: text_of(&key),
                    next_key: None,
                    contact: self.contact.clone(),
                    created_at: (self.now)(),
                    deactivated_at: None,
                })?
            }
        };
        if record.directory != *self.ca.0 {
            return Err(self
                .file
                .unusable(format!("it belongs to {}", record.directory))
                .into());
        }
        if let Some(at) = record.deactivated_at {
            let why =
                format!("the account was deactivated on {at}; remove the file to get a new one");
            return Err(self.file.unusable(why).into());
        }
        let record = self.settle_key(record, told).await?;
        match record.url {
            Some(url) => {
                let key = self.key(&record.key)?;
                Ok(Account {
                    thumbprint: key.thumbprint(),
                    key,
                    url,
                })
            }
            None => self.register(record, told).await,
        }
    }

    /// Asks for an account with the record's key: an old one when the CA knows the key (RFC 8555 section 7.3).
    async fn register(&self, record: Record, told: Told<'_>) -> Result<Account, RequestError> {
        let directory = self.directory(told).await?;
        if directory.about.external_account_required {
            let why = "this CA wants an external account binding (RFC 8555 section 7.3.4), which clpctl does not offer";
            return Err(RequestError::NotOffered(why.to_owned()));
        }
        let mut payload = json!({"termsOfServiceAgreed": true});
        if !record.contact.is_empty() {
            let mailto =
                |address: &String| format!("mailto:{}", address.trim_start_matches("mailto:"));
            payload["contact"] = record.contact.iter().map(mailto).collect();
        }
        let key = self.key(&record.key)?;
        let payload = payload.to_string();
        let reply = self
            .post(
                Question::act(&directory.new_account, &payload),
                Signer::Key(&key),
                told,
            )
            .await?;
        let url = self
            .location(&directory, &directory.new_account, &reply)?
            .to_string();
        let made = reply.status == StatusCode::CREATED;
        tracing::info!(target: "acme", account = url, made, "the CA knows the account");
        self.file.replace(&Record {
            url: Some(url.clone()),
            ..record
        })?;
        Ok(Account {
            thumbprint: key.thumbprint(),
            key,
            url,
        })
    }

    /// Finds out which key counts, when a change of it was cut short.
    async fn settle_key(&self, record: Record, told: Told<'_>) -> Result<Record, RequestError> {
        let Some(next) = record.next_key.clone() else {
            return Ok(record);
        };
        let directory = self.directory(told).await?;
        let key = self.key(&next)?;
        let question = Question::act(&directory.new_account, r#"{"onlyReturnExisting":true}"#);
        let settled = match self.post(question, Signer::Key(&key), told).await {
            Ok(_) => Record {
                key: next,
                next_key: None,
                ..record
            },
            Err(error) if error.refused_as("accountDoesNotExist").is_some() => Record {
                next_key: None,
                ..record
            },
            Err(error) => return Err(error),
        };
        self.file.replace(&settled)?;
        Ok(settled)
    }

    /// Gives the account a new key (RFC 8555 section 7.3.5). The thumbprint changes with it.
    pub(crate) async fn roll_over(&self, told: Told<'_>) -> Result<Arc<Account>, RequestError> {
        let account = self.account(told).await?;
        let directory = self.directory(told).await?;
        let uri = directory
            .key_change
            .as_ref()
            .ok_or_else(|| not_offered("key change"))?;
        let mut shared = self.account.lock().await;
        let record = self
            .file
            .read()?
            .ok_or_else(|| self.file.unusable("it is gone"))?;
        let next =
            x509::key::generate(KeyType::EcdsaP256).map_err(|error| self.file.unusable(error))?;
        let next_key = self.key(next.reveal())?;
        let pending = Record {
            next_key: Some(text_of(&next)),
            ..record
        };
        self.file.replace(&pending)?;
        let inner = format!(
            r#"{{"account":"{}","oldKey":{}}}"#,
            account.url,
            account.key.jwk()
        );
        let inner = jws::sign(Signer::Key(&next_key), &uri.to_string(), None, &inner)?;
        let signer = Signer::Account(&account.key, &account.url);
        let changed = self.post(Question::act(uri, &inner), signer, told).await;
        *shared = Shared::Unknown;
        changed?;
        self.file.replace(&Record {
            key: text_of(&next),
            next_key: None,
            ..pending
        })?;
        shared.keep(Ok(Account {
            thumbprint: next_key.thumbprint(),
            key: next_key,
            url: account.url.clone(),
        }))
    }

    /// Deactivates the account (RFC 8555 section 7.3.6). It cannot be undone; its certificates stay valid.
    pub(crate) async fn deactivate(&self, told: Told<'_>) -> Result<(), RequestError> {
        let account = self.account(told).await?;
        let directory = self.directory(told).await?;
        let uri = directory
            .origins
            .read(&account.url)
            .map_err(|fault| self.file.unusable(fault))?;
        let signer = Signer::Account(&account.key, &account.url);
        self.post(
            Question::act(&uri, r#"{"status":"deactivated"}"#),
            signer,
            told,
        )
        .await?;
        let mut shared = self.account.lock().await;
        *shared = Shared::Unknown;
        if let Some(record) = self.file.read()? {
            self.file.replace(&Record {
                deactivated_at: Some((self.now)()),
                ..record
            })?;
        }
        Ok(())
    }

    fn key(&self, pem: &str) -> Result<AccountKey, AccountError> {
        AccountKey::read(&Secret::new(pem.to_owned())).map_err(|error| self.file.unusable(error))
    }
}

/// Copies a key for its file.
fn text_of(key: &Secret) -> Zeroizing<String> {
    Zeroizing::new(key.reveal().to_owned())
}

pub(crate) fn not_offered(what: &str) -> RequestError {
    RequestError::NotOffered(format!("this CA's directory offers no {what}"))
}

/// An account stays what it is until the CA says otherwise.
const FOR_GOOD: Duration = Duration::MAX;
