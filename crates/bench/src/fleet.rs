//! How does a host look that has had its certificates for a while: thousands of lineages, and a vhost for each?
//!
//! Made in seconds, by one practice CA. Every lineage has its own certificate and key, as certbot leaves them; all have
//! most of their life before them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use testkit::certificate::{Authority, Days};
use testkit::host::Host;
use testkit::lineage;
use testkit::nginx::Site;

use crate::host;

/// Lineages in a folder of their own, taken away when dropped.
pub(crate) struct Lineages {
    folder: TempDir,
}

impl Lineages {
    /// Makes that many, named as [`host::domain`] says.
    pub(crate) fn make(count: usize) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("fleet-").tempdir()?;
        let letsencrypt = folder.path().join("letsencrypt");
        let authority = Authority::new("Fleet");
        for index in 0..count {
            let domain = host::domain(index);
            let pair = authority.issue(
                &[&domain],
                Days {
                    since: 10,
                    left: 80,
                },
            );
            lineage::write(&letsencrypt, &domain, 1, &pair);
        }
        Ok(Self { folder })
    }

    /// Returns the folder that stands for `/etc/letsencrypt`.
    pub(crate) fn letsencrypt(&self) -> PathBuf {
        self.folder.path().join("letsencrypt")
    }

    /// Starts a host whose nginx serves them.
    pub(crate) fn serve(&self, count: usize) -> Host {
        let sites = (0..count).map(|index| {
            let domain = host::domain(index);
            let live = self.letsencrypt().join("live").join(&domain);
            Site::files(&domain).certificate(live.join("fullchain.pem"), live.join("privkey.pem"))
        });
        let mut host = Host::start(sites);
        host.set("paths", "letsencrypt", &format!("{:?}", self.letsencrypt()));
        host
    }

    /// Makes certbot believe that they came from the CA at the directory.
    pub(crate) fn come_from(&self, directory: &str) -> io::Result<()> {
        for entry in fs::read_dir(self.letsencrypt().join("renewal"))? {
            rewrite(&entry?.path(), "https://ca.invalid/directory", directory)?;
        }
        Ok(())
    }
}

fn rewrite(file: &Path, from: &str, to: &str) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    fs::write(file, text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::Lineages;
    use testkit::openssl;

    #[test]
    fn every_lineage_has_a_certificate_of_its_own_with_its_key() {
        let fleet = Lineages::make(3).unwrap();
        let live = |index| {
            fleet
                .letsencrypt()
                .join("live")
                .join(crate::host::domain(index))
        };
        let served: std::collections::BTreeSet<_> = (0..3)
            .map(|index| openssl::sha256(&live(index).join("cert.pem")))
            .collect();
        assert_eq!(served.len(), 3);
        assert!(openssl::key_fits(
            &live(2).join("fullchain.pem"),
            &live(2).join("privkey.pem")
        ));
    }
}
