//! Challenges, fetched from a real nginx as a CA would fetch them.

use std::fs;
use std::slice::from_ref;

use renewal::challenge::{Way, ways};
use renewal::ports::{Change, Host as _};
use testkit::fetch;
use testkit::nginx::{Nginx, Site};

use super::rig::{PATIENCE, Rig};

const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

fn path() -> String {
    format!("/.well-known/acme-challenge/{TOKEN}")
}

#[tokio::test]
async fn by_webroot_the_answer_is_served_and_leaves_nothing_behind() {
    let rig = Rig::new(Nginx::start([Site::files("a.test")]));
    let site = rig.site("a.test").await;
    assert_eq!(
        ways(&site, rig.nginx.http_port(), "THUMB", true)[0],
        Way::Webroot
    );
    let before = rig.files();
    for _ in 0..2 {
        rig.host
            .present(&site, Way::Webroot, TOKEN, "the answer")
            .await
            .unwrap();
    }
    for address in rig.nginx.http_addresses() {
        let reply = fetch::http(address, "a.test", &path()).unwrap();
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (200, "the answer"),
            "{address}"
        );
    }
    for _ in 0..2 {
        rig.host.withdraw(&site, Way::Webroot, TOKEN).await;
    }
    rig.host.tidy().await;
    assert_eq!(rig.files(), before);
    assert!(
        !rig.nginx
            .document_root("a.test")
            .join(".well-known")
            .exists()
    );
}

#[tokio::test]
async fn many_names_at_once_share_a_document_root() {
    let rig = std::sync::Arc::new(Rig::new(Nginx::prepare([Site::files("a.test")])));
    let site = rig.site("a.test").await;
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let (rig, site) = (std::sync::Arc::clone(&rig), site.clone());
            tokio::spawn(async move {
                for round in 0..20 {
                    let token = format!("{number}-{round}");
                    rig.host
                        .present(&site, Way::Webroot, &token, "x")
                        .await
                        .unwrap();
                    rig.host.withdraw(&site, Way::Webroot, &token).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    rig.host.tidy().await;
    assert!(
        !rig.nginx
            .document_root("a.test")
            .join(".well-known")
            .exists()
    );
}

#[tokio::test]
async fn stateless_answers_where_https_is_forced_and_can_be_taken_back() {
    let rig = Rig::new(Nginx::start([Site::cloudpanel("a.test")]));
    let site = rig.site("a.test").await;
    let vhost = rig.nginx.vhost("a.test");
    let before = fs::read(&vhost).unwrap();
    let stateless = Change::Stateless {
        site: &site,
        thumbprint: "THUMB",
    };
    let switch = rig.host.prepare(&[stateless]).await.remove(0).unwrap();
    rig.host.switch(from_ref(&switch)).await.unwrap();
    rig.host.test().await.unwrap();
    rig.host.reload().await.unwrap();
    let address = rig.nginx.http_addresses()[0];
    let begin = std::time::Instant::now();
    loop {
        let reply = fetch::http(address, "a.test", &path()).unwrap();
        if reply.status == 200 {
            assert_eq!(reply.body, format!("{TOKEN}.THUMB"));
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{}", rig.nginx.error_log());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let again = rig.site("a.test").await;
    assert_eq!(
        ways(&again, rig.nginx.http_port(), "THUMB", true)[0],
        Way::Stateless
    );
    let stateless = Change::Stateless {
        site: &again,
        thumbprint: "THUMB",
    };
    assert!(
        rig.host
            .prepare(&[stateless])
            .await
            .remove(0)
            .unwrap()
            .edits
            .is_empty()
    );
    rig.host.revert(from_ref(&switch)).await.unwrap();
    assert_eq!(fs::read(&vhost).unwrap(), before);
}
