//! CloudPanel's record of its sites and their certificates: read, kept true, and nothing else.
//!
//! CloudPanel keeps what it knows in one SQLite file. [`CloudPanel`] reads it without changing a byte, writes the
//! certificate that a site serves into the site's row, and adds notices for the panel's users, by the contract of
//! [`renewal::ports::Panel`]. It touches neither nginx nor the files that certificates are projected to.
//!
//! | question | module |
//! | --- | --- |
//! | how is a database that others work on opened? | `database` |
//! | does it have the form that is known? | `schema` |
//! | which sites are in it, with which certificates? | `inventory`, `row` |
//! | how is a site's certificate recorded? | `record`, `backup` |
//! | and where the form is not known well enough? | `by_command` |
//! | how are the panel's users told? | `notices` |
//! | is the panel renewing by itself? | `at_work` |
//! | which account has the panel's own client? | `account` |
//!
//! # Invariants
//!
//! - Looking changes nothing: not the database, not a file beside it.
//! - Every wait for the panel has a bound, and ends in a finding.
//! - Nothing is written without a copy of the database made before.
//! - Every change is one short transaction; all that takes time is done before it.
//! - Files that SQLite makes beside the database belong to the database's owner, or the panel could not use them.

mod settings;
mod database;
mod schema;
mod inventory;
mod account;
mod at_work;
mod row;
mod record;
mod backup;
mod by_command;
mod notices;
mod md5;
mod panel;

pub use self::panel::CloudPanel;
pub use self::settings::Settings;
