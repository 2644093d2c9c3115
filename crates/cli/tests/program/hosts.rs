//! From which host does a test start?

use testkit::certificate::{Authority, Days};
use testkit::host::Host;
use testkit::nginx::Site;

/// A host whose sites serve lineages of an older CA, with so many days left; its nginx runs.
pub(crate) fn host_with(sites: impl IntoIterator<Item = (Site, i64)>) -> Host {
    let mut host = Host::prepare();
    let older = Authority::new("Older");
    for (site, left) in sites {
        let pair = older.issue(&site.names(), Days::left(left));
        host.add_with_lineage(site, &pair);
    }
    host.nginx.launch();
    host
}
