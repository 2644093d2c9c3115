//! From a staged certificate to a served one, and back.

use std::fs;
use std::path::Path;
use std::slice::from_ref;
use std::time::Duration;

use renewal::finding::FindingName;
use renewal::policy::EditVhosts;
use renewal::ports::{Change, Host as _};
use testkit::certificate::{Authority, Days};
use testkit::lineage;
use testkit::nginx::{Nginx, Site};

use super::rig::{PATIENCE, Rig, put};

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_renewal_is_served_on_every_address_and_touches_no_other_file() {
    let rig = Rig::new(Nginx::start([Site::files("a.test"), Site::files("b.test")]));
    for domain in ["a.test", "b.test"] {
        let site = rig.site(domain).await;
        rig.deploy(&site).await;
    }
    let before = rig.files();
    let reloads = rig.nginx.reloads();
    let site = rig.site("a.test").await;
    assert_eq!(site.current.as_ref().unwrap().version, Some(1));
    assert!(site.findings.is_empty(), "{:?}", site.findings);
    rig.deploy(&site).await;
    assert_eq!(rig.nginx.reloads(), reloads + 1);
    let after = rig.files();
    for (path, facts) in &before {
        let in_live = path.starts_with(rig.nginx.folder().join("letsencrypt/live/a.test"));
        assert!(
            in_live || after.get(path) == Some(facts),
            "{} changed",
            path.display()
        );
    }
    let new: Vec<_> = after
        .keys()
        .filter(|path| !before.contains_key(*path))
        .collect();
    assert_eq!(new.len(), 4, "four files in archive/: {new:?}");
    let site = rig.site("a.test").await;
    assert_eq!(site.current.unwrap().version, Some(2));
    assert_eq!(site.undeployed, None);
}

#[tokio::test]
async fn the_certificate_is_looked_at_over_ipv6_too() {
    let rig = Rig::new(Nginx::start([Site::files("a.test")]));
    let site = rig.site("a.test").await;
    let served = rig.host.served(&site, None, PATIENCE).await;
    let addresses: Vec<_> = served.iter().map(|served| served.address).collect();
    assert_eq!(addresses, rig.nginx.https_addresses());
    let current = site.current.unwrap().certificate.sha256;
    assert!(
        served
            .iter()
            .all(|served| served.ok && served.sha256 == Some(current)),
        "{served:?}"
    );
}

#[tokio::test]
async fn a_first_certificate_adds_its_lines_and_nothing_else() {
    let rig = Rig::new(Nginx::start([Site::plain("a.test"), Site::files("b.test")]));
    let vhost = rig.nginx.vhost("a.test");
    let before = text(&vhost);
    let site = rig.site("a.test").await;
    assert!(site.current.is_none());
    rig.deploy(&site).await;
    let after = text(&vhost);
    let added: Vec<&str> = after
        .lines()
        .filter(|line| !before.contains(line))
        .collect();
    let kept: Vec<&str> = after.lines().filter(|line| !added.contains(line)).collect();
    assert_eq!(kept, before.lines().collect::<Vec<_>>());
    let listens = rig.nginx.https_addresses().len();
    assert_eq!(added.len(), listens + 2, "{added:?}");
    let site = rig.site("a.test").await;
    assert_eq!(site.current.unwrap().version, Some(1));
}

#[tokio::test]
async fn a_placeholder_is_left_alone_and_the_lines_lead_to_the_lineage() {
    let rig = Rig::new(Nginx::start([
        Site::files("a.test").placeholder(),
        Site::files("b.test").placeholder(),
    ]));
    let other = text(&rig.nginx.vhost("b.test"));
    let site = rig.site("a.test").await;
    assert!(site.current.as_ref().unwrap().certificate.self_signed);
    rig.deploy(&site).await;
    assert!(text(&rig.nginx.vhost("a.test")).contains("letsencrypt/live/a.test/fullchain.pem;"));
    assert_eq!(text(&rig.nginx.vhost("b.test")), other);
}

/// Two sites without TLS in one file, which is a link as in Debian's `sites-enabled`.
fn two_in_one() -> (Rig, std::path::PathBuf) {
    let mut nginx = Nginx::prepare([Site::plain("a.test")]);
    let first = text(&nginx.vhost("a.test"));
    let available = nginx.folder().join("two");
    put(
        &available,
        &(first.clone() + &first.replace("a.test", "b.test")),
    );
    fs::remove_file(nginx.vhost("a.test")).unwrap();
    std::os::unix::fs::symlink(&available, nginx.vhost("a.test")).unwrap();
    nginx.launch();
    (Rig::new(nginx), available)
}

#[tokio::test]
async fn two_sites_in_one_file_get_their_first_certificates_in_one_batch() {
    let (rig, file) = two_in_one();
    let before = text(&file);
    let sites = rig.look().await.sites;
    assert_eq!(sites.len(), 2);
    let switches: Vec<_> = rig
        .prepare(&sites)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    rig.host.switch(&switches).await.unwrap();
    rig.host.switch(&switches).await.unwrap();
    rig.host.test().await.unwrap();
    rig.host.reload().await.unwrap();
    for (site, switch) in sites.iter().zip(&switches) {
        let expected = switch.links.as_ref().unwrap().serves;
        let served = rig.host.served(site, Some(expected), PATIENCE).await;
        assert!(served.iter().all(|served| served.ok), "{served:?}");
    }
    assert!(
        rig.nginx.vhost("a.test").is_symlink(),
        "the link is still a link"
    );
    rig.host.revert(&switches).await.unwrap();
    assert_eq!(text(&file), before);
    rig.host.test().await.unwrap();
}

#[tokio::test]
async fn what_nginx_refuses_is_undone_byte_for_byte() {
    let rig = Rig::new(Nginx::start([Site::plain("a.test"), Site::files("b.test")]));
    let renewed = rig.site("b.test").await;
    rig.deploy(&renewed).await;
    let sites = [rig.site("a.test").await, rig.site("b.test").await];
    let vhosts = [rig.nginx.vhost("a.test"), rig.nginx.vhost("b.test")];
    let before: Vec<String> = vhosts.iter().map(|vhost| text(vhost)).collect();
    let switches: Vec<_> = rig
        .prepare(&sites)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    rig.host.switch(&switches).await.unwrap();
    let broken = rig.nginx.folder().join("sites-enabled/broken.conf");
    put(&broken, "server {\n    sevrer_name x;\n}\n");
    let finding = rig.host.test().await.unwrap_err().0;
    assert_eq!(finding.name, FindingName::NginxConfigInvalid);
    assert_eq!(
        finding.detail,
        format!(
            "unknown directive \"sevrer_name\" in {}:2",
            broken.display()
        )
    );
    for switch in switches.iter().rev() {
        rig.host.revert(from_ref(switch)).await.unwrap();
        rig.host.revert(from_ref(switch)).await.unwrap();
    }
    let after: Vec<String> = vhosts.iter().map(|vhost| text(vhost)).collect();
    assert_eq!(after, before);
    fs::remove_file(&broken).unwrap();
    rig.host.test().await.unwrap();
    let look = rig.look().await;
    let undeployed = |domain: &str| {
        let site = look
            .sites
            .iter()
            .find(|site| site.domain().as_str() == domain)
            .unwrap();
        site.undeployed
            .as_ref()
            .map(|undeployed| undeployed.version)
    };
    assert_eq!(
        undeployed("a.test"),
        Some(1),
        "obtained, and to be deployed next time"
    );
    assert_eq!(undeployed("b.test"), Some(2));
    let beside = fs::read_dir(rig.nginx.folder().join("sites-enabled")).unwrap();
    let names = beside.flatten().map(|entry| entry.file_name());
    let left: Vec<_> = names
        .filter(|name| name.to_string_lossy().starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn without_leave_to_edit_the_missing_lines_are_told() {
    let nginx = Nginx::start([Site::plain("a.test")]);
    let rig = Rig::with(nginx, |settings| settings.edit = EditVhosts::None);
    let site = rig.site("a.test").await;
    let finding = rig.prepare(&[site]).await.remove(0).unwrap_err().0;
    assert_eq!(finding.name, FindingName::VhostNeedsLines);
    assert!(
        finding
            .detail
            .contains("a.test.conf: the server block on line 1 needs: listen "),
        "{}",
        finding.detail
    );
    assert!(
        finding
            .detail
            .contains("live/a.test/fullchain.pem; ssl_certificate_key ")
    );
}

#[tokio::test]
async fn without_leave_to_edit_a_vhost_that_names_its_lineage_somehow_is_renewed() {
    let mut nginx = Nginx::prepare([]);
    let letsencrypt = nginx.folder().join("letsencrypt");
    let authority = Authority::new("Practice");
    let pair = authority.issue(&["a.test"], Days::left(20));
    let live = lineage::write(&letsencrypt, "a.test", 1, &pair);
    nginx.add(Site::files("a.test").certificate(live.join("cert.pem"), live.join("privkey.pem")));
    nginx.launch();
    let rig = Rig::with(nginx, |settings| settings.edit = EditVhosts::None);
    let site = rig.site("a.test").await;
    rig.deploy(&site).await;
}

#[tokio::test]
async fn the_block_that_answers_instead_is_named() {
    let rig = Rig::new(Nginx::start([Site::files("b.test").catches_all()]));
    let mut site = rig.site("b.test").await;
    let elsewhere = Rig::new(Nginx::prepare([Site::files("a.test")]));
    let other = elsewhere.site("a.test").await;
    site.wanted = other.wanted;
    std::sync::Arc::make_mut(&mut site.servers[0]).place = other.servers[0].place.clone();
    let expected = other.current.unwrap().certificate.sha256;
    let served = rig
        .host
        .served(&site, Some(expected), Duration::from_millis(100))
        .await;
    for served in served {
        assert!(!served.ok && served.sha256.is_some(), "{served:?}");
        let by = served.answered_by.unwrap();
        assert!(
            by.starts_with(&format!(
                "{}:1, the default of ",
                rig.nginx.vhost("b.test").display()
            )),
            "{by}"
        );
    }
}

#[tokio::test]
async fn an_nginx_that_does_not_run_is_told() {
    let mut nginx = Nginx::start([Site::files("a.test")]);
    nginx.stop();
    let rig = Rig::new(nginx);
    let finding = rig.host.reload().await.unwrap_err().0;
    assert_eq!(finding.name, FindingName::NginxNotRunning);
    let site = rig.site("a.test").await;
    let served = rig.host.served(&site, None, PATIENCE).await;
    assert!(
        served
            .iter()
            .all(|served| !served.ok && served.error.is_some()),
        "{served:?}"
    );
}

#[tokio::test]
async fn a_vhost_that_an_earlier_edit_moved_is_found_again() {
    let rig = Rig::new(Nginx::start([Site::plain("a.test")]));
    let site = rig.site("a.test").await;
    let vhost = rig.nginx.vhost("a.test");
    put(&vhost, &format!("# moved\n\n{}", text(&vhost)));
    let stateless = Change::Stateless {
        site: &site,
        thumbprint: "THUMB",
    };
    let switch = rig.host.prepare(&[stateless]).await.remove(0).unwrap();
    rig.host.switch(from_ref(&switch)).await.unwrap();
    rig.host.test().await.unwrap();
    rig.deploy(&site).await;
}

#[tokio::test]
async fn a_listener_behind_a_proxy_is_looked_at_as_the_proxy_would() {
    let nginx = Nginx::prepare([Site::files("a.test")]);
    let vhost = nginx.vhost("a.test");
    put(
        &vhost,
        &text(&vhost).replace(" ssl;", " ssl proxy_protocol;"),
    );
    let mut rig = Rig::new(nginx);
    rig.nginx.launch();
    let site = rig.site("a.test").await;
    let served = rig.host.served(&site, None, PATIENCE).await;
    assert!(
        !served.is_empty() && served.iter().all(|served| served.ok),
        "{served:?}"
    );
}
