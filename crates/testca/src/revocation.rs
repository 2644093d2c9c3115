//! Who may revoke which certificate?
//!
//! RFC 8555 section 7.6: the account that ordered it, an account that controls all its
//! names, and whoever holds its key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::ca::Ca;
use crate::jws::{Signed, Signer};
use crate::problems::{Problem, ProblemKind};
use crate::random::lock;
use crate::reply::Reply;

#[derive(Debug, Deserialize)]
struct Revocation {
    certificate: String,
    reason: Option<u8>,
}

/// Revokes a certificate.
pub(crate) fn revoke(ca: &Ca, signed: &Signed) -> Result<Reply, Problem> {
    let request: Revocation = signed.read()?;
    let der = URL_SAFE_NO_PAD
        .decode(&request.certificate)
        .map_err(|error| Problem::malformed(format!("Unable to parse certificate DER: {error}")))?;
    let (_, parsed) = X509Certificate::from_der(&der)
        .map_err(|error| Problem::malformed(format!("Unable to parse certificate DER: {error}")))?;
    let certificate = ca
        .certificates
        .with_serial(parsed.raw_serial())
        .filter(|certificate| certificate.leaf.der == der)
        .ok_or_else(|| Problem::not_found("Certificate from unrecognized issuer"))?;
    let may = match signed.signer() {
        Signer::Key(key) => *key == certificate.public_key,
        Signer::Account(account) => {
            account.id == certificate.account
                || ca.authorizations.cover(ca, account, &certificate.names)
        }
    };
    if !may {
        return Err(Problem::unauthorized(
            "Certificate was not issued by the requesting account, which does not control all of its names either",
        ));
    }
    // RFC 5280 section 5.3.1, of which Let's Encrypt lets subscribers name these.
    if !matches!(request.reason, None | Some(0 | 1 | 4 | 5)) {
        return Err(Problem::new(
            ProblemKind::BadRevocationReason,
            format!(
                "unsupported revocation reason code provided: {:?}",
                request.reason
            ),
        ));
    }
    let mut fate = lock(&certificate.fate);
    if fate.revoked {
        return Err(Problem::new(
            ProblemKind::AlreadyRevoked,
            "Certificate already revoked",
        ));
    }
    fate.revoked = true;
    Ok(Reply::empty(200))
}
