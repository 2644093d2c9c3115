//! How is a certificate made?
//!
//! Roots at the top, one intermediate key below them, leaves below that. The intermediate
//! has a certificate from each root, so that every leaf has as many chains as there are roots.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber, date_time_ymd,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::random;

/// The keys and certificates that issue.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    issuer: Issuer<'static, KeyPair>,
    /// The key identifier of the issuer, as it stands in every leaf.
    pub(crate) authority_key_id: Vec<u8>,
    /// One certificate of the issuer for each chain, the default one first.
    pub(crate) intermediates: Vec<String>,
    /// The roots, in the same order.
    pub(crate) roots: Vec<String>,
    /// An intermediate of the default root that signs no leaf.
    pub(crate) foreign_intermediate: String,
}

/// What a leaf shall say.
#[derive(Debug)]
pub(crate) struct LeafContent<'a> {
    pub(crate) names: &'a [String],
    pub(crate) with_common_name: bool,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// A leaf.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) der: Vec<u8>,
    pub(crate) pem: String,
    /// The contents of the DER integer, with its leading zero where it has one (RFC 9773 section 4.1).
    pub(crate) serial: Vec<u8>,
}

impl Hierarchy {
    /// Makes the keys and the certificates above the leaves.
    pub(crate) fn new(chains: usize, now: Timestamp) -> Result<Hierarchy, rcgen::Error> {
        let intermediate_key = KeyPair::generate()?;
        let intermediate = ca_params(
            "Practice Intermediate P1",
            IsCa::Ca(BasicConstraints::Constrained(0)),
            now,
        );
        let foreign = ca_params(
            "Practice Intermediate P2",
            IsCa::Ca(BasicConstraints::Constrained(0)),
            now,
        );
        let foreign_key = KeyPair::generate()?;
        let mut roots = Vec::new();
        let mut intermediates = Vec::new();
        let mut foreign_intermediate = String::new();
        for number in 1..=chains.max(1) {
            let name = format!("Practice Root R{number}");
            let params = ca_params(&name, IsCa::Ca(BasicConstraints::Unconstrained), now);
            let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
            intermediates.push(intermediate.signed_by(&intermediate_key, &root)?.pem());
            if number == 1 {
                foreign_intermediate = foreign.signed_by(&foreign_key, &root)?.pem();
            }
            roots.push(root.pem());
        }
        Ok(Hierarchy {
            authority_key_id: intermediate.key_identifier(&intermediate_key),
            issuer: Issuer::new(intermediate, intermediate_key),
            intermediates,
            roots,
            foreign_intermediate,
        })
    }

    /// Makes a leaf for this key.
    pub(crate) fn issue(
        &self,
        content: &LeafContent<'_>,
        key: &impl PublicKeyData,
    ) -> Result<Leaf, rcgen::Error> {
        let mut params = CertificateParams::default();
        set_validity(&mut params, content.not_before, content.not_after);
        params.serial_number = Some(SerialNumber::from_slice(&serial()));
        params.subject_alt_names = content
            .names
            .iter()
            .map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)))
            .collect::<Result<_, rcgen::Error>>()?;
        params.distinguished_name = DistinguishedName::new();
        // RFC 5280 limits the common name to 64 characters.
        if content.with_common_name
            && let Some(name) = content.names.iter().find(|name| name.len() <= 64)
        {
            params
                .distinguished_name
                .push(DnType::CommonName, name.as_str());
        }
        // Said explicitly, it brings the subject key identifier along.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Leaf::read(&params.signed_by(key, &self.issuer)?)
    }
}

impl Leaf {
    fn read(certificate: &Certificate) -> Result<Leaf, rcgen::Error> {
        let der = certificate.der().to_vec();
        let serial = match X509Certificate::from_der(&der) {
            Ok((_, parsed)) => parsed.raw_serial().to_vec(),
            Err(error) => return Err(rcgen::Error::X509(error.to_string())),
        };
        Ok(Leaf {
            pem: certificate.pem(),
            serial,
            der,
        })
    }
}

/// A key pair and a certificate for HTTPS on loopback, below a root of its own.
#[derive(Debug)]
pub(crate) struct ServerIdentity {
    pub(crate) root: String,
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl ServerIdentity {
    pub(crate) fn new(
        address: std::net::IpAddr,
        called: Option<&str>,
        now: Timestamp,
    ) -> Result<ServerIdentity, rcgen::Error> {
        let params = ca_params(
            "Practice HTTPS Root",
            IsCa::Ca(BasicConstraints::Unconstrained),
            now,
        );
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let mut names = vec!["localhost".to_owned(), address.to_string()];
        names.extend(called.map(str::to_owned));
        let mut params = CertificateParams::new(names)?;
        set_validity(&mut params, now - DAY, now + 3650 * DAY);
        params.serial_number = Some(SerialNumber::from_slice(&serial()));
        params.distinguished_name = named("Practice HTTPS Server");
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(ServerIdentity {
            certificate: params.signed_by(&key, &root)?.der().to_vec(),
            root: root.pem(),
            key: key.serialize_der(),
        })
    }
}

fn ca_params(name: &str, is_ca: IsCa, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    set_validity(&mut params, now - DAY, now + 3650 * DAY);
    params.serial_number = Some(SerialNumber::from_slice(&serial()));
    params.distinguished_name = named(name);
    params.is_ca = is_ca;
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.use_authority_key_identifier_extension = true;
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, "Practice CA, trust it nowhere");
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Returns 144 random bits that never start with a zero byte: DER would drop it.
///
/// Half of them have the top bit set and so a leading zero in DER, which clients must keep.
fn serial() -> [u8; 18] {
    let mut serial = random::bytes();
    if serial[0] == 0 {
        serial[0] = 0x80;
    }
    serial
}

/// Counts from a date that rcgen makes: its type is one of a crate that we do not need otherwise.
fn set_validity(params: &mut CertificateParams, not_before: Timestamp, not_after: Timestamp) {
    let epoch = date_time_ymd(1970, 1, 1);
    let seconds = |at: Timestamp| Duration::from_secs(at.as_second().try_into().unwrap_or(0));
    params.not_before = epoch + seconds(not_before);
    params.not_after = epoch + seconds(not_after);
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_leaf_says_what_it_shall() {
        let hierarchy = Hierarchy::new(2, now()).unwrap();
        let key = KeyPair::generate().unwrap();
        let content = LeafContent {
            names: &["a.test".to_owned(), "b.test".to_owned()],
            with_common_name: true,
            not_before: now(),
            not_after: now() + 90 * DAY,
        };
        let leaf = hierarchy.issue(&content, &key).unwrap();
        let (_, parsed) = X509Certificate::from_der(&leaf.der).unwrap();
        let extensions: Vec<String> = parsed
            .extensions()
            .iter()
            .map(|extension| extension.oid.to_id_string())
            .collect();
        expect![[r#"
            CN=a.test, O=Practice CA, trust it nowhere, CN=Practice Intermediate P1
            Jun  1 00:00:00 2026 +00:00, Aug 30 00:00:00 2026 +00:00
            ["2.5.29.35", "2.5.29.17", "2.5.29.15", "2.5.29.37", "2.5.29.14", "2.5.29.19"]"#]]
        .assert_eq(&format!(
            "{}, {}\n{}, {}\n{extensions:?}",
            parsed.subject(),
            parsed.issuer(),
            parsed.validity().not_before,
            parsed.validity().not_after,
        ));
        assert!(leaf.serial.len() >= 18, "{:?}", leaf.serial);
        assert_eq!(
            (hierarchy.roots.len(), hierarchy.intermediates.len()),
            (2, 2)
        );
    }

    #[test]
    fn serials_with_the_top_bit_keep_their_leading_zero() {
        let hierarchy = Hierarchy::new(1, now()).unwrap();
        let key = KeyPair::generate().unwrap();
        let content = LeafContent {
            names: &["a.test".to_owned()],
            with_common_name: false,
            not_before: now(),
            not_after: now() + DAY,
        };
        let serials: Vec<Vec<u8>> = (0..64)
            .map(|_| hierarchy.issue(&content, &key).unwrap().serial)
            .collect();
        assert!(
            serials
                .iter()
                .any(|serial| serial[0] == 0 && serial[1] >= 0x80),
            "one in two has one"
        );
        assert!(
            serials.iter().all(|serial| serial[0] < 0x80),
            "none reads as negative"
        );
    }
}
