//! What does the configuration say about single sites?

use std::collections::{HashMap, HashSet};

use renewal::name::Name;
use renewal::names::Names;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};
use super::read::{Reader, SITE, SiteReader};
use super::settings::{Acme, Http01, Renewal, SETTINGS};
use super::text::Parsed;
use crate::nearest::did_you_mean;

/// One `[[site]]`, with what it leaves out filled in.
#[derive(Clone, Debug)]
pub struct SiteSettings {
    /// What the site is called.
    pub domain: Name,
    /// The names that its certificate shall cover, the domain first; `None` leaves them to nginx's configuration.
    pub names: Option<Names>,
    /// The CA.
    pub acme: Acme,
    /// How challenges are answered.
    pub http01: Http01,
    /// When it is renewed.
    pub renewal: Renewal,
    /// Where it stands.
    pub place: Place,
}

impl SiteSettings {
    /// Returns every name that the site claims.
    pub fn all_names(&self) -> impl Iterator<Item = &Name> {
        let names = self
            .names
            .iter()
            .flatten()
            .filter(|name| **name != self.domain);
        std::iter::once(&self.domain).chain(names)
    }
}

/// Reads all `[[site]]`s of a file but those whose domain one of `above` has, which wins.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    file: Option<&Parsed<'_>>,
    (acme, http01, renewal): Base<'_>,
    above: &[SiteSettings],
) -> Vec<SiteSettings> {
    let above: HashSet<&Name> = above.iter().flat_map(SiteSettings::all_names).collect();
    let Some(file) = file else {
        return Vec::new();
    };
    let Some((key, value)) = file.table.get_key_value(SITE) else {
        return Vec::new();
    };
    let refuse = |what: &str| Problem::at(&file.place(&key.span()), what.to_owned());
    let DeValue::Array(items) = value.get_ref() else {
        reader.complain(refuse("there may be several sites; write [[site]]"));
        return Vec::new();
    };
    let mut sites = Vec::new();
    let mut claimed = HashMap::new();
    for item in items.iter() {
        let Some(table) = item.get_ref().as_table() else {
            reader.complain(refuse(
                "each site is a table; write [[site]] and its keys below",
            ));
            continue;
        };
        let (problems, site) = read_one(
            file,
            table,
            &file.place(&item.span()),
            (acme, http01, renewal),
        );
        let (site, shown) = match site {
            Some((site, shown)) => (Some(site), shown),
            None => (None, Vec::new()),
        };
        if site
            .as_ref()
            .is_some_and(|site: &SiteSettings| above.contains(&site.domain))
        {
            continue;
        }
        reader.take_in(problems, shown);
        let Some(site) = site else { continue };
        for name in site.all_names() {
            if let Some(line) = claimed.insert(name.clone(), site.place.line) {
                let what = format!(
                    "the site {} claims {name}, as the site of line {line} does",
                    site.domain
                );
                reader.complain(Problem::at(&site.place, what));
            }
        }
        sites.push(site);
    }
    sites
}

type Base<'a> = (&'a Acme, &'a Http01, &'a Renewal);

fn read_one(
    file: &Parsed<'_>,
    table: &DeTable<'_>,
    start: &Place,
    (acme, http01, renewal): Base<'_>,
) -> (Vec<Problem>, Option<(SiteSettings, Vec<super::Shown>)>) {
    let mut problems = Vec::new();
    for key in table.keys().filter(|key| !is_key(key.get_ref())) {
        let name = key.get_ref();
        let meant = did_you_mean(name, ["domain", "names"].into_iter().chain(per_site_keys()));
        let what = format!("a [[site]] has no key “{}”{meant}", name.escape_debug());
        problems.push(Problem::at(&file.place(&key.span()), what));
    }
    let Some((key, value)) = table.get_key_value("domain") else {
        problems.push(Problem::at(start, "a [[site]] needs a domain".to_owned()));
        return (problems, None);
    };
    let place = file.place(&key.span());
    let domain = match read_name(value.get_ref()) {
        Ok(domain) => domain,
        Err(what) => {
            problems.push(Problem::at(&place, format!("domain: {what}")));
            return (problems, None);
        }
    };
    let names = read_names(file, table, &domain, &mut problems);
    let mut site = SiteReader {
        file,
        table,
        domain: domain.clone(),
        problems,
        shown: Vec::new(),
    };
    let settings = SiteSettings {
        acme: acme.read_site(&mut site),
        http01: http01.read_site(&mut site),
        renewal: renewal.read_site(&mut site),
        domain,
        names,
        place,
    };
    (site.problems, Some((settings, site.shown)))
}

fn read_names(
    file: &Parsed<'_>,
    table: &DeTable<'_>,
    domain: &Name,
    problems: &mut Vec<Problem>,
) -> Option<Names> {
    let (key, value) = table.get_key_value("names")?;
    let mut complain =
        |span: &std::ops::Range<usize>, what| problems.push(Problem::at(&file.place(span), what));
    let DeValue::Array(items) = value.get_ref() else {
        complain(
            &key.span(),
            "names: a list of host names is expected here".to_owned(),
        );
        return None;
    };
    let mut names = vec![domain.clone()];
    for item in items.iter() {
        match read_name(item.get_ref()) {
            Ok(name) => names.push(name),
            Err(what) => complain(&item.span(), format!("names: {what}")),
        }
    }
    if names.len() > NAMES_MAX + 1 {
        complain(
            &key.span(),
            format!(
                "names: {} names are more than the {NAMES_MAX} that one certificate can cover",
                names.len()
            ),
        );
    }
    Names::new(names)
}

fn read_name(value: &DeValue<'_>) -> Result<Name, String> {
    let text = value
        .as_str()
        .ok_or_else(|| "a host name in quotes is expected here".to_owned())?;
    crate::arguments::public_name(text).map_err(|why| {
        if why.starts_with('“') {
            why
        } else {
            format!("“{}”: {why}", text.escape_debug())
        }
    })
}

fn per_site_keys() -> impl Iterator<Item = &'static str> {
    SETTINGS
        .iter()
        .filter(|setting| setting.per_site)
        .map(|setting| setting.key)
}

fn is_key(key: &str) -> bool {
    matches!(key, "domain" | "names") || per_site_keys().any(|known| known == key)
}

/// Let's Encrypt's limit of names per certificate (<https://letsencrypt.org/docs/rate-limits/>).
const NAMES_MAX: usize = 100;
