//! What does the demo run on: folder, nginx, CA, DNS, and this program's configuration?

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use renewal::finding::FindingName;
use testca::dns::{DnsServer, Zone};

use crate::commands::Session;
use crate::console::LABEL;
use crate::errors::CommandError;

use super::sites::{self, Ports, nginx_conf, vhost};

/// Everything, until it is dropped.
pub(super) struct Stage {
    ca: testca::Handle,
    dns: DnsServer,
    ports: Ports,
    /// Before the folder, so that nginx is gone when its files go.
    _nginx: Nginx,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Starts everything.
    pub(super) async fn set(session: &Session) -> Result<Self, CommandError> {
        let binary = nginx_binary(session)?;
        let folder = tempfile::Builder::new()
            .prefix("clpctl-demo-")
            .tempdir()
            .map_err(|cause| file(&cause))?;
        let ports = free_ports().map_err(|cause| file(&cause))?;
        let nginx = write_sites(folder.path(), ports)
            .and_then(|()| Nginx::start(&binary, folder.path(), ports.http))
            .map_err(|cause| {
                CommandError::file(
                    "The demo's nginx did not start, so nothing is shown.",
                    &cause,
                )
            })?;
        let dns = DnsServer::start(Zone::new(&[Ipv4Addr::LOCALHOST.into()]))
            .await
            .map_err(|cause| {
                CommandError::mend("The demo's DNS server did not start.").because(&cause)
            })?;
        let ca = testca::TestCa::start(testca::Options {
            resolve: testca::Resolve::Dns(dns.address()),
            http_port: ports.http,
            https_port: ports.https,
            ..testca::Options::default()
        })
        .await
        .map_err(|cause| CommandError::mend("The demo's CA did not start.").because(&cause))?;
        let stage = Self {
            ca,
            dns,
            ports,
            _nginx: nginx,
            folder,
        };
        stage.write_config(&binary).map_err(|cause| file(&cause))?;
        Ok(stage)
    }

    /// Returns the CA.
    pub(super) fn ca(&self) -> &testca::Handle {
        &self.ca
    }

    /// Returns the folder that holds everything.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns where the sites answer, for people.
    pub(super) fn addresses(&self) -> String {
        format!("127.0.0.1:{} and :{}", self.ports.http, self.ports.https)
    }

    /// Lets a name not exist any more.
    pub(super) fn forget_name(&self, name: &str) {
        self.dns.change(|zone| zone.nxdomain(name));
    }

    /// Runs this program, as a person would, and expects an exit code.
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo runs this program, not one of the host's"
    )]
    pub(super) async fn clpctl(
        &self,
        session: &Session,
        words: &[&str],
        expected: u8,
    ) -> Result<(), CommandError> {
        session
            .console
            .say(&format!("{LABEL}$ clpctl {}{LABEL:#}", words.join(" ")));
        let program = std::env::current_exe().map_err(|cause| file(&cause))?;
        let mut command = tokio::process::Command::new(program);
        command
            .arg("--config")
            .arg(self.folder().join("clpctl.toml"))
            .args(words);
        // What is set for this host is not meant for the demo, which must touch nothing of it.
        for (name, _) in session.environment.settings() {
            command.env_remove(name);
        }
        let status = command
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|cause| file(&cause))?;
        if status.code() == Some(i32::from(expected)) {
            return Ok(());
        }
        Err(
            CommandError::defect("A step of the demo ended otherwise than it should.").cause(
                format!(
                    "“clpctl {}” ended with {status}, and {expected} was expected",
                    words.join(" ")
                ),
            ),
        )
    }

    fn write_config(&self, nginx: &Path) -> io::Result<()> {
        let at = self.folder().display();
        let bundle = self.folder().join("ca.pem");
        write(&bundle, self.ca.ca_bundle_pem())?;
        let text = format!(
            "[paths]\nletsencrypt = \"{at}/letsencrypt\"\nstate = \"{at}/state\"\nlog = \"{at}/clpctl.log\"\nacme_log = \"{at}/acme.log\"\n\n\
             [acme]\ndirectory = \"{directory}\"\nstaging_directory = \"{directory}\"\nca_bundle = \"{bundle}\"\n\n\
             [http01]\nport = {http}\n\n\
             [nginx]\nbinary = \"{nginx}\"\nconfig = \"{at}/nginx.conf\"\nprefix = \"{at}\"\nreload = \"signal\"\nhttps_port = {https}\n\n\
             [dns]\nservers = [\"{dns}\"]\n",
            directory = self.ca.directory_url(),
            bundle = bundle.display(),
            http = self.ports.http,
            https = self.ports.https,
            nginx = nginx.display(),
            dns = self.dns.address(),
        );
        write(&self.folder().join("clpctl.toml"), &text)
    }
}

/// A running nginx; asked to end, and then made to, when it is dropped.
struct Nginx(Child);

impl Nginx {
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo's nginx is started here and nowhere else"
    )]
    fn start(binary: &Path, folder: &Path, port: u16) -> io::Result<Self> {
        let child = std::process::Command::new(binary)
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .args(["-g", "daemon off;"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut nginx = Self(child);
        for _ in 0..START_LOOKS {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(nginx);
            }
            if nginx.0.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(START_PAUSE);
        }
        let log = std::fs::read_to_string(folder.join("error.log")).unwrap_or_default();
        Err(io::Error::other(
            log.lines()
                .last()
                .unwrap_or("it does not answer")
                .to_owned(),
        ))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // One that is gone already cannot be asked, and need not be.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        for _ in 0..START_LOOKS {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(START_PAUSE);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write_sites(folder: &Path, ports: Ports) -> io::Result<()> {
    // Workers of an nginx that root started are another user; what is for root alone says so itself.
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    for name in ["sites", "scratch", "htdocs"] {
        std::fs::create_dir(folder.join(name))?;
    }
    let (certificate, key) = placeholder().map_err(io::Error::other)?;
    write(&folder.join("placeholder.crt"), &certificate.pem())?;
    write(&folder.join("placeholder.key"), &key.serialize_pem())?;
    for domain in sites::ALL {
        let root = folder.join("htdocs").join(domain);
        std::fs::create_dir(&root)?;
        write(&root.join("index.html"), &format!("This is {domain}.\n"))?;
        write(
            &folder.join("sites").join(format!("{domain}.conf")),
            &vhost(domain, folder, ports),
        )?;
    }
    write(&folder.join("nginx.conf"), &nginx_conf(folder))
}

/// Makes the kind of certificate that a distribution puts on a new machine.
fn placeholder() -> Result<(rcgen::Certificate, rcgen::KeyPair), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::new(sites::ALL.map(str::to_owned))?;
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "a placeholder");
    parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2036, 1, 1);
    Ok((parameters.self_signed(&key)?, key))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo's folder goes away; nothing in it must survive a crash"
)]
fn write(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}

/// Finds ports that are free now. Held together while they are looked for, so that no two are the same.
fn free_ports() -> io::Result<Ports> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = [listen()?, listen()?, listen()?];
    let port = |index: usize| held[index].local_addr().map(|address| address.port());
    Ok(Ports {
        http: port(0)?,
        https: port(1)?,
        behind: port(2)?,
    })
}

fn nginx_binary(session: &Session) -> Result<PathBuf, CommandError> {
    let path = session.environment.get("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    let mut candidates = folders
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| Path::new(folder).join("nginx"));
    candidates
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| {
            CommandError::mend("There is no nginx on this machine, so nothing can be shown.")
                .hint("install it: apt-get install nginx-light")
                .finding(FindingName::NginxNotInstalled)
        })
}

fn file(cause: &io::Error) -> CommandError {
    CommandError::file("The demo could not be set up, so nothing is shown.", cause)
}

/// How often, and how far apart, a process that starts or ends is looked at: five seconds in all.
const START_LOOKS: u32 = 100;
const START_PAUSE: Duration = Duration::from_millis(50);
