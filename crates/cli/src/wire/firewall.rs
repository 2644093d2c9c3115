//! How are the firewall's rules read?
//!
//! The doctor knows what rules mean, and nginx's adapter starts programs; neither knows the other.

use std::path::Path;

use doctor::firewall::{Family, FirewallSeen, Listed};
use futures_util::future::join_all;
use nginx::listing::listing;

/// Reads the rules that concern `port`.
///
/// # Errors
///
/// Why they cannot be read.
pub(super) async fn read(port: u16) -> Result<FirewallSeen, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root may read the firewall's rules".to_owned());
    }
    let nft = listing(Path::new(NFT), &["-j", "list", "ruleset"], PATIENCE).await;
    // The older programs load modules into the kernel when they are asked, so only where there is something.
    let old = std::fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    let mixed = nft.as_ref().is_none_or(|rules| rules.contains("\"xt\""));
    let programs = TABLES.iter().filter(|(_, program)| {
        let is_old = program.contains("legacy");
        if is_old {
            old.contains("filter")
        } else {
            mixed
        }
    });
    let listed = programs.map(|(family, program)| async move {
        let text = listing(Path::new(program), &[], PATIENCE).await?;
        let family = *family;
        Some(Listed { family, text })
    });
    let tables: Vec<Listed> = join_all(listed).await.into_iter().flatten().collect();
    let nft = nft.and_then(|text| serde_json::from_str(&text).ok());
    if nft.is_none() && tables.is_empty() {
        return Err("there is neither nft nor iptables to list the firewall's rules".to_owned());
    }
    Ok(FirewallSeen {
        port,
        ways: doctor::firewall::ways(Path::new("/proc")),
        nft,
        tables,
    })
}

/// Who lists the rules. What iptables made among nftables' rules only iptables can read, and what its older form made
/// only that.
const NFT: &str = "/usr/sbin/nft";
const TABLES: [(Family, &str); 4] = [
    (Family::V4, "/usr/sbin/iptables-nft-save"),
    (Family::V6, "/usr/sbin/ip6tables-nft-save"),
    (Family::V4, "/usr/sbin/iptables-legacy-save"),
    (Family::V6, "/usr/sbin/ip6tables-legacy-save"),
];

/// Tens of thousands of rules take a second.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(8);
