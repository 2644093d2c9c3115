//! How does a test get a CA that is awkward on demand?

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use testca::dns::{DnsServer, Zone};
use testca::{Endpoint, Fault, Handle, Options, Resolve, TestCa, ValidationFault};
use testkit::host::Host;
use tokio::runtime::Runtime;

/// A practice CA with its DNS, until it is dropped. Every name leads to 127.0.0.1 until a test says otherwise.
pub(crate) struct Practice {
    pub(crate) ca: Handle,
    pub(crate) dns: DnsServer,
    // Last, for the two above run on it.
    _runtime: Runtime,
}

impl Practice {
    /// Starts a practice CA that knocks at this host's nginx, and makes it the host's CA.
    pub(crate) fn start(host: &mut Host, change: impl FnOnce(&mut Options)) -> Self {
        let (http_port, https_port) = (host.nginx.http_port(), host.nginx.https_port());
        let practice = Self::run(Ipv4Addr::LOCALHOST, |options| {
            (options.http_port, options.https_port) = (http_port, https_port);
            change(options);
        });
        let bundle = host.folder().join("practice.pem");
        fs::write(&bundle, practice.ca.ca_bundle_pem()).expect("the bundle can be written");
        host.set_ca(&practice.ca.directory_url(), &bundle);
        let servers = format!("[\"{}\"]", practice.dns.address());
        host.set("dns", "servers", &servers);
        practice
    }

    /// Starts a practice CA to which every name leads to this address.
    pub(crate) fn run(everywhere: Ipv4Addr, change: impl FnOnce(&mut Options)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let (ca, dns) = runtime.block_on(async {
            let dns = DnsServer::start(Zone::new(&[everywhere.into()]))
                .await
                .expect("there is a free port");
            let mut options = Options {
                resolve: Resolve::Dns(dns.address()),
                ..Options::default()
            };
            change(&mut options);
            let ca = TestCa::start(options).await.expect("there is a free port");
            (ca, dns)
        });
        Self {
            ca,
            dns,
            _runtime: runtime,
        }
    }

    /// Counts the orders that were placed.
    pub(crate) fn orders(&self) -> u64 {
        self.asked(Endpoint::NewOrder)
    }

    /// Makes every validation take so long.
    pub(crate) fn slow(&self, validation: Duration) {
        self.ca
            .set_faults(vec![Fault::new(ValidationFault::Slow(validation))]);
    }

    /// Returns how often one part of the CA was asked.
    pub(crate) fn asked(&self, endpoint: Endpoint) -> u64 {
        self.ca.requests().of(endpoint)
    }
}
