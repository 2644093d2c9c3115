//! Are the certificate that nginx is told to serve and its key in order?

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use renewal::certificate::Certificate;
use renewal::finding::{Finding, FindingName};
use serde::{Deserialize, Serialize};

use crate::reading;

/// A certificate and its key.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PairSeen {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
    /// The line that names them.
    pub place: String,
    /// What stands in the certificate; `None` when it cannot be read.
    pub leaf: Option<Certificate>,
    /// What the chain lacks.
    pub chain_fault: Option<String>,
    /// The mode of the key's file, when users other than its owner and group can reach and read it.
    pub readable_by_all: Option<u32>,
    /// When it was looked at.
    pub at: Timestamp,
}

/// Reads both; `roots` are trusted besides the public ones, in PEM.
#[must_use]
pub fn observe(
    certificate: &Path,
    key: &Path,
    place: String,
    roots: &[u8],
    at: Timestamp,
) -> PairSeen {
    let chain = reading::bytes(certificate)
        .ok()
        .and_then(|pem| x509::chain::Chain::read(&pem).ok());
    let roots = x509::chain::Chain::read(roots).ok();
    let roots = roots.as_ref().map_or(&[][..], |roots| roots.ders());
    PairSeen {
        chain_fault: chain.as_ref().and_then(|chain| chain.fault_with(roots)),
        leaf: chain.map(|chain| chain.leaf.clone()),
        readable_by_all: readable_by_all(key),
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        place,
        at,
    }
}

/// Returns the mode of the file when every user may read it: its own mode lets them, and every folder above lets
/// them pass.
fn readable_by_all(key: &Path) -> Option<u32> {
    let file = key.canonicalize().ok()?;
    let mode = |path: &Path| path.metadata().ok().map(|meta| meta.mode() & 0o7777);
    let own = mode(&file).filter(|mode| mode & 0o004 != 0)?;
    let open = file
        .ancestors()
        .skip(1)
        .all(|folder| mode(folder).is_some_and(|mode| mode & 0o001 != 0));
    open.then_some(own)
}

/// Judges them.
#[must_use]
pub fn judge(seen: &PairSeen) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (file, place) = (seen.certificate.display(), &seen.place);
    if let Some(leaf) = &seen.leaf {
        if leaf.self_signed {
            findings.push(
                Finding::new(
                    FindingName::CertificateSelfSigned,
                    "The certificate is signed by itself, so no browser trusts it.",
                )
                .detail(format!("{file}, named in {place}"))
                .fix("Obtain one from a CA: clpctl site:renew-certificates --domain=… gets a site its first."),
            );
        } else if leaf.valid.end() <= seen.at {
            findings.push(
                Finding::new(
                    FindingName::CertificateExpired,
                    "The certificate has expired, so browsers refuse the site.",
                )
                .detail(format!("{file} ended at {}", leaf.valid.end()))
                .fix(
                    "Mend what else is found here, then: clpctl site:renew-certificates --domain=…",
                ),
            );
        }
    }
    if let Some(fault) = &seen.chain_fault {
        findings.push(
            Finding::new(
                FindingName::ChainIncomplete,
                "The chain of the certificate is not whole, so programs that do not know its issuer refuse it.",
            )
            .detail(format!("{file}, named in {place}: {fault}"))
            .fix("Name fullchain.pem in ssl_certificate, or append the issuer's certificate to the file; then reload nginx."),
        );
    }
    if let Some(mode) = seen.readable_by_all {
        let key = seen.key.display();
        findings.push(
            Finding::new(
                FindingName::KeyReadableByOthers,
                "Every user of this host can read the private key.",
            )
            .detail(format!(
                "{key} has mode {mode:04o}, and no folder above it is closed"
            ))
            .fix(format!("chmod 600 {key}")),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{PairSeen, judge, observe};
    use expect_test::{Expect, expect};
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use testkit::certificate::{Authority, Days, Pair, self_signed};

    fn shown(seen: &PairSeen) -> String {
        let lines = judge(seen);
        let lines = lines
            .iter()
            .map(|finding| format!("{} {}", finding.name, finding.severity.as_str()));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Judges a pair on disk, with the key's file and its folder in these modes.
    fn check(pair: &Pair, whole: bool, modes: (u32, u32), expect: Expect) {
        let folder = tempfile::tempdir().unwrap();
        let set = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        let (certificate, key) = pair.write(folder.path(), "a.test");
        if !whole {
            std::io::Write::write_all(
                &mut std::fs::File::create(&certificate).unwrap(),
                pair.leaf.as_bytes(),
            )
            .unwrap();
        }
        set(&key, modes.0);
        set(folder.path(), modes.1);
        let now = "2100-01-01T00:00:00Z".parse().unwrap();
        let mut seen = observe(
            &certificate,
            &key,
            "/etc/nginx/a.conf:4".to_owned(),
            b"",
            now,
        );
        if let Some(leaf) = &seen.leaf {
            seen.at = leaf.valid.start();
        }
        // A recorded observation is judged as the seen one.
        let text = serde_json::to_string(&seen).unwrap();
        assert_eq!(serde_json::from_str::<PairSeen>(&text).unwrap(), seen);
        expect.assert_eq(&shown(&seen));
        seen.at = now;
        if seen.leaf.as_ref().is_some_and(|leaf| !leaf.self_signed) {
            assert!(shown(&seen).starts_with("certificate-expired error"));
        }
    }

    #[test]
    fn chain_dates_and_modes() {
        let issued = Authority::new("CA").issue(&["a.test"], Days::left(30));
        check(&issued, true, (0o600, 0o755), expect![""]);
        check(
            &issued,
            true,
            (0o644, 0o755),
            expect!["key-readable-by-others error"],
        );
        check(&issued, true, (0o644, 0o700), expect![""]);
        check(
            &issued,
            false,
            (0o600, 0o755),
            expect!["chain-incomplete error"],
        );
        let own = self_signed(&["a.test"], Days::left(30));
        check(
            &own,
            true,
            (0o600, 0o755),
            expect!["certificate-self-signed warning"],
        );
    }
}
