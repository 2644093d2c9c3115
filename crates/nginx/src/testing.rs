//! What do this crate's tests need: a CA of their own, and sites.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use renewal::certificate::Certificate;
use renewal::name::Name;
use renewal::names::Names;
use renewal::secret::Secret;
use renewal::site::{Current, Server, Site};

/// A CA with a root and an intermediate.
pub(crate) struct Ca {
    intermediate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A key, and the chain for it in PEM without the root.
pub(crate) struct Made {
    pub(crate) key: Secret,
    pub(crate) chain: String,
}

impl Made {
    pub(crate) fn leaf(&self) -> Certificate {
        x509::chain::leaf(self.chain.as_bytes()).unwrap()
    }

    /// Writes `NAME.crt` and `NAME.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        put(&folder.join(format!("{name}.crt")), &self.chain);
        put(&folder.join(format!("{name}.key")), self.key.reveal());
    }
}

impl Ca {
    pub(crate) fn new() -> Self {
        let (root, _) = authority("Test Root", None);
        let (issuer, intermediate_pem) = authority("Test Intermediate", Some(&root));
        Self {
            intermediate_pem,
            issuer,
        }
    }

    /// Issues a certificate that is valid from the first of a month of 2026 to the first of another.
    pub(crate) fn issue(&self, names: &[&str], months: (u8, u8)) -> Made {
        let key = KeyPair::generate().unwrap();
        let leaf = params(names, months).signed_by(&key, &self.issuer).unwrap();
        Made {
            key: Secret::new(key.serialize_pem()),
            chain: leaf.pem().replace("\r\n", "\n") + &self.intermediate_pem,
        }
    }
}

/// Makes a certificate that its own key signs.
pub(crate) fn self_signed(names: &[&str]) -> Made {
    let key = KeyPair::generate().unwrap();
    let leaf = params(names, (1, 12)).self_signed(&key).unwrap();
    Made {
        key: Secret::new(key.serialize_pem()),
        chain: leaf.pem().replace("\r\n", "\n"),
    }
}

/// Returns a site with these names, called after the first.
pub(crate) fn site(names: &[&str]) -> Site {
    let wanted = Names::new(names.iter().map(|name| Name::parse(name).unwrap())).unwrap();
    Site {
        servers: vec![Server::default().into()],
        ..Site::new(wanted)
    }
}

/// Returns what a site has that serves `made`.
pub(crate) fn current(made: &Made) -> Current {
    Current {
        certificate: made.leaf().into(),
        path: "/somewhere/fullchain.pem".into(),
        version: None,
        key_fits: true,
    }
}

/// Writes a file of a test's own making.
pub(crate) fn put(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn authority(
    name: &str,
    above: Option<&Issuer<'static, KeyPair>>,
) -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = params(&[], (1, 12));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = match above {
        Some(above) => params.signed_by(&key, above).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let pem = certificate.pem().replace("\r\n", "\n");
    (Issuer::new(params, key), pem)
}

fn params(names: &[&str], (from, until): (u8, u8)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2026, from, 1);
    params.not_after = date_time_ymd(2026, until, 1);
    params
}
