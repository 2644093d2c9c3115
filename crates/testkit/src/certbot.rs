//! What does the real certbot make of a host, and of the files we leave?

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pebble::Pebble;
use crate::program::Program;

/// Returns the newest certbot, which `./test --setup` puts into `target/tools/`.
///
/// # Panics
///
/// When it is not there.
#[must_use]
#[track_caller]
pub fn newest() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate lies in crates/");
    let program = root.join("target/tools/certbot-new/bin/certbot");
    assert!(
        program.exists(),
        "the newest certbot is not at {}. Run: ./test --setup",
        program.display()
    );
    program
}

/// Lets certbot obtain a certificate for the names through files in the document root. The first name becomes
/// the lineage's name; everything certbot keeps lies in `letsencrypt`.
///
/// # Panics
///
/// When certbot is not installed or fails; the message holds what it said.
#[track_caller]
pub fn issue(letsencrypt: &Path, pebble: &Pebble, document_root: &Path, names: &[&str]) {
    issue_with(
        DISTRIBUTED.as_ref(),
        letsencrypt,
        pebble,
        document_root,
        names,
        &[],
    );
}

/// The same, with a certbot of one's choice and more options.
///
/// # Panics
///
/// When that certbot is not installed or fails; the message holds what it said.
#[track_caller]
pub fn issue_with(
    program: &Path,
    letsencrypt: &Path,
    pebble: &Pebble,
    document_root: &Path,
    names: &[&str],
    options: &[&str],
) {
    let mut program = certbot(program, letsencrypt)
        .args([
            "certonly",
            "--non-interactive",
            "--agree-tos",
            "--register-unsafely-without-email",
        ])
        .args(["--server", &pebble.directory()])
        .env("REQUESTS_CA_BUNDLE", pebble.ca_bundle())
        .args(["--webroot", "--webroot-path"])
        .arg(document_root)
        .args(options);
    for name in names {
        program = program.args(["--domain", name]);
    }
    let output = program.run();
    assert!(
        output.ok(),
        "certbot failed:\n{}\n{}\n{}",
        output.stdout,
        output.stderr,
        pebble.log()
    );
}

/// Lets certbot renew all of its lineages, due or not.
///
/// # Panics
///
/// When that certbot is not installed or fails; the message holds what it said.
#[track_caller]
pub fn renew(program: &Path, letsencrypt: &Path, pebble: &Pebble) {
    let output = certbot(program, letsencrypt)
        .args(["renew", "--force-renewal", "--no-random-sleep-on-renew"])
        .env("REQUESTS_CA_BUNDLE", pebble.ca_bundle())
        .run();
    assert!(
        output.ok(),
        "certbot failed:\n{}\n{}\n{}",
        output.stdout,
        output.stderr,
        pebble.log()
    );
}

/// Returns what `certbot certificates` says about the lineages in `letsencrypt`.
///
/// # Panics
///
/// When certbot is not installed or fails.
#[must_use]
#[track_caller]
pub fn certificates(letsencrypt: &Path) -> String {
    let output = certbot(DISTRIBUTED.as_ref(), letsencrypt)
        .arg("certificates")
        .run();
    assert!(
        output.ok(),
        "certbot failed:\n{}\n{}",
        output.stdout,
        output.stderr
    );
    format!("{}{}", output.stdout, output.stderr)
}

fn certbot(program: &Path, letsencrypt: &Path) -> Program {
    let folder = |name: &str| letsencrypt.with_file_name(name);
    Program::new(program)
        .arg("--config-dir")
        .arg(letsencrypt)
        .arg("--work-dir")
        .arg(folder("certbot-work"))
        .arg("--logs-dir")
        .arg(folder("certbot-logs"))
        .limit(LIMIT)
}

/// The distribution's own.
pub const DISTRIBUTED: &str = "certbot";

/// How long certbot may take: it loads for a second, and polls at leisure.
const LIMIT: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::{Nginx, Site};
    use crate::openssl;

    #[test]
    fn a_certificate_is_issued_although_https_is_forced() {
        let nginx = Nginx::start([Site::cloudpanel("a.test").also("www.a.test")]);
        let pebble = Pebble::settings(nginx.http_port(), nginx.https_port()).start();
        let folder = tempfile::tempdir().unwrap();
        let letsencrypt = folder.path().join("letsencrypt");
        issue(
            &letsencrypt,
            &pebble,
            &nginx.document_root("a.test"),
            &["a.test", "www.a.test"],
        );
        let fullchain = letsencrypt.join("live/a.test/fullchain.pem");
        assert_eq!(openssl::verify(&pebble.root(), &fullchain), Ok(()));
        assert!(openssl::covers(&fullchain, "www.a.test"));
        assert!(certificates(&letsencrypt).contains("Certificate Name: a.test"));
        let counted = pebble.requests();
        assert_eq!((counted.new_order, counted.finalize), (1, 1), "{counted:?}");
        let serial = openssl::x509(&fullchain, &["-serial"]);
        let status = pebble.status_of(serial.trim().trim_start_matches("serial="));
        assert!(status.is_some_and(|status| status.contains("Valid")));
    }
}
