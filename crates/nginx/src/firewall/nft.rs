//! How is a port opened in chains of nftables, so that the kernel closes it again?
//!
//! An `accept` in a table of our own would open nothing: a packet must pass every chain of the hook. So each chain that
//! filters `input` gets a rule at its top that accepts what is in a set, and the set an element that goes by itself.

use serde::{Deserialize, Serialize};

use super::{FirewallError, Wanted, run};

/// A chain that filters what comes in.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Chain {
    family: String,
    table: String,
    chain: String,
}

/// Lists the chains that could drop what the CA sends.
pub(super) async fn chains() -> Result<Vec<Chain>, FirewallError> {
    let listed = run(NFT, &["list", "chains"]).await?;
    Ok(read_chains(&listed.unwrap_or_default()))
}

/// Opens the port in one chain until the time is over. Safe to repeat, which puts the end off.
pub(super) async fn open(chain: &Chain, wanted: &Wanted) -> Result<(), FirewallError> {
    let listed = list(chain).await?;
    let mut script = format!(
        "add set {} {SET} {{ type inet_service; flags timeout; }}",
        chain.table()
    );
    if handles(&listed).next().is_none() {
        let rule = format!("tcp dport @{SET} accept comment \"{COMMENT}\"");
        script += &format!("; insert rule {chain} {rule}");
    }
    // An element that is there keeps its end, so it goes and comes again, in one step.
    let (port, seconds) = (wanted.port, wanted.open_for.as_secs().max(1));
    let element = format!("element {} {SET}", chain.table());
    script += &format!(
        "; add {element} {{ {port} }}; delete {element} {{ {port} }}; add {element} {{ {port} timeout {seconds}s }}"
    );
    run(NFT, &[&script]).await.map(drop)
}

/// Takes rule and set out again. What an admin's reload has taken away already is no fault.
pub(super) async fn close(chain: &Chain) -> Result<(), FirewallError> {
    let Ok(listed) = list(chain).await else {
        return Ok(());
    };
    let rules = handles(&listed).map(|handle| format!("delete rule {chain} handle {handle}"));
    let script: Vec<String> = rules.collect();
    if !script.is_empty() {
        run(NFT, &[&script.join("; ")]).await?;
    }
    // Another chain of the table may still have its rule; the last one takes the set with it.
    let _ = run(NFT, &[&format!("delete set {} {SET}", chain.table())]).await;
    Ok(())
}

async fn list(chain: &Chain) -> Result<String, FirewallError> {
    let listed = run(NFT, &["-a", &format!("list chain {chain}")]).await?;
    Ok(listed.unwrap_or_default())
}

impl Chain {
    fn table(&self) -> String {
        format!("{} {}", self.family, self.table)
    }

    /// Says whether iptables keeps its own rules here: it cannot read a chain with a set any more.
    fn is_of_iptables(&self) -> bool {
        ["ip", "ip6"].contains(&&*self.family) && self.chain == "INPUT"
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)
    }
}

/// Reads what `nft list chains` says.
fn read_chains(listed: &str) -> Vec<Chain> {
    let (mut table, mut name) = (None, None);
    let mut chains = Vec::new();
    for line in listed.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["table", family, name, "{"] => table = Some((family, name)),
            ["chain", chain, "{"] => name = Some(chain),
            ["type", "filter", "hook", "input", ..] => {
                if let (Some((family, table)), Some(chain)) = (table, name) {
                    let chain = Chain {
                        family: family.to_owned(),
                        table: table.to_owned(),
                        chain: chain.to_owned(),
                    };
                    let passes_ip = ["ip", "ip6", "inet"].contains(&family);
                    if passes_ip && !chain.is_of_iptables() {
                        chains.push(chain);
                    }
                }
            }
            _ => {}
        }
    }
    chains
}

/// Returns the handles of our rules in a chain that was listed with them.
fn handles(listed: &str) -> impl Iterator<Item = &str> {
    let ours = listed.lines().filter(|line| line.contains(COMMENT));
    ours.filter_map(|line| Some(line.rsplit_once("# handle ")?.1.trim()))
}

const NFT: &str = "nft";
const SET: &str = "clpctl_open";
const COMMENT: &str = "clpctl: open while a CA validates";

#[cfg(test)]
mod tests {
    use super::{handles, read_chains};

    #[test]
    fn chains_on_input_are_found_but_for_those_of_iptables() {
        let listed = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n\t\
                      chain output {\n\t\ttype filter hook output priority filter; policy accept;\n\t}\n\tchain http {\n\t}\n}\n\
                      table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n\
                      table ip nat {\n\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t}\n}\n\
                      table ip6 f2b-table {\n\tchain f2b {\n\t\ttype filter hook input priority filter - 1; policy accept;\n\t}\n}\n";
        let found: Vec<String> = read_chains(listed)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["inet filter input", "ip6 f2b-table f2b"]);
        assert!(read_chains("nonsense\ntype filter hook input").is_empty());
    }

    #[test]
    fn our_rules_are_known_by_their_comment() {
        let listed = "chain input { # handle 1\n\ttcp dport @clpctl_open accept comment \"clpctl: open while a CA validates\" # handle 5\n\t\
                      tcp dport 22 accept # handle 3\n}\n";
        assert_eq!(handles(listed).collect::<Vec<_>>(), ["5"]);
    }
}
