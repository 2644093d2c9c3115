//! On which sockets does a `listen` directive put a server block?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use renewal::site::Listen;

/// What a `listen` directive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The sockets; none for a Unix socket, and for a host name that only DNS could tell.
    pub listens: Vec<Listen>,
    /// Whether an IPv6 socket for all addresses takes IPv4 as well.
    pub also_ipv4: bool,
}

/// Reads the arguments of a `listen` directive; returns none when nginx would refuse them.
pub fn listening<W: AsRef<[u8]>>(arguments: impl IntoIterator<Item = W>) -> Option<Listening> {
    let mut words = arguments.into_iter();
    let value = words.next()?;
    let value = std::str::from_utf8(value.as_ref()).ok()?;
    let mut like = Listen {
        address: ANY_PORT_80,
        tls: false,
        quic: false,
        default_server: false,
        proxy_protocol: false,
    };
    let mut also_ipv4 = false;
    for word in words {
        match word.as_ref() {
            b"ssl" => like.tls = true,
            b"quic" => like.quic = true,
            b"default_server" | b"default" => like.default_server = true,
            b"proxy_protocol" => like.proxy_protocol = true,
            b"ipv6only=off" => also_ipv4 = true,
            _ => {} // http2, reuseport, backlog=… say nothing about who answers
        }
    }
    if value.starts_with("unix:") {
        let listens = Vec::new();
        return Some(Listening { listens, also_ipv4 });
    }
    let (address, ports) = address(value)?;
    let listens = address.map_or_else(Vec::new, |ip| {
        let at = |port| Listen {
            address: SocketAddr::new(ip, port),
            ..like
        };
        ports.map(at).collect()
    });
    Some(Listening { listens, also_ipv4 })
}

/// Returns where a server block without `listen` is put: nginx run as root takes port 80.
#[must_use]
pub fn unsaid() -> Listen {
    Listen {
        address: ANY_PORT_80,
        tls: false,
        quic: false,
        default_server: false,
        proxy_protocol: false,
    }
}

type Ports = std::ops::RangeInclusive<u16>;

/// Reads `80`, `*:80`, `192.0.2.1`, `[::]:443`, `localhost:8080`; the address is none for a name only DNS knows.
fn address(value: &str) -> Option<(Option<IpAddr>, Ports)> {
    if let Some(rest) = value.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']')?;
        let ip: Ipv6Addr = ip.parse().ok()?;
        let ports = match rest.strip_prefix(':') {
            Some(text) => ports(text)?,
            None if rest.is_empty() => HTTP..=HTTP,
            None => return None,
        };
        return Some((Some(ip.into()), ports));
    }
    if let Some(ports) = ports(value) {
        return Some((Some(Ipv4Addr::UNSPECIFIED.into()), ports));
    }
    let (host, ports) = match value.rsplit_once(':') {
        Some((host, text)) => (host, ports(text)?),
        None => (value, HTTP..=HTTP),
    };
    let ip = match host {
        _ if host.bytes().all(|b| b.is_ascii_digit() || b == b'-') => return None, // no port
        "*" => Some(Ipv4Addr::UNSPECIFIED.into()),
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        _ => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    };
    Some((ip, ports))
}

fn ports(text: &str) -> Option<Ports> {
    let port = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let port: u16 = text.parse().ok().filter(|_| digits)?;
        (port > 0).then_some(port)
    };
    let Some((first, last)) = text.split_once('-') else {
        let port = port(text)?;
        return Some(port..=port);
    };
    let (first, last) = (port(first)?, port(last)?);
    (first <= last && last - first < PORTS_MAX).then_some(first..=last)
}

const HTTP: u16 = 80;

const ANY_PORT_80: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), HTTP);

/// Most ports of one range that are looked at.
const PORTS_MAX: u16 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(directive: &str, expected: &Expect) {
        let words = directive.split(' ').map(str::as_bytes);
        let shown = match listening(words) {
            None => "refused".to_owned(),
            Some(Listening { listens, also_ipv4 }) => {
                let mut shown: Vec<String> = listens.iter().map(show).collect();
                shown.extend(also_ipv4.then(|| "and IPv4".to_owned()));
                shown.join(", ")
            }
        };
        expected.assert_eq(&shown);
    }

    fn show(listen: &Listen) -> String {
        let mut shown = listen.address.to_string();
        for (flag, word) in [
            (listen.tls, " tls"),
            (listen.quic, " quic"),
            (listen.default_server, " default"),
            (listen.proxy_protocol, " proxy"),
        ] {
            shown.push_str(if flag { word } else { "" });
        }
        shown
    }

    #[test]
    fn a_port_an_address_or_both() {
        check("80", &expect!["0.0.0.0:80"]);
        check("*:8080", &expect!["0.0.0.0:8080"]);
        check("*", &expect!["0.0.0.0:80"]);
        check("192.0.2.1", &expect!["192.0.2.1:80"]);
        check("192.0.2.1:443 ssl", &expect!["192.0.2.1:443 tls"]);
        check("[::]:443 ssl http2", &expect!["[::]:443 tls"]);
        check("[2001:db8::1]", &expect!["[2001:db8::1]:80"]);
        check("localhost:8000", &expect!["127.0.0.1:8000"]);
        check(
            "8080-8082",
            &expect!["0.0.0.0:8080, 0.0.0.0:8081, 0.0.0.0:8082"],
        );
    }

    #[test]
    fn what_else_is_said() {
        check("443 quic reuseport", &expect!["0.0.0.0:443 quic"]);
        check(
            "80 default_server backlog=511",
            &expect!["0.0.0.0:80 default"],
        );
        check("80 default", &expect!["0.0.0.0:80 default"]);
        check("[::]:80 ipv6only=off", &expect!["[::]:80, and IPv4"]);
        check(
            "127.0.0.1:81 proxy_protocol",
            &expect!["127.0.0.1:81 proxy"],
        );
    }

    #[test]
    fn sockets_that_no_ca_could_reach() {
        check("unix:/run/nginx.sock", &expect![""]);
        check("web.example:80", &expect![""]);
    }

    #[test]
    fn what_nginx_refuses() {
        check("", &expect!["refused"]);
        check("0", &expect!["refused"]);
        check(":80", &expect!["refused"]);
        check("65536", &expect!["refused"]);
        check("[::1", &expect!["refused"]);
        check("[::1]x", &expect!["refused"]);
        check("a:b", &expect!["refused"]);
        check("1-99999", &expect!["refused"]);
    }
}
