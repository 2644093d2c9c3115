//! Are key and chain found in whatever order and mix people keep them?

use expect_test::{Expect, expect};

use super::{Bundle, Source};

const SEC1: &str = include_str!("../../testdata/ec-sec1.key");
const PKCS1: &str = include_str!("../../testdata/rsa-pkcs1.key");
const ED25519: &str = include_str!("../../testdata/ed25519.key");
const ENCRYPTED: &str = include_str!("../../testdata/encrypted.key");
const EC: &str = include_str!("../../testdata/ec-chain.pem");
const EC_ROOT: &str = include_str!("../../testdata/ec-root.pem");
const RSA: &str = include_str!("../../testdata/rsa-chain-with-text.pem");

/// What `openssl ecparam -genkey` puts in front of a key.
const PARAMETERS: &str =
    "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";

#[track_caller]
fn check(texts: &[&str], expect: Expect) {
    expect.assert_eq(&told(texts));
}

fn told(texts: &[&str]) -> String {
    let files: Vec<Source<'_>> = texts
        .iter()
        .map(|text| Source {
            name: "a.pem",
            text: text.as_bytes(),
        })
        .collect();
    match Bundle::read(&files) {
        Ok(bundle) => {
            let kind = bundle
                .key
                .reveal()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            format!(
                "{kind} and {} certificates, fault: {:?}, left out: {}",
                bundle.chain.ders().len(),
                bundle.chain.fault(),
                bundle.left_out
            )
        }
        Err(error) => error.to_string(),
    }
}

/// Returns the certificates of a text, in the opposite order.
fn reversed(text: &str) -> String {
    let end = "-----END CERTIFICATE-----";
    let mut blocks: Vec<&str> = text.split_inclusive(end).collect();
    blocks.reverse();
    blocks.join("\n")
}

#[test]
fn key_and_chain_are_found_in_any_order() {
    let leaf = EC
        .split_inclusive("-----END CERTIFICATE-----")
        .next()
        .unwrap();
    let issuers = &EC[leaf.len()..];
    let crlf = |text: &str| text.replace('\n', "\r\n");
    for texts in [
        &[SEC1, EC][..],
        &[SEC1, leaf, issuers],
        &[SEC1, issuers, leaf],
        &[&format!("{SEC1}{EC}")],
        &[&format!("{EC}{SEC1}")],
        &[SEC1, &reversed(EC)],
        &[SEC1, EC, EC],
        &[&format!("{PARAMETERS}{SEC1}"), EC],
        &[&crlf(SEC1), &crlf(EC)],
        &[
            &format!("Bag Attributes\n  friendlyName: a\n{SEC1}"),
            &format!("\u{feff}subject=CN = a.test\n{EC}"),
        ],
    ] {
        let expected =
            "-----BEGIN EC PRIVATE KEY----- and 2 certificates, fault: None, left out: 0";
        assert_eq!(told(texts), expected, "{texts:?}");
    }
}

#[test]
fn each_kind_of_key_is_read_and_keeps_its_form() {
    check(
        &[PKCS1, RSA],
        expect!["-----BEGIN RSA PRIVATE KEY----- and 2 certificates, fault: None, left out: 0"],
    );
    check(
        &[ED25519, include_str!("../../testdata/ed25519.pem")],
        expect!["-----BEGIN PRIVATE KEY----- and 1 certificates, fault: None, left out: 0"],
    );
}

#[test]
fn what_belongs_to_no_link_is_left_out_and_a_root_may_stay() {
    check(
        &[SEC1, EC, EC_ROOT],
        expect!["-----BEGIN EC PRIVATE KEY----- and 2 certificates, fault: None, left out: 0"],
    );
    check(
        &[SEC1, RSA, EC],
        expect!["-----BEGIN EC PRIVATE KEY----- and 2 certificates, fault: None, left out: 2"],
    );
}

#[test]
fn what_does_not_fit_is_named() {
    check(&[EC], expect!["there is no private key in it"]);
    check(&[SEC1], expect!["there is no certificate in it"]);
    check(&["", ""], expect!["there is no private key in it"]);
    check(
        &[SEC1, RSA],
        expect![
            "the private key belongs to none of the certificates: “shop.example.com”, “Practice RSA R1”"
        ],
    );
    check(
        &[SEC1, PKCS1, EC, RSA],
        expect!["there are several certificates with their keys in it; give one"],
    );
    check(
        &[ENCRYPTED, EC],
        expect!["a.pem: the private key in it is protected by a passphrase"],
    );
    check(
        &[&SEC1[..SEC1.len() - 40], EC],
        expect!["a.pem: a PEM block is damaged: its END line is missing"],
    );
    check(
        &[
            "-----BEGIN PRIVATE KEY-----\nMAMBAf8=\n-----END PRIVATE KEY-----",
            EC,
        ],
        expect![
            "a.pem: the private key in it cannot be used: neither RSA of 2048 bits or more, ECDSA nor Ed25519"
        ],
    );
    check(
        &[
            SEC1,
            "-----BEGIN CERTIFICATE-----\nMAMBAf8=\n-----END CERTIFICATE-----",
        ],
        expect!["a.pem: certificate 1 is not usable: it is no X.509 certificate"],
    );
}
