//! What is a site's owner told about a probe that failed?
//!
//! Each finding has one sentence that can be acted on, the hops with addresses and answers as evidence, and a
//! fix. The probe's token is left out: tokens do not stand in logs.

use std::net::{IpAddr, SocketAddr};

use renewal::finding::{Finding, FindingName as Name, Severity};

use super::observation::{Cause, End, Fetch, Hop, Observation, Stage};
use super::target::{Refusal, Target};
use crate::dns::{Resolution, Trouble};
use crate::excerpt::excerpt;

/// Explains why a name has no address that a CA would use.
pub(crate) fn without_address(
    name: &renewal::name::Name,
    resolution: &Resolution,
    left_out: &[IpAddr],
) -> Finding {
    if !left_out.is_empty() {
        let shown: Vec<String> = left_out.iter().map(IpAddr::to_string).collect();
        return Finding::new(
            Name::DnsPrivateAddress,
            format!("{name} has only addresses that nobody outside can reach."),
        )
        .detail(format!("DNS gives {}", shown.join(", ")))
        .fix(format!(
            "Let the A or AAAA record of {name} name this host's public address, or take the name out of the site."
        ));
    }
    let (kind, explanation, fix) = match worst(resolution) {
        Some(Trouble::Unreachable(_)) => (
            Name::ResolverUnreachable,
            "This host's DNS server does not answer, so nothing is known about the site's names.".to_owned(),
            "Look at /etc/resolv.conf, or name a working server in dns.servers.".to_owned(),
        ),
        Some(Trouble::NoSuchName) => (
            Name::DnsNoSuchName,
            format!("{name} does not exist in DNS, so no CA can find this host by it."),
            format!("Create an A record for {name} with this host's address, or take the name out of the site."),
        ),
        Some(Trouble::Bogus(_)) => (
            Name::DnssecBogus,
            format!("The DNSSEC signatures of {name} are broken, so no CA believes what DNS says of it."),
            "Ask whoever runs the domain's DNS to sign it anew; after a change of provider, replace or remove the DS \
             record at the registrar."
                .to_owned(),
        ),
        Some(Trouble::ServerFailure(_)) => (
            Name::DnsServerFailure,
            format!("The DNS servers of {name} answer with an error."),
            "Ask whoever runs the domain's DNS; broken DNSSEC signatures after a change of provider are the usual \
             cause."
                .to_owned(),
        ),
        Some(Trouble::Timeout) => (
            Name::DnsTimeout,
            format!("The DNS servers of {name} do not answer in time."),
            "See that the domain's name servers run, and that they answer on port 53 over UDP and TCP.".to_owned(),
        ),
        None => (
            Name::DnsNoAddress,
            format!("{name} exists in DNS but has no address."),
            format!("Create an A record for {name} with this host's address, or take the name out of the site."),
        ),
    };
    Finding::new(kind, explanation)
        .detail(dns_evidence(resolution))
        .fix(fix)
}

/// Explains why the CA would not accept what came from one address.
pub(super) fn of_fetch(fetch: &Fetch, observation: &Observation) -> Finding {
    let about = About {
        fetch,
        name: observation.probe.name.to_string(),
        token: &observation.probe.token,
        expected: &observation.probe.expected,
        port: observation.port,
    };
    let finding = match &fetch.end {
        End::Answered(body) => about.wrong_answer(body),
        End::NotFollowed(refusal) => about.not_followed(refusal),
        End::Unresolved { host, .. } => Finding::new(
            Name::ChallengeRedirectElsewhere,
            format!(
                "{} redirects the challenge to {host}, which DNS does not know.",
                about.name
            ),
        )
        .fix("Mend the redirect, or the DNS record of the host it names."),
        End::Failed {
            target,
            address,
            stage,
            cause,
            ..
        } => {
            if fetch.hops.is_empty() {
                about.first_failed(*address, *stage, cause)
            } else {
                about.redirect_failed(target, *address, *stage, cause)
            }
        }
    };
    finding.detail(about.evidence())
}

/// One fetch, and the words about it.
struct About<'a> {
    fetch: &'a Fetch,
    name: String,
    token: &'a str,
    expected: &'a str,
    port: u16,
}

impl About<'_> {
    fn wrong_answer(&self, body: &[u8]) -> Finding {
        let (name, at) = (&self.name, self.fetch.address.ip());
        let status = self.fetch.hops.last().map_or(0, |hop| hop.status);
        let text = String::from_utf8_lossy(body);
        match status {
            401 => Finding::new(
                Name::ChallengeForbidden,
                format!("{name} asks for a password before it answers the challenge (401, at {at})."),
            )
            .fix("Leave /.well-known/acme-challenge/ out of the password protection (auth_basic off)."),
            403 => Finding::new(
                Name::ChallengeForbidden,
                format!("{name} forbids the challenge (403, at {at})."),
            )
            .fix(
                "Look for a deny rule, a rule against hidden files, or an application firewall that covers \
                 /.well-known/acme-challenge/, and exempt that path.",
            ),
            404 | 410 => Finding::new(
                Name::ChallengeNotFound,
                format!("{name} does not know the challenge ({status}, at {at}): another server block, folder or host answers."),
            )
            .fix(
                "See that the address is this host's, and that the server block that answers the name on port 80 \
                 is the site's own.",
            ),
            500.. => Finding::new(
                Name::ChallengeServerError,
                format!("{name} answers the challenge with a server error ({status}, at {at})."),
            )
            .fix("Keep /.well-known/acme-challenge/ away from the application behind nginx; its error log says what failed."),
            400 if text.contains("HTTPS port") => Finding::new(
                Name::ChallengeWrongAnswer,
                format!("{name} expects TLS on the port where the CA speaks plain HTTP (400, at {at})."),
            )
            .fix("Take “ssl” out of the listen directive for port 80."),
            200 => self.wrong_body(&text),
            _ => Finding::new(
                Name::ChallengeWrongAnswer,
                format!("{name} answers the challenge with status {status} instead of 200 (at {at})."),
            )
            .fix("Let /.well-known/acme-challenge/ be answered by nginx itself, with status 200."),
        }
    }

    fn wrong_body(&self, text: &str) -> Finding {
        let (name, at) = (&self.name, self.fetch.address.ip());
        let own_token = text
            .strip_prefix(self.token)
            .is_some_and(|rest| rest.starts_with('.'));
        let (explanation, fix) = if text.starts_with(self.expected) {
            (
                format!("{name} adds something to the answer of the challenge (at {at})."),
                "Keep anything that rewrites pages (sub_filter, add_after_body, a proxy) away from \
                 /.well-known/acme-challenge/.",
            )
        } else if own_token {
            (
                format!("Another ACME account answers the challenges of {name} (at {at})."),
                "Take the other client's challenge line out of the vhost, or let that client renew the site.",
            )
        } else if text.trim().is_empty() {
            (
                format!("{name} answers the challenge with an empty page (at {at})."),
                "Let /.well-known/acme-challenge/ be answered before any rewrite or catch-all rule.",
            )
        } else {
            (
                format!(
                    "{name} answers the challenge with another page (at {at}): a catch-all rule, or another host."
                ),
                "See that the address is this host's, and that no catch-all rule comes before \
                 /.well-known/acme-challenge/.",
            )
        };
        Finding::new(Name::ChallengeWrongAnswer, explanation).fix(fix)
    }

    fn not_followed(&self, refusal: &Refusal) -> Finding {
        let name = &self.name;
        let (kind, what) = match refusal {
            Refusal::Loop | Refusal::TooMany => (
                Name::ChallengeRedirectLoop,
                format!("{name} redirects the challenge in a circle"),
            ),
            Refusal::Port { port, .. } => (
                Name::ChallengeRedirectPort,
                format!("{name} redirects the challenge to port {port}, where the CA does not go"),
            ),
            Refusal::Status(_) | Refusal::Scheme(_) | Refusal::NotPublic(_) => (
                Name::ChallengeRedirectElsewhere,
                format!("{name} redirects the challenge to a place where the CA does not go"),
            ),
            Refusal::NoLocation
            | Refusal::NoUrl(_)
            | Refusal::TooLong(_)
            | Refusal::NoHost
            | Refusal::MissingSlash(_) => (
                Name::ChallengeRedirectMalformed,
                format!("{name} redirects the challenge to something that is no address"),
            ),
        };
        let fix = match kind {
            Name::ChallengeRedirectLoop => {
                "Answer /.well-known/acme-challenge/ before the redirect; behind a proxy that speaks plain HTTP to \
                 this host, let the proxy speak TLS instead of redirecting here."
            }
            _ => {
                "Mend the redirect in the vhost, or answer /.well-known/acme-challenge/ before it."
            }
        };
        Finding::new(kind, format!("{what}: {refusal}.")).fix(fix)
    }

    fn first_failed(&self, address: SocketAddr, stage: Stage, cause: &Cause) -> Finding {
        let (name, port, ip) = (&self.name, self.port, address.ip());
        match (stage, cause) {
            (Stage::Connect, _) if address.is_ipv6() => Finding::new(
                Name::Port80NoIpv6,
                format!("{name} has the IPv6 address {ip}, but port {port} does not answer there."),
            )
            .fix(format!(
                "Add “listen [::]:{port};” to the vhost and open the port for IPv6, or remove the AAAA record of {name}."
            )),
            (Stage::Connect, Cause::Refused) => Finding::new(
                Name::Port80Refused,
                format!("Nothing listens on port {port} of {ip}, where {name} points."),
            )
            .fix(format!(
                "See that nginx runs and listens on port {port}, and that {ip} is this host's address."
            )),
            (Stage::Connect, _) | (_, Cause::Timeout(_)) => Finding::new(
                Name::Port80Timeout,
                format!("Port {port} of {ip}, where {name} points, does not answer: {cause}."),
            )
            .fix(format!(
                "Open port {port} in the firewalls of this host and of its provider, and see that {ip} is this host's address."
            )),
            (_, Cause::Nonsense(_)) => Finding::new(
                Name::ChallengeWrongAnswer,
                format!("What listens on port {port} of {ip} is no plain HTTP server."),
            )
            .fix("Take “ssl” and “http2” out of the listen directive for that port."),
            (_, _) => closed(address, cause, name),
        }
    }

    fn redirect_failed(
        &self,
        target: &Target,
        address: SocketAddr,
        stage: Stage,
        cause: &Cause,
    ) -> Finding {
        let name = &self.name;
        let place = format!("{}:{}", target.host, target.port);
        match (stage, cause) {
            (Stage::Connect, Cause::Refused) if target.tls => Finding::new(
                Name::Port443Refused,
                format!("{name} redirects the challenge to HTTPS, but nothing listens at {place}."),
            )
            .severity(Severity::Fatal)
            .fix("Let nginx listen for TLS there, or answer /.well-known/acme-challenge/ before the redirect."),
            (Stage::Connect, _) => Finding::new(
                Name::ChallengeRedirectElsewhere,
                format!("{name} redirects the challenge to {place}, which does not answer: {cause}."),
            )
            .fix("Open that port for the world, or answer /.well-known/acme-challenge/ before the redirect."),
            (Stage::Tls, _) => Finding::new(
                Name::ChallengeRedirectElsewhere,
                format!("{name} redirects the challenge to HTTPS at {place}, where no TLS 1.2 or better is spoken: {cause}."),
            )
            .fix("Mend TLS there (ssl_protocols TLSv1.2 TLSv1.3), or answer /.well-known/acme-challenge/ before the redirect."),
            (Stage::Answer, Cause::Timeout(_)) => Finding::new(
                Name::ChallengeServerError,
                format!("{name} redirects the challenge to {place}, which takes too long to answer: {cause}."),
            )
            .fix("Keep /.well-known/acme-challenge/ away from the application behind nginx."),
            (Stage::Answer, Cause::Nonsense(_)) => Finding::new(
                Name::ChallengeWrongAnswer,
                format!("{name} redirects the challenge to {place}, which is no HTTP server."),
            )
            .fix("Mend the redirect, or answer /.well-known/acme-challenge/ before it."),
            (Stage::Answer, _) => closed(address, cause, name),
        }
    }

    /// Tells the way of the fetch, place by place.
    fn evidence(&self) -> String {
        let mut lines: Vec<String> = self.fetch.hops.iter().map(hop).collect();
        match &self.fetch.end {
            End::Answered(body) => {
                if let Some(last) = lines.last_mut() {
                    last.push_str(&format!(", {}", excerpt(body)));
                }
            }
            End::NotFollowed(_) => {}
            End::Unresolved { host, resolution } => {
                lines.push(format!("{host}: {}", dns_evidence(resolution)));
            }
            End::Failed {
                target,
                address,
                stage,
                cause,
                ..
            } => {
                let doing = match stage {
                    Stage::Connect => "connecting",
                    Stage::Tls => "agreeing on TLS",
                    Stage::Answer => "waiting for the answer",
                };
                lines.push(format!("{target} at {address}: {doing}: {cause}"));
            }
        }
        lines.join("; ").replace(self.token, "TOKEN")
    }
}

fn closed(address: SocketAddr, cause: &Cause, name: &str) -> Finding {
    Finding::new(
        Name::ChallengeConnectionClosed,
        format!("{address} takes the connection for {name}, but does not answer: {cause}."),
    )
    .fix(
        "Look for “return 444”, a firewall or a program against intruders that drops requests to \
         /.well-known/acme-challenge/, and exempt that path.",
    )
}

fn hop(hop: &Hop) -> String {
    let Hop {
        target,
        address,
        status,
        location,
    } = hop;
    match location {
        Some(location) => format!("{target} at {address}: {status} to {}", excerpt(location)),
        None => format!("{target} at {address}: {status}"),
    }
}

fn dns_evidence(resolution: &Resolution) -> String {
    fn of<T>(answer: &Result<Vec<T>, Trouble>) -> String {
        match answer {
            Ok(addresses) if addresses.is_empty() => "no such record".to_owned(),
            Ok(addresses) => format!("{} records", addresses.len()),
            Err(trouble) => trouble.to_string(),
        }
    }
    let Resolution { v4, v6, servers } = resolution;
    let asked = if servers.is_empty() { "DNS" } else { servers };
    format!("asked {asked}: A: {}; AAAA: {}", of(v4), of(v6))
}

/// Returns the trouble that explains most.
fn worst(resolution: &Resolution) -> Option<&Trouble> {
    let rank = |trouble: &&Trouble| match trouble {
        Trouble::Unreachable(_) => 0,
        Trouble::NoSuchName => 1,
        Trouble::Bogus(_) => 2,
        Trouble::ServerFailure(_) => 3,
        Trouble::Timeout => 4,
    };
    let troubles = [resolution.v4.as_ref().err(), resolution.v6.as_ref().err()];
    troubles.into_iter().flatten().min_by_key(rank)
}
