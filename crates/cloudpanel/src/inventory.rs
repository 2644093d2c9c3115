//! Which sites are in the database, with which certificates?

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use renewal::finding::{Finding, FindingName, Severity};
use renewal::name::Name;
use renewal::panel::{Inventory, PanelSite, Projection, Record};
use renewal::ports::Known;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::database::{self, Trouble};
use crate::row::{Rows, Text, bytes, moment};
use crate::schema;
use crate::settings::Settings;

/// Reads all of it.
pub(crate) fn inventory(settings: &Settings, known: &Known) -> Inventory {
    let path = &settings.database;
    let read = database::read(path, settings.patience, |connection| {
        record(settings, connection, known)
    });
    match read {
        Ok(record) => Inventory::Known(record),
        // Only the folder of its program tells a panel that lost its database from none.
        Err(Trouble::Missing(_)) if settings.app().is_dir() => Inventory::Unknown(lost(path)),
        Err(Trouble::Missing(_)) => Inventory::Absent,
        Err(Trouble::Form(what)) => Inventory::Unknown(unknown(path, &what)),
        Err(trouble) => Inventory::Unreadable {
            finding: trouble.finding(
                FindingName::PanelUnreadable,
                "CloudPanel's database cannot be read, so its sites are left as they are until it can.",
            ),
            folder: settings.certificates(),
        },
    }
}

fn record(settings: &Settings, connection: &Connection, known: &Known) -> Result<Record, Trouble> {
    let path = &settings.database;
    let wrong = database::of(path);
    // One snapshot for all that is read.
    connection.execute_batch("BEGIN").map_err(wrong)?;
    let form = schema::probe(connection, &wrong)?;
    let users = users(&settings.passwd);
    let mut record = Record::default();
    let mut rows = Rows::new(path, known);
    let mut statement = connection.prepare(SITES).map_err(wrong)?;
    let mut found = statement.query([]).map_err(wrong)?;
    while let Some(row) = found.next().map_err(wrong)? {
        match site(settings, row, &mut rows, users.as_ref()).map_err(wrong)? {
            Ok(site) => record.sites.push(site),
            Err(finding) => record.findings.push(finding),
        }
    }
    record.read = rows.read;
    if form.config {
        let own = connection
            .query_row(OWN_DOMAIN, [], |row| row.get::<_, Option<String>>(0))
            .optional()
            .map_err(wrong)?;
        record.sites.extend(own_site(settings, own.flatten()));
    }
    if let Err(what) = form.certificates {
        record.findings.push(half_known(path, &what));
    }
    Ok(record)
}

/// Reads one site; a finding when its entry makes no sense.
fn site(
    settings: &Settings,
    row: &Row<'_>,
    rows: &mut Rows<'_>,
    users: Option<&HashSet<String>>,
) -> Result<Result<PanelSite, Finding>, rusqlite::Error> {
    let text = |column: usize| -> Result<String, rusqlite::Error> {
        Ok(String::from_utf8_lossy(bytes(row.get_ref(column)?)).into_owned())
    };
    let id: i64 = row.get(0)?;
    let (kind, domain, root, user) = (text(1)?, text(2)?, text(3)?, text(4)?);
    let name = match Name::parse(&domain) {
        Ok(name) if !domain.contains('/') => name,
        Ok(_) => return Ok(Err(no_name(&settings.database, &domain, "it has a slash"))),
        Err(error) => {
            return Ok(Err(no_name(
                &settings.database,
                &domain,
                &error.to_string(),
            )));
        }
    };
    let active: Option<i64> = row.get(5)?;
    let certificate = match active {
        None => None,
        Some(active) => Some(rows.row(
            id,
            &Text {
                id: active,
                site_id: row.get(6)?,
                kind: bytes(row.get_ref(7)?),
                expires_at: moment(bytes(row.get_ref(8)?)),
                key: bytes(row.get_ref(9)?),
                certificate: bytes(row.get_ref(10)?),
            },
        )),
    };
    let gone = users.is_some_and(|users| !users.contains(&user));
    Ok(Ok(PanelSite {
        id: Some(id),
        document_root: document_root(&settings.home, &user, &root),
        vhost: settings.vhosts().join(format!("{domain}.conf")),
        files: Projection::of(&settings.certificates(), &domain),
        findings: gone.then(|| no_user(&user)).into_iter().collect(),
        domain: name,
        kind,
        user,
        row: certificate,
    }))
}

/// Returns the panel's own site, where it has a domain: its certificate is in no table.
fn own_site(settings: &Settings, domain: Option<String>) -> Option<PanelSite> {
    let domain = Name::parse(domain?.trim()).ok()?;
    Some(PanelSite {
        id: None,
        domain,
        kind: "panel".to_owned(),
        user: OWN_USER.to_owned(),
        document_root: settings.own_root(),
        vhost: settings.vhosts().join(format!("{OWN_FILES}.conf")),
        files: Projection::of(&settings.certificates(), OWN_FILES),
        row: None,
        findings: Vec::new(),
    })
}

/// Returns `/home/USER/htdocs/ROOT`; what would lead out of it is left out.
fn document_root(home: &Path, user: &str, root: &str) -> PathBuf {
    let plain = |part: &Component<'_>| matches!(part, Component::Normal(_));
    let below: PathBuf = Path::new(root).components().filter(plain).collect();
    home.join(user.trim_matches('/')).join("htdocs").join(below)
}

/// Returns the names of this machine's users; `None` when the list cannot be read.
fn users(passwd: &Path) -> Option<HashSet<String>> {
    let text = std::fs::read_to_string(passwd).ok()?;
    let names = text.lines().filter_map(|line| line.split(':').next());
    Some(names.map(str::to_owned).collect())
}

fn unknown(path: &Path, what: &str) -> Finding {
    Finding::new(
        FindingName::PanelSchemaUnknown,
        "CloudPanel's database has a form that clpctl does not know, so this host is treated as one without CloudPanel.",
    )
    .detail(format!("{}: {what}", path.display()))
    .fix("Look for a newer clpctl. Until then CloudPanel does not learn of what clpctl renews, and may overwrite it.")
}

fn lost(path: &Path) -> Finding {
    Finding::new(
        FindingName::PanelUnreadable,
        "CloudPanel is installed here and its database is not there, so this host is treated as one without CloudPanel.",
    )
    .severity(Severity::Warning)
    .detail(format!("{} is missing", path.display()))
    .fix("Bring it back from a backup: CloudPanel's are in /home/clp/backups, clpctl's in cloudpanel/ in its state folder. If it is elsewhere, host.cloudpanel_database says where.")
}

fn half_known(path: &Path, what: &str) -> Finding {
    Finding::new(
        FindingName::PanelSchemaUnknown,
        "CloudPanel's table of certificates has a form that clpctl does not know, so certificates are recorded by CloudPanel's own command.",
    )
    .detail(format!("{}: {what}", path.display()))
    .fix(
        "Look for a newer clpctl. Until then CloudPanel shows what clpctl renews as imported, and does not renew it itself.",
    )
}

fn no_name(path: &Path, domain: &str, why: &str) -> Finding {
    Finding::new(
        FindingName::PanelDrift,
        "CloudPanel's database has a site whose domain is no name, so it is not looked after.",
    )
    .detail(format!(
        "{}: the site “{}”: {why}",
        path.display(),
        domain.escape_debug()
    ))
    .fix("Delete the site in CloudPanel, or mend its domain.")
}

fn no_user(user: &str) -> Finding {
    Finding::new(
        FindingName::PanelDrift,
        "The user that the site belongs to does not exist on this machine any more.",
    )
    .severity(Severity::Warning)
    .detail(format!(
        "CloudPanel says that the site belongs to {user}, whom /etc/passwd does not know."
    ))
    .fix("Delete the site in CloudPanel, or make the user again.")
}

const SITES: &str = "SELECT s.id, s.type, s.domain_name, s.root_directory, s.user,
        c.id, c.site_id, c.type, c.expires_at, c.private_key, c.certificate
    FROM site s LEFT JOIN certificate c ON c.id = s.certificate_id ORDER BY s.id";

const OWN_DOMAIN: &str = "SELECT value FROM config WHERE key = 'custom_domain' AND value <> ''";

/// What the files of the panel's own domain are called.
const OWN_FILES: &str = "custom-domain";

/// Whom the panel belongs to.
const OWN_USER: &str = "clp";

#[cfg(test)]
mod tests {
    use super::document_root;
    use std::path::Path;

    #[test]
    fn a_document_root_never_leads_out_of_its_users_home() {
        let root = |user, root| {
            document_root(Path::new("/home"), user, root)
                .display()
                .to_string()
        };
        assert_eq!(
            root("john", "a.test/public"),
            "/home/john/htdocs/a.test/public"
        );
        assert_eq!(root("john", "/etc"), "/home/john/htdocs/etc");
        assert_eq!(root("john", "../../etc"), "/home/john/htdocs/etc");
        assert_eq!(root("/etc", "x"), "/home/etc/htdocs/x");
    }
}
