//! Is an unchanged certificate read once, and a changed one again?

use super::*;
use crate::testing::{Ca, put, self_signed};

#[test]
fn a_file_that_did_not_change_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let made = Ca::new().issue(&["a.test"], (3, 6));
    made.write(folder.path(), "a");
    let (path, key) = (folder.path().join("a.crt"), folder.path().join("a.key"));

    let mut first = Known::new();
    let mut certificates = Certificates::new(&first);
    let pair = certificates.pair(&path, &key).unwrap();
    assert_eq!(*pair.certificate, made.leaf());
    assert!(pair.key_fits);
    let read = certificates.into_read();
    first.extend(read);

    let mut seen = first.get(&path).unwrap().clone();
    Arc::make_mut(&mut seen.certificate).issuer = "as remembered".into();
    let known = Known::from_iter([(path.clone(), seen)]);
    let mut certificates = Certificates::new(&known);
    let pair = certificates.pair(&path, &key).unwrap();
    assert_eq!(pair.certificate.issuer, "as remembered");
    assert!(certificates.into_read().is_empty());

    self_signed(&["b.test"]).write(folder.path(), "a");
    let mut certificates = Certificates::new(&known);
    let pair = certificates.pair(&path, &key).unwrap();
    assert!(pair.certificate.self_signed && pair.key_fits);
}

#[test]
fn a_key_that_is_another_or_missing_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    ca.issue(&["a.test"], (3, 6)).write(folder.path(), "a");
    ca.issue(&["b.test"], (3, 6)).write(folder.path(), "b");
    put(&folder.path().join("c.key"), "no key");
    let path = folder.path().join("a.crt");
    for key in ["b.key", "c.key", "d.key"] {
        let known = Known::new();
        let pair = Certificates::new(&known).pair(&path, &folder.path().join(key));
        assert!(!pair.unwrap().key_fits, "{key}");
    }
}

#[test]
fn what_is_no_certificate_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.crt");
    let known = Known::new();
    let mut certificates = Certificates::new(&known);
    let error = certificates.pair(&path, &path).unwrap_err().to_string();
    assert!(error.contains("a.crt: No such file"), "{error}");
    put(&path, "hello");
    let error = certificates.pair(&path, &path).unwrap_err().to_string();
    assert!(
        error.ends_with("a.crt: there is no certificate in it"),
        "{error}"
    );
}

#[test]
fn a_key_that_cannot_be_read_now_is_not_said_not_to_fit_and_that_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    Ca::new()
        .issue(&["a.test"], (3, 6))
        .write(folder.path(), "a");
    let path = folder.path().join("a.crt");
    let known = Known::new();
    let mut certificates = Certificates::new(&known);
    // No file system takes such a name; a disk that fails cannot be had in a test.
    let key = folder.path().join("k".repeat(300));
    let error = certificates.pair(&path, &key).unwrap_err();
    assert!(error.says_nothing(), "{error}");
    assert!(certificates.into_read().is_empty());
    let missing = Certificates::new(&known).pair(&folder.path().join("b.crt"), &key);
    assert!(!missing.unwrap_err().says_nothing());
}
