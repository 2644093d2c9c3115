//! The port to those who watch a run.

use crate::finding::Finding;
use crate::name::Name;
use crate::ports::Waiting;
use crate::report::{Report, SiteReport};

/// Takes in what happens during a run, to show and to log it. MUST return at once.
pub trait Observer: Send + Sync {
    /// Takes in one event.
    fn saw(&self, event: Event<'_>);
}

/// Something that happened during a run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The host was looked at: so many sites, so many of them due.
    Planned {
        /// How many sites there are.
        sites: usize,
        /// How many are to be done something with.
        due: usize,
    },
    /// A site's CA was asked when it would like a renewal.
    Asked(&'a Name),
    /// A site's names are checked, before the CA is asked.
    Checking(&'a Name),
    /// A site's order waits for something.
    Ordering(&'a Name, Waiting),
    /// A site's certificate was obtained and written down.
    Obtained(&'a Name),
    /// Certificates of so many sites are being deployed.
    Deploying(usize),
    /// Our line is being put into the vhosts of so many sites.
    Inserting(usize),
    /// nginx was asked whether it accepts its configuration, which takes minutes on a large host.
    Tested,
    /// nginx was told to reload.
    Reloaded,
    /// What a site serves was looked at.
    Looked(&'a Name),
    /// A deployment from an earlier run is finished first.
    Recovering(usize),
    /// Something is wrong, with a site or with the host.
    Found(Option<&'a Name>, &'a Finding),
    /// A site is done, for better or worse.
    Finished(&'a SiteReport),
    /// The run is over.
    Over(&'a Report),
}
