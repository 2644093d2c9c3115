//! Does any text make a reader of certificates and keys panic, hang, or keep what is no certificate?

#![expect(clippy::unwrap_used, reason = "tests fail where their helpers do")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rcgen::{CertificateParams, KeyPair};
use renewal::secret::Secret;

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

fn seeded(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]))
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
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    seeded(1_000)
        .run(&noise, |bytes| {
            read(&bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn bent_certificates_are_read_by_all() {
    let (pem, key, der) = pair();
    let whole = format!("{pem}junk\n{key}\r\n{pem}").into_bytes();
    let bend = |text: Vec<u8>| {
        let length = text.len();
        prop::collection::vec((0..length, any::<u8>()), 0..6).prop_map(move |bends| {
            let mut bent = text.clone();
            for (at, byte) in bends {
                bent[at] = byte;
            }
            bent
        })
    };
    seeded(1_500)
        .run(&bend(whole), |bytes| {
            read(&bytes);
            Ok(())
        })
        .unwrap();
    // Below the PEM: the encoding of the certificate itself, whole again as PEM.
    seeded(1_500)
        .run(&bend(der), |bytes| {
            read(&bytes);
            read(in_pem(&bytes).as_bytes());
            Ok(())
        })
        .unwrap();
}

#[test]
fn pieces_of_pem_are_read_by_all() {
    let (pem, key, _) = pair();
    let mut pieces: Vec<String> = [
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
    ]
    .map(str::to_owned)
    .into();
    pieces.extend(
        pem.lines()
            .chain(key.lines())
            .map(|line| format!("{line}\n")),
    );
    let text = prop::collection::vec(prop::sample::select(pieces), 1..25);
    let text = text.prop_map(|pieces| pieces.concat());
    seeded(3_000)
        .run(&text, |text| {
            read(text.as_bytes());
            Ok(())
        })
        .unwrap();
}

#[test]
fn large_texts_take_linear_time() {
    let (pem, ..) = pair();
    for piece in [
        "-",
        "\n",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "{",
        "A",
        &pem,
    ] {
        // Past what is taken in at all, and just below it.
        for size in [1 << 20, 120 << 10] {
            let text = piece.repeat(size / piece.len());
            let begun = Instant::now();
            read(text.as_bytes());
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(20), "{piece}: {took:?}");
        }
    }
}
