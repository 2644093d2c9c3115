//! How is a certificate taken back? (RFC 8555 section 7.6)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::account::not_offered;
use crate::client::{Client, Question, Told};
use crate::error::RequestError;

/// Why a certificate is revoked (RFC 5280 section 5.3.1); those that public CAs accept from subscribers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RevocationReason {
    /// None given.
    #[default]
    Unspecified,
    /// Someone else may have the key.
    KeyCompromise,
    /// It was replaced.
    Superseded,
    /// The site is gone.
    CessationOfOperation,
}

impl RevocationReason {
    fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
}

impl Client {
    /// Revokes a certificate of our account. One that is revoked already is no error.
    pub(crate) async fn revoke(
        &self,
        der: &[u8],
        reason: RevocationReason,
        told: Told<'_>,
    ) -> Result<(), RequestError> {
        let directory = self.directory(told).await?;
        let uri = directory
            .revoke_cert
            .as_ref()
            .ok_or_else(|| not_offered("revocation"))?;
        let payload = json!({"certificate": URL_SAFE_NO_PAD.encode(der), "reason": reason.code()})
            .to_string();
        match self.signed(Question::act(uri, &payload), told).await {
            Err(error) if error.refused_as("alreadyRevoked").is_none() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
