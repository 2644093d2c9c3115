//! Does a key fit its certificate and no other?

use expect_test::{Expect, expect};
use renewal::certificate::KeyType;
use renewal::name::Name;
use renewal::names::Names;
use renewal::secret::Secret;
use x509_parser::prelude::FromDer as _;

use super::{fits, generate};
use crate::chain::Chain;
use crate::request::request;

const SEC1: &str = include_str!("../../testdata/ec-sec1.key");
const PKCS1: &str = include_str!("../../testdata/rsa-pkcs1.key");
const ED25519: &str = include_str!("../../testdata/ed25519.key");
const ENCRYPTED: &str = include_str!("../../testdata/encrypted.key");
const EC: &[u8] = include_bytes!("../../testdata/ec-chain.pem");
const RSA: &[u8] = include_bytes!("../../testdata/rsa-chain-with-text.pem");
const ED: &[u8] = include_bytes!("../../testdata/ed25519.pem");

#[track_caller]
fn check(key: &str, certificate: &[u8], expect: Expect) {
    let chain = Chain::read(certificate).unwrap();
    let answer = match fits(&Secret::new(key.to_owned()), chain.leaf_der()) {
        Ok(true) => "fits".to_owned(),
        Ok(false) => "does not fit".to_owned(),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&answer);
}

#[test]
fn the_key_of_a_certificate_fits_it_and_no_other() {
    check(SEC1, EC, expect!["fits"]);
    check(PKCS1, RSA, expect!["fits"]);
    check(ED25519, ED, expect!["fits"]);
    check(&SEC1.replace('\n', "\r\n"), EC, expect!["fits"]);
    check(SEC1, RSA, expect!["does not fit"]);
    check(PKCS1, EC, expect!["does not fit"]);
    check(ED25519, EC, expect!["does not fit"]);
}

#[test]
fn what_is_no_key_is_refused_without_being_shown() {
    check("", EC, expect!["there is no private key in it"]);
    check(
        std::str::from_utf8(EC).unwrap(),
        EC,
        expect!["there is no private key in it"],
    );
    check(
        ENCRYPTED,
        EC,
        expect!["the private key in it is protected by a passphrase"],
    );
    check(
        &SEC1[..SEC1.len() - 40],
        EC,
        expect!["a PEM block is damaged: its END line is missing"],
    );
    check(
        "-----BEGIN PRIVATE KEY-----\nMAMBAf8=\n-----END PRIVATE KEY-----",
        EC,
        expect![
            "the private key in it cannot be used: neither RSA of 2048 bits or more, ECDSA nor Ed25519"
        ],
    );
}

#[test]
fn every_kind_of_key_signs_a_request_for_all_names() {
    let names = ["a.test", "www.a.test", "192.0.2.7", "2001:db8::7"];
    let names = Names::new(names.map(|name| Name::parse(name).unwrap())).unwrap();
    for kind in [
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::Rsa2048,
        KeyType::Rsa3072,
        KeyType::Rsa4096,
    ] {
        let key = generate(kind).unwrap();
        assert!(
            key.reveal().starts_with("-----BEGIN PRIVATE KEY-----\n"),
            "{kind:?}"
        );
        let der = request(&key, &names).unwrap();
        let (rest, parsed) =
            x509_parser::certification_request::X509CertificationRequest::from_der(&der).unwrap();
        assert!(rest.is_empty());
        parsed.verify_signature().unwrap();
        assert_eq!(
            parsed.certification_request_info.subject.iter().count(),
            0,
            "no subject"
        );
        let extensions = parsed.requested_extensions().unwrap().next().unwrap();
        let text = format!("{extensions:?}");
        assert!(
            text.contains("a.test") && text.contains("IPAddress"),
            "{text}"
        );
    }
}
