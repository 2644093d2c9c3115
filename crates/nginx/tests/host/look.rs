//! What is seen of sites, lineages and settings.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nginx::{Listed, Sites};
use renewal::finding::FindingName;
use renewal::name::Name;
use renewal::names::Names;
use renewal::policy::Policy;
use renewal::ports::{Host as _, Known};
use testkit::certificate::{Authority, Days};
use testkit::lineage;
use testkit::nginx::{Nginx, Site};

use super::rig::Rig;

/// Writes two versions of a lineage of `domain`, of which the second is linked, and a site that uses it.
fn certbot_made(nginx: &mut Nginx, domain: &str) {
    let letsencrypt = nginx.folder().join("letsencrypt");
    let authority = Authority::new("Practice");
    for version in [1, 2] {
        let pair = authority.issue(&[domain, &format!("www.{domain}")], Days::left(60));
        lineage::write(&letsencrypt, domain, version, &pair);
    }
    let live = letsencrypt.join("live").join(domain);
    nginx
        .add(Site::files(domain).certificate(live.join("fullchain.pem"), live.join("privkey.pem")));
}

fn named(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[tokio::test]
async fn what_certbot_left_is_read() {
    let mut nginx = Nginx::prepare([]);
    certbot_made(&mut nginx, "a.test");
    let rig = Rig::new(nginx);
    let site = rig.site("a.test").await;
    assert_eq!(site.wanted.to_string(), "a.test, www.a.test");
    assert_eq!(site.lineage, "a.test");
    let current = site.current.unwrap();
    assert_eq!(current.version, Some(2));
    assert!(current.key_fits);
    assert_eq!(current.certificate.issuer, "Practice intermediate");
    assert_eq!(site.undeployed, None);
    assert!(site.findings.is_empty(), "{:?}", site.findings);
}

#[tokio::test]
async fn what_did_not_change_is_not_read_again() {
    let mut nginx = Nginx::prepare([]);
    certbot_made(&mut nginx, "a.test");
    let rig = Rig::new(nginx);
    let first = rig.look().await;
    let known: Known = first.read.into_iter().collect();
    assert!(!known.is_empty());
    let second = rig.host.look(&known).await.unwrap();
    assert!(second.read.is_empty(), "{:?}", second.read);
    assert_eq!(second.sites[0].current, first.sites[0].current);
}

fn relink(live: &Path, part: &str, target: &str) {
    fs::remove_file(live.join(part)).unwrap();
    symlink(target, live.join(part)).unwrap();
}

#[tokio::test]
async fn mixed_links_are_a_finding_and_the_other_sites_go_on() {
    let mut nginx = Nginx::prepare([Site::files("b.test")]);
    certbot_made(&mut nginx, "a.test");
    let rig = Rig::new(nginx);
    let live = rig.nginx.folder().join("letsencrypt/live/a.test");
    relink(&live, "privkey.pem", "../../archive/a.test/privkey1.pem");
    let look = rig.look().await;
    assert_eq!(look.sites.len(), 2);
    let site = look
        .sites
        .iter()
        .find(|site| site.domain().as_str() == "a.test")
        .unwrap();
    let names: Vec<FindingName> = site.findings.iter().map(|finding| finding.name).collect();
    assert_eq!(
        names,
        [FindingName::LiveLinksBroken, FindingName::KeyDoesNotFit]
    );
    assert!(!site.current.as_ref().unwrap().key_fits);
}

#[tokio::test]
async fn a_lineage_that_several_sites_name_stays_with_the_one_it_covers() {
    let mut nginx = Nginx::prepare([]);
    certbot_made(&mut nginx, "a.test");
    let live = nginx.folder().join("letsencrypt/live/a.test");
    for domain in ["b.test", "c.test"] {
        let (certificate, key) = (live.join("fullchain.pem"), live.join("privkey.pem"));
        nginx.add(Site::files(domain).certificate(certificate, key));
    }
    nginx.launch();
    let rig = Rig::new(nginx);
    for domain in ["a.test", "b.test", "c.test"] {
        assert_eq!(rig.site(domain).await.lineage, domain);
    }
    let site = rig.site("b.test").await;
    rig.deploy(&site).await;
    let a = rig.site("a.test").await.current.unwrap();
    assert!(a.certificate.covers(&named("a.test")));
    assert_eq!(a.version, Some(2));
}

#[tokio::test]
async fn what_lies_in_a_lineage_is_deployed_unless_what_is_served_lasts_longer() {
    let mut nginx = Nginx::prepare([Site::files("a.test"), Site::files("b.test")]);
    let authority = Authority::new("Practice");
    let letsencrypt = nginx.folder().join("letsencrypt");
    for domain in ["a.test", "b.test", "c.test"] {
        let pair = authority.issue(&[domain], Days::left(60));
        lineage::write(&letsencrypt, domain, 1, &pair);
    }
    for (domain, left) in [("b.test", 300), ("c.test", 20)] {
        let bought = authority.issue(&[domain], Days { since: 60, left });
        let (certificate, key) = bought.write(&nginx.certificates(), domain);
        if domain == "c.test" {
            nginx.add(Site::files(domain).certificate(certificate, key));
        }
    }
    let rig = Rig::new(nginx);
    for (domain, undeployed) in [("a.test", Some(1)), ("b.test", None), ("c.test", Some(1))] {
        let site = rig.site(domain).await;
        let version = site.undeployed.map(|undeployed| undeployed.version);
        assert_eq!(version, undeployed, "{domain}");
        assert_eq!(site.lineage, domain);
    }
}

#[tokio::test]
async fn settings_of_one_site_are_its_own() {
    let nginx = Nginx::prepare([
        Site::files("a.test").also("www.a.test"),
        Site::files("b.test"),
    ]);
    let policy = Policy {
        profile: Some("shortlived".into()),
        listed: true,
        ..Policy::default()
    };
    let listed = |domain: &str, names: Option<&str>| Listed {
        domain: named(domain),
        names: names.map(|name| Names::from(named(name))),
        policy: policy.clone(),
    };
    let sites = Sites {
        policy: Policy::default(),
        listed: vec![listed("a.test", Some("a.test")), listed("c.test", None)],
    };
    let rig = Rig::with(nginx, |settings| settings.sites = sites);
    let look = rig.look().await;
    let a = &look.sites[0];
    assert_eq!(
        (a.wanted.to_string().as_str(), &a.policy),
        ("a.test", &policy)
    );
    assert_eq!(look.sites[1].policy, Policy::default());
    let unknown = look
        .findings
        .iter()
        .find(|finding| finding.name == FindingName::NameNotServed);
    assert!(unknown.unwrap().explanation.contains("c.test"));
}

#[tokio::test]
async fn a_certificate_file_that_is_missing_is_a_finding() {
    let rig = Rig::new(Nginx::prepare([Site::files("a.test")]));
    fs::remove_file(rig.nginx.certificates().join("a.test.crt")).unwrap();
    let site = rig.site("a.test").await;
    assert!(site.current.is_none());
    assert_eq!(site.findings[0].name, FindingName::FileNotUsable);
    assert!(
        site.findings[0].detail.contains("a.test.crt"),
        "{}",
        site.findings[0].detail
    );
}

#[tokio::test]
async fn everything_that_could_change_the_answer_is_watched() {
    let mut nginx = Nginx::prepare([Site::files("b.test")]);
    certbot_made(&mut nginx, "a.test");
    let rig = Rig::new(nginx);
    let watched = rig.look().await.watched;
    for path in [
        rig.nginx.config(),
        rig.nginx.folder().join("sites-enabled"),
        rig.nginx.vhost("a.test"),
        rig.nginx.folder().join("letsencrypt/live"),
        rig.nginx.certificates().join("b.test.crt"),
    ] {
        assert!(watched.contains(&path), "{} is not watched", path.display());
    }
}

#[tokio::test]
async fn without_nginx_the_sites_are_still_seen() {
    let nginx = Nginx::prepare([Site::files("a.test")]);
    let rig = Rig::with(nginx, |settings| settings.binary = "/nowhere/nginx".into());
    let look = rig.look().await;
    assert_eq!(look.sites.len(), 1);
    assert_eq!(look.findings[0].name, FindingName::NginxNotInstalled);
}
