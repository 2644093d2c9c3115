//! What does acme.sh renew here, with which account and how?
//!
//! | path below its folder | is |
//! | --- | --- |
//! | `DOMAIN/` or `DOMAIN_ecc/` | a certificate: `DOMAIN.conf`, `fullchain.cer`, `DOMAIN.key` |
//! | `ca/HOST/PATH/` | an account: `account.key`, `ca.conf`, `account.json` |
//! | `account.conf` | settings for all |
//!
//! Its files are shell: `Le_Domain='a.test'`, and longer values as `'__ACME_BASE64__START_…__ACME_BASE64__END_'`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use renewal::adoption::{Client, Managed, Proof};
use renewal::certificate::KeyType;
use renewal::policy::Ca;
use renewal::secret::Secret;

use super::{Account, Found, Key};
use crate::reading;

/// Reads everything in a folder such as `~/.acme.sh`; `None` when it has no certificate of acme.sh.
#[must_use]
pub fn read(home: &Path) -> Option<Found> {
    let mut folders: Vec<PathBuf> = fs::read_dir(home)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let mut found = Found {
        client: Client::AcmeSh,
        place: home.to_owned(),
        managed: Vec::new(),
        accounts: Vec::new(),
        hooks: Vec::new(),
        problems: Vec::new(),
    };
    for folder in folders {
        found.managed.extend(managed(&folder));
    }
    if found.managed.is_empty() {
        return None;
    }
    let mut authorities: Vec<&Ca> = Vec::new();
    for ca in found
        .managed
        .iter()
        .filter_map(|managed| managed.ca.as_ref())
    {
        if !authorities.contains(&ca) {
            authorities.push(ca);
        }
    }
    for ca in authorities {
        match account(home, ca) {
            Ok(account) => found.accounts.push(account),
            Err(problem) => found.problems.push(problem),
        }
    }
    Some(found)
}

/// Reads one certificate's folder.
fn managed(folder: &Path) -> Option<Managed> {
    let name = folder.file_name()?.to_str()?;
    let domain = name.strip_suffix("_ecc").unwrap_or(name);
    let place = folder.join(format!("{domain}.conf"));
    let values = Values::read(&reading::text(&place).ok()?);
    values.get("Le_Domain")?;
    // What was installed elsewhere is what nginx serves; both are the same but for a crash.
    let chain = reading::bytes(&folder.join("fullchain.cer")).ok();
    let leaf = chain.and_then(|pem| x509::chain::leaf(&pem).ok());
    let hooks = [
        ("Le_PreHook", "before"),
        ("Le_PostHook", "after"),
        ("Le_RenewHook", "deploy"),
        ("Le_ReloadCmd", "reload"),
    ];
    let hooks = hooks
        .into_iter()
        .filter_map(|(key, when)| Some((when.to_owned(), values.get(key)?)));
    Some(Managed {
        name: name.to_owned(),
        names: leaf
            .as_ref()
            .map(|leaf| leaf.names.clone())
            .unwrap_or_default(),
        leaf: leaf.map(|leaf| leaf.sha256),
        ca: values.get("Le_API").map(|api| Ca(api.into())),
        account: None,
        key_type: key_type(values.get("Le_Keylength").as_deref()),
        profile: values.get("Le_Certificate_Profile"),
        before_expiry: None,
        proof: proof(&values.get("Le_Webroot").unwrap_or_default()),
        renews: values.get("Le_NextRenewTime").is_some(),
        hooks: hooks.collect(),
        notes: notes(&values),
        place,
    })
}

fn key_type(length: Option<&str>) -> Option<KeyType> {
    match length {
        Some("ec-256") => Some(KeyType::EcdsaP256),
        Some("ec-384" | "ec-521") => Some(KeyType::EcdsaP384),
        Some("3072") => Some(KeyType::Rsa3072),
        Some("4096" | "8192") => Some(KeyType::Rsa4096),
        // Its default before 2021.
        Some("2048") | None => Some(KeyType::Rsa2048),
        Some(_) => None,
    }
}

/// One way for each name, separated by commas: a folder, `no` for a listener of its own, `dns…`, `alpn`, or a server.
fn proof(webroot: &str) -> Proof {
    let other = webroot
        .split(',')
        .find(|way| way.starts_with("dns") || *way == "alpn" || way.is_empty());
    match other {
        Some("") => Proof::Other("nothing that is written down".to_owned()),
        Some(other) => Proof::Other(other.to_owned()),
        None => Proof::Http,
    }
}

fn notes(values: &Values) -> Vec<String> {
    let installed = ["Le_RealFullChainPath", "Le_RealCertPath", "Le_RealKeyPath"];
    let installed: Vec<String> = installed.iter().filter_map(|key| values.get(key)).collect();
    if installed.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "acme.sh copies it to {}; clpctl's first renewal names its own files in the vhost instead",
        installed.join(" and ")
    )]
}

/// Reads the account at one CA.
fn account(home: &Path, ca: &Ca) -> Result<Account, String> {
    let rest = ca.0.split_once("://").map_or(&*ca.0, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.split(':').next().unwrap_or_default();
    let plain = |text: &str| {
        !text.starts_with("/") && text.split("/").all(|part| !matches!(part, "." | ".."))
    };
    if host.is_empty() || !plain(host) || !plain(path) {
        return Err(format!("the account at {ca} has no plain name"));
    }
    let folder = home.join("ca").join(host).join(path);
    let place = folder.join("account.key");
    let key = reading::text(&place)
        .map_err(|error| format!("the account at {ca}: {}: {error}", place.display()))?;
    let about = reading::text(&folder.join("ca.conf")).unwrap_or_default();
    let about = Values::read(&about);
    Ok(Account {
        directory: ca.0.to_string(),
        id: host.to_owned(),
        place,
        key: Key::Pem(Secret::new(key)),
        url: about.get("ACCOUNT_URL"),
        contact: about.get("CA_EMAIL").into_iter().collect(),
        created_at: None,
    })
}

/// What a file of shell assignments sets.
pub(crate) struct Values(BTreeMap<String, String>);

impl Values {
    pub(crate) fn read(text: &str) -> Self {
        let assignments = text.lines().filter_map(|line| {
            let (key, value) = line.trim().split_once('=')?;
            let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
            Some((key.to_owned(), decoded(value)?))
        });
        Self(assignments.collect())
    }

    /// Returns a value; an empty one counts as none.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.0.get(key).filter(|value| !value.is_empty()).cloned()
    }
}

fn decoded(value: &str) -> Option<String> {
    let inner = value
        .strip_prefix("__ACME_BASE64__START_")
        .and_then(|value| value.strip_suffix("__ACME_BASE64__END_"));
    match inner {
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use expect_test::expect;
    use std::fmt::Write as _;
    use std::path::Path;

    /// As acme.sh 3.1 wrote it.
    const CONF: &str = "\
Le_Domain='c.test'
Le_Alt='www.c.test'
Le_Webroot='/var/www'
Le_PreHook=''
Le_PostHook='__ACME_BASE64__START_ZWNobyBoaQ==__ACME_BASE64__END_'
Le_RenewHook=''
Le_API='https://127.0.0.1:24000/dir'
Le_Keylength='ec-256'
Le_CertCreateTimeStr='2026-11-24T13:01:39Z'
Le_NextRenewTime='1798030899'
Le_RealKeyPath='/etc/nginx/ssl/c.key'
Le_ReloadCmd='__ACME_BASE64__START_dHJ1ZQ==__ACME_BASE64__END_'
Le_RealFullChainPath='/etc/nginx/ssl/c.pem'
";

    fn put(home: &Path, name: &str, text: &str) {
        let path = home.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::testing::put(&path, text);
    }

    fn shown(home: &Path) -> String {
        let Some(found) = read(home) else {
            return "nothing".to_owned();
        };
        let mut text = String::new();
        for one in &found.managed {
            let ca = one.ca.as_ref().map(|ca| &*ca.0);
            writeln!(
                text,
                "{} {ca:?} {:?} {:?} renews: {} {:?} {:?}",
                one.name, one.key_type, one.proof, one.renews, one.hooks, one.notes
            )
            .unwrap();
        }
        for account in &found.accounts {
            let folder = account.place.strip_prefix(home).unwrap().display();
            writeln!(text, "{folder} {:?} {:?}", account.url, account.contact).unwrap();
        }
        for problem in &found.problems {
            writeln!(text, "{}", problem.replace(home.to_str().unwrap(), "")).unwrap();
        }
        text
    }

    #[test]
    fn what_acme_sh_writes_is_understood() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        put(home, "c.test_ecc/c.test.conf", CONF);
        put(home, "ca/127.0.0.1/dir/account.key", "a key");
        put(
            home,
            "ca/127.0.0.1/dir/ca.conf",
            "ACCOUNT_URL='https://ca/7'\nCA_EMAIL='x@a.test'\n",
        );
        let rsa = CONF
            .replace("ec-256", "4096")
            .replace("127.0.0.1:24000/dir", "ca.test/directory")
            .replace("/var/www'", "dns_cf'");
        put(home, "d.test/d.test.conf", &rsa.replace("c.test", "d.test"));
        put(home, "dnsapi/dns_cf.sh", "");
        expect![[r#"
            c.test_ecc Some("https://127.0.0.1:24000/dir") Some(EcdsaP256) Http renews: true [("after", "echo hi"), ("reload", "true")] ["acme.sh copies it to /etc/nginx/ssl/c.pem and /etc/nginx/ssl/c.key; clpctl's first renewal names its own files in the vhost instead"]
            d.test Some("https://ca.test/directory") Some(Rsa4096) Other("dns_cf") renews: true [("after", "echo hi"), ("reload", "true")] ["acme.sh copies it to /etc/nginx/ssl/c.pem and /etc/nginx/ssl/c.key; clpctl's first renewal names its own files in the vhost instead"]
            ca/127.0.0.1/dir/account.key Some("https://ca/7") ["x@a.test"]
            the account at https://ca.test/directory: /ca/ca.test/directory/account.key: No such file or directory (os error 2)
        "#]].assert_eq(&shown(home));
    }

    #[test]
    fn nonsense_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        expect!["nothing"].assert_eq(&shown(home));
        put(home, "c.test/c.test.conf", "Le_Domain=\nLe_API='\n=''\n\0");
        expect!["nothing"].assert_eq(&shown(home));
        put(
            home,
            "c.test/c.test.conf",
            "Le_Domain='c.test'\nLe_API='https://../../etc'\nLe_ReloadCmd='__ACME_BASE64__START_!__ACME_BASE64__END_'",
        );
        expect![[r#"
            c.test Some("https://../../etc") Some(Rsa2048) Other("nothing that is written down") renews: false [] []
            the account at https://../../etc has no plain name
        "#]].assert_eq(&shown(home));
    }
}
