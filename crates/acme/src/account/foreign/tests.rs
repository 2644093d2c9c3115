//! Is another client's key read as what it is, and its account kept and given back?

use super::{ForeignAccount, Takeover, give_back, pem_of_jwk, take_over, thumbprint_of};
use crate::account::{AccountFile, Record};
use renewal::policy::Ca;
use renewal::secret::Secret;

/// Keys as certbot's library writes them, made by it, with the thumbprints that it computes.
const RSA: &str = include_str!("../../../testdata/jwk-rsa.json");
const P256: &str = include_str!("../../../testdata/jwk-p256.json");
const P384: &str = include_str!("../../../testdata/jwk-p384.json");
const RSA_THUMBPRINT: &str = "QjzrRlkp2bLpUlrvHEnkS6ivatvd9c0z059vu17Imcs";

fn pem(jwk: &str) -> Option<Secret> {
    pem_of_jwk(&Secret::new(jwk.to_owned())).ok()
}

#[test]
fn a_jwk_becomes_the_same_key_in_pem() {
    for (jwk, thumbprint) in [
        (RSA, RSA_THUMBPRINT),
        (P256, "US0v41frcL27jOgPJ_MPcdS3sGhhaMKgw0iEMGQ-kr8"),
        (P384, "vjveveyB1mJf0aE7sj3hJJuMN-TBrABbM1LiQRHAFIE"),
    ] {
        assert_eq!(
            thumbprint_of(&pem(jwk).unwrap()).as_deref(),
            Some(thumbprint)
        );
    }
}

#[test]
fn what_is_no_private_key_is_refused_without_being_shown() {
    let public = r#"{"kty": "RSA", "n": "AQAB", "e": "AQAB"}"#;
    for text in ["", "{}", "[1]", public, r#"{"kty": "oct", "k": "AA"}"#] {
        assert!(pem(text).is_none(), "{text}");
    }
    assert!(pem(&P256.replace("P-256", "P-521")).is_none());
    assert!(pem(&P256.replace("\"d\": \"", "\"d\": \"!")).is_none());
    let error = pem_of_jwk(&Secret::new(P256.replace("EC", "RSA"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it holds no RSA, P-256 or P-384 key as a JWK"
    );
}

fn theirs(jwk: &str) -> ForeignAccount {
    ForeignAccount {
        key: pem(jwk).unwrap(),
        url: Some("https://ca.test/account/7".to_owned()),
        contact: vec!["admin@a.test".to_owned()],
        created_at: "2025-02-01T00:00:00Z".parse().unwrap(),
    }
}

#[test]
fn an_account_is_taken_over_once_and_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca("https://ca.test/directory".into());
    let file = AccountFile::new(folder.path(), &ca);
    let taken = Takeover::Taken(file.path().to_owned());
    assert_eq!(take_over(&file, &ca, &theirs(RSA), false).unwrap(), taken);
    assert!(file.read().unwrap().is_none(), "it was only asked for");
    assert_eq!(take_over(&file, &ca, &theirs(RSA), true).unwrap(), taken);
    let kept = file.read().unwrap().unwrap();
    assert_eq!(kept.url.as_deref(), Some("https://ca.test/account/7"));
    let same = Takeover::Same(file.path().to_owned());
    assert_eq!(take_over(&file, &ca, &theirs(RSA), true).unwrap(), same);
    let another = Takeover::Another(file.path().to_owned());
    assert_eq!(take_over(&file, &ca, &theirs(P256), true).unwrap(), another);
    assert_eq!(file.read().unwrap().unwrap().key, kept.key, "ours stays");
    assert!(give_back(&file, RSA_THUMBPRINT).unwrap());
    assert!(file.read().unwrap().is_none());
    assert!(give_back(&file, RSA_THUMBPRINT).unwrap(), "a second time");
}

#[test]
fn an_account_whose_key_was_changed_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca("https://ca.test/directory".into());
    let file = AccountFile::new(folder.path(), &ca);
    take_over(&file, &ca, &theirs(RSA), true).unwrap();
    let record = file.read().unwrap().unwrap();
    let key = pem(P256).unwrap().reveal().to_owned();
    let key = key.into();
    file.replace(&Record { key, ..record }).unwrap();
    assert!(!give_back(&file, RSA_THUMBPRINT).unwrap());
    assert!(file.read().unwrap().is_some());
}
