//! Which texts do CAs send? One of each.

/// Let's Encrypt's and pebble's texts about validations, one of each: kind, text.
pub(super) const VALIDATIONS: &[(&str, &str)] = &[
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/.well-known/acme-challenge/x: Timeout during connect (likely firewall problem)",
    ),
    (
        "connection",
        "2001:db8::1: Fetching http://a.test/.well-known/acme-challenge/x: Timeout during connect (likely firewall problem)",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/x: Timeout during read (your server may be slow or overloaded)",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/x: Timeout after connect (your server may be slow or overloaded)",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/x: Connection refused",
    ),
    (
        "connection",
        "2001:db8::1: Fetching http://a.test/x: Connection refused",
    ),
    (
        "connection",
        "Get \"http://a.test:5002/x\": dial tcp 127.0.0.1:5002: connect: connection refused",
    ),
    (
        "connection",
        "2001:db8::1: Fetching http://a.test/x: Network unreachable",
    ),
    (
        "connection",
        "dial tcp 192.0.2.1:80: connect: no route to host",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/x: Connection reset by peer",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/x: Error getting validation data",
    ),
    (
        "malformed",
        "192.0.2.1: Fetching https://a.test/x: Server only speaks HTTP, not TLS",
    ),
    (
        "connection",
        "Get \"https://a.test/x\": http: server gave HTTP response to HTTPS client",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/x: Server is speaking HTTP/2 over HTTP",
    ),
    (
        "tls",
        "192.0.2.1: Fetching https://a.test/x: remote error: tls: unrecognized name",
    ),
    (
        "unauthorized",
        "192.0.2.1: Invalid response from http://a.test/x: 403",
    ),
    (
        "unauthorized",
        "192.0.2.1: Invalid response from http://a.test/x: 404",
    ),
    (
        "unauthorized",
        "2001:db8::1: Invalid response from http://a.test/x: 502",
    ),
    (
        "unauthorized",
        "192.0.2.1: Invalid response from http://a.test/x: 204",
    ),
    (
        "unauthorized",
        "192.0.2.1: Invalid response from http://a.test/x: \"<!DOCTYPE html><html>\"",
    ),
    (
        "unauthorized",
        "Non-200 status code from HTTP: http://a.test:5002/x returned 404",
    ),
    (
        "unauthorized",
        "The key authorization file from the server did not match this challenge. Expected \"a.b\" (got \"c\")",
    ),
    (
        "unauthorized",
        "192.0.2.1: Error reading HTTP response body: unexpected EOF",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/x: Too many redirects",
    ),
    ("connection", "Get \"/x\": stopped after 10 redirects"),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/x: Redirect loop detected",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test:8443/x: Invalid port in redirect target. Only ports 80 and 443 are supported, not 8443",
    ),
    (
        "connection",
        "192.0.2.1: Fetching ftp://a.test/x: Invalid protocol scheme in redirect target. Only \"http\" and \"https\" protocol schemes are supported, not \"ftp\"",
    ),
    (
        "connection",
        "192.0.2.1: Fetching https:///x: Invalid empty host in redirect target",
    ),
    (
        "connection",
        "192.0.2.1: Fetching https://a.test.well-known/x: Invalid host in redirect target \"a.test.well-known\". Check webserver config for missing '/' in redirect target.",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://intern/x: Invalid host in redirect target, must end in IANA registered TLD",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://[fe80::1%25x]/x: Invalid host in redirect target: contains scope zone",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/x: received disallowed redirect status code",
    ),
    (
        "connection",
        "192.0.2.1: Fetching http://a.test/x: Redirect target too long",
    ),
    (
        "connection",
        "192.0.2.1: Fetching https://a.test/x: validation attempt was redirected to an HTTPS server that doesn't support TLSv1.2 or better. See https://community.letsencrypt.org/t/x",
    ),
    (
        "dns",
        "DNS problem: NXDOMAIN looking up A for a.test - check that a DNS record exists for this domain; DNS problem: NXDOMAIN looking up AAAA for a.test - check that a DNS record exists for this domain",
    ),
    (
        "dns",
        "DNS problem: SERVFAIL looking up A for a.test - the domain's nameservers may be malfunctioning",
    ),
    (
        "dns",
        "DNS problem: query timed out looking up A for a.test",
    ),
    (
        "dns",
        "DNS problem: query timed out (and was canceled) looking up CAA for a.test",
    ),
    (
        "dns",
        "DNS problem: networking error looking up A for a.test",
    ),
    (
        "dns",
        "DNS problem: server failure at resolver looking up A for a.test",
    ),
    (
        "dns",
        "While processing CAA for a.test: DNS problem: response was truncated looking up CAA for a.test",
    ),
    (
        "dns",
        "DNS problem: looking up CAA for a.test: DNSSEC: Bogus: signature expired",
    ),
    (
        "dns",
        "DNS problem: looking up A for a.test: DNSSEC: DNSKEY missing",
    ),
    ("dns", "DNS problem: REFUSED looking up A for a.test"),
    (
        "dns",
        "no valid A records found for a.test; no valid AAAA records found for a.test",
    ),
    ("dns", "No valid IP addresses found for a.test"),
    (
        "caa",
        "While processing CAA for a.test: CAA record for a.test prevents issuance",
    ),
    (
        "caa",
        "Rechecking CAA for \"a.test\" and 1 more identifiers failed. Refer to sub-problems for more information",
    ),
    ("caa", "rechecking caa: While processing CAA for a.test: x"),
    (
        "unauthorized",
        "No TXT record found at _acme-challenge.a.test",
    ),
    (
        "unauthorized",
        "Incorrect TXT record \"x\" (and 1 more) found at _acme-challenge.a.test",
    ),
    (
        "unauthorized",
        "No TXT record found for DNS-PERSIST-01 challenge",
    ),
    ("unauthorized", "accounturi mismatch: expected \"x\""),
    ("unauthorized", "policy mismatch: expected \"wildcard\""),
    (
        "unauthorized",
        "Cannot negotiate ALPN protocol \"acme-tls/1\" for tls-alpn-01 challenge",
    ),
    (
        "unauthorized",
        "No certs presented for tls-alpn-01 challenge",
    ),
    (
        "unauthorized",
        "Incorrect validation certificate for tls-alpn-01 challenge. Requested a.test from 192.0.2.1:443. x",
    ),
];

/// Texts about requests.
pub(super) const ORDERS: &[(&str, &str)] = &[
    (
        "malformed",
        "Invalid identifiers requested :: Cannot issue for \"a.lan\": Domain name does not end with a valid public suffix (TLD)",
    ),
    (
        "malformed",
        "Invalid identifiers requested :: Cannot issue for \"com\": Domain name is an ICANN TLD",
    ),
    (
        "malformed",
        "Cannot issue for \"a_b.test\": Domain name contains an invalid character",
    ),
    (
        "malformed",
        "Cannot issue for \"x.test\": Domain name is longer than 253 bytes",
    ),
    (
        "malformed",
        "Cannot issue for \"x.test\": Domain name has more than 10 labels (parts)",
    ),
    (
        "malformed",
        "Cannot issue for \"x.test\": Domain has a label longer than 63 bytes",
    ),
    (
        "malformed",
        "Cannot issue for \"xn--x.test\": Domain name contains malformed punycode",
    ),
    (
        "malformed",
        "Cannot issue for \"x.test.\": Domain name ends in a dot",
    ),
    (
        "malformed",
        "Cannot issue for \"localhost\": Domain name needs at least one dot",
    ),
    (
        "malformed",
        "Cannot issue for \"x..test\": Domain name can not have two dots in a row",
    ),
    (
        "rejectedIdentifier",
        "Cannot issue for \"ab--c.test\": Domain name contains an invalid label in a reserved format (R-LDH: '??--')",
    ),
    (
        "rejectedIdentifier",
        "Cannot issue for \"bank.test\": The ACME server refuses to issue a certificate for this domain name, because it is forbidden by policy",
    ),
    (
        "malformed",
        "Cannot issue for \"*.*.test\": Domain name has more than one wildcard",
    ),
    (
        "malformed",
        "Cannot issue for \"a.*.test\": Domain name contains an invalid wildcard. A wildcard is only permitted before the first dot in a domain name",
    ),
    (
        "rejectedIdentifier",
        "Cannot issue for \"www.www.a.test\": domain name contains too many subdomain labels indicative of recursive on-demand issuance",
    ),
    ("invalidProfile", "profile name \"nope\" not recognized"),
    (
        "orderNotReady",
        "Order's status (\"pending\") is not acceptable for finalization",
    ),
    (
        "unauthorized",
        "Account is not valid, has status \"deactivated\"",
    ),
    ("unauthorized", "Account has been deactivated"),
    ("rateLimited", "Service busy; retry later."),
    ("serverInternal", "Service busy; retry later."),
    (
        "rateLimited",
        "too many new registrations (10) from this IP address in the last 3h0m0s, retry after 2026-02-01 10:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-registrations-per-ip-address",
    ),
    (
        "rateLimited",
        "too many new registrations (500) from this /48 subnet of IPv6 addresses in the last 3h0m0s, retry after 2026-02-01 10:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-registrations-per-ipv6-range",
    ),
    (
        "rateLimited",
        "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-02-01 10:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-orders-per-account",
    ),
    (
        "rateLimited",
        "too many failed authorizations (5) for \"a.test\" in the last 1h0m0s, retry after 2026-02-01 10:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#authorization-failures-per-identifier-per-account",
    ),
    (
        "rateLimited",
        "too many certificates (50) already issued for \"a.test\" in the last 168h0m0s, retry after 2026-02-01 10:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-certificates-per-registered-domain",
    ),
    (
        "rateLimited",
        "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry after 2026-02-01 10:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-certificates-per-exact-set-of-identifiers",
    ),
    (
        "rateLimited",
        "too many certificates already issued for this exact set of domains: a.test",
    ),
    (
        "rateLimited",
        "too many new registrations (10) from this IP address",
    ),
    (
        "rateLimited",
        "too many new registrations (1) from this /48 subnet of IPv6 addresses",
    ),
    ("rateLimited", "too many new orders recently"),
    ("rateLimited", "too many failed authorizations recently"),
    (
        "rateLimited",
        "too many certificates already issued for a.test",
    ),
    ("rateLimited", "something new"),
    (
        "rateLimited",
        "Your account is temporarily prevented from requesting certificates for a.test and possibly others. Please visit: https://portal.letsencrypt.org/sfe/v1/unpause?jwt=x",
    ),
    ("unauthorized", "something new"),
    ("accountDoesNotExist", "Account \"https://ca/1\" not found"),
    ("externalAccountRequired", "no"),
    ("somethingNew", "something new"),
];
