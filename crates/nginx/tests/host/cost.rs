//! Does a look at many lineages cost what it should? Counted, not timed: what is not read costs nothing.

use renewal::ports::{Host as _, Known};
use testkit::certificate::{Authority, Days};
use testkit::lineage;
use testkit::nginx::{Nginx, Site};

use super::rig::Rig;

#[tokio::test]
async fn of_many_sites_only_the_one_that_changed_is_read() {
    let mut nginx = Nginx::prepare([]);
    let letsencrypt = nginx.folder().join("letsencrypt");
    let authority = Authority::new("Practice");
    let domains: Vec<String> = (0..50)
        .map(|number| format!("site-{number}.test"))
        .collect();
    for domain in &domains {
        let pair = authority.issue(&[domain], Days::left(60));
        let live = lineage::write(&letsencrypt, domain, 1, &pair);
        nginx.add(
            Site::files(domain).certificate(live.join("fullchain.pem"), live.join("privkey.pem")),
        );
    }
    let rig = Rig::new(nginx);
    let known: Known = rig.look().await.read.into_iter().collect();
    assert_eq!(known.len(), domains.len());
    let pair = authority.issue(&[&domains[7]], Days::left(80));
    lineage::write(&letsencrypt, &domains[7], 2, &pair);
    let read = rig.host.look(&known).await.unwrap().read;
    let paths: Vec<_> = read.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(
        paths,
        [letsencrypt
            .join("live")
            .join(&domains[7])
            .join("fullchain.pem")]
    );
}
