//! What do the tests share? An nginx of testkit's, and the adapter that looks after it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::slice::from_ref;
use std::time::Duration;

use jiff::Timestamp;
use nginx::{NginxHost, Reload, Settings};
use renewal::deployment::Switch;
use renewal::name::Name;
use renewal::ports::{Change, Host as _, HostFailure, Issued, Known, Look, Staged};
use renewal::secret::Secret;
use renewal::site::Site;
use testkit::certificate::{Authority, Days, Pair};
use testkit::nginx::Nginx;

/// An nginx, its sites and the adapter.
pub(super) struct Rig {
    pub(super) nginx: Nginx,
    pub(super) host: NginxHost,
    pub(super) authority: Authority,
}

impl Rig {
    pub(super) fn new(nginx: Nginx) -> Self {
        Self::with(nginx, |_| {})
    }

    pub(super) fn with(nginx: Nginx, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            config: nginx.config(),
            prefix: Some(nginx.folder().to_owned()),
            reload: Reload::Signal,
            https_port: nginx.https_port(),
            http01_port: nginx.http_port(),
            letsencrypt: nginx.folder().join("letsencrypt"),
            state: nginx.folder().join("state"),
            ..Settings::default()
        };
        change(&mut settings);
        Self {
            nginx,
            host: NginxHost::new(settings),
            authority: Authority::new("Rig"),
        }
    }

    pub(super) async fn look(&self) -> Look {
        self.host.look(&Known::new()).await.unwrap()
    }

    pub(super) async fn site(&self, domain: &str) -> Site {
        let sites = self.look().await.sites;
        let site = sites
            .into_iter()
            .find(|site| site.domain().as_str() == domain);
        site.unwrap_or_else(|| panic!("{domain} is no site"))
    }

    pub(super) fn issue(&self, site: &Site) -> Pair {
        let names: Vec<&str> = site.wanted.iter().map(Name::as_str).collect();
        self.authority.issue(&names, Days::left(89))
    }

    pub(super) async fn stage(&self, site: &Site) -> Result<Staged, HostFailure> {
        let pair = self.issue(site);
        let key = Secret::new(pair.key.clone());
        self.host.keep_key(site.domain(), &key).await.unwrap();
        let issued = Issued {
            chains: vec![pair.fullchain()],
        };
        self.host.stage(site, &key, &issued, now()).await
    }

    /// Stages a certificate for each site and works out how to deploy them together.
    pub(super) async fn prepare(&self, sites: &[Site]) -> Vec<Result<Switch, HostFailure>> {
        let mut staged = Vec::new();
        for site in sites {
            staged.push(self.stage(site).await.unwrap());
        }
        let changes: Vec<Change<'_>> = sites
            .iter()
            .zip(&staged)
            .map(|(site, staged)| Change::Serve {
                site,
                version: staged.version,
                serves: staged.certificate.sha256,
            })
            .collect();
        self.host.prepare(&changes).await
    }

    /// Deploys a new certificate for the site and sees that it is served.
    pub(super) async fn deploy(&self, site: &Site) {
        let switch = self
            .prepare(std::slice::from_ref(site))
            .await
            .remove(0)
            .unwrap();
        self.host.switch(from_ref(&switch)).await.unwrap();
        self.host.test().await.unwrap();
        self.host.reload().await.unwrap();
        let expected = switch.links.as_ref().unwrap().serves;
        let served = self.host.served(site, Some(expected), PATIENCE).await;
        assert!(!served.is_empty());
        for served in served {
            assert!(served.ok, "{served:?}\n{}", self.nginx.error_log());
        }
        self.host.settle(from_ref(&switch)).await;
    }

    /// Takes down the content, inode and times of all files below the nginx folder that a reload does not change.
    pub(super) fn files(&self) -> BTreeMap<PathBuf, (u64, i64, Vec<u8>)> {
        let mut files = BTreeMap::new();
        for folder in [
            "sites-enabled",
            "letsencrypt",
            "ssl-certificates",
            "htdocs",
            "state",
        ] {
            collect(&self.nginx.folder().join(folder), &mut files);
        }
        files
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, (u64, i64, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let facts = path.symlink_metadata().unwrap();
        if facts.is_dir() {
            collect(&path, files);
            continue;
        }
        let content = if facts.is_symlink() {
            fs::read_link(&path)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes()
        } else {
            fs::read(&path).unwrap()
        };
        files.insert(path, (facts.ino(), facts.mtime_nsec(), content));
    }
}

/// Writes a file as an admin would with an editor.
#[expect(clippy::disallowed_methods, reason = "nobody needs it after a crash")]
pub(super) fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "the certificates of testkit are valid now"
)]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// Much more than a reload takes, on the busiest machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
