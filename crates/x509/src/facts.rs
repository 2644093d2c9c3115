//! What does one certificate say about itself?

use std::net::IpAddr;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use renewal::certificate::{Certificate, CertificateId, Fingerprint};
use renewal::name::Name;
use renewal::window::{EmptyWindow, Window};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use crate::signature;

/// Parses DER; what follows the certificate makes it none.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, FactsError> {
    if der.len() > DER_BYTES_MAX {
        return Err(FactsError::TooLong(der.len()));
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) if algorithms_agree(&certificate) => Ok(certificate),
        Ok(([], _)) => Err(FactsError::NoCertificate),
        Ok((rest, _)) => Err(FactsError::Trailing(rest.len())),
        Err(_) => Err(FactsError::NoCertificate),
    }
}

/// Reads the facts out of a parsed certificate and its bytes.
pub(crate) fn facts(
    certificate: &X509Certificate<'_>,
    der: &[u8],
) -> Result<Certificate, FactsError> {
    Ok(Certificate {
        names: names(certificate),
        valid: validity(certificate)?,
        issuer: called(certificate.issuer()),
        serial: serial(certificate.raw_serial()),
        sha256: fingerprint(der),
        id: authority_key(certificate).map(|key| id(key, certificate.raw_serial())),
        self_signed: self_signed(certificate),
    })
}

/// Returns the fingerprint of a certificate in DER.
#[must_use]
pub fn fingerprint(der: &[u8]) -> Fingerprint {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    Fingerprint(sha256)
}

/// Returns what people call the bearer of a distinguished name: its common name, else its organisation.
pub(crate) fn called(name: &X509Name<'_>) -> String {
    let mut candidates = name.iter_common_name().chain(name.iter_organization());
    candidates
        .find_map(|attribute| attribute.as_str().ok())
        .map_or_else(|| name.to_string(), str::to_owned)
}

/// Says whether the certificate names an OCSP service.
pub(crate) fn names_ocsp(certificate: &X509Certificate<'_>) -> bool {
    let mut extensions = certificate.extensions().iter();
    extensions.any(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => access
            .accessdescs
            .iter()
            .any(|description| description.access_method.to_id_string() == OCSP),
        _ => false,
    })
}

/// Says whether the certificate is signed by its own key. Mostly that stands in it: RFC 5280 section 4.2.1.1 lets only a
/// self-signed one leave out its issuer's key identifier.
fn self_signed(certificate: &X509Certificate<'_>) -> bool {
    let own = || signature::verify(certificate, certificate.public_key()).is_ok();
    certificate.issuer().as_raw() == certificate.subject().as_raw()
        && match (authority_key(certificate), subject_key(certificate)) {
            (None, _) => true,
            (Some(issuer), Some(subject)) => issuer == subject,
            (Some(_), None) => own(),
        }
}

/// A certificate says something that cannot be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// Nobody's certificate is this long.
    #[error("it has {0} bytes, and {DER_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// What stands there is something else.
    #[error("it is no X.509 certificate")]
    NoCertificate,
    /// A certificate, and then something that is none.
    #[error("{0} bytes follow it")]
    Trailing(usize),
    /// It is never valid.
    #[error("it is never valid: {0}")]
    NeverValid(#[from] EmptyWindow),
    /// A moment that no calendar has.
    #[error("its validity lies outside of every calendar")]
    Moment,
}

/// Lists the names; the common name counts only where there is no subject alternative name (RFC 6125 section 6.4.4).
fn names(certificate: &X509Certificate<'_>) -> Vec<Name> {
    let extension =
        certificate
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(names),
                _ => None,
            });
    let Some(extension) = extension else {
        return certificate
            .subject()
            .iter_common_name()
            .filter_map(|name| Name::parse(name.as_str().ok()?).ok())
            .collect();
    };
    extension
        .general_names
        .iter()
        .filter_map(readable)
        .collect()
}

fn readable(name: &GeneralName<'_>) -> Option<Name> {
    match name {
        GeneralName::DNSName(name) => Name::parse(name).ok(),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            Name::parse(&address.ok()?.to_string()).ok()
        }
        _ => None,
    }
}

/// RFC 5280 section 4.1.1.2: the signature's algorithm stands in it twice, and only once under the signature.
/// Compared byte by byte, for the parser lets wrong tags pass, at which OpenSSL, and so nginx, would stop.
fn algorithms_agree(certificate: &X509Certificate<'_>) -> bool {
    let (whole, signed) = (certificate.as_raw(), certificate.tbs_certificate.as_ref());
    let end = signed.as_ptr().addr() - whole.as_ptr().addr() + signed.len();
    let outside = match whole.get(end..) {
        Some([_, length, ..]) => &whole[end..whole.len().min(end + 2 + usize::from(*length))],
        _ => return false,
    };
    signed
        .windows(outside.len())
        .any(|inside| inside == outside)
}

fn validity(certificate: &X509Certificate<'_>) -> Result<Window, FactsError> {
    let moment = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|_| FactsError::Moment)
    };
    let validity = certificate.validity();
    Ok(Window::new(
        moment(validity.not_before)?,
        moment(validity.not_after)?,
    )?)
}

/// Writes a serial number as `openssl x509 -serial` does: without the zero that keeps it positive.
fn serial(bytes: &[u8]) -> String {
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        whole => whole,
    };
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

/// Returns the identifier of the issuer's key (RFC 5280 section 4.2.1.1).
pub(crate) fn authority_key<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(key) => {
                key.key_identifier.as_ref().map(|identifier| identifier.0)
            }
            _ => None,
        })
}

/// Returns the identifier of the certificate's own key (RFC 5280 section 4.2.1.2).
fn subject_key<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0),
            _ => None,
        })
}

/// RFC 9773 section 4.1: the serial number keeps its leading zero.
fn id(authority_key: &[u8], serial: &[u8]) -> CertificateId {
    let encode = |bytes| URL_SAFE_NO_PAD.encode(bytes);
    CertificateId(format!("{}.{}", encode(authority_key), encode(serial)))
}

/// The access method of OCSP (RFC 5280 section 4.2.2.1).
const OCSP: &str = "1.3.6.1.5.5.7.48.1";

/// OpenSSL refuses longer ones in TLS too (its `max_cert_list` is 100 KiB for a whole chain).
const DER_BYTES_MAX: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::{id, serial};

    #[test]
    fn the_example_of_rfc_9773_comes_out() {
        let key = [
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
            0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
        ];
        let serial = [0x00, 0x87, 0x65, 0x43, 0x21];
        assert_eq!(id(&key, &serial).0, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }

    #[test]
    fn a_serial_number_is_written_as_openssl_writes_it() {
        assert_eq!(serial(&[0x00, 0x87, 0x65]), "8765");
        assert_eq!(serial(&[0x04, 0xab]), "04ab");
        assert_eq!(serial(&[0x00]), "00");
    }
}
