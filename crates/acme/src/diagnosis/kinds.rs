//! What does a problem mean whose text nobody knows? Its kind decides (RFC 8555 section 6.7).

use http::StatusCode;
use renewal::finding::FindingName;
use renewal::retry::Blame;

use super::row::{Retry, Row};
use crate::problem::Problem;

/// Finds the row of the problem's kind.
pub(super) fn of(problem: &Problem) -> &'static Row {
    KINDS
        .iter()
        .find(|row| problem.is(row.pattern))
        .unwrap_or(&OTHER)
}

/// Finds the row of the kind of a request's problem, where `unauthorized` is about the account.
pub(super) fn of_request(problem: &Problem) -> &'static Row {
    if problem.is("unauthorized") {
        &NOT_ALLOWED
    } else {
        of(problem)
    }
}

/// Finds the row of a reply that has a status and nothing else.
pub(super) fn of_status(status: StatusCode) -> &'static Row {
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        &BUSY
    } else {
        &OTHER
    }
}

static BUSY: Row = Row {
    pattern: "serverInternal",
    class: "CA_BUSY",
    finding: FindingName::CaBusy,
    explanation: "the CA is overloaded or out of order",
    fix: "Nothing: clpctl tries again by itself. The CA's status page may know more.",
    ..Row::CA
};

static NOT_ALLOWED: Row = Row {
    class: "NOT_ALLOWED",
    explanation: "the CA does not allow our account to do this",
    fix: "The CA's own text says why; the account is in accounts/clpctl/ below /etc/letsencrypt.",
    blame: Blame::Host,
    retry: Retry::AfterPerson,
    ..Row::CA
};

static OTHER: Row = Row {
    class: "OTHER",
    explanation: "the CA refuses the request",
    fix: "The CA's own text says why. The ACME log has the whole conversation.",
    retry: Retry::Later,
    ..Row::CA
};

const SITE: Row = Row::SITE;
const CA: Row = Row {
    retry: Retry::Later,
    ..Row::CA
};
const HOST: Row = Row {
    blame: Blame::Host,
    retry: Retry::AfterPerson,
    about_host: false,
    ..Row::SITE
};
const LOOK: &str = "Fetch the URL in the CA's text from outside of this network, and compare.";

static KINDS: [Row; 22] = [
    Row {
        pattern: "connection",
        class: "NET_OTHER",
        finding: FindingName::Port80Timeout,
        over_ipv6: Some(FindingName::Port80NoIpv6),
        explanation: "the CA could not connect to {name} at {address}",
        fix: LOOK,
        ..SITE
    },
    Row {
        pattern: "dns",
        class: "DNS_OTHER",
        finding: FindingName::DnsServerFailure,
        about_host: false,
        explanation: "the CA could not look {name} up in DNS",
        fix: "Compare the domain's DNS records with the CA's text.",
        ..SITE
    },
    Row {
        pattern: "tls",
        class: "TLS_ALERT",
        finding: FindingName::ChallengeConnectionClosed,
        explanation: "the CA was redirected to https at {name}, and TLS failed there",
        fix: "Answer /.well-known/acme-challenge/ on port 80 without a redirect.",
        ..SITE
    },
    Row {
        pattern: "caa",
        class: "CAA_FORBIDS",
        finding: FindingName::CaaForbids,
        about_host: false,
        explanation: "a CAA record of {name} or a parent domain forbids this CA",
        fix: "Add a CAA record for this CA, or remove the others.",
        ..SITE
    },
    Row {
        pattern: "incorrectResponse",
        class: "HTTP_KEYAUTH_MISMATCH",
        finding: FindingName::ChallengeWrongAnswer,
        explanation: "{name} answered the challenge with something else",
        fix: LOOK,
        ..SITE
    },
    Row {
        pattern: "unauthorized",
        class: "HTTP_WRONG_BODY",
        finding: FindingName::ChallengeWrongAnswer,
        explanation: "{name} did not answer the challenge as the CA wants it",
        fix: LOOK,
        ..SITE
    },
    Row {
        pattern: "rejectedIdentifier",
        class: "POLICY_BLOCK",
        finding: FindingName::NameNotAllowed,
        retry: Retry::Never,
        about_host: false,
        explanation: "the CA refuses to issue for {name}",
        fix: "Take the name off the site, or use another CA.",
        ..SITE
    },
    Row {
        pattern: "unsupportedIdentifier",
        class: "NAME_BAD",
        finding: FindingName::NameNotAllowed,
        retry: Retry::Never,
        about_host: false,
        explanation: "the CA does not issue for names like {name}",
        fix: "Addresses need a profile that allows them, such as `shortlived`. Otherwise take the name off the site.",
        ..SITE
    },
    Row {
        pattern: "accountDoesNotExist",
        class: "ACCOUNT_GONE",
        finding: FindingName::AccountGone,
        explanation: "the CA does not know our account any more, and did not make it again",
        fix: "Look at the account's file in accounts/clpctl/ below /etc/letsencrypt, and ask the CA.",
        ..HOST
    },
    Row {
        pattern: "externalAccountRequired",
        class: "ACCOUNT_EXTERNAL",
        explanation: "this CA wants an external account binding (RFC 8555 section 7.3.4), which clpctl does not offer",
        fix: "Choose another CA in acme.directory.",
        ..HOST
    },
    Row {
        pattern: "userActionRequired",
        class: "USER_ACTION",
        retry: Retry::AfterPerson,
        explanation: "the CA wants a person to do something first",
        fix: "The CA's text says what.",
        ..CA
    },
    Row {
        pattern: "invalidContact",
        class: "CONTACT_BAD",
        explanation: "the CA does not accept an address in acme.contact",
        fix: "Correct or remove it.",
        ..HOST
    },
    Row {
        pattern: "unsupportedContact",
        class: "CONTACT_BAD",
        explanation: "the CA does not accept an address in acme.contact",
        fix: "Correct or remove it.",
        ..HOST
    },
    Row {
        pattern: "invalidProfile",
        class: "PROFILE_BAD",
        explanation: "the CA does not know the profile in acme.profile",
        fix: "Remove it, or choose one that the CA offers.",
        ..HOST
    },
    Row {
        pattern: "badCSR",
        class: "CSR_BAD",
        explanation: "the CA does not accept the certificate request",
        fix: "Another acme.key_type may help.",
        ..HOST
    },
    Row {
        pattern: "badPublicKey",
        class: "KEY_BAD",
        explanation: "the CA does not accept the key",
        fix: "Choose another acme.key_type.",
        ..HOST
    },
    Row {
        pattern: "badSignatureAlgorithm",
        class: "KEY_BAD",
        explanation: "the CA does not accept the kind of our account's key",
        fix: "Ask the CA which keys it takes; the account is in accounts/clpctl/ below /etc/letsencrypt.",
        ..HOST
    },
    Row {
        pattern: "badNonce",
        class: "CA_BUSY",
        finding: FindingName::CaBusy,
        explanation: "the CA refused one fresh nonce after another",
        fix: "Nothing: clpctl tries again by itself.",
        ..CA
    },
    Row {
        pattern: "orderNotReady",
        class: "CLIENT_BUG",
        explanation: "the CA does not hold the order for ready",
        fix: "Nothing: clpctl looks at the order again.",
        ..CA
    },
    Row {
        pattern: "rateLimited",
        class: "RL_OTHER",
        finding: FindingName::RateLimited,
        retry: Retry::WhenTold,
        explanation: "a rate limit of the CA is used up",
        fix: "Nothing: clpctl tries again when the CA allows it.",
        ..CA
    },
    Row {
        pattern: "serverInternal",
        class: "CA_BUSY",
        finding: FindingName::CaBusy,
        retry: Retry::WhenTold,
        explanation: "the CA is overloaded or out of order",
        fix: "Nothing: clpctl tries again by itself. The CA's status page may know more.",
        ..CA
    },
    Row {
        pattern: "malformed",
        class: "MALFORMED",
        explanation: "the CA does not accept the request",
        fix: "The CA's own text says why. If it names no name of yours, it is a defect of clpctl: please report it.",
        ..CA
    },
];
