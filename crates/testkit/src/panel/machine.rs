//! How does a test get a whole machine with CloudPanel on it, whose paths, users and ports are the real ones?
//!
//! The machine is this one, seen through an overlay in namespaces of its own: what is written there, `/etc/passwd`
//! included, is in memory and gone with it, as are its processes. nginx runs there as on the panel's hosts, on ports 80 and 443 of a loopback
//! address that nobody else has, with `/etc/nginx/sites-enabled` and `/home/USER/htdocs`; the panel's database is where it
//! is, and its user `clp` may do anything by `sudo`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::certificate::{Days, Pair, self_signed};
use crate::openssl;
use crate::program::{self, Output, Program};

use super::host::PanelSite;
use super::vhost::{self, Parts};
use super::{PanelDatabase, SCHEMA};

/// A machine with CloudPanel.
#[derive(Debug)]
pub struct PanelMachine {
    /// Made the machine.
    holder: Child,
    /// The first process of the machine; all others there end with it.
    first: u32,
    running: Vec<Child>,
    /// The panel's database.
    pub database: PanelDatabase,
    address: Ipv4Addr,
    users: usize,
    folder: TempDir,
}

impl PanelMachine {
    /// Makes a machine without sites, on which the program is installed as `/usr/sbin/clpctl`.
    ///
    /// # Panics
    ///
    /// When the test does not run as root, or the kernel has no overlay file system.
    #[must_use]
    #[track_caller]
    pub fn prepare(clpctl: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("machine-")
            .tempdir()
            .expect("a temporary folder can be made");
        let mut holder = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-ec",
                OVERLAY,
            ])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare can be started; install the package util-linux");
        let mut said = String::new();
        let mut output = BufReader::new(holder.stdout.take().expect("it was asked for"));
        output.read_line(&mut said).expect("it answers");
        assert_eq!(said.trim(), "ready", "an overlay needs root and Linux 3.18");
        let number = holder.id();
        let children = fs::read_to_string(format!("/proc/{number}/task/{number}/children"));
        let children = children.expect("the kernel lists children");
        let first: u32 = children.trim().parse().expect("it has one child");
        let target = format!("--target={first}");
        let inside: Vec<&str> = ENTER.into_iter().chain([target.as_str()]).collect();
        // No two processes have the same number at once.
        let [_, third, high, low] = holder.id().to_be_bytes();
        let address = Ipv4Addr::new(127, 64 + third % 64, high, low);
        let machine = Self {
            holder,
            first,
            running: Vec::new(),
            database: PanelDatabase::at(Path::new(DATABASE), &inside),
            address,
            users: 0,
            folder,
        };
        machine.install(clpctl);
        machine
    }

    /// Puts there what CloudPanel's packages and ours do.
    fn install(&self, clpctl: &Path) {
        fs::copy(clpctl, self.path("/usr/sbin/clpctl")).expect("the program can be copied");
        let _ = self.run(INSTALL).expect_ok();
        self.write("/usr/bin/clpctl", PANELS_OWN, 0o755);
        self.write("/usr/bin/sudo", SUDO, 0o755);
        self.write("/usr/bin/systemctl", SYSTEMCTL, 0o755);
        self.write("/etc/cron.d/clp", CRON, 0o644);
        self.write("/etc/nginx/nginx.conf", NGINX, 0o644);
        let catch_all = vhost::catch_all(&[self.http()], &[self.https()]);
        self.write("/etc/nginx/sites-enabled/default.conf", &catch_all, 0o644);
        let _ = self.database.run(SCHEMA);
        let _ = self
            .run("chown clp:clp /home/clp/htdocs/app/data/db.sq3")
            .expect_ok();
    }

    /// Adds a site whose active certificate is this one, of this type; self-signed where there is none.
    ///
    /// # Panics
    ///
    /// When there is such a site.
    #[track_caller]
    pub fn add(&mut self, site: &PanelSite<'_>, issued: Option<(u8, &Pair)>) {
        let first;
        let (kind, pair) = match issued {
            Some(issued) => issued,
            None => {
                first = self_signed(&[site.domain], Days::left(3650));
                (1, &first)
            }
        };
        self.users += 1;
        let user = format!("site{}", self.users);
        let _ = self.database.run(&site.entry(&user, kind, pair));
        let below = site.root();
        let root = format!("/home/{user}/htdocs/{below}");
        let port = u16::try_from(self.users).expect("few");
        let _ = self.run(&format!("useradd --create-home {user} && su -s /bin/sh -c 'mkdir -p {root} && echo page > {root}/index.html' {user}")).expect_ok();
        self.write_pair(site.domain, pair);
        let text = vhost::text(
            site.shape,
            &self.parts(site, Path::new(&root), 20_000 + port),
        );
        self.write(
            &format!("/etc/nginx/sites-enabled/{}.conf", site.domain),
            &text,
            0o644,
        );
    }

    /// Adds a site that the panel knows nothing of, and has nginx take it up.
    ///
    /// # Panics
    ///
    /// When files cannot be written.
    #[track_caller]
    pub fn add_plain(&self, domain: &str, pair: &Pair) {
        let folder = format!("/srv/{domain}");
        self.write(&format!("{folder}/crt"), &pair.fullchain(), 0o644);
        self.write(&format!("{folder}/key"), &pair.key, 0o600);
        let (http, https) = (self.http(), self.https());
        let text = format!(
            "server {{\n  listen {http};\n  listen {https} ssl;\n  server_name {domain};\n  root {folder};\n  \
             ssl_certificate {folder}/crt;\n  ssl_certificate_key {folder}/key;\n}}\n"
        );
        self.write(
            &format!("/etc/nginx/sites-enabled/{domain}.conf"),
            &text,
            0o644,
        );
        let _ = self.run("nginx -s reload").expect_ok();
        let taken_up = || openssl::served(self.https(), domain).is_some();
        assert!(
            program::wait_until(START, taken_up),
            "nginx does not take it up"
        );
    }

    /// Gives the panel a domain of its own.
    ///
    /// # Panics
    ///
    /// When files cannot be written.
    #[track_caller]
    pub fn add_own(&self, domain: &str, pair: &Pair) {
        self.write_pair("custom-domain", pair);
        let site = PanelSite::new(domain, super::Shape::Php);
        let root = Path::new("/home/clp/htdocs/app/files/public");
        let text = vhost::own(&self.parts(&site, root, 8443));
        self.write("/etc/nginx/sites-enabled/custom-domain.conf", &text, 0o644);
        let _ = self.database.run(&format!(
            "INSERT INTO config (key, value) VALUES ('custom_domain', '{domain}');"
        ));
    }

    /// Starts nginx.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn launch(&mut self) {
        let log = self.folder.path().join("nginx.log");
        let nginx = self
            .program()
            .args(["/usr/sbin/nginx", "-g", "daemon off;"])
            .spawn(&log);
        self.running.push(nginx);
        let written = || {
            let pid = fs::read_to_string(self.path("/run/nginx.pid"));
            pid.is_ok_and(|pid| !pid.trim().is_empty())
        };
        let listens = || written() && std::net::TcpStream::connect(self.https()).is_ok();
        assert!(
            program::wait_until(START, listens),
            "nginx does not listen:\n{}",
            fs::read_to_string(&log).unwrap_or_default()
        );
    }

    /// Leaves a line of shell running there, as root, until the machine is gone.
    pub fn leave_running(&mut self, line: &str) {
        let log = self.folder.path().join("running.log");
        let line = self.program().args(["sh", "-c", line]);
        self.running.push(line.spawn(&log));
    }

    /// Runs a line of shell there, as root.
    #[must_use]
    #[track_caller]
    pub fn run(&self, line: &str) -> Output {
        self.program()
            .args(["chroot", "/", "sh", "-c", line])
            .limit(LIMIT)
            .run()
    }

    /// Returns where a file of the machine is for the test.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.first))
    }

    /// Writes a file there.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it is a file")).expect("it is in memory");
        fs::write(&path, text).expect("it is in memory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is in memory");
    }

    /// Returns the address of the machine, to which all its names lead.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Returns an address that is no other machine's, for a CA on port 443.
    #[must_use]
    pub fn ca_address(&self) -> Ipv4Addr {
        let [first, second, third, fourth] = self.address.octets();
        Ipv4Addr::new(first, second + 64, third, fourth)
    }

    /// Returns where https is listened for.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        (self.address, 443).into()
    }

    fn http(&self) -> SocketAddr {
        (self.address, 80).into()
    }

    fn write_pair(&self, name: &str, pair: &Pair) {
        let folder = "/etc/nginx/ssl-certificates";
        self.write(&format!("{folder}/{name}.crt"), &pair.fullchain(), 0o644);
        self.write(&format!("{folder}/{name}.key"), &pair.key, 0o644);
    }

    fn parts<'a>(&self, site: &PanelSite<'a>, root: &'a Path, back: u16) -> Parts<'a> {
        Parts {
            domain: site.domain,
            redirected: site.redirected,
            aliases: site.aliases,
            settings: site.settings,
            root,
            certificates: Path::new("/etc/nginx/ssl-certificates"),
            http: vec![self.http()],
            https: vec![self.https()],
            back: (self.address, back).into(),
        }
    }

    fn program(&self) -> Program {
        let target = format!("--target={}", self.first);
        Program::new(ENTER[0]).args(&ENTER[1..]).arg(target)
    }
}

impl Drop for PanelMachine {
    fn drop(&mut self) {
        // The first process dies with it, and with that all others of the machine.
        program::kill(&mut self.holder);
        self.running.iter_mut().for_each(program::kill);
    }
}

/// What starts a program there, but for the process that is entered.
const ENTER: [&str; 4] = ["nsenter", "--mount", "--root", "--pid"];

/// Where the panel has it.
const DATABASE: &str = "/home/clp/htdocs/app/data/db.sq3";

/// Makes the machine below the folder `$0`, says so, and lives as long as somebody listens.
const OVERLAY: &str = r#"
mount -t tmpfs -o mode=755 machine "$0"
mkdir "$0/upper" "$0/aside" "$0/all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/aside" "$0/all"
mount --bind /dev "$0/all/dev"
mount -t proc proc "$0/all/proc"
exec chroot "$0/all" sh -c 'echo ready; exec cat > /dev/null'
"#;

/// What the packages do, and what no other client is to have left there.
const INSTALL: &str = r#"
set -e
useradd --create-home --home-dir /home/clp --shell /bin/bash clp
chmod 700 /home/clp
su -s /bin/sh -c 'mkdir -p /home/clp/htdocs/app/data /home/clp/htdocs/app/files/public' clp
rm -rf /run/nginx.pid /etc/nginx /etc/letsencrypt /etc/clpctl /var/lib/clpctl /etc/cron.d /var/spool/cron
mkdir -p /etc/nginx/sites-enabled /etc/nginx/ssl-certificates /etc/clpctl /etc/cron.d /run/lock /var/log/nginx
chmod 700 /etc/nginx
cp /bin/bash /usr/lib/elevated-shell
chmod 4755 /usr/lib/elevated-shell
"#;

/// Lets the panel's user do anything, as its sudoers file does, and nobody else.
const SUDO: &str = r#"#!/usr/lib/elevated-shell -p
[ "$(id -run)" = clp ] || { echo "$(id -run) is not in the sudoers file" >&2; exit 1; }
while [ "${1#-}" != "$1" ]; do word=$1; shift; [ "$word" != -- ] || break; done
SUDO_USER=clp exec setpriv --reuid=0 --regid=0 --clear-groups "$@"
"#;

/// Writes down what it is asked.
const SYSTEMCTL: &str = "#!/bin/sh\necho \"$*\" >> /run/systemctl.asked\n";

/// CloudPanel's program, as far as it can be seen that it was asked.
const PANELS_OWN: &str = r#"#!/bin/bash
printf '<%s>' "$@"
printf ' as %s, %s, %s\n' "$(id -un)" "$VARIABLE" "$(cat)"
echo "on the other stream" >&2
exit 7
"#;

/// As the package has it.
const CRON: &str = "MAILTO=\"\"\n15 5 * * * clp /usr/bin/bash -c \"/usr/bin/clpctl lets-encrypt:renew:certificates\" &> /dev/null\n";

/// `nginx.conf`, with what of the panel's matters here.
const NGINX: &str = r#"user root;
worker_processes 1;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log notice;
events { worker_connections 512; }
http {
  access_log /var/log/nginx/access.log;
  disable_symlinks if_not_owner from=/home/;
  default_type text/plain;
  include /etc/nginx/sites-enabled/*.conf;
}
"#;

/// How long nginx may take to start or stop.
const START: Duration = Duration::from_secs(60);

/// How long a command there may take; generous, for busy machines.
const LIMIT: Duration = Duration::from_secs(120);
