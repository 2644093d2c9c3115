//! What do the CA's texts about names, accounts and orders mean? (boulder `policy/pa.go`, `wfe2`, `ra`)

use renewal::finding::FindingName;
use renewal::retry::Blame;

use super::row::{Retry, Row};

const NAME: Row = Row {
    class: "NAME_BAD",
    finding: FindingName::NameNotAllowed,
    retry: Retry::Never,
    about_host: false,
    explanation: "no public CA issues for {name}",
    fix: "Take the name off the site's certificate: remove it from server_name, or list the site's names in the configuration.",
    ..Row::SITE
};
const HOST: Row = Row {
    blame: Blame::Host,
    retry: Retry::AfterPerson,
    about_host: false,
    ..Row::SITE
};
const CA: Row = Row::CA;
const BUSY_FIX: &str = "Nothing: clpctl tries again by itself.";

pub(super) static ROWS: &[Row] = &[
    Row {
        pattern: "does not end with a valid public suffix",
        explanation: "{name} ends in no public top-level domain",
        ..NAME
    },
    Row {
        pattern: "Domain name is an ICANN TLD",
        explanation: "{name} is a top-level domain",
        ..NAME
    },
    Row {
        pattern: "contains an invalid character",
        ..NAME
    },
    Row {
        pattern: "longer than 253 bytes",
        ..NAME
    },
    Row {
        pattern: "more than 10 labels",
        ..NAME
    },
    Row {
        pattern: "label longer than 63 bytes",
        ..NAME
    },
    Row {
        pattern: "malformed punycode",
        ..NAME
    },
    Row {
        pattern: "ends in a dot",
        ..NAME
    },
    Row {
        pattern: "needs at least one dot",
        explanation: "{name} has no dot, so it is no public name",
        ..NAME
    },
    Row {
        pattern: "two dots in a row",
        ..NAME
    },
    Row {
        pattern: "R-LDH",
        ..NAME
    },
    Row {
        pattern: "more than one wildcard",
        ..NAME
    },
    Row {
        pattern: "A wildcard is only permitted before the first dot",
        ..NAME
    },
    Row {
        pattern: "too many subdomain labels indicative of recursive",
        class: "NAME_RECURSIVE",
        explanation: "{name} repeats a label, as a catch-all that adds `www.` again and again makes them",
        ..NAME
    },
    Row {
        pattern: "forbidden by policy",
        class: "POLICY_BLOCK",
        explanation: "the CA does not issue for {name}, by its policy",
        fix: "Use another CA for this site, or ask this one to lift the block.",
        ..NAME
    },
    Row {
        pattern: "profile name*not recognized",
        class: "PROFILE_BAD",
        explanation: "the CA does not know the profile in acme.profile",
        fix: "Remove acme.profile, or choose one that the CA offers.",
        ..HOST
    },
    Row {
        pattern: "Order's status*not acceptable for finalization",
        class: "CLIENT_BUG",
        explanation: "the CA does not hold the order for ready",
        fix: BUSY_FIX,
        ..CA
    },
    Row {
        pattern: "Account is not valid, has status",
        class: "ACCOUNT_GONE",
        finding: FindingName::AccountGone,
        explanation: "our account at the CA was deactivated or revoked",
        fix: "If that was you, remove its file (in accounts/clpctl/ below /etc/letsencrypt), and clpctl makes a new one. If it was the CA, ask it why.",
        ..HOST
    },
    Row {
        pattern: "Account has been deactivated",
        class: "ACCOUNT_GONE",
        finding: FindingName::AccountGone,
        explanation: "our account at the CA was deactivated or revoked",
        fix: "If that was you, remove its file (in accounts/clpctl/ below /etc/letsencrypt), and clpctl makes a new one. If it was the CA, ask it why.",
        ..HOST
    },
    Row {
        pattern: "Service busy",
        class: "CA_BUSY",
        finding: FindingName::CaBusy,
        explanation: "the CA is overloaded",
        fix: BUSY_FIX,
        ..CA
    },
];
