//! Who listens on the port on which the CA knocks?
//!
//! Read where the kernel lists sockets (`/proc/net/tcp`, `/proc/net/tcp6`) and who has them open
//! (`/proc/PID/fd`), as `ss -ltnp` does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use renewal::finding::{Finding, FindingName, Severity};
use serde::{Deserialize, Serialize};

/// Who listens on a port.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PortSeen {
    /// The port.
    pub port: u16,
    /// Whether nginx's configuration listens there, for a site that was asked about.
    pub wanted: bool,
    /// Whether an nginx runs; `None` when nobody knows.
    pub nginx_runs: Option<bool>,
    /// The name of nginx's program on this host.
    pub nginx: String,
    /// Every listener; `None` when the kernel does not tell.
    pub listeners: Option<Vec<Listener>>,
}

/// One listening socket.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Its address.
    pub address: SocketAddr,
    /// A process that has it open, and its program, where we may know.
    pub holder: Option<(u32, String)>,
}

/// Returns who listens on `port`, as `proc`, the folder `/proc`, tells; `None` when it does not.
#[must_use]
pub fn listeners(proc: &Path, port: u16) -> Option<Vec<Listener>> {
    let v4 = std::fs::read_to_string(proc.join("net/tcp")).ok()?;
    let v6 = std::fs::read_to_string(proc.join("net/tcp6")).unwrap_or_default();
    let sockets: Vec<(SocketAddr, u64)> = v4
        .lines()
        .chain(v6.lines())
        .filter_map(listening)
        .filter(|(address, _)| address.port() == port)
        .collect();
    let mut holders = HashMap::new();
    if !sockets.is_empty() {
        holders = holders_of(proc, &sockets);
    }
    let listener = |(address, inode): (SocketAddr, u64)| Listener {
        address,
        holder: holders.get(&inode).cloned(),
    };
    Some(sockets.into_iter().map(listener).collect())
}

/// Reads a line of the kernel's table; only of a listening socket.
fn listening(line: &str) -> Option<(SocketAddr, u64)> {
    let mut words = line.split_whitespace();
    let (address, state) = (words.nth(1)?, words.nth(1)?);
    if state != LISTENING {
        return None;
    }
    let inode = words.nth(5)?.parse().ok()?;
    let (ip, port) = address.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of 32 bits in the order of this machine, as the kernel keeps them.
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok();
    let ip: IpAddr = if ip.len() == 8 {
        Ipv4Addr::from(word(0)?.to_ne_bytes()).into()
    } else {
        let mut bytes = [0; 16];
        for at in 0..4 {
            bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?.to_ne_bytes());
        }
        Ipv6Addr::from(bytes).into()
    };
    Some((SocketAddr::new(ip, port), inode))
}

/// Finds a process for each socket among those that this user may look at.
fn holders_of(proc: &Path, sockets: &[(SocketAddr, u64)]) -> HashMap<u64, (u32, String)> {
    let mut holders = HashMap::new();
    let processes = std::fs::read_dir(proc).into_iter().flatten().flatten();
    for process in processes {
        let pid = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(pid) = pid else { continue };
        let files = std::fs::read_dir(process.path().join("fd"));
        for file in files.into_iter().flatten().flatten() {
            let Ok(target) = std::fs::read_link(file.path()) else {
                continue;
            };
            let inode = target.to_str().and_then(|target| {
                target
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .parse()
                    .ok()
            });
            let Some(inode) = inode.filter(|inode| sockets.iter().any(|(_, known)| known == inode))
            else {
                continue;
            };
            let program = program(&process.path());
            // A child that was about to become another program has given up what it inherited by now.
            if std::fs::read_link(file.path()).is_ok_and(|now| now == target) {
                holders.entry(inode).or_insert((pid, program));
            }
        }
        if holders.len() == sockets.len() {
            break;
        }
    }
    holders
}

fn program(process: &Path) -> String {
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    name.trim().to_owned()
}

/// Finds that nobody listens, or somebody else.
///
/// # Errors
///
/// When nobody can tell.
pub fn judge(seen: &PortSeen) -> Result<Vec<Finding>, String> {
    let PortSeen { port, .. } = seen;
    let Some(listeners) = &seen.listeners else {
        return Err("the kernel does not tell who listens".to_owned());
    };
    if !seen.wanted {
        return Ok(Vec::new());
    }
    let is_ours = |program: &str| ["nginx", &seen.nginx, OURSELVES, "systemd"].contains(&program);
    let foreign = listeners.iter().filter_map(|listener| {
        let (pid, program) = listener.holder.as_ref()?;
        (!is_ours(program)).then(|| format!("{}: {program}, process {pid}", listener.address))
    });
    let foreign: Vec<String> = foreign.collect();
    let nginx_runs = seen.nginx_runs != Some(false);
    if !nginx_runs && foreign.is_empty() {
        // A listener of nginx's is its test: it opens what is free, for a moment.
        return Err("no nginx runs that would listen".to_owned());
    }
    if listeners.is_empty() {
        return Ok(vec![
            // The probe tells whether somebody answers all the same, out of another network namespace.
            Finding::new(
                FindingName::Port80Refused,
                format!("Nothing listens on port {port}, though vhosts of nginx want it."),
            )
            .severity(Severity::Error)
            .detail(format!(
                "no listening socket on port {port} in /proc/net/tcp and tcp6"
            ))
            .fix("Let nginx take up its configuration: nginx -t && systemctl reload nginx"),
        ]);
    }
    // Beside a running nginx another program may have an address of its own; and a holder may be hidden from us.
    if nginx_runs && foreign.len() < listeners.len() {
        return Ok(Vec::new());
    }
    Ok(vec![
        Finding::new(
            FindingName::Port80Taken,
            format!("Another program than nginx listens on port {port}."),
        )
        .detail(foreign.join("\n"))
        .fix(format!(
            "Stop that program or move it to another port, then start nginx; ss -ltnp 'sport = :{port}' shows it."
        )),
    ])
}

/// The state of a listening socket in the kernel's tables (`TCP_LISTEN`).
const LISTENING: &str = "0A";

/// A listener of ours answers challenges where nginx does not listen.
const OURSELVES: &str = "clpctl";

#[cfg(test)]
mod tests {
    use super::{Listener, PortSeen, judge, listeners, listening};
    use crate::testing::told;
    use expect_test::{Expect, expect};
    use std::path::Path;

    fn check(nginx_runs: bool, holders: &[&str], expect: Expect) {
        let listener = |program: &&str| Listener {
            address: "0.0.0.0:80".parse().unwrap(),
            holder: (!program.is_empty()).then(|| (4711, (*program).to_owned())),
        };
        let seen = PortSeen {
            port: 80,
            wanted: true,
            nginx_runs: Some(nginx_runs),
            nginx: "openresty".to_owned(),
            listeners: Some(holders.iter().map(listener).collect()),
        };
        let shown = match judge(&seen) {
            Ok(findings) => told(&findings),
            Err(why) => format!("skipped: {why}"),
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn another_program_is_named() {
        check(true, &["nginx"], expect![""]);
        check(true, &["openresty"], expect![""]);
        check(true, &["varnishd", "nginx"], expect![""]);
        check(true, &[""], expect![""]);
        check(
            false,
            &["apache2"],
            expect!["port-80-taken: 0.0.0.0:80: apache2, process 4711"],
        );
    }

    #[test]
    fn a_passing_test_of_nginx_hides_nobody() {
        check(
            false,
            &["nginx", "apache2", ""],
            expect!["port-80-taken: 0.0.0.0:80: apache2, process 4711"],
        );
        check(
            false,
            &["nginx"],
            expect!["skipped: no nginx runs that would listen"],
        );
    }

    #[test]
    fn nobody_is_told_once() {
        check(
            true,
            &[],
            expect!["port-80-refused: no listening socket on port 80 in /proc/net/tcp and tcp6"],
        );
        check(
            false,
            &[],
            expect!["skipped: no nginx runs that would listen"],
        );
    }

    #[test]
    fn the_kernels_lines_are_read() {
        let shown =
            |line: &str| listening(line).map(|(address, inode)| format!("{address} {inode}"));
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41372 1 0000 100 0 0 10 0";
        assert_eq!(shown(v4).unwrap(), "127.0.0.1:8080 41372");
        let v6 = "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41373 1 0000 100 0 0 10 0";
        assert_eq!(shown(v6).unwrap(), "[::1]:80 41373");
        assert_eq!(shown(&v4.replace(" 0A ", " 01 ")), None);
        assert_eq!(shown("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn our_own_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = listeners(Path::new("/proc"), address.port()).unwrap();
        let found = seen.iter().find(|seen| seen.address == address).unwrap();
        assert_eq!(found.holder.as_ref().unwrap().0, std::process::id());
    }
}
