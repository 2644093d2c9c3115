//! What does a CA offer, and where? (RFC 8555 section 7.1.1)

use std::collections::BTreeMap;

use http::Uri;
use serde::Deserialize;

use crate::origin::{Origins, UrlFault, https};

/// A CA's directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) new_nonce: Uri,
    pub(crate) new_account: Uri,
    pub(crate) new_order: Uri,
    pub(crate) revoke_cert: Option<Uri>,
    pub(crate) key_change: Option<Uri>,
    pub(crate) renewal_info: Option<Uri>,
    pub(crate) origins: Origins,
    pub(crate) about: About,
}

/// What a CA says about itself.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct About {
    /// The terms to which an account agrees.
    pub terms_of_service: Option<String>,
    /// Its website.
    pub website: Option<String>,
    /// The names by which CAA records allow it (RFC 8659).
    pub caa_identities: Vec<String>,
    /// Whether an account needs a contract made elsewhere (RFC 8555 section 7.3.4).
    pub external_account_required: bool,
    /// The kinds of certificates it offers, each with a description.
    pub profiles: BTreeMap<String, String>,
}

impl Directory {
    /// Reads the directory that `url` answered with.
    pub(crate) fn read(url: &Uri, body: &[u8]) -> Result<Self, DirectoryFault> {
        let raw: Raw = serde_json::from_slice(body)
            .map_err(|error| DirectoryFault::Json(error.to_string()))?;
        let mut origins = Origins::default();
        origins.allow(url);
        let mut endpoint = |text: Option<String>| -> Result<Option<Uri>, UrlFault> {
            let Some(text) = text else { return Ok(None) };
            let uri = https(&text)?;
            origins.allow(&uri);
            Ok(Some(uri))
        };
        let needed = |uri: Option<Uri>, name| uri.ok_or(DirectoryFault::Missing(name));
        Ok(Self {
            new_nonce: needed(endpoint(raw.new_nonce)?, "newNonce")?,
            new_account: needed(endpoint(raw.new_account)?, "newAccount")?,
            new_order: needed(endpoint(raw.new_order)?, "newOrder")?,
            revoke_cert: endpoint(raw.revoke_cert)?,
            key_change: endpoint(raw.key_change)?,
            renewal_info: endpoint(raw.renewal_info)?,
            origins,
            about: raw.meta,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    new_nonce: Option<String>,
    new_account: Option<String>,
    new_order: Option<String>,
    revoke_cert: Option<String>,
    key_change: Option<String>,
    renewal_info: Option<String>,
    #[serde(default)]
    meta: About,
}

/// What was answered is no directory.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum DirectoryFault {
    #[error("it is no directory: {0}")]
    Json(String),
    #[error("it names no {0}")]
    Missing(&'static str),
    #[error(transparent)]
    Url(#[from] UrlFault),
}

#[cfg(test)]
mod tests {
    use super::Directory;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(body: &str, expect: Expect) {
        let url = "https://ca.test/directory".parse().unwrap();
        let answer = match Directory::read(&url, body.as_bytes()) {
            Ok(directory) => format!("{} {:?}", directory.new_order, directory.about),
            Err(fault) => fault.to_string(),
        };
        expect.assert_eq(&answer);
    }

    #[test]
    fn a_directory_is_read_and_what_is_unknown_is_passed_over() {
        check(
            r#"{"newNonce": "https://ca.test/n", "newAccount": "https://ca.test/a", "newOrder": "https://acme.ca.test/o",
                "xAbC": "https://community.letsencrypt.org/t/adding-random-entries-to-the-directory/33417",
                "meta": {"profiles": {"shortlived": "six days"}, "caaIdentities": ["ca.test"], "new": 1}}"#,
            expect![[
                r#"https://acme.ca.test/o About { terms_of_service: None, website: None, caa_identities: ["ca.test"], external_account_required: false, profiles: {"shortlived": "six days"} }"#
            ]],
        );
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        check("{}", expect!["it names no newNonce"]);
        check(
            "[1]",
            expect![
                "it is no directory: invalid type: integer `1`, expected a string at line 1 column 2"
            ],
        );
        check(
            r#"{"newNonce": "https://ca.test/n", "newAccount": "http://ca.test/a", "newOrder": "https://ca.test/o"}"#,
            expect![
                "“http://ca.test/a” is not an https:// URL, and an ACME request is never sent in the clear"
            ],
        );
    }
}
