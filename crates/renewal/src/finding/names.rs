//! The names of all findings, as the contract lists them.

use std::fmt;

/// Declares the names once: the variant, its text, its usual severity, and what it means.
///
/// A macro, so that the list cannot disagree with itself.
macro_rules! finding_names {
    ($($variant:ident $text:literal $severity:ident $meaning:literal,)*) => {
        /// The stable name of a finding.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum FindingName {
            $(#[doc = $meaning] $variant,)*
        }

        impl FindingName {
            /// All names, in the order of the manual.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name as users type and search it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Returns what it means, as half a sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// Returns how bad it usually is.
            #[must_use]
            pub fn usual_severity(self) -> super::Severity {
                match self { $(Self::$variant => super::Severity::$severity,)* }
            }
        }
    };
}

finding_names! {
    NginxNotInstalled "nginx-not-installed" Fatal "nginx is not installed, or not where the configuration says",
    NginxNotRunning "nginx-not-running" Error "no nginx runs with the configuration that was read",
    NginxConfigInvalid "nginx-config-invalid" Fatal "nginx refuses its configuration",
    NginxReloadFailed "nginx-reload-failed" Error "nginx did not take up a new configuration",
    VhostSymlinkBroken "vhost-symlink-broken" Error "a link among the vhosts leads nowhere",
    VhostMissing "vhost-missing" Error "a site's vhost file is missing",
    VhostNotUnderstood "vhost-not-understood" Error "a vhost file cannot be read as nginx configuration",
    VhostChanged "vhost-changed" Error "a vhost was changed by somebody else while it was being edited",
    VhostNeedsLines "vhost-needs-lines" Error "a vhost lacks lines that clpctl may not insert",
    NameNotServed "name-not-served" Error "no server block answers this name",
    NamesOverlap "names-overlap" Warning "two server blocks claim the same name",
    CertificateNotServed "certificate-not-served" Error "nginx serves another certificate than the one that was deployed",
    WorkerConnectionsLow "worker-connections-low" Warning "nginx may run out of connections",
    TlsTooOld "tls-too-old" Warning "a vhost speaks versions of TLS that are broken",
    StaplingUseless "stapling-useless" Warning "stapling is on for certificates whose CA answers no OCSP",
    LogGrows "log-grows" Warning "a log grows and nothing rotates it",
    DiskSlow "disk-slow" Warning "the disk takes long to write",
    NginxTestSlow "nginx-test-slow" Warning "nginx takes long to read its configuration",
    Port80Refused "port-80-refused" Fatal "nothing listens on port 80",
    Port80Taken "port-80-taken" Fatal "another program listens on port 80",
    Port80Timeout "port-80-timeout" Fatal "port 80 does not answer",
    Port80NoIpv6 "port-80-no-ipv6" Fatal "port 80 does not answer over IPv6",
    Port443Refused "port-443-refused" Error "nothing listens on port 443",
    FirewallBlocks80 "firewall-blocks-80" Fatal "a firewall rule on this host drops port 80",
    CloudFirewallSuspected "cloud-firewall-suspected" Fatal "something outside this host seems to drop port 80",
    DnsNoSuchName "dns-no-such-name" Fatal "the name does not exist in DNS",
    DnsNoAddress "dns-no-address" Fatal "the name has no address",
    DnsServerFailure "dns-server-failure" Fatal "the name's DNS servers fail",
    DnsTimeout "dns-timeout" Fatal "the name's DNS servers do not answer in time",
    DnssecBogus "dnssec-bogus" Fatal "the name's DNSSEC signatures are broken",
    DnsPointsElsewhere "dns-points-elsewhere" Fatal "the name leads to another host",
    Ipv6PointsElsewhere "ipv6-points-elsewhere" Fatal "the name's IPv6 address leads to another host",
    DnsPrivateAddress "dns-private-address" Fatal "the name has a private address",
    ResolverUnreachable "resolver-unreachable" Fatal "this host's DNS resolver does not answer",
    ProxiedByCdn "proxied-by-cdn" Info "a content delivery network stands in front of the name",
    CaaForbids "caa-forbids" Fatal "a CAA record forbids this CA",
    CaaForbidsAccount "caa-forbids-account" Fatal "a CAA record allows another account only",
    CaaForbidsMethod "caa-forbids-method" Fatal "a CAA record forbids this challenge",
    CaaMalformed "caa-malformed" Warning "a CAA record cannot be understood",
    NameNotPublic "name-not-public" Error "no CA can issue for this name",
    NameLeftOut "name-left-out" Error "a name was left out of the site's certificate",
    NameNotAllowed "name-not-allowed" Fatal "the CA refuses this name",
    ChallengeForbidden "challenge-forbidden" Fatal "the challenge is answered with 403",
    ChallengeNotFound "challenge-not-found" Fatal "the challenge is answered with 404",
    ChallengeServerError "challenge-server-error" Fatal "the challenge is answered with a server error",
    ChallengeWrongAnswer "challenge-wrong-answer" Fatal "the challenge is answered with something else",
    ChallengeRedirectLoop "challenge-redirect-loop" Fatal "the challenge is redirected in a circle",
    ChallengeRedirectElsewhere "challenge-redirect-elsewhere" Fatal "the challenge is redirected to a place the CA will not follow",
    ChallengeRedirectPort "challenge-redirect-port" Fatal "the challenge is redirected to a port the CA will not follow",
    ChallengeRedirectMalformed "challenge-redirect-malformed" Fatal "the challenge is redirected to something that is no address",
    ChallengeBlockedByRule "challenge-blocked-by-rule" Fatal "a rule in nginx stops the challenge",
    ChallengeConnectionClosed "challenge-connection-closed" Fatal "the connection closes before the challenge is answered",
    WebrootNotWritable "webroot-not-writable" Fatal "the challenge file cannot be written",
    WebrootMissing "webroot-missing" Fatal "the document root does not exist",
    WebrootSymlinkOwner "webroot-symlink-owner" Fatal "nginx refuses a symbolic link on the way to the challenge file",
    DiskFull "disk-full" Fatal "the disk is full",
    InodesExhausted "inodes-exhausted" Fatal "the file system has no inode left",
    FileNotUsable "file-not-usable" Fatal "a file that clpctl needs cannot be read or written",
    KeyReadableByOthers "key-readable-by-others" Error "a private key can be read by others",
    KeyFolderOpen "key-folder-open" Error "others may put files beside private keys",
    KeyDoesNotFit "key-does-not-fit" Error "a private key does not belong to its certificate",
    LiveLinksBroken "live-links-broken" Error "the links of a lineage lead nowhere, or to different versions",
    ChainIncomplete "chain-incomplete" Error "a certificate chain lacks a link",
    CertificateExpired "certificate-expired" Error "the certificate has expired",
    CertificateSelfSigned "certificate-self-signed" Warning "the certificate is self-signed",
    CertificateEndsSoon "certificate-ends-soon" Warning "a certificate that nobody renews ends soon",
    CertificateRejected "certificate-rejected" Error "the CA sent a certificate that must not be deployed",
    CaUnreachable "ca-unreachable" Fatal "the CA cannot be reached",
    CaNotTrusted "ca-not-trusted" Fatal "the CA's own certificate is not trusted",
    CaBusy "ca-busy" Fatal "the CA is busy",
    RateLimited "rate-limited" Fatal "a rate limit of the CA is used up",
    AccountPaused "account-paused" Fatal "the CA has paused this name for this account",
    AccountGone "account-gone" Fatal "the CA does not know the account any more",
    OrderRejected "order-rejected" Fatal "the CA refuses the order",
    ClockWrong "clock-wrong" Fatal "this host's clock is wrong",
    ServiceNotRunning "service-not-running" Warning "the scheduler does not run",
    AnotherRunHoldsTheLock "another-run-holds-the-lock" Fatal "another run is at work",
    PanelUnreadable "panel-unreadable" Error "CloudPanel's database cannot be read",
    PanelNotWritten "panel-not-written" Error "what is served could not be written into CloudPanel's database",
    PanelSchemaUnknown "panel-schema-unknown" Warning "CloudPanel's database has a form that clpctl does not know",
    PanelDrift "panel-drift" Warning "CloudPanel's record of a certificate is not what is on disk",
    PanelCronMissing "panel-cron-missing" Warning "CloudPanel's cron file is missing, and with it its nightly jobs",
    OtherClientActive "other-client-active" Warning "another ACME client renews the same names",
}

impl fmt::Display for FindingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for FindingName {
    type Err = UnknownFinding;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|name| name.as_str() == text);
        known
            .copied()
            .ok_or_else(|| UnknownFinding(text.to_owned()))
    }
}

impl serde::Serialize for FindingName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for FindingName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// No finding has this name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("“{0}” is not the name of a finding")]
pub struct UnknownFinding(String);

#[cfg(test)]
mod tests {
    use super::FindingName;

    #[test]
    fn every_name_is_kebab_case_and_reads_back() {
        for name in FindingName::ALL {
            let text = name.as_str();
            assert!(
                text.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{text}"
            );
            assert_eq!(text.parse(), Ok(*name));
        }
    }
}
