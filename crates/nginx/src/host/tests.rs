//! Wherever the process dies, does nginx accept its configuration, with a pair that belongs together?

use renewal::ports::{Change, Host as _, Issued, Known};
use renewal::secret::Secret;
use testkit::certificate::{Authority, Days};
use testkit::nginx::{Nginx, Site as Sample};

use super::*;
use crate::file::crash;

fn host(nginx: &Nginx) -> NginxHost {
    NginxHost::new(Settings {
        config: nginx.config(),
        prefix: Some(nginx.folder().to_owned()),
        https_port: nginx.https_port(),
        http01_port: nginx.http_port(),
        letsencrypt: nginx.folder().join("letsencrypt"),
        state: nginx.folder().join("state"),
        ..Settings::default()
    })
}

/// Stages a certificate for the only site.
async fn stage(host: &NginxHost, authority: &Authority) -> (Site, Staged) {
    let site = host.look(&Known::new()).await.unwrap().sites.remove(0);
    let pair = authority.issue(&[site.domain().as_str()], Days::left(89));
    let (key, issued) = (
        Secret::new(pair.key.clone()),
        Issued {
            chains: vec![pair.fullchain()],
        },
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "testkit's certificates are valid now"
    )]
    let staged = host
        .stage(&site, &key, &issued, Timestamp::now())
        .await
        .unwrap();
    (site, staged)
}

async fn prepare(host: &NginxHost, (site, staged): &(Site, Staged)) -> Switch {
    let change = Change::Serve {
        site,
        version: staged.version,
        serves: staged.certificate.sha256,
    };
    host.prepare(&[change]).await.remove(0).unwrap()
}

fn make(host: &NginxHost, switch: &Switch) -> Result<(), HostFailure> {
    switches::make(&host.lineages, std::slice::from_ref(switch))
}

fn unmake(host: &NginxHost, switch: &Switch) -> Result<(), HostFailure> {
    switches::unmake(&host.lineages, std::slice::from_ref(switch))
}

/// Dies at each step on the way there and back, and lets nginx judge what it would read then.
async fn die_everywhere(sample: Sample, is_renewal: bool) {
    let nginx = Nginx::prepare([sample]);
    let vhost = nginx.vhost("a.test");
    let authority = Authority::new("Practice");
    let host = host(&nginx);
    if is_renewal {
        let first = prepare(&host, &stage(&host, &authority).await).await;
        make(&host, &first).unwrap();
        host.settle(std::slice::from_ref(&first)).await;
    }
    let before = std::fs::read(&vhost).unwrap();
    let staged = stage(&host, &authority).await;
    let read = |part| std::fs::read(host.lineages.link("a.test", part)).unwrap();
    let check = |steps: usize| {
        let said = nginx.test();
        assert!(said.ok(), "after {steps} steps: {}", said.stderr);
        if host.lineages.folder("a.test").exists() {
            let chain = x509::chain::Chain::read(&read(Part::Fullchain)).unwrap();
            let key = Secret::new(String::from_utf8(read(Part::Privkey)).unwrap());
            let fits = x509::key::fits(&key, chain.leaf_der()).unwrap();
            assert!(fits, "after {steps} steps");
        }
    };
    for steps in 0..200 {
        let switch = prepare(&host, &staged).await;
        let (_, died) = crash::after(steps, || {
            make(&host, &switch)?;
            unmake(&host, &switch)
        });
        check(steps);
        unmake(&host, &switch).unwrap();
        assert_eq!(
            std::fs::read(&vhost).unwrap(),
            before,
            "after {steps} steps"
        );
        if !died {
            check(steps);
            assert!(steps > 10);
            return;
        }
    }
    panic!("it never ends");
}

#[tokio::test]
async fn on_the_way_to_a_first_certificate() {
    die_everywhere(Sample::plain("a.test"), false).await;
}

#[tokio::test]
async fn on_the_way_from_a_placeholder() {
    die_everywhere(Sample::files("a.test").placeholder(), false).await;
}

#[tokio::test]
async fn on_the_way_to_a_renewal() {
    die_everywhere(Sample::files("a.test"), true).await;
}
