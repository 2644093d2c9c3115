//! Who has an account here?
//!
//! RFC 8555 section 7.3: making, finding, changing and closing accounts, and giving one
//! another key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::ca::Ca;
use crate::endpoint::Endpoint;
use crate::jws::{Jws, Signed};
use crate::keys::PublicKey;
use crate::problems::{Problem, ProblemKind};
use crate::random::{self, lock};
use crate::reply::Reply;

/// An account, as it was when a request arrived.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) key: Arc<PublicKey>,
    pub(crate) thumbprint: Arc<str>,
    status: Status,
    contact: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Valid,
    Deactivated,
}

/// Every account.
#[derive(Debug, Default)]
pub(crate) struct Accounts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<String, Account>,
    ids_by_thumbprint: HashMap<Arc<str>, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewAccount {
    #[serde(default)]
    contact: Vec<String>,
    #[serde(default)]
    terms_of_service_agreed: bool,
    #[serde(default)]
    only_return_existing: bool,
}

#[derive(Debug, Deserialize)]
struct AccountUpdate {
    contact: Option<Vec<String>>,
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyChange {
    account: String,
    old_key: crate::keys::Jwk,
}

/// Makes an account, or finds the one of this key.
pub(crate) fn create(ca: &Ca, signed: &Signed) -> Result<Reply, Problem> {
    let key = signed.new_key()?;
    let wanted: NewAccount = signed.read()?;
    let thumbprint: Arc<str> = key.thumbprint().into();
    if let Some(account) = ca.accounts.with_key(&thumbprint) {
        account.expect_valid()?;
        return Ok(shown(ca, 200, &account));
    }
    if wanted.only_return_existing {
        return Err(Problem::new(
            ProblemKind::AccountDoesNotExist,
            "No account exists with the provided key",
        ));
    }
    if !wanted.terms_of_service_agreed {
        return Err(Problem::malformed("must agree to terms of service"));
    }
    check_contacts(&wanted.contact)?;
    let account = ca.accounts.insert(Account {
        id: random::id(),
        key: Arc::new(key.clone()),
        thumbprint,
        status: Status::Valid,
        contact: wanted.contact,
    });
    Ok(shown(ca, 201, &account).with_link(&ca.routes.absolute("/terms"), "terms-of-service"))
}

/// Shows, changes or closes an account.
pub(crate) fn update(ca: &Ca, id: &str, signed: &Signed) -> Result<Reply, Problem> {
    let account = signed.account()?;
    if account.id != id {
        return Err(Problem::unauthorized(
            "Request signing key did not match account key",
        ));
    }
    if signed.is_post_as_get() {
        return Ok(shown(ca, 200, account));
    }
    let wanted: AccountUpdate = signed.read()?;
    let mut changed = account.clone();
    match wanted.status.as_deref() {
        None | Some("valid") => {}
        Some("deactivated") => changed.status = Status::Deactivated,
        Some(status) => {
            return Err(Problem::malformed(format!(
                "Invalid value provided for status field: {status:?}"
            )));
        }
    }
    if let Some(contact) = wanted.contact {
        check_contacts(&contact)?;
        changed.contact = contact;
    }
    let changed = ca.accounts.insert(changed);
    Ok(shown(ca, 200, &changed))
}

/// Gives an account another key (RFC 8555 section 7.3.5).
pub(crate) fn change_key(ca: &Ca, url: &str, signed: &Signed) -> Result<Reply, Problem> {
    let account = signed.account()?;
    let inner = Jws::read(signed.payload())?;
    let new_key = inner.embedded_key()?;
    inner.verify(&new_key)?;
    inner.check_url(url)?;
    if inner.has_nonce() {
        return Err(Problem::malformed(
            "inner JWS of a key change must have no nonce",
        ));
    }
    let wanted: KeyChange = inner.read_payload()?;
    if ca.routes.id_in(&wanted.account, Endpoint::Account) != Some(account.id.as_str()) {
        return Err(Problem::malformed(
            "inner JWS of a key change names another account",
        ));
    }
    if PublicKey::from_jwk(&wanted.old_key)? != *account.key {
        return Err(Problem::malformed(
            "\"oldKey\" is not the account's present key",
        ));
    }
    match ca.accounts.change_key(account, new_key) {
        Ok(account) => Ok(shown(ca, 200, &account)),
        // RFC 8555 section 7.3.5: the reply says whose key it already is.
        Err(owner) => {
            let problem = Problem::new(
                ProblemKind::Conflict,
                "New key is already in use for a different account",
            );
            Ok(Reply::problem(&problem, ca.now())
                .with_location(&ca.routes.to(Endpoint::Account, &owner)))
        }
    }
}

impl Account {
    /// Refuses an account that was closed.
    pub(crate) fn expect_valid(&self) -> Result<(), Problem> {
        match self.status {
            Status::Valid => Ok(()),
            Status::Deactivated => Err(Problem::unauthorized(
                "Account is not valid, has status \"deactivated\"",
            )),
        }
    }

    fn document(&self) -> Value {
        let status = match self.status {
            Status::Valid => "valid",
            Status::Deactivated => "deactivated",
        };
        json!({ "status": status, "contact": self.contact })
    }
}

impl Accounts {
    pub(crate) fn find(&self, id: &str) -> Option<Account> {
        lock(&self.0).by_id.get(id).cloned()
    }

    fn with_key(&self, thumbprint: &str) -> Option<Account> {
        let known = lock(&self.0);
        known
            .by_id
            .get(known.ids_by_thumbprint.get(thumbprint)?)
            .cloned()
    }

    /// Puts the account in, and returns it; where its key came first with another request, that one.
    fn insert(&self, account: Account) -> Account {
        let mut known = lock(&self.0);
        let owner = known
            .ids_by_thumbprint
            .entry(Arc::clone(&account.thumbprint))
            .or_insert_with(|| account.id.clone())
            .clone();
        if owner == account.id {
            known.by_id.insert(owner, account.clone());
            return account;
        }
        known.by_id.get(&owner).cloned().unwrap_or(account)
    }

    /// Exchanges the key, or returns the id of the account that has it.
    fn change_key(&self, account: &Account, key: PublicKey) -> Result<Account, String> {
        let thumbprint: Arc<str> = key.thumbprint().into();
        let mut known = lock(&self.0);
        if let Some(owner) = known.ids_by_thumbprint.get(&thumbprint) {
            return Err(owner.clone());
        }
        let changed = Account {
            key: Arc::new(key),
            thumbprint: Arc::clone(&thumbprint),
            ..account.clone()
        };
        known.ids_by_thumbprint.remove(&account.thumbprint);
        known
            .ids_by_thumbprint
            .insert(thumbprint, account.id.clone());
        known.by_id.insert(account.id.clone(), changed.clone());
        Ok(changed)
    }
}

fn shown(ca: &Ca, status: u16, account: &Account) -> Reply {
    Reply::json(status, &account.document())
        .with_location(&ca.routes.to(Endpoint::Account, &account.id))
}

fn check_contacts(contacts: &[String]) -> Result<(), Problem> {
    for contact in contacts {
        let Some(address) = contact.strip_prefix("mailto:") else {
            return Err(Problem::new(
                ProblemKind::UnsupportedContact,
                format!("only contact scheme 'mailto:' is supported, not {contact:?}"),
            ));
        };
        let domain = address.split_once('@').map(|(_, domain)| domain);
        if address.contains(['?', ',']) || domain.is_none_or(|domain| !domain.contains('.')) {
            return Err(Problem::new(
                ProblemKind::InvalidContact,
                format!("unable to parse email address {address:?}"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(contact: &str, expected: &Expect) {
        let seen = check_contacts(&[contact.to_owned()])
            .map_or_else(|problem| problem.detail, |()| "fine".to_owned());
        expected.assert_eq(&seen);
    }

    #[test]
    fn contacts() {
        check("mailto:admin@a.test", &expect!["fine"]);
        check(
            "tel:+12025551212",
            &expect!["only contact scheme 'mailto:' is supported, not \"tel:+12025551212\""],
        );
        check(
            "mailto:admin",
            &expect![[r#"unable to parse email address "admin""#]],
        );
        check(
            "mailto:a@a.test,b@a.test",
            &expect![[r#"unable to parse email address "a@a.test,b@a.test""#]],
        );
    }
}
