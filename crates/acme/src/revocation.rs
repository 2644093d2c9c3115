//! How is a certificate taken back? (RFC 8555 section 7.6)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use renewal::revocation::RevocationReason;
use renewal::secret::Secret;
use serde_json::json;

use crate::account::not_offered;
use crate::client::{Client, Question, Told};
use crate::error::RequestError;
use crate::jws::{AccountKey, Signer};

/// Who asks for a revocation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asker {
    /// Our account.
    Account,
    /// Whoever holds the certificate's private key.
    Holder,
}

impl Client {
    /// Revokes a certificate: in the name of our account, or else with the certificate's own `key`. One that is
    /// revoked already is no error.
    pub(crate) async fn revoke(
        &self,
        der: &[u8],
        key: Option<&Secret>,
        reason: RevocationReason,
        told: Told<'_>,
    ) -> Result<(), RequestError> {
        // An Ed25519 or P-521 key signs certificates' handshakes, but no request to a CA.
        let key = key.and_then(|key| AccountKey::read(key).ok());
        let mut refusal = None;
        for asker in askers(reason) {
            let answer = match (asker, &key) {
                (Asker::Account, _) => self.ask_revocation(der, None, reason, told).await,
                (Asker::Holder, Some(key)) => {
                    self.ask_revocation(der, Some(key), reason, told).await
                }
                (Asker::Holder, None) => continue,
            };
            match answer {
                Err(error) if error.is_refusal() => {
                    refusal.get_or_insert(error);
                }
                answer => return answer,
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    async fn ask_revocation(
        &self,
        der: &[u8],
        key: Option<&AccountKey>,
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
        let question = Question::act(uri, &payload);
        let answer = match key {
            Some(key) => self.post(question, Signer::Key(key), told).await,
            None => self.signed(question, told).await,
        };
        match answer {
            Err(error) if error.refused_as("alreadyRevoked").is_none() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Says who asks first. Only whoever holds a key can prove to the CA that it is in the wrong hands, so that the CA
/// refuses it from then on.
fn askers(reason: RevocationReason) -> [Asker; 2] {
    match reason {
        RevocationReason::KeyCompromise => [Asker::Holder, Asker::Account],
        RevocationReason::Unspecified
        | RevocationReason::Superseded
        | RevocationReason::CessationOfOperation => [Asker::Account, Asker::Holder],
    }
}
