//! How does a test get a host with CloudPanel on it?
//!
//! A [`Host`] whose nginx has the panel's vhosts, with homes, users and the panel's database. Its users are real to the
//! program: it runs where `/etc/passwd` has them.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::certificate::{Days, Pair, self_signed};
use crate::host::{Clpctl, Host};
use crate::openssl;
use crate::port::Port;

use super::vhost::{self, Parts, Shape};
use super::{Entry, PanelDatabase};

/// A host with CloudPanel.
#[derive(Debug)]
pub struct PanelHost {
    /// The host.
    pub host: Host,
    /// The panel's database.
    pub database: PanelDatabase,
    /// Ports of applications and back blocks; nobody else gets them.
    backs: Vec<Port>,
    users: Vec<String>,
}

/// A site to add.
#[derive(Clone, Copy, Debug)]
pub struct PanelSite<'a> {
    /// What it is called.
    pub domain: &'a str,
    /// What kind of vhost it has.
    pub shape: Shape,
    /// The other of apex and `www.`, where the panel redirects it.
    pub redirected: Option<&'a str>,
    /// More names that a person added to its vhost.
    pub aliases: &'a [&'a str],
    /// What its template puts below the domain's folder, such as `public`.
    pub below: &'a str,
    /// What the panel puts where its templates say `{{settings}}`: basic auth, blocked bots, Cloudflare's ranges.
    pub settings: &'a str,
}

impl<'a> PanelSite<'a> {
    /// A site of this kind with one name.
    #[must_use]
    pub fn new(domain: &'a str, shape: Shape) -> Self {
        Self {
            domain,
            shape,
            redirected: None,
            aliases: &[],
            below: "",
            settings: "",
        }
    }

    /// Returns its names in the vhost that a CA could prove.
    #[must_use]
    pub fn names(&self) -> Vec<&'a str> {
        let mut names = vec![self.domain];
        names.extend(self.redirected);
        names.extend(self.aliases);
        names
    }

    /// Returns its document root, below its user's `htdocs/`.
    pub(super) fn root(&self) -> String {
        let root = Path::new(self.domain).join(self.below);
        let root = root.to_str().expect("domains are plain");
        root.trim_end_matches('/').to_owned()
    }

    /// Returns the statements that make its entry, with this certificate of this type as the active one.
    pub(super) fn entry(&self, user: &str, kind: u8, pair: &Pair) -> String {
        let entry = Entry {
            domain: self.domain,
            kind: self.shape.kind(),
            user,
            root: &self.root(),
        };
        super::statements(&entry, kind, pair, &openssl::end(&pair.leaf))
    }
}

impl PanelHost {
    /// Makes a host without sites, whose nginx is not started yet.
    ///
    /// # Panics
    ///
    /// When the test does not run as root, or files cannot be written.
    #[must_use]
    #[track_caller]
    pub fn prepare() -> Self {
        let mut host = Host::prepare();
        let home = host.folder().join("home");
        let database = PanelDatabase::make(&home);
        database.belongs_to(CLP);
        let path = database
            .path()
            .to_str()
            .expect("temporary folders have plain names");
        host.set("host", "cloudpanel_database", &format!("{path:?}"));
        // As the panel has it: every document root is its user's, and links must not lead out.
        let main = fs::read_to_string(host.nginx.config()).expect("nginx.conf is there");
        let links = format!(
            "http {{\n    disable_symlinks if_not_owner from={}/;",
            home.display()
        );
        let main = main
            .replace("user www-data;", "user root;")
            .replacen("http {", &links, 1);
        fs::write(host.nginx.config(), main).expect("nginx.conf can be written");
        let catch_all =
            vhost::catch_all(&host.nginx.http_addresses(), &host.nginx.https_addresses());
        fs::write(host.nginx.vhost("default"), catch_all).expect("a vhost can be written");
        let mut panel = Self {
            host,
            database,
            backs: Vec::new(),
            users: Vec::new(),
        };
        panel.write_users();
        panel
    }

    /// Adds a site as the panel does: user, document root, vhost, and a self-signed certificate in record and files.
    ///
    /// # Panics
    ///
    /// When there is such a site.
    #[track_caller]
    pub fn add(&mut self, site: &PanelSite<'_>) {
        let first = self_signed(&[site.domain], Days::left(3650));
        self.add_with(site, 1, &first);
    }

    /// Adds a site whose active certificate is this one, of this type, in record and files.
    ///
    /// # Panics
    ///
    /// When there is such a site.
    #[track_caller]
    pub fn add_with(&mut self, site: &PanelSite<'_>, kind: u8, pair: &Pair) {
        self.add_many([(*site, kind, pair.clone())]);
    }

    /// Adds many sites at once.
    ///
    /// # Panics
    ///
    /// When there is such a site.
    #[track_caller]
    pub fn add_many<'a>(&mut self, sites: impl IntoIterator<Item = (PanelSite<'a>, u8, Pair)>) {
        let mut rows = String::from("BEGIN;\n");
        for (site, kind, pair) in sites {
            rows += &self.write(&site, kind, &pair);
        }
        let _ = self.database.run(&(rows + "COMMIT;\n"));
        self.write_users();
    }

    /// Writes a site's files; returns the statements that make its entry.
    fn write(&mut self, site: &PanelSite<'_>, kind: u8, pair: &Pair) -> String {
        let user = format!("user{}", self.users.len() + 1);
        let (root, entry) = (site.root(), site.entry(&user, kind, pair));
        let (_, key) = pair.write(&self.host.nginx.certificates(), site.domain);
        // As the panel leaves it; nobody but root gets as far as its folder.
        fs::set_permissions(key, fs::Permissions::from_mode(0o644)).expect("the file is ours");
        let folder = self.home().join(&user).join("htdocs").join(root);
        self.users.push(user);
        let number = FIRST_USER + u32::try_from(self.users.len()).expect("few");
        self.make_root(&folder, number);
        let certificates = self.host.nginx.certificates();
        let text = vhost::text(site.shape, &self.parts(site, &folder, &certificates));
        fs::write(self.host.nginx.vhost(site.domain), text).expect("a vhost can be written");
        entry
    }

    /// Gives the panel a domain of its own.
    ///
    /// # Panics
    ///
    /// When files cannot be written.
    #[track_caller]
    pub fn add_own(&mut self, domain: &str, pair: &Pair) {
        let root = self.home().join("clp/htdocs/app/files/public");
        self.make_root(&root, CLP);
        pair.write(&self.host.nginx.certificates(), "custom-domain");
        let site = PanelSite::new(domain, Shape::Php);
        let certificates = self.host.nginx.certificates();
        let text = vhost::own(&self.parts(&site, &root, &certificates));
        fs::write(self.host.nginx.vhost("custom-domain"), text).expect("a vhost can be written");
        let _ = self.database.run(&format!(
            "INSERT INTO config (key, value) VALUES ('custom_domain', '{domain}');"
        ));
    }

    /// Gives the program under test, where `/etc/passwd` has the host's users.
    #[must_use]
    pub fn clpctl(&self, program: impl Into<PathBuf>) -> Clpctl {
        let words = self.inside();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.host.clpctl(program).inside(&words)
    }

    /// Returns what starts a program where `/etc/passwd` has the host's users: in a mount namespace of its own.
    #[must_use]
    pub fn inside(&self) -> [String; 6] {
        let list = self.passwd().display().to_string();
        let line = format!("mount --bind {list} /etc/passwd && exec \"$@\"");
        ["unshare", "--mount", "sh", "-c", &line, "sh"].map(str::to_owned)
    }

    /// Returns the folder for homes.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.host.folder().join("home")
    }

    /// Takes a user out of `/etc/passwd`.
    ///
    /// # Panics
    ///
    /// When there is no such user.
    pub fn remove_user(&mut self, user: &str) {
        let place = self.users.iter().position(|known| known == user);
        self.users[place.expect("there is such a user")] = "somebody-else".to_owned();
        self.write_users();
    }

    fn parts<'a>(
        &mut self,
        site: &PanelSite<'a>,
        root: &'a Path,
        certificates: &'a Path,
    ) -> Parts<'a> {
        self.backs.push(Port::free());
        let number = self.backs.last().map_or(0, Port::number);
        let back = (Ipv4Addr::LOCALHOST, number).into();
        Parts {
            domain: site.domain,
            redirected: site.redirected,
            aliases: site.aliases,
            settings: site.settings,
            root,
            certificates,
            http: self.host.nginx.http_addresses(),
            https: self.host.nginx.https_addresses(),
            back,
        }
    }

    fn make_root(&self, root: &Path, user: u32) {
        fs::create_dir_all(root).expect("the document root can be made");
        fs::write(root.join("index.html"), "a page\n").expect("the page can be written");
        let home = self.home();
        let below = root.ancestors().take_while(|folder| *folder != home);
        for folder in below {
            chown(folder, Some(user), Some(user)).expect("root may give folders away");
            fs::set_permissions(folder, fs::Permissions::from_mode(0o750))
                .expect("the folder is ours");
        }
    }

    fn passwd(&self) -> PathBuf {
        self.host.folder().join("passwd")
    }

    fn write_users(&mut self) {
        let mut text = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n".to_owned();
        text += &format!(
            "clp:x:{CLP}:{CLP}::{}/clp:/bin/bash\n",
            self.home().display()
        );
        for (number, user) in (FIRST_USER + 1..).zip(&self.users) {
            text += &format!(
                "{user}:x:{number}:{number}::{}/{user}:/bin/bash\n",
                self.home().display()
            );
        }
        fs::write(self.passwd(), text).expect("the list can be written");
    }
}

/// The number of the user `clp`.
pub const CLP: u32 = 64_001;

/// The users of sites have the numbers after this one.
const FIRST_USER: u32 = 64_100;
