//! Which program listens on a port?
//!
//! The kernel's table of sockets gives the socket's inode, and the process that holds it open is found by that. As
//! good as we can: without root, or from inside a container, others are not seen.

use std::fs;
use std::path::Path;

/// Returns the program that listens on `port`, as `nginx (process 812)`.
pub(super) fn of(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inode = tables.iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| listening(line, port))
    })?;
    process_with(&format!("socket:[{inode}]"))
}

/// Returns the inode of a listening socket on `port` (proc(5), `/proc/net/tcp`).
fn listening(line: &str, port: u16) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let (_, local_port) = local.rsplit_once(':')?;
    let matches = u16::from_str_radix(local_port, 16).ok()? == port && state == LISTEN;
    matches.then(|| fields.nth(5)?.parse().ok()).flatten()
}

fn process_with(socket: &str) -> Option<String> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let number = process.file_name().into_string().ok()?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let files = fs::read_dir(process.path().join("fd")).ok()?;
        let holds = files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(socket)));
        let name = holds.then(|| fs::read_to_string(process.path().join("comm")))?;
        Some(format!("{} (process {number})", name.ok()?.trim()))
    })
}

/// TCP_LISTEN, in hexadecimal.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20811 1 000 100 0 0 10 0";
        assert_eq!(listening(line, 80), Some(20811));
        assert_eq!(listening(line, 81), None);
        assert_eq!(listening(&line.replace(" 0A ", " 01 "), 80), None);
        assert_eq!(listening("garbage", 80), None);
        assert_eq!(listening("", 80), None);
    }

    #[test]
    fn the_program_that_listens_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = of(port).unwrap();
        let ours = format!("(process {})", std::process::id());
        assert!(holder.ends_with(&ours), "{holder}");
    }
}
