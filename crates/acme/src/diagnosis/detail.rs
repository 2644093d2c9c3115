//! Of what is the text of a validation error made?
//!
//! ```text
//! [During secondary validation: ][While processing CAA for NAME: ][ADDRESS: ][Fetching URL: ]CORE
//! ```

use std::net::IpAddr;

/// The parts of an error's text.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Detail<'a> {
    /// Whether only some of the CA's locations saw it.
    pub secondary: bool,
    /// The name whose CAA records were looked at.
    pub caa_for: Option<&'a str>,
    /// The address to which the CA went.
    pub address: Option<IpAddr>,
    /// The URL that it fetched.
    pub url: Option<&'a str>,
    /// What happened.
    pub core: &'a str,
}

impl<'a> Detail<'a> {
    /// Takes a text apart; what does not have this form is all core.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        let mut detail = Self {
            core: text.trim(),
            ..Self::default()
        };
        if let Some(rest) = detail.core.strip_prefix("During secondary validation: ") {
            (detail.secondary, detail.core) = (true, rest);
        }
        if let Some((name, rest)) = detail
            .core
            .strip_prefix("While processing CAA for ")
            .and_then(|rest| rest.split_once(": "))
        {
            (detail.caa_for, detail.core) = (Some(name), rest);
        }
        // An IPv6 address has no brackets here, so the first ": " ends it.
        if let Some((address, rest)) = detail.core.split_once(": ")
            && let Ok(address) = address.parse()
        {
            (detail.address, detail.core) = (Some(address), rest);
        }
        if let Some((url, rest)) = detail
            .core
            .strip_prefix("Fetching ")
            .and_then(|rest| rest.split_once(": "))
        {
            (detail.url, detail.core) = (Some(url), rest);
        }
        detail
    }

    /// Returns the name that the core quotes or looks up, if it does.
    pub(super) fn quoted_name(&self) -> Option<&'a str> {
        let is_name = |text: &&str| text.contains('.') && !text.contains([' ', '/', ':', '"']);
        let quoted = self.core.split('"').skip(1).step_by(2).find(is_name);
        let looked_up = self
            .core
            .split_once(" for ")
            .and_then(|(_, rest)| rest.split([' ', ';', ',', ':']).next());
        let refused = self.core.split_once("Cannot issue for \"");
        let refused = refused.and_then(|(_, rest)| rest.split('"').next());
        self.caa_for
            .or(refused)
            .or(quoted)
            .or(looked_up.filter(is_name))
    }
}

#[cfg(test)]
mod tests {
    use super::Detail;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(text: &str, expect: Expect) {
        let Detail {
            secondary,
            caa_for,
            address,
            url,
            core,
        } = Detail::read(text);
        let parts = [caa_for, address.map(|a| a.to_string()).as_deref(), url]
            .map(|part| part.unwrap_or("-").to_owned());
        expect.assert_eq(&format!(
            "{} {} | {core}",
            if secondary { "some" } else { "all" },
            parts.join(" ")
        ));
    }

    #[test]
    fn the_parts_are_told_apart() {
        check(
            "2001:db8::1: Fetching http://a.test/.well-known/acme-challenge/x: Timeout during connect (likely firewall problem)",
            expect![
                "all - 2001:db8::1 http://a.test/.well-known/acme-challenge/x | Timeout during connect (likely firewall problem)"
            ],
        );
        check(
            "During secondary validation: 192.0.2.1: Fetching http://a.test:80/x: Connection refused",
            expect!["some - 192.0.2.1 http://a.test:80/x | Connection refused"],
        );
        check(
            "During secondary validation: While processing CAA for a.test: CAA record for a.test prevents issuance",
            expect!["some a.test - - | CAA record for a.test prevents issuance"],
        );
        check(
            "DNS problem: NXDOMAIN looking up A for a.test - check that a DNS record exists for this domain",
            expect![
                "all - - - | DNS problem: NXDOMAIN looking up A for a.test - check that a DNS record exists for this domain"
            ],
        );
        check("", expect!["all - - - | "]);
    }
}
