//! What does the CA's request meet behind each of the panel's vhosts, and is it answered?
//!
//! The practice CA fetches as Let's Encrypt does: from port 80, by its user agent, through redirects, whatever certificate
//! it sees on the way. nginx is real, and its vhosts are of the panel's shape.

use testkit::fetch;
use testkit::program::Program;
use testkit::upstream::Upstream;

use super::*;

const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// A part of Let's Encrypt's user agent, as a careless list of bad bots has it.
const BLOCKED_BOTS: &str =
    "  if ($http_user_agent ~* (semrush|compatible|ahrefs)) {\n    return 444;\n  }\n";

/// A host with this one site, self-signed.
fn host_of(site: &PanelSite<'_>) -> (PanelHost, Practice) {
    let mut panel = PanelHost::prepare();
    panel.add(site);
    started(panel)
}

fn started(mut panel: PanelHost) -> (PanelHost, Practice) {
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    (panel, practice)
}

/// Asks for the first certificate of a site.
fn first(panel: &PanelHost, domain: &str) -> Answer {
    ask(
        panel,
        &["site:renew-certificates", &format!("--domain={domain}")],
    )
}

/// The first certificate is issued, no vhost is edited, and no challenge file is left.
#[track_caller]
fn served_by_webroot(panel: &PanelHost, domain: &str) {
    let vhost = fs::read(panel.host.nginx.vhost(domain)).unwrap();
    let answer = first(panel, domain).expect_code(0);
    assert_eq!(answer.outcome(domain), "issued", "{:#}", answer.json);
    assert_whole(panel, domain, domain);
    assert_eq!(fs::read(panel.host.nginx.vhost(domain)).unwrap(), vhost);
    assert_eq!(answer.reloads(), 1, "for the certificate alone");
    let found = Program::new("find")
        .arg(panel.home())
        .args(["-name", ".well-known"])
        .run();
    assert_eq!(found.stdout, "", "what was made for the challenge is gone");
}

/// Returns the statuses that requests of the CA's user agent got, by nginx's own log.
fn statuses_of_challenges(panel: &PanelHost) -> Vec<String> {
    let log = panel.host.nginx.access_log();
    let asked = log
        .lines()
        .filter(|line| line.contains(CHALLENGE) && line.contains("Let's Encrypt"));
    let status = |line: &str| line.split("HTTP/1.1\" ").nth(1).unwrap_or_default()[..3].to_owned();
    asked.map(status).collect()
}

/// Returns the status of a page over HTTPS, whoever issued the certificate.
#[track_caller]
fn page(panel: &PanelHost, domain: &str, path: &str) -> String {
    let address = panel.host.nginx.https_addresses()[0].to_string();
    let output = Program::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-connect",
            &address,
            "-servername",
            domain,
        ])
        .input(format!(
            "GET {path} HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n"
        ))
        .run();
    let status = output.stdout.split(' ').nth(1);
    status.unwrap_or("closed").to_owned()
}

#[test]
fn a_site_of_any_type_redirects_port_80_and_serves_the_file_behind_it() {
    let mut panel = PanelHost::prepare();
    let all = [
        Shape::Php,
        Shape::Varnish,
        Shape::Nodejs,
        Shape::Static,
        Shape::Python,
        Shape::ReverseProxy,
    ];
    let domains = all.map(|shape| format!("{shape:?}.test").to_lowercase());
    for (shape, domain) in all.into_iter().zip(&domains) {
        panel.add(&PanelSite::new(domain, shape));
    }
    let (panel, _practice) = started(panel);
    for domain in &domains {
        let address = panel.host.nginx.http_addresses()[0];
        let reply = fetch::http(address, domain, &format!("{CHALLENGE}x")).unwrap();
        assert_eq!(
            reply.status, 301,
            "{domain}: port 80 itself serves no token"
        );
        served_by_webroot(&panel, domain);
    }
    let statuses = statuses_of_challenges(&panel);
    assert!(
        statuses.chunks(2).all(|pair| pair == ["301", "200"]),
        "{statuses:?}"
    );
}

#[test]
fn an_apex_whose_site_is_www_is_redirected_to_it_and_served_there() {
    let site = PanelSite {
        redirected: Some("shop.test"),
        ..PanelSite::new("www.shop.test", Shape::Php)
    };
    let (panel, practice) = host_of(&site);
    served_by_webroot(&panel, "www.shop.test");
    let file = panel.host.nginx.certificates().join("www.shop.test.crt");
    for name in site.names() {
        assert!(openssl::covers(&file, name), "{name}");
    }
    assert_eq!(practice.orders(), 1);
}

#[test]
fn a_site_for_cloudflare_alone_keeps_others_out_and_lets_challenges_in() {
    let mut panel = PanelHost::prepare();
    let ranges = panel.host.nginx.folder().join("cloudflare");
    fs::create_dir_all(&ranges).unwrap();
    fs::write(
        ranges.join("ips"),
        "allow 192.0.2.0/24;\nallow 2001:db8::/32;\ndeny all;\n",
    )
    .unwrap();
    panel.add(&PanelSite {
        settings: "  include cloudflare/ips;\n",
        ..PanelSite::new("cdn.test", Shape::Php)
    });
    let (panel, _practice) = started(panel);
    assert_eq!(page(&panel, "cdn.test", "/"), "403");
    served_by_webroot(&panel, "cdn.test");
}

#[test]
fn a_site_with_a_password_asks_for_it_and_lets_challenges_in() {
    let mut panel = PanelHost::prepare();
    let folder = panel.host.nginx.folder().join("basic-auth");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("staff.test"), "user:{PLAIN}word\n").unwrap();
    panel.add(&PanelSite {
        settings: "  auth_basic \"Restricted Area\";\n  auth_basic_user_file basic-auth/staff.test;\n",
        ..PanelSite::new("staff.test", Shape::Php)
    });
    let (panel, _practice) = started(panel);
    assert_eq!(page(&panel, "staff.test", "/"), "401");
    served_by_webroot(&panel, "staff.test");
}

#[test]
fn a_list_of_bots_with_the_cas_user_agent_is_named_by_its_line_and_nothing_is_ordered() {
    let site = PanelSite {
        settings: BLOCKED_BOTS,
        ..PanelSite::new("bots.test", Shape::Php)
    };
    let (panel, practice) = host_of(&site);
    let vhost = fs::read(panel.host.nginx.vhost("bots.test")).unwrap();
    let answer = first(&panel, "bots.test").expect_code(1);
    assert_eq!(answer.outcome("bots.test"), "failed");
    assert_eq!(practice.orders(), 0);
    let findings = answer.site("bots.test")["findings"].to_string();
    assert!(findings.contains("challenge-"), "{findings}");
    assert!(findings.contains("edit = true"), "{findings}");
    // The panel's vhosts are the panel's, until the admin says otherwise.
    assert_eq!(
        fs::read(panel.host.nginx.vhost("bots.test")).unwrap(),
        vhost
    );
    let doctor = ask(&panel, &["site:doctor", "--domain=bots.test"]).expect_code(1);
    let said = doctor.json.to_string();
    assert!(
        said.contains("challenge-blocked-by-rule"),
        "{:#}",
        doctor.json
    );
    assert!(said.contains("semrush|compatible"), "{:#}", doctor.json);
}

#[test]
fn the_line_goes_in_where_the_admin_allows_it_and_its_loss_to_the_panel_is_noticed() {
    let site = PanelSite {
        settings: BLOCKED_BOTS,
        ..PanelSite::new("bots.test", Shape::Php)
    };
    let (mut panel, practice) = host_of(&site);
    panel.host.set("nginx", "edit", "true");
    let vhost = panel.host.nginx.vhost("bots.test");
    let before = fs::read_to_string(&vhost).unwrap();
    let answer = first(&panel, "bots.test").expect_code(0);
    assert_eq!(answer.outcome("bots.test"), "issued", "{:#}", answer.json);
    let after = fs::read_to_string(&vhost).unwrap();
    let added = crate::disk::added_lines(&before, &after);
    assert_eq!(added.len(), 1, "{added:?}");
    assert!(added[0].ends_with("# clpctl http-01"), "{added:?}");
    let calm = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(calm.site("bots.test")["findings"], json!([]));

    // The panel writes the vhost anew from its template, as at every save.
    let written_anew = |text: &str| {
        fs::write(&vhost, text).unwrap();
        panel.host.nginx.reload();
        let address = panel.host.nginx.http_addresses()[0];
        let answer = fetch::http(address, "bots.test", &format!("{CHALLENGE}x")).unwrap();
        assert_eq!(answer.status, 301);
    };
    written_anew(&before);
    for _ in 0..2 {
        let noticed = ask(&panel, &["site:renew-certificates"]).expect_code(0);
        assert_eq!(noticed.outcome("bots.test"), "not-due");
        let finding = noticed.finding("bots.test", "vhost-changed");
        assert_eq!(finding["severity"], "warning");
        let said = finding["explanation"].as_str().unwrap();
        assert!(
            said.starts_with("CloudPanel has written the vhost anew"),
            "{said}"
        );
    }
    let again = ask(
        &panel,
        &["site:renew-certificates", "--domain=bots.test", "--force"],
    )
    .expect_code(0);
    assert_eq!(again.outcome("bots.test"), "renewed", "{:#}", again.json);
    assert_eq!(fs::read_to_string(&vhost).unwrap(), after);
    assert_eq!(practice.orders(), 2);

    // Once the list is mended and the line is gone, a renewal without it forgets it.
    written_anew(&before.replace("|compatible", ""));
    let _ = ask(
        &panel,
        &["site:renew-certificates", "--domain=bots.test", "--force"],
    )
    .expect_code(0);
    let calm = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(
        calm.site("bots.test")["findings"],
        json!([]),
        "{:#}",
        calm.json
    );
}

#[test]
fn a_name_that_no_server_name_has_falls_to_the_catch_all_and_that_is_said() {
    let (panel, practice) = host_of(&PanelSite::new("a.test", Shape::Php));
    let words = [
        "lets-encrypt:install:certificate",
        "--domainName=a.test",
        "--subjectAlternativeName=new.test",
    ];
    let answer = ask(&panel, &words).expect_code(1);
    let finding = answer.finding("a.test", "name-not-served");
    let said = finding.to_string();
    assert!(
        said.contains("new.test") && said.contains("server_name"),
        "{said}"
    );
    assert_eq!(practice.orders(), 0);
}

#[test]
fn a_reverse_proxy_serves_our_file_and_hands_all_others_to_its_upstream() {
    let (panel, _practice) = host_of(&PanelSite::new("mail.test", Shape::ReverseProxy));
    served_by_webroot(&panel, "mail.test");
    let theirs = format!("{CHALLENGE}of-the-application");
    // Its application is down, so what is not ours cannot be answered, and is no 404.
    assert_eq!(page(&panel, "mail.test", &theirs), "502");

    let application = Upstream::start("the application's own answer");
    let vhost = panel.host.nginx.vhost("mail.test");
    let text = fs::read_to_string(&vhost).unwrap();
    let port = text.split("proxy_pass http://127.0.0.1:").nth(1).unwrap();
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    let up = application.address().to_string();
    fs::write(
        &vhost,
        text.replace(
            &format!("proxy_pass http://127.0.0.1:{port}"),
            &format!("proxy_pass http://{up}"),
        ),
    )
    .unwrap();
    panel.host.nginx.reload();
    assert_eq!(page(&panel, "mail.test", &theirs), "200");
    let again = ["site:renew-certificates", "--domain=mail.test", "--force"];
    let _ = ask(&panel, &again).expect_code(0);
}

#[test]
fn a_link_to_somebody_elses_folder_is_not_followed_and_is_named() {
    let (panel, practice) = host_of(&PanelSite::new("link.test", Shape::Php));
    let root = panel.home().join("user1/htdocs/link.test");
    let elsewhere = panel.host.folder().join("elsewhere");
    fs::create_dir_all(elsewhere.join("acme-challenge")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, root.join(".well-known")).unwrap();
    std::os::unix::fs::lchown(root.join(".well-known"), Some(64_101), Some(64_101)).unwrap();
    fs::write(elsewhere.join("acme-challenge/x"), "theirs").unwrap();
    assert_eq!(page(&panel, "link.test", &format!("{CHALLENGE}x")), "403");
    let answer = first(&panel, "link.test").expect_code(1);
    let finding = answer.finding("link.test", "webroot-symlink-owner");
    assert!(finding.to_string().contains(".well-known"), "{finding:#}");
    assert_eq!(practice.orders(), 0);
    let left: Vec<_> = fs::read_dir(elsewhere.join("acme-challenge"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["x"], "nothing was written through the link");
}
