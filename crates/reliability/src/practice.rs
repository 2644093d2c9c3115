//! From which CA do the runs get their certificates?

use std::fs;
use std::net::Ipv4Addr;

use testca::dns::{DnsServer, Zone};
use testca::{Endpoint, Fault, Handle, Options, Resolve, TestCa, ValidationFault};
use testkit::host::Host;
use tokio::runtime::Runtime;

/// A practice CA with its DNS, until it is dropped. Every name leads to 127.0.0.1.
pub struct Practice {
    /// The CA.
    pub ca: Handle,
    _dns: DnsServer,
    // Last, for the two above run on it.
    _runtime: Runtime,
}

impl Practice {
    /// Starts a CA that knocks at this host's nginx, and makes it the host's. Orders for the same names give back the
    /// first one while it is open, as at Let's Encrypt; `change` may change that.
    ///
    /// # Panics
    ///
    /// When no port is free.
    #[must_use]
    pub fn start(host: &mut Host, change: impl FnOnce(&mut Options)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let (ca, dns) = runtime.block_on(async {
            let dns = DnsServer::start(Zone::new(&[Ipv4Addr::LOCALHOST.into()]))
                .await
                .expect("there is a free port");
            let mut options = Options {
                resolve: Resolve::Dns(dns.address()),
                http_port: host.nginx.http_port(),
                https_port: host.nginx.https_port(),
                reuse_orders: true,
                ..Options::default()
            };
            change(&mut options);
            let ca = TestCa::start(options).await.expect("there is a free port");
            (ca, dns)
        });
        let bundle = host.folder().join("practice.pem");
        fs::write(&bundle, ca.ca_bundle_pem()).expect("the bundle can be written");
        host.set_ca(&ca.directory_url(), &bundle);
        host.set("dns", "servers", &format!("[\"{}\"]", dns.address()));
        Self {
            ca,
            _dns: dns,
            _runtime: runtime,
        }
    }

    /// Lets every validation of this name fail, as seen from elsewhere.
    pub fn never_validates(&self, name: &str) {
        self.ca
            .add_fault(Fault::new(ValidationFault::FailsElsewhere).of_name(name));
    }

    /// Returns how many orders were asked for.
    #[must_use]
    pub fn orders(&self) -> u64 {
        self.ca.requests().of(Endpoint::NewOrder)
    }
}
