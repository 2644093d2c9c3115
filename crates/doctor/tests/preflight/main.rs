//! Does the preflight see what a CA would see? Real sockets, real DNS messages, loopback only.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod dns;
mod nginx;
mod web;
mod world;

use expect_test::{Expect, expect};
use tokio::time::Instant;

use self::world::{SHORT, World};

/// Probes one name of the small internet in [`world`]; ports are normalised.
#[track_caller]
fn check(name: &str, expect: Expect) {
    check_in(name, |world| world, expect);
}

#[track_caller]
fn check_in(name: &str, change: impl FnOnce(World) -> World, expect: Expect) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    expect.assert_eq(&runtime.block_on(async { change(World::start().await).probe(name).await }));
}

#[test]
fn a_plain_answer() {
    check("plain.test", expect!["reached: 127.0.0.1:HTTP"]);
    check("spaces-after-it.test", expect!["reached: 127.0.0.1:HTTP"]);
    check("chunked.test", expect!["reached: 127.0.0.1:HTTP"]);
}

#[test]
fn the_request_is_like_lets_encrypts() {
    check(
        "as-lets-encrypt-asks.test",
        expect!["reached: 127.0.0.1:HTTP"],
    );
}

#[test]
fn answers_with_another_status() {
    check(
        "forbidden.test",
        expect![[r#"
        challenge-forbidden: forbidden.test forbids the challenge (403, at 127.0.0.1).
          http://forbidden.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 403, “<h1>403</h1>”"#]],
    );
    check(
        "lost.test",
        expect![[r#"
        challenge-not-found: lost.test does not know the challenge (404, at 127.0.0.1): another server block, folder or host answers.
          http://lost.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 404, “<h1>404</h1>”"#]],
    );
    check(
        "broken.test",
        expect![[r#"
        challenge-server-error: broken.test answers the challenge with a server error (502, at 127.0.0.1).
          http://broken.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 502, “<h1>502</h1>”"#]],
    );
}

#[test]
fn answers_with_another_body() {
    check(
        "catch-all.test",
        expect![[r#"
        challenge-wrong-answer: catch-all.test answers the challenge with another page (at 127.0.0.1): a catch-all rule, or another host.
          http://catch-all.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 200, “<!doctype html>\n<title>Welcome</title>”"#]],
    );
    check(
        "endless.test",
        expect![[r#"
        challenge-wrong-answer: endless.test adds something to the answer of the challenge (at 127.0.0.1).
          http://endless.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 200, “TOKEN.thumbxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…”"#]],
    );
    check(
        "too-long.test",
        expect![[r#"
        challenge-wrong-answer: too-long.test adds something to the answer of the challenge (at 127.0.0.1).
          http://too-long.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 200, “TOKEN.thumb”"#]],
    );
}

#[test]
fn servers_that_do_not_answer() {
    check(
        "closes.test",
        expect![[r#"
        challenge-connection-closed: 127.0.0.1:HTTP takes the connection for closes.test, but does not answer: the connection is closed before the answer is complete.
          http://closes.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: waiting for the answer: the connection is closed before the answer is complete"#]],
    );
    check(
        "half.test",
        expect![[r#"
        challenge-connection-closed: 127.0.0.1:HTTP takes the connection for half.test, but does not answer: the connection is closed before the answer is complete.
          http://half.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: waiting for the answer: the connection is closed before the answer is complete"#]],
    );
    check(
        "nonsense.test",
        expect![[r#"
        challenge-wrong-answer: What listens on port HTTP of 127.0.0.1 is no plain HTTP server.
          http://nonsense.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: waiting for the answer: what answers does not speak HTTP/1: invalid HTTP version parsed"#]],
    );
    check(
        "huge-head.test",
        expect![[r#"
        challenge-wrong-answer: What listens on port HTTP of 127.0.0.1 is no plain HTTP server.
          http://huge-head.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: waiting for the answer: what answers does not speak HTTP/1: message head is too large"#]],
    );
}

#[test]
fn servers_that_are_slow() {
    check_in(
        "hangs.test",
        |world| world.patience(|patience| patience.answer = SHORT),
        expect![[r#"
            port-80-timeout: Port HTTP of 127.0.0.1, where hangs.test points, does not answer: no answer within 300ms.
              http://hangs.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: waiting for the answer: no answer within 300ms"#]],
    );
    check_in(
        "drips.test",
        |world| world.patience(|patience| patience.answer = SHORT),
        expect![[r#"
            port-80-timeout: Port HTTP of 127.0.0.1, where drips.test points, does not answer: no answer within 300ms.
              http://drips.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: waiting for the answer: no answer within 300ms"#]],
    );
    check_in(
        "tls-hangs.test",
        |world| world.patience(|patience| patience.answer = SHORT),
        expect![[r#"
            challenge-server-error: tls-hangs.test redirects the challenge to tls-hangs.test:HTTPS, which takes too long to answer: no answer within 300ms.
              http://tls-hangs.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 301 to “https://tls-hangs.test:HTTPS/.well-known/acme-challenge/TOKEN”; https://tls-hangs.test:HTTPS/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTPS: waiting for the answer: no answer within 300ms"#]],
    );
}

#[test]
fn redirects_that_are_followed() {
    check("to-https.test", expect!["reached: 127.0.0.1:HTTP"]);
    check("to-other-host.test", expect!["reached: 127.0.0.1:HTTP"]);
    check("to-https-address.test", expect!["reached: 127.0.0.1:HTTP"]);
    check("ten-redirects.test", expect!["reached: 127.0.0.1:HTTP"]);
}

#[test]
fn redirects_that_are_not() {
    check(
        "loop.test",
        expect![[r#"
        challenge-redirect-loop: loop.test redirects the challenge in a circle: it leads to a place it came from.
          http://loop.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 301 to “http://loop.test:HTTP/.well-known/acme-challenge/TOKEN”"#]],
    );
    check(
        "eleven-redirects.test",
        expect![[r#"
        challenge-redirect-loop: eleven-redirects.test redirects the challenge in a circle: the CA follows 10 redirects, and there are more.
          http://eleven-redirects.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 302 to “/r1”; http://eleven-redirects.test:HTTP/r1 at 127.0.0.1:HTTP: 302 to “/r2”; http://eleven-redirects.test:HTTP/r2 at 127.0.0.1:HTTP: 302 to “/r3”; http://eleven-redirects.test:HTTP/r3 at 127.0.0.1:HTTP: 302 to “/r4”; http://eleven-redirects.test:HTTP/r4 at 127.0.0.1:HTTP: 302 to “/r5”; http://eleven-redirects.test:HTTP/r5 at 127.0.0.1:HTTP: 302 to “/r6”; http://eleven-redirects.test:HTTP/r6 at 127.0.0.1:HTTP: 302 to “/r7”; http://eleven-redirects.test:HTTP/r7 at 127.0.0.1:HTTP: 302 to “/r8”; http://eleven-redirects.test:HTTP/r8 at 127.0.0.1:HTTP: 302 to “/r9”; http://eleven-redirects.test:HTTP/r9 at 127.0.0.1:HTTP: 302 to “/r10”; http://eleven-redirects.test:HTTP/r10 at 127.0.0.1:HTTP: 302 to “/r11”"#]],
    );
    check(
        "to-port-1.test",
        expect![[r#"
        challenge-redirect-port: to-port-1.test redirects the challenge to port 1, where the CA does not go: the CA follows to the ports 80, 443, HTTP, HTTPS, not 1.
          http://to-port-1.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 301 to “http://plain.test:1/”"#]],
    );
    check(
        "missing-slash.test",
        expect![[r#"
        challenge-redirect-malformed: missing-slash.test redirects the challenge to something that is no address: a “/” is missing between the host and the path, which makes the host missing-slash.test.well-known.
          http://missing-slash.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 301 to “https://missing-slash.test.well-known/acme-challenge/TOKEN”"#]],
    );
    check(
        "no-location.test",
        expect![[r#"
        challenge-redirect-malformed: no-location.test redirects the challenge to something that is no address: the redirect has no Location.
          http://no-location.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 301"#]],
    );
    check(
        "see-other.test",
        expect![[r#"
        challenge-redirect-elsewhere: see-other.test redirects the challenge to a place where the CA does not go: status 303 is no redirect that a CA follows.
          http://see-other.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 303 to “/x”"#]],
    );
    check(
        "to-nowhere.test",
        expect![[r#"
        challenge-redirect-elsewhere: to-nowhere.test redirects the challenge to nowhere.test, which DNS does not know.
          http://to-nowhere.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 301 to “http://nowhere.test:HTTP/”; nowhere.test: asked DNS: A: there is no such name; AAAA: there is no such name"#]],
    );
    check(
        "plain-on-https.test",
        expect![[r#"
            challenge-redirect-elsewhere: plain-on-https.test redirects the challenge to HTTPS at plain-on-https.test:HTTP, where no TLS 1.2 or better is spoken: what answers does not speak TLS.
              http://plain-on-https.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: 301 to “https://plain-on-https.test:HTTP/”; https://plain-on-https.test:HTTP/ at 127.0.0.1:HTTP: agreeing on TLS: what answers does not speak TLS"#]],
    );
}

#[test]
fn ipv6_goes_first() {
    if !testkit::port::has_ipv6() {
        // What is left of the rule where there is no IPv6: it is forgiven.
        return check("both.test", expect!["reached: 127.0.0.1:HTTP"]);
    }
    check("both.test", expect!["reached: [::1]:HTTP 127.0.0.1:HTTP"]);
    check(
        "v6-lost.test",
        expect![[r#"
        challenge-not-found: v6-lost.test does not know the challenge (404, at ::1): another server block, folder or host answers.
          http://v6-lost.test:HTTP/.well-known/acme-challenge/TOKEN at [::1]:HTTP: 404, “old host”"#]],
    );
    check("v6-refused.test", expect!["reached: 127.0.0.1:HTTP"]);
    check(
        "v6-only-refused.test",
        expect![[r#"
        port-80-no-ipv6: v6-only-refused.test has the IPv6 address ::ffff:127.0.0.9, but port HTTP does not answer there.
          http://v6-only-refused.test:HTTP/.well-known/acme-challenge/TOKEN at [::ffff:127.0.0.9]:HTTP: connecting: the connection is refused"#]],
    );
}

#[test]
fn every_ipv4_address_counts() {
    check(
        "two-addresses.test",
        expect!["reached: 127.0.0.1:HTTP 127.0.0.2:HTTP"],
    );
    check(
        "one-refuses.test",
        expect![[r#"
        port-80-refused: Nothing listens on port HTTP of 127.0.0.9, where one-refuses.test points.
          http://one-refuses.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.9:HTTP: connecting: the connection is refused"#]],
    );
}

#[test]
fn names_that_dns_does_not_know() {
    check(
        "no-such-name.test",
        expect![[r#"
        dns-no-such-name: no-such-name.test does not exist in DNS, so no CA can find this host by it.
          asked DNS: A: there is no such name; AAAA: there is no such name"#]],
    );
    check(
        "no-address.test",
        expect![[r#"
        dns-no-address: no-address.test exists in DNS but has no address.
          asked DNS: A: no such record; AAAA: no such record"#]],
    );
    check(
        "servfail.test",
        expect![[r#"
        dns-server-failure: The DNS servers of servfail.test answer with an error.
          asked DNS: A: Server Failure; AAAA: Server Failure"#]],
    );
    check("v6-servfail.test", expect!["reached: 127.0.0.1:HTTP"]);
    check_in(
        "silent.test",
        |world| world.patience(|patience| patience.dns = SHORT * 10),
        expect![[r#"
        dns-timeout: The DNS servers of silent.test do not answer in time.
          asked DNS: A: no answer in time; AAAA: no answer in time"#]],
    );
}

#[test]
fn an_address_needs_no_dns() {
    check("127.0.0.1", expect!["reached: 127.0.0.1:HTTP"]);
}

#[test]
fn a_resolver_that_is_not_there() {
    check_in(
        "plain.test",
        World::without_dns,
        expect![[r#"
        resolver-unreachable: This host's DNS server does not answer, so nothing is known about the site's names.
          asked DNS: A: no answer in time, about any name; AAAA: no answer in time, about any name"#]],
    );
}

#[test]
fn a_public_ca_does_not_go_to_private_addresses() {
    check_in(
        "plain.test",
        World::with_public_ca,
        expect![[r#"
        dns-private-address: plain.test has only addresses that nobody outside can reach.
          DNS gives 127.0.0.1"#]],
    );
}

#[tokio::test]
async fn a_port_that_drops_connections_times_out() {
    let world = World::start().await;
    let answer = world.with_full_backlog().await.probe("plain.test").await;
    expect![[r#"
        port-80-timeout: Port HTTP of 127.0.0.1, where plain.test points, does not answer: no answer within 300ms.
          http://plain.test:HTTP/.well-known/acme-challenge/TOKEN at 127.0.0.1:HTTP: connecting: no answer within 300ms"#]].assert_eq(&answer);
}

#[tokio::test]
async fn a_name_is_asked_for_once() {
    let world = World::start().await;
    for _ in 0..3 {
        world.probe("plain.test").await;
    }
    assert_eq!(world.questions("plain.test"), 2, "A and AAAA");
}

#[tokio::test]
async fn a_hundred_names_are_probed_at_the_same_time() {
    let world = World::start().await;
    let world = world.patience(|patience| patience.answer = SHORT);
    let start = Instant::now();
    let names: Vec<String> = (0..100)
        .map(|number| format!("hangs-{number}.test"))
        .collect();
    let answers = futures_util::future::join_all(names.iter().map(|name| world.probe(name))).await;
    let in_time = |answer: &&String| !answer.starts_with("port-80-timeout");
    assert_eq!(answers.iter().find(in_time), None);
    // One after another they would take a hundred times the patience.
    assert!(start.elapsed() < SHORT * 50);
}

#[tokio::test]
async fn a_dead_resolver_is_not_waited_for_by_every_name() {
    let world = World::start().await.without_dns();
    let start = Instant::now();
    let names: Vec<String> = (0..1000).map(|number| format!("a-{number}.test")).collect();
    let answers = futures_util::future::join_all(names.iter().map(|name| world.probe(name))).await;
    let answered = |answer: &&String| !answer.starts_with("resolver-unreachable");
    assert_eq!(answers.iter().find(answered), None);
    // Sixteen at a time, each with its own patience, they would take sixty times that.
    assert!(start.elapsed() < SHORT * 30);
}

#[tokio::test]
async fn the_whole_is_bounded_whatever_each_step_takes() {
    let world = World::start().await;
    let world = world.patience(|patience| patience.overall = SHORT * 4);
    let start = Instant::now();
    // Eleven steps, each within its own patience.
    let answer = world.probe("slow-redirects.test").await;
    assert!(start.elapsed() < SHORT * 9, "it took {:?}", start.elapsed());
    assert!(answer.contains("no answer within"), "{answer}");
}
