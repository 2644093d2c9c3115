//! Which part of the CA does a request ask, and how often was it asked?
//!
//! Every URL but the directory's starts with a word that differs from start to start, and
//! ids are random, so that no client gets away with building URLs itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::random;

/// One part of the CA, as faults and counters name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The directory (RFC 8555 section 7.1.1).
    Directory,
    /// Fresh nonces (section 7.2).
    NewNonce,
    /// Accounts are made and found (section 7.3).
    NewAccount,
    /// Orders are made (section 7.4).
    NewOrder,
    /// An account gets another key (section 7.3.5).
    KeyChange,
    /// A certificate is revoked (section 7.6).
    RevokeCert,
    /// The suggested window of a certificate (RFC 9773).
    RenewalInfo,
    /// One account.
    Account,
    /// One order.
    Order,
    /// The signing request of an order arrives (section 7.4).
    Finalize,
    /// One authorization (section 7.5).
    Authorization,
    /// One challenge (section 7.5.1).
    Challenge,
    /// One certificate with its chain (section 7.4.2).
    Certificate,
    /// Nothing that the CA has.
    Unknown,
}

/// A request's destination, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    pub(crate) endpoint: Endpoint,
    /// What follows the endpoint's name; empty where nothing does.
    pub(crate) id: &'a str,
}

/// The URLs of one running CA.
#[derive(Debug)]
pub(crate) struct Routes {
    base: String,
    word: String,
}

/// How many requests each endpoint had.
#[derive(Debug, Default)]
pub struct Requests([AtomicU64; Endpoint::ALL.len()]);

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Endpoint; 14] = [
        Endpoint::Directory,
        Endpoint::NewNonce,
        Endpoint::NewAccount,
        Endpoint::NewOrder,
        Endpoint::KeyChange,
        Endpoint::RevokeCert,
        Endpoint::RenewalInfo,
        Endpoint::Account,
        Endpoint::Order,
        Endpoint::Finalize,
        Endpoint::Authorization,
        Endpoint::Challenge,
        Endpoint::Certificate,
        Endpoint::Unknown,
    ];

    /// Returns the endpoint's name, as it stands in its URLs.
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::Directory => "directory",
            Endpoint::NewNonce => "new-nonce",
            Endpoint::NewAccount => "new-account",
            Endpoint::NewOrder => "new-order",
            Endpoint::KeyChange => "key-change",
            Endpoint::RevokeCert => "revoke-cert",
            Endpoint::RenewalInfo => "renewal-info",
            Endpoint::Account => "account",
            Endpoint::Order => "order",
            Endpoint::Finalize => "finalize",
            Endpoint::Authorization => "authorization",
            Endpoint::Challenge => "challenge",
            Endpoint::Certificate => "certificate",
            Endpoint::Unknown => "unknown",
        }
    }

    /// Says whether requests to it are signed, as all but three are (RFC 8555 section 6.2).
    pub(crate) fn is_signed(self) -> bool {
        match self {
            Endpoint::Directory
            | Endpoint::NewNonce
            | Endpoint::RenewalInfo
            | Endpoint::Unknown => false,
            Endpoint::NewAccount
            | Endpoint::NewOrder
            | Endpoint::KeyChange
            | Endpoint::RevokeCert
            | Endpoint::Account
            | Endpoint::Order
            | Endpoint::Finalize
            | Endpoint::Authorization
            | Endpoint::Challenge
            | Endpoint::Certificate => true,
        }
    }
}

impl Routes {
    /// Returns the URLs of a CA whose own begins with `base` (scheme and authority, no slash).
    pub(crate) fn new(base: String) -> Routes {
        Routes {
            base,
            word: random::id(),
        }
    }

    pub(crate) fn directory(&self) -> String {
        format!("{}{DIRECTORY}", self.base)
    }

    /// Returns the URL of an endpoint that has no ids.
    pub(crate) fn of(&self, endpoint: Endpoint) -> String {
        format!("{}/{}/{}", self.base, self.word, endpoint.name())
    }

    /// Returns the URL of one thing.
    pub(crate) fn to(&self, endpoint: Endpoint, id: &str) -> String {
        format!("{}/{}/{}/{id}", self.base, self.word, endpoint.name())
    }

    /// Returns the URL that a request for this path must have signed.
    pub(crate) fn absolute(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Returns the id in the URL of a thing, if it is one of this CA's.
    pub(crate) fn id_in<'a>(&self, url: &'a str, endpoint: Endpoint) -> Option<&'a str> {
        let route = self.find(url.strip_prefix(&self.base)?);
        (route.endpoint == endpoint).then_some(route.id)
    }

    pub(crate) fn find<'a>(&self, path: &'a str) -> Route<'a> {
        if path == DIRECTORY {
            return Route {
                endpoint: Endpoint::Directory,
                id: "",
            };
        }
        self.find_below_word(path).unwrap_or(Route {
            endpoint: Endpoint::Unknown,
            id: "",
        })
    }

    fn find_below_word<'a>(&self, path: &'a str) -> Option<Route<'a>> {
        let rest = path
            .strip_prefix('/')?
            .strip_prefix(self.word.as_str())?
            .strip_prefix('/')?;
        let (name, id) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoint = Endpoint::ALL
            .into_iter()
            .find(|endpoint| endpoint.name() == name)?;
        match endpoint {
            Endpoint::Directory | Endpoint::Unknown => None,
            Endpoint::NewNonce
            | Endpoint::NewAccount
            | Endpoint::NewOrder
            | Endpoint::KeyChange
            | Endpoint::RevokeCert => id.is_empty().then_some(Route { endpoint, id }),
            Endpoint::RenewalInfo
            | Endpoint::Account
            | Endpoint::Order
            | Endpoint::Finalize
            | Endpoint::Authorization
            | Endpoint::Challenge
            | Endpoint::Certificate => (!id.is_empty()).then_some(Route { endpoint, id }),
        }
    }
}

impl Requests {
    /// Returns how many requests this endpoint had.
    pub fn of(&self, endpoint: Endpoint) -> u64 {
        self.0[endpoint as usize].load(Ordering::Relaxed)
    }

    /// Returns how many requests there were.
    pub fn total(&self) -> u64 {
        Endpoint::ALL
            .into_iter()
            .map(|endpoint| self.of(endpoint))
            .sum()
    }

    pub(crate) fn count(&self, endpoint: Endpoint) {
        self.0[endpoint as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The one path a client may know beforehand.
const DIRECTORY: &str = "/directory";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_leads_back_to_its_endpoint() {
        let routes = Routes::new("https://127.0.0.1:1".to_owned());
        for endpoint in Endpoint::ALL {
            let url = match endpoint {
                Endpoint::Directory => routes.directory(),
                Endpoint::Unknown => routes.absolute("/elsewhere"),
                Endpoint::RenewalInfo
                | Endpoint::Account
                | Endpoint::Order
                | Endpoint::Finalize
                | Endpoint::Authorization
                | Endpoint::Challenge
                | Endpoint::Certificate => routes.to(endpoint, "x"),
                Endpoint::NewNonce
                | Endpoint::NewAccount
                | Endpoint::NewOrder
                | Endpoint::KeyChange
                | Endpoint::RevokeCert => routes.of(endpoint),
            };
            let path = url.strip_prefix("https://127.0.0.1:1").unwrap();
            assert_eq!(routes.find(path).endpoint, endpoint, "{url}");
        }
    }

    #[test]
    fn paths_of_another_start_lead_nowhere() {
        let first = Routes::new(String::new());
        let second = Routes::new(String::new());
        assert_eq!(
            first.find(&second.of(Endpoint::NewOrder)).endpoint,
            Endpoint::Unknown
        );
        assert_eq!(
            first.find(&first.of(Endpoint::Order)).endpoint,
            Endpoint::Unknown,
            "an order without an id"
        );
        assert_eq!(
            first.find(&first.to(Endpoint::NewOrder, "x")).endpoint,
            Endpoint::Unknown,
            "new-order with an id"
        );
    }

    #[test]
    fn each_endpoint_counts_for_itself() {
        let requests = Requests::default();
        requests.count(Endpoint::Order);
        requests.count(Endpoint::Order);
        requests.count(Endpoint::Unknown);
        assert_eq!(
            (
                requests.of(Endpoint::Order),
                requests.of(Endpoint::NewOrder),
                requests.total()
            ),
            (2, 0, 3)
        );
    }
}
