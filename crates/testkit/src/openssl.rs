//! What does OpenSSL say about a certificate, a key, or what a server serves?
//!
//! A second opinion: none of these answers comes from code of ours or from a library we use.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::program::Program;

/// Says whether the certificate (the first in the file) is good for the name.
///
/// # Panics
///
/// When openssl cannot read the file.
#[must_use]
pub fn covers(certificate: &Path, name: &str) -> bool {
    x509(certificate, &["-checkhost", name]).contains("does match certificate")
}

/// Checks the certificate (the first in the file) up to a root, with the rest of its file in between.
///
/// # Errors
///
/// What openssl complained of.
pub fn verify(roots: &Path, fullchain: &Path) -> Result<(), String> {
    let output = Program::new("openssl")
        .args(["verify", "-no-CApath", "-no-CAstore"])
        .arg("-CAfile")
        .arg(roots)
        .arg("-untrusted");
    let output = output.arg(fullchain).arg(fullchain).run();
    if output.ok() {
        Ok(())
    } else {
        Err(output.stderr)
    }
}

/// Says whether the key belongs to the certificate (the first in the file).
///
/// # Panics
///
/// When openssl cannot read one of the two files.
#[must_use]
pub fn key_fits(certificate: &Path, key: &Path) -> bool {
    let public = Program::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(key)
        .run()
        .expect_ok();
    x509(certificate, &["-pubkey"]) == public
}

/// Returns the SHA-256 of the certificate (the first in the file), in lower-case hexadecimal.
///
/// # Panics
///
/// When openssl cannot read the file.
#[must_use]
pub fn sha256(certificate: &Path) -> String {
    fingerprint(&x509(certificate, &["-fingerprint", "-sha256"]))
}

/// Returns what openssl prints about a certificate with the given options, such as `-dates` or `-serial`.
///
/// # Panics
///
/// When openssl cannot read the file.
#[must_use]
pub fn x509(certificate: &Path, options: &[&str]) -> String {
    let program = Program::new("openssl")
        .args(["x509", "-noout", "-in"])
        .arg(certificate)
        .args(options);
    program.run().expect_ok()
}

/// Returns when the certificate in a PEM text ends, as `2026-12-01 09:00:00` in UTC.
///
/// # Panics
///
/// When openssl cannot read it.
#[must_use]
pub fn end(pem: &str) -> String {
    let printed = Program::new("openssl")
        .args(["x509", "-noout", "-enddate", "-dateopt", "iso_8601"])
        .input(pem)
        .run()
        .expect_ok();
    let (_, date) = printed
        .trim()
        .split_once('=')
        .expect("openssl prints a date after an equals sign");
    date.trim_end_matches('Z').to_owned()
}

/// Returns the SHA-256 of the leaf that a server serves for the name, in lower-case hexadecimal; `None` when it
/// refuses the handshake or nobody listens.
///
/// # Panics
///
/// When the server does neither within the time limit.
#[must_use]
pub fn served(address: SocketAddr, name: &str) -> Option<String> {
    let shown = Program::new("openssl").args(["s_client", "-connect", &address.to_string()]);
    let shown = shown
        .args(["-servername", name])
        // What is served is looked at, not judged: reading the system's roots takes most of the time.
        .args(["-no-CAfile", "-no-CApath", "-no-CAstore"])
        .limit(HANDSHAKE)
        .run()
        .stdout;
    if !shown.contains("-----BEGIN CERTIFICATE-----") {
        return None;
    }
    let printed = Program::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256"])
        .input(shown)
        .run();
    Some(fingerprint(&printed.expect_ok()))
}

/// Takes the bytes out of `sha256 Fingerprint=AB:CD:…`.
fn fingerprint(printed: &str) -> String {
    let (_, bytes) = printed
        .trim()
        .split_once('=')
        .expect("openssl prints a fingerprint after an equals sign");
    bytes.replace(':', "").to_lowercase()
}

/// How long one handshake may take; generous, for busy machines.
const HANDSHAKE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Days, self_signed};
    use crate::port::Port;

    #[test]
    fn a_key_of_another_certificate_does_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = self_signed(&["a.test"], Days::left(90)).write(folder.path(), "a");
        let (_, other) = self_signed(&["a.test"], Days::left(90)).write(folder.path(), "b");
        assert!(key_fits(&certificate, &key));
        assert!(!key_fits(&certificate, &other));
    }

    #[test]
    fn nothing_is_served_where_nobody_listens() {
        let port = Port::free();
        assert_eq!(served(port.v4(), "a.test"), None);
    }
}
