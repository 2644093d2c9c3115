//! Is a chain judged rightly, whole or broken?

use expect_test::{Expect, expect};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::{Chain, leaf};

const RSA: &[u8] = include_bytes!("../../testdata/rsa-chain-with-text.pem");
const RSA_ROOT: &[u8] = include_bytes!("../../testdata/rsa-root.pem");
const EC: &[u8] = include_bytes!("../../testdata/ec-chain.pem");
const EC_ROOT: &[u8] = include_bytes!("../../testdata/ec-root.pem");
const SELF_SIGNED: &[u8] = include_bytes!("../../testdata/self-signed-p521.pem");

/// Root, intermediate and leaf, each in PEM.
struct Made {
    root: String,
    intermediate: String,
    leaf: String,
    lone: String,
}

fn ca(name: &str, below: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(below);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    params
}

fn made() -> Made {
    let keys = [(); 3].map(|()| KeyPair::generate().unwrap());
    let root_params = ca("Root", BasicConstraints::Unconstrained);
    let root = root_params.self_signed(&keys[0]).unwrap().pem();
    let root_issuer = Issuer::from_params(&root_params, &keys[0]);
    let intermediate_params = ca("Middle", BasicConstraints::Constrained(0));
    let intermediate = intermediate_params
        .signed_by(&keys[1], &root_issuer)
        .unwrap()
        .pem();
    let intermediate_issuer = Issuer::from_params(&intermediate_params, &keys[1]);
    let mut leaf_params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    leaf_params.distinguished_name = rcgen::DistinguishedName::new();
    leaf_params.use_authority_key_identifier_extension = true;
    Made {
        root,
        intermediate,
        leaf: leaf_params
            .signed_by(&keys[2], &intermediate_issuer)
            .unwrap()
            .pem(),
        lone: leaf_params.signed_by(&keys[2], &root_issuer).unwrap().pem(),
    }
}

#[track_caller]
fn check(pem: impl AsRef<[u8]>, expect: Expect) {
    let answer = match Chain::read(pem.as_ref()) {
        Ok(chain) => chain.fault().unwrap_or_else(|| "whole".to_owned()),
        Err(error) => format!("refused: {error}"),
    };
    expect.assert_eq(&answer);
}

#[test]
fn a_whole_chain_is_whole() {
    let Made {
        root,
        intermediate,
        leaf,
        lone,
    } = made();
    check(format!("{leaf}{intermediate}"), expect!["whole"]);
    check(format!("{leaf}{intermediate}{root}"), expect!["whole"]);
    check(format!("{lone}{root}"), expect!["whole"]);
    check(RSA, expect!["whole"]);
    check([RSA, RSA_ROOT].concat(), expect!["whole"]);
    check(EC, expect!["whole"]);
    check(SELF_SIGNED, expect!["whole"]);
}

#[test]
fn a_lone_leaf_is_whole_only_below_a_known_root() {
    let Made {
        root, leaf, lone, ..
    } = made();
    check(
        &leaf,
        expect!["the certificate of its issuer, “Middle”, is missing"],
    );
    let roots = Chain::read(root.as_bytes()).unwrap();
    let fault = |pem: &str| {
        Chain::read(pem.as_bytes())
            .unwrap()
            .fault_with(roots.ders())
    };
    assert_eq!(fault(&lone), None);
    assert!(fault(&leaf).is_some());
}

#[test]
fn a_broken_link_is_named() {
    let Made {
        root,
        intermediate,
        leaf,
        lone,
    } = made();
    check(
        format!("{leaf}{root}{intermediate}"),
        expect!["“the leaf” is followed by “Root”, but was issued by “Middle”"],
    );
    check(
        format!("{leaf}{intermediate}{intermediate}"),
        expect!["the certificate of “Middle” stands in it twice"],
    );
    check(
        format!("{leaf}{intermediate}{lone}"),
        expect!["“Middle” is followed by “the leaf”, but was issued by “Root”"],
    );
    let stranger = made().intermediate;
    check(
        format!("{leaf}{stranger}"),
        expect!["“the leaf” is not signed by the key of “Middle”"],
    );
    let foreign = String::from_utf8_lossy(EC_ROOT);
    check(
        format!("{leaf}{intermediate}{root}{foreign}"),
        expect!["“Root” is followed by “Practice EC”, but was issued by “Root”"],
    );
}

#[test]
fn an_issuer_that_is_no_ca_or_may_not_have_one_below_it_is_named() {
    let keys = [(); 3].map(|()| KeyPair::generate().unwrap());
    let mut plain = CertificateParams::default();
    plain.distinguished_name.push(DnType::CommonName, "Plain");
    let plain_pem = plain.self_signed(&keys[0]).unwrap().pem();
    let issuer = Issuer::from_params(&plain, &keys[0]);
    let leaf = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    let leaf_pem = leaf.signed_by(&keys[1], &issuer).unwrap().pem();
    check(
        format!("{leaf_pem}{plain_pem}"),
        expect!["“Plain” is not the certificate of a CA"],
    );

    let top = ca("Top", BasicConstraints::Constrained(0));
    let top_pem = top.self_signed(&keys[0]).unwrap().pem();
    let below = ca("Below", BasicConstraints::Unconstrained);
    let below_pem = below
        .signed_by(&keys[1], &Issuer::from_params(&top, &keys[0]))
        .unwrap()
        .pem();
    let leaf_pem = leaf
        .signed_by(&keys[2], &Issuer::from_params(&below, &keys[1]))
        .unwrap()
        .pem();
    check(
        format!("{leaf_pem}{below_pem}{top_pem}"),
        expect!["“Top” does not allow so many CAs below it"],
    );
}

#[test]
fn what_people_do_to_files_is_forgiven() {
    let text = String::from_utf8_lossy(EC).into_owned();
    check(text.replace('\n', "\r\n"), expect!["whole"]);
    check(text.replace('\n', "  \n\t"), expect!["whole"]);
    check(format!("\u{feff}{text}"), expect!["whole"]);
    check(
        text.replace("-----BEGIN", "# from the CA\n-----BEGIN"),
        expect!["whole"],
    );
    check(text.trim_end(), expect!["whole"]);
}

#[test]
fn what_is_no_chain_is_refused() {
    check("", expect!["refused: there is no certificate in it"]);
    check(
        "<html>Not found</html>",
        expect!["refused: there is no certificate in it"],
    );
    check(
        &EC[..300],
        expect!["refused: a PEM block is damaged: its END line is missing"],
    );
    check(
        "-----BEGIN CERTIFICATE-----\n{\"status\": 404}\n-----END CERTIFICATE-----\n",
        expect!["refused: a PEM block is damaged: what stands in it is not base64"],
    );
    check(
        "-----BEGIN CERTIFICATE-----\nMAMBAf8=\n-----END CERTIFICATE-----\n",
        expect!["refused: certificate 1 in it is not usable: it is no X.509 certificate"],
    );
    check(
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        expect!["refused: certificate 1 in it is not usable: it is no X.509 certificate"],
    );
    check(
        EC.repeat(6),
        expect!["refused: it holds more than 10 certificates"],
    );
    check(
        vec![b'x'; 1 << 20],
        expect!["refused: it has 1048576 bytes, and 131072 are allowed"],
    );
    let trailing = Chain::read(EC)
        .unwrap()
        .leaf_der()
        .iter()
        .copied()
        .chain([0, 0])
        .collect::<Vec<u8>>();
    check(
        crate::pem::encode("CERTIFICATE", &trailing),
        expect!["refused: certificate 1 in it is not usable: 2 bytes follow it"],
    );
}

#[test]
fn a_chain_cut_or_bent_anywhere_never_panics_and_is_never_whole() {
    let chain = Chain::read(EC).unwrap();
    let der = chain.leaf_der();
    let issuers = chain.issuers_pem();
    for at in 0..der.len() {
        let mut bent = der.to_vec();
        bent[at] ^= 1 << (at % 8);
        let pem = crate::pem::encode("CERTIFICATE", &bent) + &issuers;
        if let Ok(chain) = Chain::read(pem.as_bytes()) {
            assert!(chain.fault().is_some(), "byte {at} may be changed unseen");
        }
        assert!(super::facts_of(&der[..at]).is_err());
    }
}

#[test]
fn one_that_is_named_as_its_issuer_is_self_signed_only_by_its_own_key() {
    let keys = [(); 2].map(|()| KeyPair::generate().unwrap());
    let mut same = ca("Same", BasicConstraints::Unconstrained);
    let facts = |pem: &str| leaf(pem.as_bytes()).unwrap();
    let own = same.self_signed(&keys[0]).unwrap().pem();
    assert!(facts(&own).self_signed);
    check(&own, expect!["whole"]);

    same.use_authority_key_identifier_extension = true;
    let other = same
        .signed_by(&keys[1], &Issuer::from_params(&same, &keys[0]))
        .unwrap()
        .pem();
    assert!(!facts(&other).self_signed);
    let own = same.self_signed(&keys[0]).unwrap().pem();
    assert!(facts(&own).self_signed);
}

#[test]
fn the_facts_are_read() {
    let facts = leaf(RSA).unwrap();
    let names: Vec<&str> = facts
        .names
        .iter()
        .map(renewal::name::Name::as_str)
        .collect();
    assert_eq!(
        names,
        [
            "shop.example.com",
            "*.example.com",
            "192.0.2.7",
            "2001:db8::7"
        ]
    );
    assert_eq!(facts.issuer, "Practice RSA R1");
    assert_eq!(facts.serial, "8765432100");
    assert_eq!(facts.id.unwrap().0, "TNBtE8KKOQsjNv2-JGVbD_zigSc.AIdlQyEA");
    assert_eq!(facts.valid.length().as_hours(), 90 * 24);
    assert!(!facts.self_signed);

    let old = leaf(EC).unwrap();
    assert_eq!(
        old.names[0].as_str(),
        "old.example.org",
        "the common name counts where nothing else does"
    );
    assert_eq!((old.issuer.as_str(), old.id), ("Practice EC", None));
    assert!(leaf(SELF_SIGNED).unwrap().self_signed);
    assert!(
        leaf(include_bytes!("../../testdata/ed25519.pem"))
            .unwrap()
            .self_signed
    );
}

#[test]
fn a_chain_is_written_as_it_was_read() {
    let Made {
        intermediate, leaf, ..
    } = made();
    let tidy = |text: &str| text.replace("\r\n", "\n");
    let chain = Chain::read(format!("{leaf}{intermediate}").as_bytes()).unwrap();
    assert_eq!(chain.leaf_pem(), tidy(&leaf));
    assert_eq!(chain.issuers_pem(), tidy(&intermediate));
    assert_eq!(chain.pem(), tidy(&format!("{leaf}{intermediate}")));
}
