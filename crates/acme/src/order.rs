//! How far is an order? (RFC 8555 section 7.1.3)

use http::Uri;
use renewal::ports::{OrderRequest, Waiting};
use serde::Deserialize;
use serde_json::json;

use crate::account::not_offered;
use crate::client::{Client, Question, Told};
use crate::directory::Directory;
use crate::error::RequestError;
use crate::problem::{Identifier, Problem};

/// An order, as the CA describes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Order {
    pub(crate) status: OrderStatus,
    #[serde(default)]
    pub(crate) identifiers: Vec<Identifier>,
    #[serde(default)]
    pub(crate) authorizations: Vec<String>,
    pub(crate) finalize: Option<String>,
    pub(crate) certificate: Option<String>,
    pub(crate) error: Option<Problem>,
}

/// RFC 8555 section 7.1.6.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OrderStatus {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// An order and its URL.
pub(crate) struct Placed {
    pub(crate) uri: Uri,
    pub(crate) order: Order,
    /// Whether it was placed by an earlier run.
    pub(crate) resumed: bool,
}

impl Order {
    /// Says whether the order is for exactly the wanted names.
    pub(crate) fn is_for(&self, names: &renewal::names::Names) -> bool {
        self.identifiers.len() == names.as_slice().len()
            && names.iter().all(|name| {
                let wanted = Identifier::of(name).value;
                let mut values = self.identifiers.iter().map(|identifier| &identifier.value);
                values.any(|value| value.eq_ignore_ascii_case(&wanted))
            })
    }
}

impl Client {
    /// Places an order (RFC 8555 section 7.4).
    ///
    /// A refusal because of `replaces` alone is answered by an order without it: a renewal matters more than
    /// its exemption from rate limits.
    pub(crate) async fn place(
        &self,
        request: &OrderRequest,
        told: Told<'_>,
    ) -> Result<Placed, RequestError> {
        told(Waiting::Order);
        let directory = self.directory(told).await?;
        if let Some(profile) = &request.profile {
            offered(&directory, profile)?;
        }
        let mut payload =
            json!({"identifiers": request.names.iter().map(Identifier::of).collect::<Vec<_>>()});
        if let Some(profile) = &request.profile {
            payload["profile"] = json!(profile);
        }
        let plain = payload.to_string();
        // RFC 9773 section 5: only where the CA has renewal information.
        let replaces = request
            .replaces
            .as_ref()
            .filter(|_| directory.renewal_info.is_some());
        let (order, reply) = match replaces {
            None => {
                self.signed_json(Question::act(&directory.new_order, &plain), told)
                    .await?
            }
            Some(id) => {
                payload["replaces"] = json!(id.0);
                let with = payload.to_string();
                match self
                    .signed_json(Question::act(&directory.new_order, &with), told)
                    .await
                {
                    Err(error) if may_be_about_replaces(&error) => {
                        tracing::info!(target: "acme", %error, "ordered without `replaces`");
                        self.signed_json(Question::act(&directory.new_order, &plain), told)
                            .await?
                    }
                    other => other?,
                }
            }
        };
        let uri = self.location(&directory, &directory.new_order, &reply)?;
        Ok(Placed {
            uri,
            order,
            resumed: false,
        })
    }

    /// Looks at an order, and says how long the CA wants to be left alone.
    pub(crate) async fn look_at_order(
        &self,
        uri: &Uri,
        told: Told<'_>,
    ) -> Result<(Order, Option<jiff::SignedDuration>), RequestError> {
        let (order, reply) = self.signed_json(Question::look(uri), told).await?;
        Ok((order, self.wish(&reply)))
    }

    /// Sends the certificate request (RFC 8555 section 7.4). Returns the order as it is then.
    pub(crate) async fn finalize(
        &self,
        uri: &Uri,
        csr: &[u8],
        told: Told<'_>,
    ) -> Result<(Order, Option<jiff::SignedDuration>), RequestError> {
        use base64::Engine as _;
        told(Waiting::Issuance);
        let csr = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(csr);
        let payload = json!({"csr": csr}).to_string();
        let (order, reply) = self.signed_json(Question::act(uri, &payload), told).await?;
        Ok((order, self.wish(&reply)))
    }
}

fn offered(directory: &Directory, profile: &str) -> Result<(), RequestError> {
    let profiles = &directory.about.profiles;
    if profiles.contains_key(profile) {
        return Ok(());
    }
    if profiles.is_empty() {
        return Err(not_offered("profiles"));
    }
    let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
    Err(RequestError::NotOffered(format!(
        "this CA offers no profile “{profile}”, only {}",
        known.join(", ")
    )))
}

/// Says whether an order was refused for something that leaving out `replaces` may mend.
fn may_be_about_replaces(error: &RequestError) -> bool {
    let RequestError::Refused {
        status, problem, ..
    } = error
    else {
        return false;
    };
    status.is_client_error() && !NOT_ABOUT_REPLACES.iter().any(|kind| problem.is(kind))
}

/// Refusals that would meet an order without `replaces` too.
const NOT_ABOUT_REPLACES: [&str; 4] = [
    "rateLimited",
    "rejectedIdentifier",
    "accountDoesNotExist",
    "badNonce",
];
