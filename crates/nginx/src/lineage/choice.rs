//! Which lineage serves a site, or would?
//!
//! The one that its vhost names; else the one called after its domain, unless that belongs to something else;
//! else `DOMAIN-0001` and so on, as certbot counts.

use std::path::Path;

use renewal::name::Name;

use super::{Lineages, Links, Part};

/// Returns the lineage of the site `domain`, and what it links.
///
/// `named` is the one that its vhost names; `taken` says whether another site's vhost names one, `covers` whether
/// the certificate in a file is for the domain.
pub(crate) fn choose(
    lineages: &Lineages,
    domain: &Name,
    named: Option<&str>,
    taken: impl Fn(&str) -> bool,
    mut covers: impl FnMut(&Path) -> bool,
) -> (String, Links) {
    if let Some(named) = named {
        let links = lineages.links(named);
        if !matches!(links, Links::Foreign(_)) {
            return (named.to_owned(), links);
        }
    }
    let mut name = folder_name(domain);
    let first = name.clone();
    let mut number = 0;
    loop {
        let links = lineages.links(&name);
        if !taken(&name) && is_ours(lineages, &name, &links, &mut covers) {
            return (name, links);
        }
        number += 1;
        name = format!("{first}-{number:04}");
    }
}

/// Says whether nothing has this name, or only what is for the same domain.
fn is_ours(
    lineages: &Lineages,
    name: &str,
    links: &Links,
    covers: &mut impl FnMut(&Path) -> bool,
) -> bool {
    let version = match links {
        Links::Foreign(_) => return false,
        Links::Version(version) => Some(*version),
        // What a run obtained and could not deploy is taken up again.
        Links::None | Links::Broken(_) => lineages.versions(name).last().copied(),
    };
    match version {
        Some(version) => covers(&lineages.file(name, Part::Cert, version)),
        None => true,
    }
}

/// Returns the domain as a folder's name; certbot names a wildcard's lineage without the star.
fn folder_name(domain: &Name) -> String {
    let text = domain.as_str();
    text.strip_prefix("*.").unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::tests::lineage;

    /// Three lineages lie there: `a.test` for the domain, `b.test` for others, `c.test` with files instead of links.
    #[track_caller]
    fn check(domain: &str, named: Option<&str>, taken: &[&str], expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.test", "b.test", "c.test"] {
            lineage(folder.path(), name, &[1], 1);
        }
        let link = folder.path().join("live/c.test/cert.pem");
        std::fs::remove_file(&link).unwrap();
        std::fs::File::create(&link).unwrap();
        let taken = |name: &str| taken.contains(&name);
        let covers = |path: &Path| path.to_string_lossy().contains("a.test");
        let domain = Name::parse(domain).unwrap();
        let lineages = Lineages::new(folder.path());
        let (chosen, _) = choose(&lineages, &domain, named, taken, covers);
        assert_eq!(chosen, expected);
    }

    #[test]
    fn the_vhost_says_which() {
        check("x.test", Some("b.test"), &[], "b.test");
        check("x.test", Some("new.test"), &[], "new.test");
        check("c.test", Some("c.test"), &[], "c.test-0001");
    }

    #[test]
    fn else_the_domain_says_unless_the_name_is_taken() {
        check("x.test", None, &[], "x.test");
        check("*.x.test", None, &[], "x.test");
        check("a.test", None, &[], "a.test");
        check("a.test", None, &["a.test", "a.test-0001"], "a.test-0002");
        check("b.test", None, &[], "b.test-0001");
    }
}
