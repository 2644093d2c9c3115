//! Which faults of the whole host are there?

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use testkit::certificate::{Authority, Days};
use testkit::lab::net::nft;
use testkit::lab::{HOST, HOST6};
use testkit::program::{Program, wait_until};

use self::Renewal::{NotTried, Stopped, Succeeds};
use super::world::World;
use crate::answer::SOON;
use crate::disk;

/// One fault of the host, made on a world with one site, `a.example.net`.
#[derive(Clone, Copy)]
pub(crate) struct HostFault {
    /// Its name.
    pub(crate) name: &'static str,
    /// What is wrong, in the table's words.
    pub(crate) what: &'static str,
    /// How it is made.
    pub(crate) make: fn(&mut World),
    /// The verdict about the host and its sites.
    pub(crate) verdict: &'static str,
    /// What is found first.
    pub(crate) finding: &'static str,
    /// The told fix, in the table's words.
    pub(crate) fix: &'static str,
    /// How that is done.
    pub(crate) mend: fn(&mut World),
    /// What a renewal with the fault does.
    pub(crate) renewal: Renewal,
}

/// What a renewal does while the fault is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Renewal {
    /// It is stopped before the CA is asked.
    Stopped,
    /// It succeeds: the fault is a risk.
    Succeeds,
    /// It is not tried: the CA issues and nginx cannot take that up; or pebble asks one address alone, where Let's
    /// Encrypt asks another.
    NotTried,
}

pub(crate) fn of_nginx() -> Vec<HostFault> {
    OF_NGINX.to_vec()
}

const OF_NGINX: &[HostFault] = &[
    fault(
        "installed",
        "nginx is not where the configuration says",
        (
            |w| w.host.set("nginx", "binary", "\"/nowhere/nginx\""),
            |w| w.host.set("nginx", "binary", "\"/usr/sbin/nginx\""),
        ),
        ("will-fail", "nginx-not-installed"),
        "install it",
        Stopped,
    ),
    fault(
        "running",
        "nginx does not run",
        (|w| w.host.nginx.stop(), launch),
        ("will-fail", "nginx-not-running"),
        "start it",
        Stopped,
    ),
    fault(
        "syntax",
        "an unknown directive in a vhost",
        (spoil, unspoil),
        ("will-fail", "nginx-config-invalid"),
        "correct the line",
        NotTried,
    ),
    fault(
        "taken",
        "another program holds port 80",
        (take_port, release_port),
        ("will-fail", "port-80-taken"),
        "stop it",
        Stopped,
    ),
    fault(
        "dangling",
        "a link among the vhosts leads nowhere",
        (|w| dangle(w, "/nowhere"), unlink),
        ("will-fail", "vhost-symlink-broken"),
        "remove the link",
        Stopped,
    ),
    fault(
        "looping",
        "a link among the vhosts leads to itself",
        (|w| dangle(w, "b.conf"), unlink),
        ("will-fail", "vhost-symlink-broken"),
        "remove the link",
        Stopped,
    ),
    fault(
        "unreached",
        "a vhost that no include reaches",
        (hide, show),
        ("at-risk", "vhost-missing"),
        "name it as the include wants",
        NotTried,
    ),
    fault(
        "nokey",
        "the key's file is gone",
        (|w| away(w, "privkey.pem"), |w| back(w, "privkey.pem")),
        ("at-risk", "live-links-broken"),
        "renew it",
        Succeeds,
    ),
    fault(
        "nocertificate",
        "the certificate's file is gone",
        (|w| away(w, "fullchain.pem"), |w| back(w, "fullchain.pem")),
        ("at-risk", "live-links-broken"),
        "renew it",
        Succeeds,
    ),
    fault(
        "otherkey",
        "the key does not fit the certificate",
        (other_key, |_| {}),
        ("at-risk", "key-does-not-fit"),
        "renew it",
        Succeeds,
    ),
    fault(
        "only4",
        "nginx listens on IPv4 alone",
        (|w| listens(w, "listen [::]"), relisten),
        ("at-risk", "port-80-no-ipv6"),
        "`listen [::]:80`",
        NotTried,
    ),
    fault(
        "only6",
        "nginx listens on IPv6 alone",
        (|w| listens(w, "listen 0.0.0.0"), relisten),
        ("at-risk", "port-80-refused"),
        "`listen 80`",
        Succeeds,
    ),
];

pub(crate) fn of_firewall() -> Vec<HostFault> {
    OF_FIREWALL.to_vec()
}

const OF_FIREWALL: &[HostFault] = &[
    fault(
        "policy",
        "nftables drops what no rule lets in",
        (
            |w| {
                rules(
                    w,
                    "policy drop; iif lo accept; ct state established,related accept; meta l4proto { icmp, ipv6-icmp } accept; tcp dport { 22, 443 } accept",
                );
            },
            open,
        ),
        ("will-fail", "firewall-blocks-80"),
        "a rule for port 80",
        Stopped,
    ),
    fault(
        "drop",
        "nftables drops port 80",
        (|w| rules(w, "iif lo accept; tcp dport 80 drop"), open),
        ("will-fail", "firewall-blocks-80"),
        "remove the rule",
        Stopped,
    ),
    fault(
        "reject",
        "nftables rejects port 80",
        (|w| rules(w, "tcp dport 80 reject with tcp reset"), open),
        ("will-fail", "firewall-blocks-80"),
        "remove the rule",
        Stopped,
    ),
    fault(
        "drop6",
        "nftables drops port 80 by IPv6",
        (
            |w| rules(w, "iif lo accept; meta nfproto ipv6 tcp dport 80 drop"),
            open,
        ),
        ("at-risk", "firewall-blocks-80"),
        "remove the rule",
        NotTried,
    ),
    fault(
        "countries",
        "a set of networks is dropped",
        (
            |w| rules(w, "ip saddr { 3.0.0.0/8, 18.0.0.0/8 } tcp dport 80 drop"),
            open,
        ),
        ("at-risk", "firewall-blocks-80"),
        "exempt port 80",
        Succeeds,
    ),
    fault(
        "rate",
        "new connections are limited",
        (
            |w| {
                rules(
                    w,
                    "iif lo accept; tcp dport 80 ct state new limit rate over 100/second drop",
                );
            },
            open,
        ),
        ("at-risk", "firewall-blocks-80"),
        "exempt port 80",
        Succeeds,
    ),
    fault(
        "iptables",
        "iptables drops port 80",
        (
            |w| iptables(w, &["-i", "lo", "-j", "ACCEPT"], "DROP"),
            flush,
        ),
        ("will-fail", "firewall-blocks-80"),
        "`iptables -D`",
        Stopped,
    ),
    fault(
        "ufw",
        "chains like ufw's let port 22 in alone",
        (ufw, flush),
        ("at-risk", "firewall-blocks-80"),
        "`ufw allow 80/tcp`",
        Succeeds,
    ),
];

/// What is around the host.
pub(crate) fn of_host() -> Vec<HostFault> {
    vec![
        fault(
            "refused",
            "nothing listens where the resolver should be",
            (
                |w| w.host.set("dns", "servers", "[\"93.184.216.99:53\"]"),
                resolve,
            ),
            ("will-fail", "resolver-unreachable"),
            "name one that does",
            Stopped,
        ),
        fault(
            "ca",
            "nothing listens where the CA should be",
            (
                |w| {
                    w.host
                        .set("acme", "directory", "\"https://93.184.216.99/dir\"");
                },
                ca,
            ),
            ("will-fail", "ca-unreachable"),
            "open outbound port 443",
            Stopped,
        ),
        fault(
            "root",
            "the CA's own certificate leads to no root that is known",
            (distrust, ca),
            ("will-fail", "ca-not-trusted"),
            "`acme.ca_bundle`",
            Stopped,
        ),
    ]
}

/// In a world of its own, for it has to be waited for.
pub(crate) fn of_resolver() -> Vec<HostFault> {
    vec![fault(
        "resolver",
        "the resolver does not answer",
        (
            |w| w.host.set("dns", "servers", "[\"93.184.217.1:53\"]"),
            resolve,
        ),
        ("will-fail", "resolver-unreachable"),
        "name one that does",
        Stopped,
    )]
}

/// Likewise.
pub(crate) fn of_outbound() -> Vec<HostFault> {
    vec![fault(
        "outbound",
        "the firewall drops what goes out to the CA",
        (
            |_| {
                nft(
                    "table inet out { chain output { type filter hook output priority 0; ip daddr 93.184.216.80 drop; }; }",
                );
            },
            open,
        ),
        ("will-fail", "ca-unreachable"),
        "open outbound port 443",
        Stopped,
    )]
}

/// How a fault is made, and how it is mended.
type Both = (fn(&mut World), fn(&mut World));

const fn fault(
    name: &'static str,
    what: &'static str,
    (make, mend): Both,
    (verdict, finding): (&'static str, &'static str),
    fix: &'static str,
    renewal: Renewal,
) -> HostFault {
    HostFault {
        name,
        what,
        make,
        verdict,
        finding,
        fix,
        mend,
        renewal,
    }
}

const SITE: &str = "a.example.net";

fn launch(world: &mut World) {
    world.host.nginx.stop();
    world.host.nginx.launch();
}

fn vhost(world: &World) -> PathBuf {
    world.host.nginx.vhost(SITE)
}

fn spoil(world: &mut World) {
    let text = fs::read_to_string(vhost(world)).unwrap();
    disk::put(&vhost(world), text.replace("server_name", "sevrer_name"));
}

fn unspoil(world: &mut World) {
    let text = fs::read_to_string(vhost(world)).unwrap();
    disk::put(&vhost(world), text.replace("sevrer_name", "server_name"));
}

fn take_port(world: &mut World) {
    world.host.nginx.stop();
    let listener = TcpListener::bind("0.0.0.0:80").unwrap();
    world.holders.push(listener);
}

fn release_port(world: &mut World) {
    world.holders.clear();
    launch(world);
}

fn dangle(world: &mut World, target: &str) {
    symlink(target, vhost(world).with_file_name("b.conf")).unwrap();
}

fn unlink(world: &mut World) {
    fs::remove_file(vhost(world).with_file_name("b.conf")).unwrap();
}

fn hidden(world: &World) -> PathBuf {
    vhost(world).with_file_name("lost.example.net")
}

fn hide(world: &mut World) {
    let text = fs::read_to_string(vhost(world)).unwrap();
    disk::put(&hidden(world), text.replace(SITE, "lost.example.net"));
}

fn show(world: &mut World) {
    fs::remove_file(hidden(world)).unwrap();
}

/// Takes a file of the lineage out of the way.
fn away(world: &mut World, name: &str) {
    let path = world.host.live(SITE).join(name);
    fs::remove_file(path).unwrap();
}

/// A renewal has put it back.
fn back(world: &mut World, name: &str) {
    assert!(world.host.live(SITE).join(name).exists());
}

fn other_key(world: &mut World) {
    let other = Authority::new("Older").issue(&[SITE], Days::left(10));
    let key = fs::canonicalize(world.host.live(SITE).join("privkey.pem")).unwrap();
    disk::put(&key, other.key);
}

/// Takes the lines with these words out of the vhost, and waits until nginx does without.
fn listens(world: &mut World, without: &str) {
    let text = fs::read_to_string(vhost(world)).unwrap();
    disk::put(&vhost(world).with_extension("healthy"), &text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains(without))
        .collect();
    disk::put(&vhost(world), lines.join("\n"));
    world.host.nginx.reload();
    wait_for(!without.contains("0.0.0.0"), !without.contains("[::]"));
}

fn relisten(world: &mut World) {
    let healthy = fs::read_to_string(vhost(world).with_extension("healthy")).unwrap();
    disk::put(&vhost(world), healthy);
    world.host.nginx.reload();
    wait_for(true, true);
}

/// Waits until port 80 is open, or not, for each family.
fn wait_for(four: bool, six: bool) {
    let open = |address: &str| TcpStream::connect((address, 80)).is_ok();
    assert!(wait_until(SOON, || open(HOST) == four && open(HOST6) == six));
}

fn rules(_: &mut World, rules: &str) {
    let (policy, rules) = rules
        .split_once("policy drop; ")
        .map_or(("accept", rules), |(_, rest)| ("drop", rest));
    nft(&format!(
        "table inet t {{ chain input {{ type filter hook input priority 0; policy {policy}; {rules}; }}; }}"
    ));
}

fn open(_: &mut World) {
    nft("flush ruleset");
}

fn iptables(_: &mut World, first: &[&str], target: &str) {
    for program in ["iptables-nft", "ip6tables-nft"] {
        let _ = Program::new(program)
            .args(["-A", "INPUT"])
            .args(first)
            .run()
            .expect_ok();
        let rule = [
            "-A",
            "INPUT",
            "-p",
            "tcp",
            "-m",
            "multiport",
            "--dports",
            "25,80",
            "-j",
            target,
        ];
        let _ = Program::new(program).args(rule).run().expect_ok();
    }
}

fn ufw(_: &mut World) {
    let lines = "*filter\n:INPUT DROP [0:0]\n:ufw-before-input - [0:0]\n:ufw-user-input - [0:0]\n-A INPUT -j ufw-before-input\n\
                 -A ufw-before-input -i lo -j ACCEPT\n-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
                 -A ufw-before-input -j ufw-user-input\n-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";
    let _ = Program::new("iptables-nft-restore")
        .input(lines)
        .run()
        .expect_ok();
}

fn flush(world: &mut World) {
    open(world);
}

fn resolve(world: &mut World) {
    world.host.set("dns", "servers", "[\"93.184.216.53:53\"]");
}

fn ca(world: &mut World) {
    let (directory, bundle) = (world.pebble.directory(), world.pebble.ca_bundle());
    world.host.set_ca(&directory, &bundle);
}

fn distrust(world: &mut World) {
    let file = world.host.folder().join("else.pem");
    disk::put(&file, Authority::new("Somebody else").root());
    world
        .host
        .set("acme", "ca_bundle", &format!("\"{}\"", file.display()));
}
