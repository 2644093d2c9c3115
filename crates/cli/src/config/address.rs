//! Is this the address of a CA, or of a person?

use std::net::IpAddr;

/// Checks that `url` can be a CA's directory: https, or http on a loopback address.
///
/// # Errors
///
/// Says which part of the URL is wrong.
pub(super) fn parse_directory(url: &str) -> Result<(), String> {
    if url.len() > URL_BYTES_MAX {
        return Err("the URL is too long".to_owned());
    }
    if url.contains(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Err(format!(
            "“{}” is not a URL: it contains a blank or a character beyond ASCII",
            url.escape_debug()
        ));
    }
    let (secure, rest) = if let Some(rest) = url.strip_prefix("https://") {
        (true, rest)
    } else if let Some(rest) = url.strip_prefix("http://") {
        (false, rest)
    } else {
        return Err(format!("“{url}” is not a URL that begins with https://"));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("the URL must not contain a user name or password".to_owned());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err(format!("“{url}” has no valid port"));
    }
    if host.is_empty() || (host.contains(':') && !host.starts_with('[')) {
        return Err(format!("“{url}” names no host"));
    }
    if !secure && !is_loopback(host) {
        return Err(format!(
            "“{url}” must begin with https://: http is only for loopback addresses"
        ));
    }
    Ok(())
}

/// Checks that `address` can be an e-mail address that a CA accepts (RFC 8555 section 7.3, RFC 6068).
///
/// # Errors
///
/// Says what is wrong.
pub(super) fn parse_mail(address: &str) -> Result<(), String> {
    let refuse = |why: &str| {
        Err(format!(
            "“{}” is not an e-mail address: {why}",
            address.escape_debug()
        ))
    };
    if address.len() > MAIL_BYTES_MAX {
        return Err("the e-mail address is too long".to_owned());
    }
    let Some((local, domain)) = address.rsplit_once('@') else {
        return refuse("it has no “@”");
    };
    // RFC 8555 section 7.3 forbids hfields (`?`) and more than one address (`,`).
    if local.is_empty()
        || local.contains(|c: char| c.is_whitespace() || c.is_control() || ",?<>()@\"".contains(c))
    {
        return refuse("the part before “@” is empty or contains odd characters");
    }
    match renewal::name::Name::parse(domain) {
        Ok(name) if name.as_str().contains('.') => Ok(()),
        Ok(_) => refuse("the part after “@” has no dot"),
        Err(error) => refuse(&error.to_string()),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

const URL_BYTES_MAX: usize = 2_000;

/// RFC 5321 section 4.5.3.1.3, without the brackets.
const MAIL_BYTES_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use super::{parse_directory, parse_mail};
    use expect_test::{Expect, expect};

    fn check(parse: fn(&str) -> Result<(), String>, texts: &[&str], expect: Expect) {
        let answers: String = texts
            .iter()
            .map(|text| {
                parse(text).map_or_else(|error| format!("{error}\n"), |()| format!("{text}: yes\n"))
            })
            .collect();
        expect.assert_eq(&answers);
    }

    #[test]
    fn directories() {
        check(
            parse_directory,
            &[
                "https://acme-v02.api.letsencrypt.org/directory",
                "https://[2001:db8::1]:14000/dir",
                "https://ca.internal:14000",
                "http://127.0.0.1:14000/dir",
                "http://localhost/dir",
                "http://[::1]:1/",
                "http://ca.example/dir",
                "http://127.0.0.1.example/dir",
                "ftp://x",
                "",
                "https://",
                "https:///dir",
                "https://x:port/",
                "https://x:0/",
                "https://user:pass@x/",
                "https://a b/",
                "https://ü/",
                "https://::1/",
            ],
            expect![[r#"
                https://acme-v02.api.letsencrypt.org/directory: yes
                https://[2001:db8::1]:14000/dir: yes
                https://ca.internal:14000: yes
                http://127.0.0.1:14000/dir: yes
                http://localhost/dir: yes
                http://[::1]:1/: yes
                “http://ca.example/dir” must begin with https://: http is only for loopback addresses
                “http://127.0.0.1.example/dir” must begin with https://: http is only for loopback addresses
                “ftp://x” is not a URL that begins with https://
                “” is not a URL that begins with https://
                “https://” names no host
                “https:///dir” names no host
                “https://x:port/” has no valid port
                “https://x:0/” has no valid port
                the URL must not contain a user name or password
                “https://a b/” is not a URL: it contains a blank or a character beyond ASCII
                “https://ü/” is not a URL: it contains a blank or a character beyond ASCII
                “https://::1/” names no host
            "#]],
        );
    }

    #[test]
    fn mail_addresses() {
        check(
            parse_mail,
            &[
                "admin@example.com",
                "a+b@example.com",
                "admin",
                "@example.com",
                "a@b@c.example",
                "a@localhost",
                "a b@c.example",
                "a@b..c",
                "a@b.example?subject=x",
            ],
            expect![[r#"
                admin@example.com: yes
                a+b@example.com: yes
                “admin” is not an e-mail address: it has no “@”
                “@example.com” is not an e-mail address: the part before “@” is empty or contains odd characters
                “a@b@c.example” is not an e-mail address: the part before “@” is empty or contains odd characters
                “a@localhost” is not an e-mail address: the part after “@” has no dot
                “a b@c.example” is not an e-mail address: the part before “@” is empty or contains odd characters
                “a@b..c” is not an e-mail address: “b..c” is not a host name: two dots follow each other, or it begins with one
                “a@b.example?subject=x” is not an e-mail address: “b.example?subject=x” is not a host name: it contains '?'
            "#]],
        );
    }
}
