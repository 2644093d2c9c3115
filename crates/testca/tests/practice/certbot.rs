//! A client that no one here wrote gets along with the CA on a bad day.

use std::path::Path;
use std::time::Duration;

use testca::{Handle, Options, TestCa};
use testkit::openssl;
use testkit::port::Port;
use testkit::program::Program;

/// Runs certbot against the CA, and expects it to succeed.
#[track_caller]
fn certbot(ca: &Handle, folder: &Path, args: &[&str]) {
    let output = Program::new("certbot")
        .args(args)
        .arg("--non-interactive")
        .args(["--server", &ca.directory_url()])
        .arg("--config-dir")
        .arg(folder.join("config"))
        .arg("--work-dir")
        .arg(folder.join("work"))
        .arg("--logs-dir")
        .arg(folder.join("logs"))
        .env("REQUESTS_CA_BUNDLE", folder.join("ca.pem"))
        .limit(LIMIT)
        .run();
    assert!(
        output.ok(),
        "certbot failed:\n{}\n{}",
        output.stdout,
        output.stderr
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own folder needs no atomic writes"
)]
fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn certbot_obtains_and_revokes() {
    let port = Port::free();
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::start(Options {
        http_port: port.number(),
        ..Options::awkward(5)
    })
    .await
    .unwrap();
    write(&folder.path().join("ca.pem"), ca.ca_bundle_pem());
    write(&folder.path().join("roots.pem"), &ca.roots_pem());
    let number = port.number().to_string();
    // certbot is waited for on this thread, while the CA runs on another.
    tokio::task::block_in_place(|| {
        certbot(
            &ca,
            folder.path(),
            &[
                "certonly",
                "--standalone",
                "--http-01-address=127.0.0.1",
                "--http-01-port",
                &number,
                "--agree-tos",
                "--register-unsafely-without-email",
                "--domains=a.test,www.a.test",
            ],
        );
        let chain = folder.path().join("config/live/a.test/fullchain.pem");
        assert_eq!(
            openssl::verify(&folder.path().join("roots.pem"), &chain),
            Ok(())
        );
        assert!(openssl::covers(&chain, "www.a.test"));
        certbot(
            &ca,
            folder.path(),
            &["revoke", "--cert-name=a.test", "--no-delete-after-revoke"],
        );
    });
    assert_eq!(ca.issued(), 1);
    assert!(ca.is_revoked("a.test"));
}

/// certbot loads for seconds on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);
