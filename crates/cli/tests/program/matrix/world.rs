//! Where are the faults made?

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Child;

use acme::Authorities;
use futures_util::StreamExt as _;
use renewal::certificate::KeyType;
use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::names::Names;
use renewal::policy::Ca;
use renewal::ports::{Authority as _, OrderDesk, OrderRequest, PresentError, Waiting};
use testkit::certificate::{Authority, Days};
use testkit::host::Host;
use testkit::lab::{CDN, HOST, HOST6, Lab, NEIGHBOUR, NEIGHBOUR6, Servers, Zones};
use testkit::nginx::Site;
use testkit::pebble::Pebble;
use testkit::program::{self, Program};

use super::fault::{Asked, Fault, Make};
use crate::answer::{Answer, clpctl};
use crate::disk;

/// A host with sites in a network of its own, and a CA outside.
pub(crate) struct World {
    pub(crate) pebble: Pebble,
    pub(crate) host: Host,
    neighbour: Child,
    /// What a fault holds open.
    pub(crate) holders: Vec<TcpListener>,
    pub(crate) lab: Lab,
}

impl World {
    /// A world in which each of these faults is made on a site of its own.
    pub(crate) fn with(faults: &[Fault]) -> Self {
        let mut world = Self::new();
        let older = Authority::new("Older");
        for fault in faults {
            world.add(fault, &older);
        }
        world.host.nginx.launch();
        let domains: Vec<String> = faults.iter().map(Fault::domain).collect();
        world.lab.dns(|zones| {
            for (fault, domain) in faults.iter().zip(&domains) {
                match fault.make {
                    Make::Records(records) => zones.set(domain, records),
                    Make::Lines(_) | Make::Vhost(_) | Make::Done(..) => {
                        zones.set(domain, &healthy())
                    }
                };
            }
        });
        for fault in faults {
            if let Make::Done(make, _) = fault.make {
                make(&mut world, &fault.domain());
            }
        }
        world
    }

    /// A world with one healthy site.
    pub(crate) fn with_one_site(domain: &str) -> Self {
        let mut world = Self::new();
        let pair = Authority::new("Older").issue(&[domain], Days::left(10));
        world.host.add_with_lineage(Site::files(domain), &pair);
        world.host.nginx.launch();
        world.lab.dns(|zones| {
            zones.set(domain, &healthy());
        });
        world
    }

    /// A world without sites.
    pub(crate) fn new() -> Self {
        let lab = Lab::start(Zones::default());
        let pebble = lab.pebble(|settings| settings);
        let neighbour = neighbour(&lab);
        let mut host = Host::prepare_real();
        host.set_ca(&pebble.directory(), &pebble.ca_bundle());
        host.set("dns", "servers", &format!("[\"{}\"]", Servers::resolver()));
        // The faults are what it is about, and not the line that would answer before them.
        host.set("nginx", "edit", "false");
        host.set("acme", "jobs", "4");
        Self {
            pebble,
            host,
            neighbour,
            holders: Vec::new(),
            lab,
        }
    }

    fn add(&mut self, fault: &Fault, older: &Authority) {
        let domain = fault.domain();
        let pair = older.issue(&[&domain], Days::left(10));
        let mut site = Site::files(&domain);
        if let Make::Lines(lines) = fault.make {
            site = site.extra(lines);
        }
        self.host.add_with_lineage(site, &pair);
        if let Make::Vhost(template) = fault.make {
            self.replace_vhost(template, &domain);
        }
    }

    /// Adds a site with a vhost of its own; nginx takes it up when it starts.
    pub(crate) fn add_vhost(&mut self, template: &str, domain: &str) {
        let pair = Authority::new("Older").issue(&[domain], Days::left(10));
        self.host.add_with_lineage(Site::files(domain), &pair);
        self.replace_vhost(template, domain);
    }

    fn replace_vhost(&self, template: &str, domain: &str) {
        let vhost = self.host.nginx.vhost(domain);
        let healthy = fs::read_to_string(&vhost).unwrap();
        disk::put(&self.kept(domain), healthy);
        disk::put(&vhost, self.filled(template, domain));
    }

    fn kept(&self, domain: &str) -> PathBuf {
        self.host.folder().join(format!("{domain}.healthy"))
    }

    fn filled(&self, template: &str, domain: &str) -> String {
        let live = self.host.live(domain);
        let pair = format!(
            "ssl_certificate {0}/fullchain.pem; ssl_certificate_key {0}/privkey.pem;",
            live.display()
        );
        let root = self.host.nginx.document_root(domain);
        let text = template.replace("NAME", domain).replace("PAIR", &pair);
        text.replace("ROOT", &root.display().to_string())
    }

    /// Does what the doctor told.
    pub(crate) fn mend(&mut self, faults: &[Fault]) {
        for fault in faults {
            let domain = fault.domain();
            let vhost = self.host.nginx.vhost(&domain);
            match fault.make {
                Make::Lines(lines) => {
                    let mut text = fs::read_to_string(&vhost).unwrap();
                    for line in lines.lines() {
                        text = text.replacen(&format!("    {line}\n"), "", 1);
                    }
                    disk::put(&vhost, text);
                }
                Make::Vhost(_) => disk::put(&vhost, fs::read(self.kept(&domain)).unwrap()),
                Make::Records(_) => {}
                Make::Done(_, mend) => mend(self, &domain),
            }
        }
        self.lab.dns(|zones| {
            for fault in faults {
                zones.set(&fault.domain(), &healthy());
            }
        });
        self.host.nginx.stop();
        self.host.nginx.launch();
    }

    /// Runs the program with `--json`.
    #[track_caller]
    pub(crate) fn ask(&self, words: &[&str]) -> Answer {
        let mut words = words.to_vec();
        words.push("--json");
        let answer = Answer::read(&clpctl(&self.host).run(&words));
        // From there, for the host's own firewall may be in the way.
        self.lab.outside(|| self.pebble.assert_well());
        answer
    }

    /// Asks another CA all the same, and says where it is of another opinion.
    pub(crate) fn opinions(&self, faults: &[Fault]) -> Vec<String> {
        let pebble = self.lab.pebble(|settings| settings);
        let bundle = fs::read(pebble.ca_bundle()).unwrap();
        let settings = acme::Settings {
            user_agent: "stubborn".to_owned(),
            roots: acme::roots(&bundle).unwrap(),
            accounts: self.host.folder().join("stubborn"),
            contact: Vec::new(),
            own_addresses: Vec::new(),
        };
        let now: jiff::Timestamp = std::time::SystemTime::now().try_into().unwrap();
        let authorities = Authorities::new(settings, move || now).unwrap();
        let ca = Ca::from(pebble.directory());
        let asked = faults.iter().filter(|fault| fault.asked != Asked::Never);
        let opinions = asked.map(|fault| self.opinion(&authorities, &ca, fault));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let wrong: Vec<Option<String>> = runtime.block_on(async {
            authorities.thumbprint(&ca).await.unwrap();
            futures_util::stream::iter(opinions)
                .buffered(4)
                .collect()
                .await
        });
        pebble.assert_well();
        wrong.into_iter().flatten().collect()
    }

    async fn opinion(&self, authorities: &Authorities, ca: &Ca, fault: &Fault) -> Option<String> {
        let name = Name::parse(&fault.domain()).unwrap();
        let request = OrderRequest {
            ca: ca.clone(),
            names: Names::new([name]).unwrap(),
            key: authorities.make_key(KeyType::EcdsaP256).await.unwrap(),
            profile: None,
            replaces: None,
            resume: None,
        };
        let desk = Folder(self.host.nginx.document_root(&fault.domain()));
        let heard = authorities.order(&request, &desk).await;
        match (heard, fault.asked) {
            (Ok(_), Asked::Issues | Asked::Either) | (Err(_), Asked::Refuses | Asked::Either) => {
                None
            }
            (Ok(_), _) => Some(format!("{}: the CA issues all the same", fault.name)),
            (Err(failure), _) => Some(format!("{}: the CA refuses: {failure}", fault.name)),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        program::kill(&mut self.neighbour);
    }
}

/// Puts challenges into a document root, come what may.
struct Folder(PathBuf);

impl OrderDesk for Folder {
    fn placed(&self, _: &str) {}

    async fn recorded(&self) -> Result<(), PresentError> {
        Ok(())
    }

    fn waiting(&self, _: Waiting) {}

    async fn present(&self, _: &Name, token: &str, answer: &str) -> Result<(), PresentError> {
        let folder = self.0.join(".well-known/acme-challenge");
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&folder);
        let file = folder.join(token);
        made.and_then(|()| fs::write(&file, answer))
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o644)))
            .map_err(|error| {
                PresentError(Finding::new(FindingName::FileNotUsable, error.to_string()))
            })
    }

    async fn withdraw(&self, _: &Name, token: &str) {
        // It may never have been there.
        let _ = fs::remove_file(self.0.join(".well-known/acme-challenge").join(token));
    }
}

/// The records of a name that leads here.
pub(crate) fn healthy() -> [&'static str; 2] {
    const { assert!(HOST.len() == "93.184.215.7".len() && HOST6.len() == "2a01:4f8:aa::7".len()) };
    ["A 93.184.215.7", "AAAA 2a01:4f8:aa::7"]
}

/// Starts the other host, and the network that passes on what it is asked.
fn neighbour(lab: &Lab) -> Child {
    let folder = lab.folder().join("neighbour");
    fs::create_dir_all(folder.join("temp")).unwrap();
    let at = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/temp/{kind};\n"))
        .concat();
    let config = format!(
        "worker_processes 1; user root; pid {at}/pid; error_log {at}/error.log;\nevents {{}}\nhttp {{ access_log off;\n{temporary}\
         server {{ listen {NEIGHBOUR}:80; listen [{NEIGHBOUR6}]:80; return 404; }}\n\
         server {{ listen {CDN}:80; location / {{ proxy_pass http://{HOST}; proxy_set_header Host $host; add_header Server cloudflare; }} }}\n}}\n"
    );
    disk::put(&folder.join("conf"), config);
    lab.outside(|| {
        Program::new(testkit::nginx::BINARY)
            .args(["-p", &at.to_string(), "-e", &format!("{at}/error.log")])
            .args(["-c", &format!("{at}/conf"), "-g", "daemon off;"])
            .spawn(&folder.join("log"))
    })
}
