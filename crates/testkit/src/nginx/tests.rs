//! Does the real nginx serve the sample sites, and go away completely?

use super::*;
use crate::upstream::Upstream;
use crate::{fetch, openssl};

fn get(nginx: &Nginx, host: &str, path: &str) -> fetch::Reply {
    fetch::http(nginx.http_addresses()[0], host, path).unwrap()
}

#[test]
fn files_are_served_on_every_address() {
    let nginx = Nginx::start([Site::files("a.test").also("www.a.test")]);
    for address in nginx.http_addresses() {
        assert_eq!(
            fetch::http(address, "www.a.test", "/").unwrap().body,
            "this is a.test\n"
        );
    }
    let own = openssl::sha256(&nginx.certificates().join("a.test.crt"));
    for address in nginx.https_addresses() {
        assert_eq!(openssl::served(address, "a.test").as_ref(), Some(&own));
    }
}

#[test]
fn a_cloudpanel_site_redirects_even_a_challenge() {
    let nginx = Nginx::start([Site::cloudpanel("a.test")]);
    let reply = get(&nginx, "a.test", "/.well-known/acme-challenge/token");
    let target = format!(
        "https://a.test:{}/.well-known/acme-challenge/token",
        nginx.https_port()
    );
    assert_eq!(
        (reply.status, reply.header("location")),
        (301, Some(target.as_str()))
    );
}

#[test]
fn a_redirect_block_sends_the_bare_name_to_www() {
    let nginx = Nginx::start([Site::cloudpanel_redirect("a.test", "www.a.test")]);
    let target = format!("https://www.a.test:{}/x?y", nginx.https_port());
    assert_eq!(
        get(&nginx, "a.test", "/x?y").header("location"),
        Some(target.as_str())
    );
}

#[test]
fn a_reverse_proxy_hands_everything_to_the_application() {
    let upstream = Upstream::start("the application");
    let nginx = Nginx::start([Site::reverse_proxy("a.test", upstream.address())]);
    assert_eq!(
        get(&nginx, "a.test", "/.well-known/acme-challenge/x").body,
        "the application"
    );
}

#[test]
fn a_plain_site_has_no_tls() {
    let nginx = Nginx::start([Site::plain("a.test")]);
    assert_eq!(get(&nginx, "a.test", "/").status, 200);
    assert_eq!(openssl::served(nginx.https_addresses()[0], "a.test"), None);
}

#[test]
fn placeholder_sites_share_one_certificate() {
    let nginx = Nginx::start([
        Site::files("a.test").placeholder(),
        Site::files("b.test").placeholder(),
    ]);
    let [a, b] =
        ["a.test", "b.test"].map(|name| openssl::served(nginx.https_addresses()[0], name).unwrap());
    assert_eq!(a, b);
}

#[test]
fn the_default_server_answers_unknown_names() {
    let nginx = Nginx::start([Site::files("a.test"), Site::files("z.test").catches_all()]);
    assert_eq!(get(&nginx, "unknown.test", "/").body, "this is z.test\n");
}

#[test]
fn names_of_no_site_are_refused() {
    let nginx = Nginx::start([Site::files("a.test"), Site::refusal()]);
    let address = nginx.http_addresses()[0];
    assert!(fetch::http(address, "unknown.test", "/").is_err());
    assert_eq!(fetch::http(address, "a.test", "/").unwrap().status, 200);
    assert_eq!(
        openssl::served(nginx.https_addresses()[0], "unknown.test"),
        None
    );
    assert!(openssl::served(nginx.https_addresses()[0], "a.test").is_some());
}

#[test]
fn an_added_site_is_served_after_a_reload() {
    let mut nginx = Nginx::start([Site::files("a.test")]);
    nginx.add(Site::files("b.test"));
    assert!(nginx.test().ok());
    nginx.reload();
    assert_eq!(get(&nginx, "b.test", "/").body, "this is b.test\n");
    assert_eq!(nginx.reloads(), 1);
}

#[test]
fn nothing_is_left_behind() {
    let nginx = Nginx::start([Site::files("a.test")]);
    let (folder, http) = (nginx.folder().to_owned(), nginx.http_addresses()[0]);
    assert!(processes(&folder).len() > 1);
    drop(nginx);
    assert!(!folder.exists());
    assert!(TcpStream::connect(http).is_err());
    assert_eq!(processes(&folder), [0; 0]);
}

#[test]
fn a_killed_master_leaves_no_worker_after_the_drop() {
    let mut nginx = Nginx::start([Site::files("a.test")]);
    let folder = nginx.folder().to_owned();
    nginx.child.as_mut().unwrap().kill().unwrap();
    drop(nginx);
    assert!(program::wait_until(STOP, || processes(&folder).is_empty()));
}

#[test]
#[should_panic(expected = "unknown directive \"nonsense\"")]
fn a_start_that_fails_says_why() {
    let _ = Nginx::start([Site::files("a.test").extra("nonsense on;")]);
}
