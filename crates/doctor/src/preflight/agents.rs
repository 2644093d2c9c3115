//! Is a browser answered differently from the CA?
//!
//! Both ask for the same challenge, which nobody made, at the same addresses, and follow the same redirects: when one hears that there is no such
//! file and the other is sent away, a rule looks at what they call themselves.

use std::fmt;
use std::net::SocketAddr;

use futures_util::future::{join, join_all};
use renewal::name::Name;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::connection::CA_AGENT;
use super::observation::{End, Fetch};
use super::target::Target;
use super::{ADDRESSES_MAX, Preflight};
use crate::address::is_public;

/// What two user agents hear at one address.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The address.
    pub address: SocketAddr,
    /// What the CA hears.
    pub ca: Heard,
    /// What a browser hears.
    pub browser: Heard,
}

/// An answer, as short as can be.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heard {
    /// A status.
    Status(u16),
    /// No answer; holds why.
    Nothing(String),
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Nothing(why) => write!(f, "nothing ({why})"),
        }
    }
}

impl Preflight {
    /// Asks for a challenge that nobody made as the CA and as a browser, at every address of `name`.
    pub async fn compare_agents(&self, name: &Name) -> Vec<Compared> {
        let deadline = Instant::now() + self.settings.patience.overall;
        let resolution = self.dns.resolve(name).await;
        let usable = resolution
            .addresses()
            .filter(|address| self.settings.private_ca || is_public(*address));
        let target = &Target::challenge(name.clone(), self.settings.http_port, TOKEN);
        let each = usable.take(ADDRESSES_MAX).map(|ip| async move {
            let (ca, browser) = join(
                self.fetch(CA_AGENT, target, ip, deadline),
                self.fetch(BROWSER_AGENT, target, ip, deadline),
            )
            .await;
            Compared {
                address: SocketAddr::new(ip, target.port),
                ca: heard(&ca),
                browser: heard(&browser),
            }
        });
        join_all(each).await
    }
}

/// Returns what was heard at the end of the way: where https is forced, rules often stand behind the redirect.
fn heard(fetch: &Fetch) -> Heard {
    let last = || fetch.hops.last().map(|hop| Heard::Status(hop.status));
    let heard = match &fetch.end {
        End::Answered(_) | End::NotFollowed(_) => last(),
        End::Failed { cause, .. } => Some(Heard::Nothing(cause.to_string())),
        End::Unresolved { host, .. } => Some(Heard::Nothing(format!("{host} leads nowhere"))),
    };
    heard.unwrap_or_else(|| Heard::Nothing("no answer".to_owned()))
}

/// A token that no CA makes.
const TOKEN: &str = "clpctl-probe-of-user-agents";

/// A browser's, as millions send it.
const BROWSER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
