//! Is this chain whole, from the leaf to its top?
//!
//! [`Chain::read`] takes what a CA sent or what stands in a file, [`Chain::fault`] judges it. Public CAs leave
//! the root out, for every client has it: such a chain is whole when at least one issuer follows the leaf and
//! every link holds. A private CA may issue from its root, so a root given as known makes a lone leaf whole too.

use renewal::certificate::Certificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::SectionKind;
use x509_parser::certificate::X509Certificate;

use crate::facts::{self, called};
use crate::pem;
use crate::signature::{self, Failure};

pub use crate::facts::{FactsError, fingerprint};
pub use crate::pem::PemError;

/// A leaf certificate, and those that follow it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chain {
    /// The leaf's facts.
    pub leaf: Certificate,
    ders: Vec<CertificateDer<'static>>,
}

impl Chain {
    /// Reads a chain in PEM, leaf first. Blocks that are no certificates are passed over.
    ///
    /// # Errors
    ///
    /// When a block is damaged, is no certificate, or there are none or too many.
    pub fn read(pem: &[u8]) -> Result<Self, ChainError> {
        let mut ders = Vec::new();
        for block in pem::Text::new(pem)?.blocks() {
            if let (SectionKind::Certificate, der) = block? {
                if ders.len() == CERTIFICATES_MAX {
                    return Err(ChainError::TooMany);
                }
                ders.push(CertificateDer::from(der));
            }
        }
        let leaf = ders.first().ok_or(ChainError::Empty)?;
        let leaf = facts_of(leaf)?;
        for (index, der) in ders.iter().enumerate().skip(1) {
            facts::parse(der).map_err(|cause| ChainError::Certificate {
                position: index + 1,
                cause,
            })?;
        }
        Ok(Self { leaf, ders })
    }

    /// Returns the leaf in DER.
    #[must_use]
    pub fn leaf_der(&self) -> &CertificateDer<'static> {
        &self.ders[0]
    }

    /// Returns all certificates in DER, leaf first.
    #[must_use]
    pub fn ders(&self) -> &[CertificateDer<'static>] {
        &self.ders
    }

    /// Returns the leaf in PEM: the content of `cert.pem`.
    #[must_use]
    pub fn leaf_pem(&self) -> String {
        to_pem(&self.ders[..1])
    }

    /// Returns what follows the leaf in PEM: the content of `chain.pem`.
    #[must_use]
    pub fn issuers_pem(&self) -> String {
        to_pem(&self.ders[1..])
    }

    /// Returns the whole chain in PEM: the content of `fullchain.pem`.
    #[must_use]
    pub fn pem(&self) -> String {
        to_pem(&self.ders)
    }

    /// Says what is wrong with the chain, as the end of the sentence "the chain is not whole: …".
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.fault_with(&[])
    }

    /// As [`Chain::fault`], for a host that knows `roots` besides the public ones.
    #[must_use]
    pub fn fault_with(&self, roots: &[CertificateDer<'_>]) -> Option<String> {
        let parsed: Result<Vec<_>, _> = self.ders.iter().map(|der| facts::parse(der)).collect();
        let certificates = match parsed {
            Ok(certificates) => certificates,
            Err(error) => return Some(error.to_string()),
        };
        let mut links = certificates.iter().zip(certificates.iter().skip(1));
        let broken = self
            .repeated(&certificates)
            .or_else(|| links.find_map(|(issued, issuer)| link_fault(issued, issuer)))
            .or_else(|| path_length_fault(&certificates));
        if broken.is_some() || certificates.len() > 1 {
            return broken;
        }
        let leaf = &certificates[0];
        if self.leaf.self_signed {
            return signature_fault(leaf, leaf);
        }
        let known = roots.iter().filter_map(|root| facts::parse(root).ok());
        let rooted = known
            .into_iter()
            .any(|root| link_fault(leaf, &root).is_none());
        (!rooted).then(|| {
            format!(
                "the certificate of its issuer, “{}”, is missing",
                self.leaf.issuer
            )
        })
    }

    fn repeated(&self, certificates: &[X509Certificate<'_>]) -> Option<String> {
        let twice =
            (1..self.ders.len()).find(|index| self.ders[..*index].contains(&self.ders[*index]))?;
        let name = called(certificates[twice].subject());
        Some(format!("the certificate of “{name}” stands in it twice"))
    }
}

/// Reads the facts of the first certificate in a PEM text; what follows it is not looked at.
///
/// # Errors
///
/// When there is none, or it cannot be read.
pub fn leaf(pem: &[u8]) -> Result<Certificate, ChainError> {
    for block in pem::Text::new(pem)?.blocks() {
        if let (SectionKind::Certificate, der) = block? {
            return facts_of(&der);
        }
    }
    Err(ChainError::Empty)
}

/// Says whether the first certificate in a PEM text names a service that answers for it (OCSP, RFC 5280 section 4.2.2.1);
/// `None` when there is no certificate that can be read.
#[must_use]
pub fn names_ocsp(pem: &[u8]) -> Option<bool> {
    let text = pem::Text::new(pem).ok()?;
    let mut ders = text.blocks().filter_map(|block| match block {
        Ok((SectionKind::Certificate, der)) => Some(der),
        Ok(_) | Err(_) => None,
    });
    let der = ders.next()?;
    facts::parse(&der)
        .ok()
        .map(|parsed| facts::names_ocsp(&parsed))
}

/// Reads the facts of a certificate in DER, as a TLS handshake shows it.
///
/// # Errors
///
/// When it is no certificate.
pub fn facts_of(der: &[u8]) -> Result<Certificate, ChainError> {
    facts::parse(der)
        .and_then(|parsed| facts::facts(&parsed, der))
        .map_err(|cause| ChainError::Certificate { position: 1, cause })
}

/// The text is no certificate chain. Names no file: the caller knows it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// It is no PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// There is no certificate in it.
    #[error("there is no certificate in it")]
    Empty,
    /// Nobody has a chain this long.
    #[error("it holds more than {CERTIFICATES_MAX} certificates")]
    TooMany,
    /// A block is no certificate.
    #[error("certificate {position} in it is not usable: {cause}")]
    Certificate {
        /// Which, counted from 1.
        position: usize,
        /// Why.
        cause: FactsError,
    },
}

fn to_pem(ders: &[CertificateDer<'_>]) -> String {
    ders.iter()
        .map(|der| pem::encode("CERTIFICATE", der))
        .collect()
}

/// Says whether the certificate `issuer` issued `issued`, and is another.
pub(crate) fn links(issued: &[u8], issuer: &[u8]) -> bool {
    match (facts::parse(issued), facts::parse(issuer)) {
        (Ok(issued), Ok(issuer)) => link_fault(&issued, &issuer).is_none(),
        _ => false,
    }
}

/// Says why `issuer` did not issue `issued`.
fn link_fault(issued: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Option<String> {
    let name = called_or_leaf(issuer);
    if issued.issuer().as_raw() != issuer.subject().as_raw() {
        let wanted = called(issued.issuer());
        return Some(format!(
            "“{}” is followed by “{name}”, but was issued by “{wanted}”",
            called_or_leaf(issued)
        ));
    }
    if !issuer.is_ca() || !may_sign(issuer) {
        return Some(format!("“{name}” is not the certificate of a CA"));
    }
    signature_fault(issued, issuer)
}

fn signature_fault(issued: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Option<String> {
    match signature::verify(issued, issuer.public_key()) {
        Ok(()) => None,
        Err(Failure::Wrong) => Some(format!(
            "“{}” is not signed by the key of “{}”",
            called_or_leaf(issued),
            called_or_leaf(issuer)
        )),
        Err(Failure::Unsupported) => Some(format!(
            "the signature of “{}” is of a kind that cannot be checked",
            called_or_leaf(issued)
        )),
    }
}

/// Says whether the key may sign certificates (RFC 5280 section 4.2.1.3); without the extension it may.
fn may_sign(issuer: &X509Certificate<'_>) -> bool {
    match issuer.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    }
}

/// RFC 5280 section 4.2.1.9: how many CAs may stand between a CA and the leaf.
fn path_length_fault(certificates: &[X509Certificate<'_>]) -> Option<String> {
    let too_long = certificates
        .iter()
        .enumerate()
        .skip(1)
        .find(|(index, ca)| {
            let constraint = ca.basic_constraints().ok().flatten();
            let allowed = constraint.and_then(|constraint| constraint.value.path_len_constraint);
            allowed.is_some_and(|allowed| (allowed as usize) < index - 1)
        })?;
    Some(format!(
        "“{}” does not allow so many CAs below it",
        called(too_long.1.subject())
    ))
}

/// Let's Encrypt's leaves have an empty subject.
fn called_or_leaf(certificate: &X509Certificate<'_>) -> String {
    let name = called(certificate.subject());
    if name.is_empty() {
        "the leaf".to_owned()
    } else {
        name
    }
}

/// The longest chain that OpenSSL and browsers follow in practice.
const CERTIFICATES_MAX: usize = 10;

#[cfg(test)]
mod tests;
