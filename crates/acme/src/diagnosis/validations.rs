//! What do the CA's texts about a failed validation mean? (boulder `va/http.go`, `va/va.go`, `va/caa.go`, `bdns`;
//! pebble `va/va.go`)

use renewal::finding::FindingName as F;
use renewal::retry::Blame;

use super::row::{HTTP_STATUS, Retry, Row};

const SITE: Row = Row::SITE;
const DNS: Row = Row {
    about_host: false,
    ..Row::SITE
};
const NOT_HTTP01: Row = Row {
    finding: F::ChallengeWrongAnswer,
    about_host: false,
    ..Row::SITE
};

const SLOW: &str = "{name} at {address} was too slow to answer the CA";
const SLOW_FIX: &str = "Look at the load of this host, at rate limits for clients in nginx or a firewall, and at proxies in front. It may pass by itself.";
const LOOP: &str = "{name} redirects the challenge in a circle";
const LOOP_FIX: &str = "Answer /.well-known/acme-challenge/ on port 80 before any redirect. Behind Cloudflare, change the TLS mode from Flexible to Full.";
const TARGET: &str = "{name} redirects the challenge to a place that the CA does not follow";
const TARGET_FIX: &str = "Answer /.well-known/acme-challenge/ on port 80 before any redirect, or redirect to a full public host name on port 80 or 443.";
const REDIRECT_FIX: &str = "Answer /.well-known/acme-challenge/ on port 80 before any redirect.";
const DNS_FIX: &str =
    "Ask the domain's own DNS servers (`dig +trace {name}`); whoever runs them must mend them.";
const NONE_FIX: &str =
    "Add an A or AAAA record that leads to this host, or take the name off the site.";
const NOT_HTTP_FIX: &str =
    "This is about another kind of challenge than HTTP-01; the CA's text says what it expected.";

pub(super) static ROWS: &[Row] = &[
    // Connections.
    Row {
        pattern: "Timeout during connect",
        class: "NET_CONNECT_TIMEOUT",
        finding: F::Port80Timeout,
        over_ipv6: Some(F::Port80NoIpv6),
        explanation: "{name} does not answer the CA at {address}, port 80",
        fix: "Let everybody reach port 80: look at the firewall of this host and of the hoster. If {address} is not this host's, correct the DNS record.",
        ..SITE
    },
    Row {
        pattern: "Timeout after connect",
        class: "NET_IO_TIMEOUT",
        finding: F::Port80Timeout,
        over_ipv6: Some(F::Port80NoIpv6),
        retry: Retry::Later,
        explanation: SLOW,
        fix: SLOW_FIX,
        ..SITE
    },
    Row {
        pattern: "Timeout during ",
        class: "NET_IO_TIMEOUT",
        finding: F::Port80Timeout,
        over_ipv6: Some(F::Port80NoIpv6),
        retry: Retry::Later,
        explanation: SLOW,
        fix: SLOW_FIX,
        ..SITE
    },
    Row {
        pattern: "onnection refused",
        class: "NET_REFUSED",
        finding: F::Port80Refused,
        over_ipv6: Some(F::Port80NoIpv6),
        explanation: "nothing listens for {name} at {address}, port 80",
        fix: "Let nginx listen on port 80 for this address; for IPv6 that is `listen [::]:80;`. If {address} is not this host's, correct the DNS record.",
        ..SITE
    },
    Row {
        pattern: "etwork unreachable",
        class: "NET_UNREACH",
        finding: F::Port80Timeout,
        over_ipv6: Some(F::Port80NoIpv6),
        explanation: "there is no way to {address}, the address of {name}",
        fix: "Correct or remove the DNS record that names {address}.",
        ..SITE
    },
    Row {
        pattern: "no route to host",
        class: "NET_UNREACH",
        finding: F::Port80Timeout,
        over_ipv6: Some(F::Port80NoIpv6),
        explanation: "there is no way to {address}, the address of {name}",
        fix: "Correct or remove the DNS record that names {address}.",
        ..SITE
    },
    Row {
        pattern: "onnection reset by peer",
        class: "NET_RESET",
        finding: F::ChallengeConnectionClosed,
        explanation: "{name} at {address} closes the connection before it answers",
        fix: "Look for a firewall, fail2ban or bot protection that blocks the CA, for `return 444` in nginx, and for TLS on port 80.",
        ..SITE
    },
    Row {
        pattern: "Error getting validation data",
        class: "NET_OTHER",
        finding: F::ChallengeConnectionClosed,
        explanation: "{name} at {address} does not answer in HTTP",
        fix: "Let nginx answer plain HTTP on port 80.",
        ..SITE
    },
    Row {
        pattern: "Server only speaks HTTP, not TLS",
        class: "TLS_ON_PLAIN",
        finding: F::ChallengeRedirectElsewhere,
        explanation: "{name} redirects the challenge to https, where plain HTTP is spoken",
        fix: "Add `ssl` to the `listen 443` of the site, or answer the challenge on port 80.",
        ..SITE
    },
    Row {
        pattern: "server gave HTTP response to HTTPS client",
        class: "TLS_ON_PLAIN",
        finding: F::ChallengeRedirectElsewhere,
        explanation: "{name} redirects the challenge to https, where plain HTTP is spoken",
        fix: "Add `ssl` to the `listen 443` of the site, or answer the challenge on port 80.",
        ..SITE
    },
    Row {
        pattern: "Server is speaking HTTP/2 over HTTP",
        class: "H2C",
        finding: F::ChallengeConnectionClosed,
        explanation: "{name} speaks HTTP/2 on port 80, which clients without TLS do not expect",
        fix: "Remove `http2` from `listen 80`.",
        ..SITE
    },
    Row {
        pattern: "doesn't support TLSv1.2 or better",
        class: "REDIRECT_TLS_OLD",
        finding: F::ChallengeRedirectElsewhere,
        explanation: "{name} redirects the challenge to a server whose TLS is too old for the CA",
        fix: REDIRECT_FIX,
        ..SITE
    },
    Row {
        pattern: "remote error: tls: ",
        class: "TLS_ALERT",
        finding: F::ChallengeConnectionClosed,
        explanation: "{name} redirects the challenge to https, and TLS fails there",
        fix: "Answer /.well-known/acme-challenge/ on port 80 without a redirect; or give the redirect's target a certificate, any will do.",
        ..SITE
    },
    Row {
        pattern: "Error reading HTTP response body",
        class: "NET_IO",
        finding: F::ChallengeConnectionClosed,
        retry: Retry::Later,
        explanation: "{name} at {address} closes the connection in the middle of its answer",
        fix: SLOW_FIX,
        ..SITE
    },
    // Answers.
    Row {
        pattern: "did not match this challenge",
        class: "HTTP_KEYAUTH_MISMATCH",
        finding: F::ChallengeWrongAnswer,
        explanation: "{name} answered the challenge for another account or another order",
        fix: "Look for another ACME client that answers here (its files, its location block), and for our line with an old thumbprint.",
        ..SITE
    },
    Row {
        pattern: "Invalid response from *: \"",
        class: "HTTP_WRONG_BODY",
        finding: F::ChallengeWrongAnswer,
        explanation: "{name} answered the challenge with a page",
        fix: "An application, a parking page or a CDN answers before our location does. If {address} is not this host's, correct the DNS record.",
        ..SITE
    },
    Row {
        pattern: "Invalid response from *: ",
        class: HTTP_STATUS,
        finding: F::ChallengeWrongAnswer,
        explanation: "{name} answered the challenge with {code}",
        fix: "Let nginx answer /.well-known/acme-challenge/ before deny rules, rewrites, passwords and applications. If {address} is not this host's, correct the DNS record.",
        ..SITE
    },
    Row {
        pattern: "Non-200 status code from HTTP: ",
        class: HTTP_STATUS,
        finding: F::ChallengeWrongAnswer,
        explanation: "{name} answered the challenge with {code}",
        fix: "Let nginx answer /.well-known/acme-challenge/ before deny rules, rewrites, passwords and applications.",
        ..SITE
    },
    // Redirects.
    Row {
        pattern: "Too many redirects",
        class: "REDIRECT_LOOP",
        finding: F::ChallengeRedirectLoop,
        explanation: LOOP,
        fix: LOOP_FIX,
        ..SITE
    },
    Row {
        pattern: "stopped after 10 redirects",
        class: "REDIRECT_LOOP",
        finding: F::ChallengeRedirectLoop,
        explanation: LOOP,
        fix: LOOP_FIX,
        ..SITE
    },
    Row {
        pattern: "Redirect loop detected",
        class: "REDIRECT_LOOP",
        finding: F::ChallengeRedirectLoop,
        explanation: LOOP,
        fix: LOOP_FIX,
        ..SITE
    },
    Row {
        pattern: "Invalid port in redirect target",
        class: "REDIRECT_PORT",
        finding: F::ChallengeRedirectPort,
        explanation: "{name} redirects the challenge to a port that the CA does not follow",
        fix: "Redirect to port 80 or 443, or better, not at all.",
        ..SITE
    },
    Row {
        pattern: "Invalid protocol scheme in redirect target",
        class: "REDIRECT_SCHEME",
        finding: F::ChallengeRedirectMalformed,
        explanation: "{name} redirects the challenge to something that is neither http nor https",
        fix: REDIRECT_FIX,
        ..SITE
    },
    Row {
        pattern: "Invalid empty host in redirect target",
        class: "REDIRECT_HOST",
        finding: F::ChallengeRedirectMalformed,
        explanation: "{name} redirects the challenge to a URL without a host",
        fix: "Look for a variable in the redirect that is empty there.",
        ..SITE
    },
    Row {
        pattern: "missing '/' in redirect target",
        class: "REDIRECT_MISSING_SLASH",
        finding: F::ChallengeRedirectMalformed,
        explanation: "{name} redirects the challenge to a URL with a slash missing after the host",
        fix: "Write the redirect as `https://$host$request_uri`.",
        ..SITE
    },
    Row {
        pattern: "must end in IANA registered TLD",
        class: "REDIRECT_HOST",
        finding: F::ChallengeRedirectElsewhere,
        explanation: TARGET,
        fix: TARGET_FIX,
        ..SITE
    },
    Row {
        pattern: "contains scope zone",
        class: "REDIRECT_HOST",
        finding: F::ChallengeRedirectElsewhere,
        explanation: TARGET,
        fix: TARGET_FIX,
        ..SITE
    },
    Row {
        pattern: "disallowed redirect status code",
        class: "REDIRECT_CODE",
        finding: F::ChallengeRedirectElsewhere,
        explanation: "{name} redirects the challenge with a status that the CA does not follow",
        fix: "Use 301, 302, 307 or 308, or better, no redirect.",
        ..SITE
    },
    Row {
        pattern: "Redirect target too long",
        class: "REDIRECT_LONG",
        finding: F::ChallengeRedirectMalformed,
        explanation: "{name} redirects the challenge to a URL that is too long",
        fix: REDIRECT_FIX,
        ..SITE
    },
    // DNS.
    Row {
        pattern: "NXDOMAIN looking up",
        class: "DNS_NXDOMAIN",
        finding: F::DnsNoSuchName,
        explanation: "{name} does not exist in DNS",
        fix: NONE_FIX,
        ..DNS
    },
    Row {
        pattern: "no valid A records found",
        class: "DNS_NO_ADDR",
        finding: F::DnsNoAddress,
        explanation: "{name} has no public address in DNS",
        fix: NONE_FIX,
        ..DNS
    },
    Row {
        pattern: "No valid IP addresses found for",
        class: "DNS_NO_ADDR",
        finding: F::DnsNoAddress,
        explanation: "{name} has no public address in DNS",
        fix: NONE_FIX,
        ..DNS
    },
    Row {
        pattern: "DNSSEC: Bogus",
        class: "DNS_DNSSEC",
        finding: F::DnssecBogus,
        explanation: "the DNSSEC signatures of {name} are broken",
        fix: "Sign the zone anew, or remove the DS record at the registrar.",
        ..DNS
    },
    Row {
        pattern: "DNSSEC",
        class: "DNS_DNSSEC",
        finding: F::DnssecBogus,
        explanation: "the DNSSEC signatures of {name} are broken",
        fix: "Sign the zone anew, or remove the DS record at the registrar.",
        ..DNS
    },
    Row {
        pattern: "response was truncated looking up CAA",
        class: "CAA_TRUNCATED",
        finding: F::CaaMalformed,
        explanation: "the CAA records of {name} do not fit into one answer",
        fix: "Remove CAA records that are not needed.",
        ..DNS
    },
    Row {
        pattern: "SERVFAIL looking up",
        class: "DNS_SERVFAIL",
        finding: F::DnsServerFailure,
        retry: Retry::Later,
        explanation: "the DNS servers of {name} fail; often its DNSSEC is broken",
        fix: DNS_FIX,
        ..DNS
    },
    Row {
        pattern: "query timed out",
        class: "DNS_TIMEOUT",
        finding: F::DnsTimeout,
        retry: Retry::Later,
        explanation: "the DNS servers of {name} do not answer the CA in time",
        fix: DNS_FIX,
        ..DNS
    },
    Row {
        pattern: "networking error looking up",
        class: "DNS_NET",
        finding: F::DnsTimeout,
        retry: Retry::Later,
        explanation: "the CA cannot reach the DNS servers of {name}",
        fix: DNS_FIX,
        ..DNS
    },
    Row {
        pattern: "server failure at resolver",
        class: "DNS_RESOLVER",
        finding: F::CaBusy,
        blame: Blame::Ca,
        retry: Retry::WhenTold,
        explanation: "the CA's own DNS resolver failed",
        fix: "Nothing: clpctl tries again by itself.",
        ..DNS
    },
    Row {
        pattern: "DNS problem: *looking up",
        class: "DNS_RCODE",
        finding: F::DnsServerFailure,
        explanation: "the DNS servers of {name} refuse to answer for it",
        fix: "The domain's name servers at the registrar and the ones that know the zone differ. Make them agree.",
        ..DNS
    },
    // CAA.
    Row {
        pattern: "prevents issuance",
        class: "CAA_FORBIDS",
        finding: F::CaaForbids,
        explanation: "a CAA record of {name} or a parent domain forbids this CA",
        fix: "Add a CAA record for this CA, or remove the others.",
        ..DNS
    },
    Row {
        pattern: "echecking CAA",
        class: "CAA_RECHECK",
        finding: F::CaaForbids,
        explanation: "a CAA record that forbids this CA appeared while the order was open",
        fix: "Add a CAA record for this CA, or remove the others.",
        ..DNS
    },
    // Other challenges, whose texts a CA sends when the order was made by another client.
    Row {
        pattern: "DNS-PERSIST-01",
        class: "PERSIST_MISSING",
        explanation: "the CA found no lasting record for {name}",
        fix: NOT_HTTP_FIX,
        ..NOT_HTTP01
    },
    Row {
        pattern: "accounturi mismatch",
        class: "PERSIST_ACCOUNT",
        finding: F::CaaForbidsAccount,
        explanation: "a record of {name} allows another account only",
        fix: "Put our account's URL into the record; it stands in accounts/clpctl/ below /etc/letsencrypt.",
        ..NOT_HTTP01
    },
    Row {
        pattern: "policy mismatch",
        class: "PERSIST_POLICY",
        explanation: "a record of {name} does not allow this kind of name",
        fix: NOT_HTTP_FIX,
        ..NOT_HTTP01
    },
    Row {
        pattern: "No TXT record found",
        class: "DNS01_MISSING",
        retry: Retry::Later,
        explanation: "the CA found no challenge record for {name}",
        fix: NOT_HTTP_FIX,
        ..NOT_HTTP01
    },
    Row {
        pattern: "Incorrect TXT record",
        class: "DNS01_WRONG",
        retry: Retry::Later,
        explanation: "the CA found another challenge record for {name}",
        fix: NOT_HTTP_FIX,
        ..NOT_HTTP01
    },
    Row {
        pattern: "Cannot negotiate ALPN protocol",
        class: "ALPN_NONE",
        explanation: "the server at {name} does not answer the challenge over TLS",
        fix: NOT_HTTP_FIX,
        ..NOT_HTTP01
    },
    Row {
        pattern: "No certs presented for tls-alpn-01",
        class: "ALPN_NONE",
        explanation: "the server at {name} does not answer the challenge over TLS",
        fix: NOT_HTTP_FIX,
        ..NOT_HTTP01
    },
    Row {
        pattern: "Incorrect validation certificate for tls-alpn-01",
        class: "ALPN_WRONG",
        explanation: "another server answers the challenge over TLS at {name}",
        fix: NOT_HTTP_FIX,
        ..NOT_HTTP01
    },
];
