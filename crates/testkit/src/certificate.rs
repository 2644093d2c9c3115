//! Where do tests get certificates and keys with the names and dates they need?
//!
//! [`Authority`] is a practice CA that signs anything; [`self_signed`] is the placeholder that panels and
//! distributions put in a new site's vhost.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// A certificate chain with its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    /// The leaf.
    pub leaf: String,
    /// What stands between the leaf and the root; empty for a self-signed certificate.
    pub chain: String,
    /// The private key, PKCS#8.
    pub key: String,
}

impl Pair {
    /// Returns leaf and chain in one text, as `fullchain.pem` holds them.
    #[must_use]
    pub fn fullchain(&self) -> String {
        format!("{}{}", self.leaf, self.chain)
    }

    /// Writes `NAME.crt` (leaf and chain) and `NAME.key` into the folder, the key for its owner alone.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (
            folder.join(format!("{name}.crt")),
            folder.join(format!("{name}.key")),
        );
        fs::write(&certificate, self.fullchain()).expect("the certificate can be written");
        write_secret(&key, &self.key).expect("the key can be written");
        (certificate, key)
    }
}

/// When a certificate is valid, told in days from now.
#[derive(Clone, Copy, Debug)]
pub struct Days {
    /// How many days ago it became valid.
    pub since: u64,
    /// How many days it is valid yet; negative when it ended.
    pub left: i64,
}

impl Days {
    /// A ninety-day certificate with that many days left.
    #[must_use]
    pub fn left(left: i64) -> Self {
        Self {
            since: u64::try_from(90 - left).unwrap_or(0),
            left,
        }
    }
}

/// A CA that signs whatever it is asked to.
pub struct Authority {
    root: String,
    intermediate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a root and an intermediate, with the given name in both.
    ///
    /// # Panics
    ///
    /// When no key can be made, which happens only without randomness.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let root_key = key();
        let root = authority(&format!("{name} root"));
        let root_pem = root.self_signed(&root_key).expect(SIGNS).pem();
        let root = Issuer::new(root, root_key);
        let intermediate_key = key();
        let intermediate = authority(&format!("{name} intermediate"));
        let intermediate_pem = intermediate
            .signed_by(&intermediate_key, &root)
            .expect(SIGNS)
            .pem();
        Self {
            root: root_pem,
            intermediate: intermediate_pem,
            issuer: Issuer::new(intermediate, intermediate_key),
        }
    }

    /// Returns the root certificate, as PEM.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Issues a certificate for the names (DNS names or IP addresses), with a new P-256 key.
    ///
    /// # Panics
    ///
    /// When one of the names is no name at all.
    #[must_use]
    pub fn issue(&self, names: &[&str], days: Days) -> Pair {
        let key = key();
        let leaf = leaf(names, days)
            .signed_by(&key, &self.issuer)
            .expect(SIGNS)
            .pem();
        Pair {
            leaf,
            chain: self.intermediate.clone(),
            key: key.serialize_pem(),
        }
    }
}

/// Makes a self-signed certificate for the names, with a new P-256 key.
///
/// # Panics
///
/// When one of the names is no name at all.
#[must_use]
pub fn self_signed(names: &[&str], days: Days) -> Pair {
    let key = key();
    let leaf = leaf(names, days).self_signed(&key).expect(SIGNS).pem();
    Pair {
        leaf,
        chain: String::new(),
        key: key.serialize_pem(),
    }
}

/// Writes a file that its owner alone may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Older than every leaf, and outliving every leaf.
    (params.not_before, params.not_after) = (moment(-1000).into(), moment(1000).into());
    params
}

fn leaf(names: &[&str], days: Days) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.iter().map(|name| alternative(name)).collect();
    params.distinguished_name.push(
        DnType::CommonName,
        *names.first().expect("a certificate has a name"),
    );
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = moment(-i64::try_from(days.since).expect("days are few")).into();
    params.not_after = moment(days.left).into();
    params
}

fn alternative(name: &str) -> SanType {
    name.parse::<IpAddr>().map_or_else(
        |_| SanType::DnsName(name.to_owned().try_into().expect("the name is plain ASCII")),
        SanType::IpAddress,
    )
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the machine has randomness")
}

/// The moment that lies so many days from now; before now for negative ones.
fn moment(days: i64) -> SystemTime {
    let distance = Duration::from_secs(days.unsigned_abs() * 24 * 60 * 60);
    if days < 0 {
        SystemTime::now() - distance
    } else {
        SystemTime::now() + distance
    }
}

const SIGNS: &str = "a P-256 key signs any certificate";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openssl;

    #[test]
    fn an_issued_certificate_is_trusted_by_openssl() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Practice");
        let pair = authority.issue(&["a.test", "*.a.test", "127.0.0.1"], Days::left(30));
        let (certificate, key) = pair.write(folder.path(), "a.test");
        let root = folder.path().join("root.pem");
        fs::write(&root, authority.root()).unwrap();
        assert_eq!(openssl::verify(&root, &certificate), Ok(()));
        assert!(openssl::covers(&certificate, "a.test"));
        assert!(openssl::covers(&certificate, "www.a.test"));
        assert!(!openssl::covers(&certificate, "b.test"));
        assert!(openssl::key_fits(&certificate, &key));
    }

    #[test]
    fn an_ended_certificate_is_refused_by_openssl() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Practice");
        let (certificate, _) = authority
            .issue(&["a.test"], Days::left(-1))
            .write(folder.path(), "a.test");
        let root = folder.path().join("root.pem");
        fs::write(&root, authority.root()).unwrap();
        let refusal = openssl::verify(&root, &certificate).unwrap_err();
        assert!(refusal.contains("certificate has expired"), "{refusal}");
    }

    #[test]
    fn the_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (_, key) = self_signed(&["a.test"], Days::left(90)).write(folder.path(), "a.test");
        assert_eq!(
            fs::metadata(key).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
