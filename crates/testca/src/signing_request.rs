//! Does the signing request (CSR, RFC 2986) fit the order?

use std::collections::BTreeSet;

use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::keys::PublicKey;
use crate::problems::{Problem, ProblemKind};

/// A signing request that fits its order.
#[derive(Debug)]
pub(crate) struct SigningRequest {
    pub(crate) public_key: PublicKey,
    pub(crate) subject_public_key: SubjectPublicKeyInfo,
}

/// Reads a signing request, and refuses one that does not fit.
///
/// `names` are the order's, `account_key` the key that must not be in the certificate.
pub(crate) fn read(
    der: &[u8],
    names: &[String],
    account_key: &PublicKey,
) -> Result<SigningRequest, Problem> {
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|error| {
        Problem::malformed(format!("Error parsing certificate request: {error}"))
    })?;
    if !rest.is_empty() {
        return Err(Problem::malformed(
            "Error parsing certificate request: trailing data",
        ));
    }
    request
        .verify_signature()
        .map_err(|_| bad_csr("invalid signature on CSR"))?;
    let spki = &request.certification_request_info.subject_pki;
    let public_key = PublicKey::from_spki(spki)
        .ok_or_else(|| bad_csr("public key is of an unsupported type"))?;
    if let PublicKey::Rsa { modulus, .. } = &public_key
        && ![2048 / 8, 3072 / 8, 4096 / 8].contains(&modulus.len())
    {
        let bits = modulus.len() * 8;
        return Err(Problem::new(
            ProblemKind::BadCsr,
            format!("key size not supported: {bits}"),
        ));
    }
    if public_key == *account_key {
        return Err(bad_csr(
            "certificate public key must be different than account key",
        ));
    }
    let wanted = names_in(&request)?;
    if !wanted.iter().eq(names.iter()) {
        return Err(Problem::unauthorized(
            "CSR does not specify same identifiers as Order",
        ));
    }
    let subject_public_key = SubjectPublicKeyInfo::from_der(spki.raw)
        .map_err(|error| bad_csr(&format!("public key cannot be used: {error}")))?;
    Ok(SigningRequest {
        public_key,
        subject_public_key,
    })
}

/// Returns the names: those of the extension, and the common name with them.
fn names_in(request: &X509CertificationRequest<'_>) -> Result<BTreeSet<String>, Problem> {
    let subject = &request.certification_request_info.subject;
    let mut names = BTreeSet::new();
    for common_name in subject.iter_common_name() {
        names.insert(
            common_name
                .as_str()
                .map_err(|_| bad_csr("common name is no text"))?
                .to_lowercase(),
        );
    }
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(alternative) = extension else {
            continue;
        };
        for name in &alternative.general_names {
            match name {
                GeneralName::DNSName(name) => names.insert(name.to_lowercase()),
                // The remaining kinds are the x509 library's: addresses, mailboxes and the like.
                _ => return Err(bad_csr("CSR contains a name that is no DNS name")),
            };
        }
    }
    Ok(names)
}

fn bad_csr(detail: &str) -> Problem {
    Problem::new(ProblemKind::BadCsr, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use rcgen::{
        CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    };

    const OTHER_KEY: PublicKey = PublicKey::P256(Vec::new());

    fn request(names: &[&str], key: &KeyPair) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(key).unwrap().der().to_vec()
    }

    fn check(der: &[u8], names: &[&str], expected: &Expect) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let seen = read(der, &names, &OTHER_KEY).map_or_else(
            |problem| format!("{}: {}", problem.kind.urn(), problem.detail),
            |request| request.public_key.algorithm().to_owned(),
        );
        expected.assert_eq(&seen);
    }

    #[test]
    fn fitting_requests() {
        check(
            &request(&["b.test", "A.test"], &KeyPair::generate().unwrap()),
            &["a.test", "b.test"],
            &expect!["ES256"],
        );
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        check(&request(&["a.test"], &key), &["a.test"], &expect!["ES384"]);
    }

    #[test]
    fn other_names_than_the_orders() {
        let key = KeyPair::generate().unwrap();
        let refused = expect![
            "urn:ietf:params:acme:error:unauthorized: CSR does not specify same identifiers as Order"
        ];
        check(&request(&["a.test"], &key), &["a.test", "b.test"], &refused);
        check(&request(&["a.test", "b.test"], &key), &["a.test"], &refused);
        check(&request(&[], &key), &["a.test"], &refused);
        check(
            &request(&["a.test", "192.0.2.1"], &key),
            &["a.test"],
            &expect!["urn:ietf:params:acme:error:badCSR: CSR contains a name that is no DNS name"],
        );
    }

    #[test]
    fn what_is_no_signing_request() {
        check(
            b"",
            &["a.test"],
            &expect![
                "urn:ietf:params:acme:error:malformed: Error parsing certificate request: Parsing requires 1 bytes/chars"
            ],
        );
        let mut forged = request(&["a.test"], &KeyPair::generate().unwrap());
        *forged.last_mut().unwrap() ^= 1;
        check(
            &forged,
            &["a.test"],
            &expect!["urn:ietf:params:acme:error:badCSR: invalid signature on CSR"],
        );
        let mut longer = request(&["a.test"], &KeyPair::generate().unwrap());
        longer.push(0);
        check(
            &longer,
            &["a.test"],
            &expect![
                "urn:ietf:params:acme:error:malformed: Error parsing certificate request: trailing data"
            ],
        );
    }

    #[test]
    fn keys_that_no_certificate_may_have() {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        check(
            &request(&["a.test"], &key),
            &["a.test"],
            &expect!["urn:ietf:params:acme:error:badCSR: public key is of an unsupported type"],
        );
        let key = KeyPair::generate().unwrap();
        let der = request(&["a.test"], &key);
        let account_key = PublicKey::P256(key.public_key_raw().to_vec());
        let problem = read(&der, &["a.test".to_owned()], &account_key).unwrap_err();
        assert_eq!(
            problem.detail,
            "certificate public key must be different than account key"
        );
    }
}
