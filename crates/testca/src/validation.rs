//! Does the account control the name?
//!
//! HTTP-01 as Let's Encrypt does it (RFC 8555 section 8.3; Boulder's `va/http.go`): really
//! fetched, IPv6 first, redirects followed within bounds, and the same words when it fails.
//! Only two things differ, since this CA lives on loopback: the ports are options, and
//! private addresses are as good as any.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use crate::ca::Ca;
use crate::endpoint::Endpoint;
use crate::faults::{Occasion, ValidationFault};
use crate::problems::{Problem, ProblemKind};

mod caa;
mod fetch;
mod lookup;
mod redirects;

use fetch::{FetchError, Fetched};
use redirects::Target;

/// What is to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) key_authorization: String,
}

/// What came of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// The requests that were made, in order.
    pub(crate) records: Vec<Record>,
    pub(crate) result: Result<(), Problem>,
}

/// One request of a validation, as challenges show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    url: String,
    host: String,
    port: u16,
    resolved: Vec<IpAddr>,
    used: Option<IpAddr>,
}

/// Validates by HTTP-01.
pub(crate) async fn http01(ca: &Ca, attempt: &Attempt) -> Verdict {
    let occasion = Occasion {
        endpoint: Endpoint::Challenge,
        names: std::slice::from_ref(&attempt.name),
    };
    let faults = ca.faults.take_all::<ValidationFault>(occasion);
    for fault in &faults {
        if let ValidationFault::Slow(delay) = fault {
            tokio::time::sleep(*delay).await;
        }
    }
    let mut records = Vec::new();
    let mut result = fetch_and_compare(ca, attempt, &mut records).await;
    if result.is_ok() {
        result = caa::check(ca, &attempt.name).await;
    }
    for fault in faults {
        match fault {
            ValidationFault::Slow(_) => {}
            ValidationFault::CaaForbids => result = result.and(Err(caa::forbidden(&attempt.name))),
            ValidationFault::FailsElsewhere => {
                result = result.and(Err(fails_elsewhere(records.last())));
            }
        }
    }
    Verdict { records, result }
}

/// Refuses what only a DNS record could show.
pub(crate) fn dns01(attempt: &Attempt) -> Verdict {
    let name = attempt.name.strip_prefix("*.").unwrap_or(&attempt.name);
    Verdict::failed(Problem::unauthorized(format!(
        "No TXT record found at _acme-challenge.{name}"
    )))
}

/// Refuses what only a TLS server could show.
pub(crate) fn tls_alpn01() -> Verdict {
    Verdict::failed(Problem::unauthorized(
        "Cannot negotiate ALPN protocol \"acme-tls/1\" for tls-alpn-01 challenge",
    ))
}

impl Verdict {
    fn failed(problem: Problem) -> Verdict {
        Verdict {
            records: Vec::new(),
            result: Err(problem),
        }
    }
}

impl Record {
    pub(crate) fn document(&self) -> Value {
        let mut document = json!({
            "url": self.url,
            "hostname": self.host,
            "port": self.port.to_string(),
            "addressesResolved": self.resolved,
        });
        if let Some(used) = self.used {
            document["addressUsed"] = json!(used);
        }
        document
    }
}

async fn fetch_and_compare(
    ca: &Ca,
    attempt: &Attempt,
    records: &mut Vec<Record>,
) -> Result<(), Problem> {
    let mut target = Target::first(&attempt.name, &attempt.token, ca.options.http_port);
    for redirects in 0.. {
        let (address, fetched) = follow(ca, &target, redirects == 0, records).await?;
        let Some(location) = fetched.redirect() else {
            return compare(
                &target.url(ca),
                address,
                &fetched,
                &attempt.key_authorization,
            );
        };
        let fail = |text: String| {
            Problem::new(
                ProblemKind::Connection,
                format!("{address}: Fetching {}: {text}", location.trim()),
            )
        };
        if fetched.status == 303 {
            return Err(fail("received disallowed redirect status code".to_owned()));
        }
        if redirects == MOST_REDIRECTS {
            return Err(fail("Too many redirects".to_owned()));
        }
        target = target
            .redirected(ca, location)
            .map_err(|error| fail(error.to_string()))?;
        if records.iter().any(|record| record.url == target.url(ca)) {
            return Err(fail("Redirect loop detected".to_owned()));
        }
    }
    Ok(())
}

/// Makes one request, and for the very first one a second where IPv6 leads nowhere.
async fn follow(
    ca: &Ca,
    target: &Target,
    may_fall_back: bool,
    records: &mut Vec<Record>,
) -> Result<(IpAddr, Fetched), Problem> {
    let resolved = lookup::addresses(ca, &target.host).await?;
    let first = resolved.first().copied();
    let other = resolved
        .iter()
        .copied()
        .find(|address| Some(address.is_ipv6()) != first.map(|first| first.is_ipv6()));
    let mut failure = Problem::new(ProblemKind::ServerInternal, "no address to try");
    for (number, address) in first.into_iter().chain(other).enumerate() {
        records.push(Record {
            url: target.url(ca),
            host: target.host.clone(),
            port: target.port,
            resolved: resolved.clone(),
            used: Some(address),
        });
        match fetch::get(
            target,
            SocketAddr::new(address, target.port),
            ca.options.validation_timeout,
        )
        .await
        {
            Ok(fetched) => return Ok((address, fetched)),
            Err(error) => {
                failure = failed(&error, address, &target.url(ca));
                if number > 0 || !may_fall_back || !error.is_before_connection() {
                    break;
                }
            }
        }
    }
    Err(failure)
}

fn failed(error: &FetchError, address: IpAddr, url: &str) -> Problem {
    let kind = match error {
        FetchError::PlainHttp => ProblemKind::Malformed,
        FetchError::TlsAlert(_) => ProblemKind::Tls,
        FetchError::Body(_) => return Problem::unauthorized(format!("{address}: {error}")),
        FetchError::ConnectTimeout
        | FetchError::Refused
        | FetchError::Unreachable
        | FetchError::Reset
        | FetchError::ReadTimeout
        | FetchError::OldTls
        | FetchError::Other => ProblemKind::Connection,
    };
    Problem::new(kind, format!("{address}: Fetching {url}: {error}"))
}

fn compare(url: &str, address: IpAddr, fetched: &Fetched, expected: &str) -> Result<(), Problem> {
    if fetched.status != 200 {
        return Err(Problem::unauthorized(format!(
            "{address}: Invalid response from {url}: {}",
            fetched.status
        )));
    }
    let body = String::from_utf8_lossy(&fetched.body);
    if fetched.body.len() >= fetch::BODY_LIMIT {
        return Err(Problem::unauthorized(format!(
            "{address}: Invalid response from {url}: {body:?}"
        )));
    }
    let got = body.trim_end_matches([' ', '\t', '\r', '\n']);
    if got == expected {
        return Ok(());
    }
    Err(Problem::unauthorized(format!(
        "The key authorization file from the server did not match this challenge. Expected {expected:?} (got {got:?})"
    )))
}

/// As when a firewall lets in one country only.
fn fails_elsewhere(record: Option<&Record>) -> Problem {
    let address = record
        .and_then(|record| record.used)
        .map(|used| used.to_string())
        .unwrap_or_default();
    let url = record.map_or("", |record| record.url.as_str());
    Problem::new(
        ProblemKind::Connection,
        format!(
            "During secondary validation: {address}: Fetching {url}: Timeout during connect (likely firewall problem)"
        ),
    )
}

/// The most redirects that are followed.
const MOST_REDIRECTS: u32 = 10;
