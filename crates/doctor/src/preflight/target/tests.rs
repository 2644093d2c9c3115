use super::{Target, follow};
use crate::preflight::Settings;
use expect_test::{Expect, expect};
use renewal::name::Name;

fn settings(private_ca: bool) -> Settings {
    Settings {
        http_port: 8080,
        https_port: 8443,
        private_ca,
        ..Settings::default()
    }
}

fn start() -> Target {
    Target::challenge(Name::parse("a.example.com").unwrap(), 80, "TOKEN")
}

/// The single place that calls `follow`: from the first fetch, by a public CA's rules.
#[track_caller]
fn check(location: &str, expect: Expect) {
    check_with(location.as_bytes(), &settings(false), expect);
}

#[track_caller]
fn check_with(location: &[u8], settings: &Settings, expect: Expect) {
    let answer = match follow(&[start()], 301, Some(location), settings) {
        Ok(target) => target.to_string(),
        Err(refusal) => format!("refused: {refusal}"),
    };
    expect.assert_eq(&answer);
}

#[test]
fn ordinary_redirects_are_followed() {
    check(
        "https://a.example.com/x?y=1#z",
        expect!["https://a.example.com/x?y=1"],
    );
    check(
        "HTTPS://B.Example.COM:443",
        expect!["https://b.example.com/"],
    );
    check("//b.example.com/x", expect!["http://b.example.com/x"]);
    check(
        "https://user:pw@b.example.com/x",
        expect!["https://b.example.com/x"],
    );
    check(
        "http://[2606:4700::1]:80/x",
        expect!["http://[2606:4700::1]/x"],
    );
    check(
        "https://b.example.com?x=/../y",
        expect!["https://b.example.com/?x=/../y"],
    );
}

#[test]
fn references_are_relative_to_the_place_they_come_from() {
    check("/x", expect!["http://a.example.com/x"]);
    check(
        "x",
        expect!["http://a.example.com/.well-known/acme-challenge/x"],
    );
    check(
        "../x/./y/..",
        expect!["http://a.example.com/.well-known/x/"],
    );
    check("../../../../x", expect!["http://a.example.com/x"]);
    check(
        "?x",
        expect!["http://a.example.com/.well-known/acme-challenge/TOKEN?x"],
    );
    check("/a//b/", expect!["http://a.example.com/a//b/"]);
    check("/ü x/%41", expect!["http://a.example.com/%C3%BC%20x/%41"]);
    check(
        "x:y",
        expect!["refused: the CA follows http and https, not x"],
    );
    check("", expect!["refused: it leads to a place it came from"]);
}

#[test]
fn broken_locations() {
    check(
        "https://a.example.com.well-known/acme-challenge/TOKEN",
        expect![
            "refused: a “/” is missing between the host and the path, which makes the host a.example.com.well-known"
        ],
    );
    check(
        "https://a.example.com:443.well-known/acme-challenge/TOKEN",
        expect![
            "refused: a “/” is missing between the host and the path, which makes the host a.example.com:443.well-known"
        ],
    );
    check("https:///x", expect!["refused: the Location has no host"]);
    check(
        "https://:443/x",
        expect!["refused: the Location has no host"],
    );
    check(
        "https:a.example.com",
        expect!["refused: the Location has no host"],
    );
    check(
        "https://a.example.com:x/",
        expect!["refused: the Location is no URL: the port is no number"],
    );
    check(
        "https://a.example.com:99999/",
        expect!["refused: the Location is no URL: the port is no number"],
    );
    check(
        "https://a b/",
        expect!["refused: the Location is no URL: the host is no host name"],
    );
    check(
        "https://$host/",
        expect!["refused: the Location is no URL: the host is no host name"],
    );
    check(
        "http://[fe80::1%25eth0]/",
        expect!["refused: the Location is no URL: an address has a scope zone"],
    );
    check(
        "http://[::1/",
        expect!["refused: the Location is no URL: a bracket is not closed"],
    );
    check(
        "/a\tb",
        expect!["refused: the Location is no URL: it has control characters"],
    );
    check_with(
        b"/\xff",
        &settings(false),
        expect!["refused: the Location is no URL: it is not UTF-8"],
    );
    check(
        &format!("/{}", "x".repeat(2000)),
        expect!["refused: the path has 2001 bytes, and 2000 are allowed"],
    );
    check(
        &format!("/?{}", "x".repeat(3000)[..3].repeat(2)),
        expect!["http://a.example.com/?xxxxxx"],
    );
}

#[test]
fn what_a_stranger_wrote_does_not_fill_the_page() {
    let long = "x".repeat(10_000);
    for location in [
        format!("{long}://a/"),
        format!("//a.{long}.well-known/"),
        format!("/?{long}"),
    ] {
        let text = match follow(&[start()], 301, Some(location.as_bytes()), &settings(false)) {
            Ok(target) => target.to_string(),
            Err(refusal) => refusal.to_string(),
        };
        assert!(text.len() < 400, "{text}");
    }
}

#[test]
fn places_the_ca_does_not_go() {
    check(
        "ftp://a.example.com/",
        expect!["refused: the CA follows http and https, not ftp"],
    );
    check(
        "https://a.example.com:8443/",
        expect!["refused: the CA follows to the ports 80, 443, not 8443"],
    );
    check(
        "https://localhost/",
        expect!["refused: localhost cannot be reached from outside"],
    );
    check(
        "https://web.internal/",
        expect!["refused: web.internal cannot be reached from outside"],
    );
    check(
        "http://10.0.0.1/",
        expect!["refused: 10.0.0.1 cannot be reached from outside"],
    );
    check(
        "http://[::1]/",
        expect!["refused: ::1 cannot be reached from outside"],
    );
}

#[test]
fn a_private_ca_goes_to_its_own_ports_and_to_private_places() {
    let private = settings(true);
    check_with(
        b"https://localhost:8443/x",
        &private,
        expect!["https://localhost:8443/x"],
    );
    check_with(
        b"http://127.0.0.1:8080/x",
        &private,
        expect!["http://127.0.0.1:8080/x"],
    );
    check_with(
        b"http://127.0.0.1:8081/x",
        &private,
        expect!["refused: the CA follows to the ports 80, 443, 8080, 8443, not 8081"],
    );
}

#[test]
fn only_four_statuses_are_redirects() {
    let answer = |status| follow(&[start()], status, Some(b"/x"), &settings(false)).is_ok();
    let followed: Vec<u16> = (300..400).filter(|status| answer(*status)).collect();
    assert_eq!(followed, [301, 302, 307, 308]);
    let error = follow(&[start()], 301, None, &settings(false)).unwrap_err();
    assert_eq!(error.to_string(), "the redirect has no Location");
}

#[test]
fn ten_redirects_are_followed_and_not_eleven() {
    let mut been = vec![start()];
    let mut followed = 0;
    let error = loop {
        let location = format!("/{followed}");
        match follow(&been, 302, Some(location.as_bytes()), &settings(false)) {
            Ok(target) => been.push(target),
            Err(error) => break error,
        }
        followed += 1;
    };
    assert_eq!(
        (followed, error.to_string()),
        (
            10,
            "the CA follows 10 redirects, and there are more".to_owned()
        )
    );
}

#[test]
fn whatever_the_location_the_request_can_be_made() {
    let huge = format!("/?{}", "ü".repeat(40_000)).into_bytes();
    let bytes = (0..=u8::MAX).map(|byte| [b"/a", &[byte][..], b"//?b", &[byte], b"?c/.."].concat());
    let mut made = 0;
    for location in bytes.chain([huge, b"////".to_vec(), b"//a.example.com?".to_vec()]) {
        if let Ok(target) = follow(&[start()], 301, Some(&location), &settings(false)) {
            let uri: hyper::Uri = target.path.parse().unwrap();
            assert_eq!(uri.path_and_query().unwrap().as_str(), target.path);
            made += 1;
        }
    }
    assert!(made > 90, "{made}");
    let odd = Target::challenge(Name::parse("a.example.com").unwrap(), 80, "a b\r\nü");
    assert_eq!(odd.path, "/.well-known/acme-challenge/a%20b%0D%0A%C3%BC");
}
