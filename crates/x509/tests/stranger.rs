//! Does any text make a reader of certificates and keys panic, hang, or keep what is no certificate?

#![expect(clippy::unwrap_used, reason = "tests fail where their helpers do")]

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use renewal::secret::Secret;
use testkit::noise;

use x509::bundle::{Bundle, Source};
use x509::chain::{self, Chain};
use x509::key;

/// Has every reader read these bytes; what one accepts must read back as the same.
fn read(bytes: &[u8]) {
    if let Ok(chain) = Chain::read(bytes) {
        let again = Chain::read(chain.pem().as_bytes()).expect("what we write can be read");
        assert_eq!((again.ders(), again.pem()), (chain.ders(), chain.pem()));
        assert!(chain::leaf(bytes).is_ok());
        let _ = chain.fault();
    }
    let key = Secret::new(String::from_utf8_lossy(bytes).into_owned());
    let _ = key::check(&key);
    let text = Source {
        name: "it",
        text: bytes,
    };
    let _ = Bundle::read(&[text, text]);
    let _ = chain::facts_of(bytes);
}

fn in_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

/// A certificate and its key, in PEM and in DER.
fn pair() -> (String, String, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let names = ["a.test".to_owned(), "192.0.2.1".to_owned()];
    let leaf = CertificateParams::new(names).unwrap();
    let leaf = leaf.self_signed(&key).unwrap();
    (leaf.pem(), key.serialize_pem(), leaf.der().to_vec())
}

#[test]
fn noise_is_read_by_all() {
    noise::bytes(1_000, 300, read);
}

#[test]
fn bent_certificates_are_read_by_all() {
    let (pem, key, der) = pair();
    let whole = format!("{pem}junk\n{key}\r\n{pem}");
    noise::bent(1_500, whole.as_bytes(), read);
    // Below the PEM: the encoding of the certificate itself, whole again as PEM.
    noise::bent(1_500, &der, |bytes| {
        read(bytes);
        read(in_pem(bytes).as_bytes());
    });
}

#[test]
fn pieces_of_pem_are_read_by_all() {
    let (pem, key, _) = pair();
    let lines = pem.split_inclusive('\n').chain(key.split_inclusive('\n'));
    let pieces: Vec<&str> = PIECES.into_iter().chain(lines).collect();
    noise::pieces(3_000, 25, &pieces, read);
}

#[test]
fn large_texts_take_linear_time() {
    let (pem, ..) = pair();
    let begin = "-----BEGIN CERTIFICATE-----\n";
    let empty = format!("{begin}-----END CERTIFICATE-----\n");
    let pieces = ["-", "\n", begin, &empty, "{", "A", &pem];
    // Past what is taken in at all, and just below it.
    for size in [1 << 20, 120 << 10] {
        noise::repeated(size, pieces, Duration::from_secs(20), read);
    }
}

const PIECES: [&str; 12] = [
    "-----BEGIN CERTIFICATE-----\n",
    "-----END CERTIFICATE-----\n",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----END PRIVATE KEY-----\n",
    "-----BEGIN ",
    "-----",
    "\n",
    "\r\n",
    "MAA=\n",
    "====",
    "\u{feff}",
    "Proc-Type: 4,ENCRYPTED\n",
];
