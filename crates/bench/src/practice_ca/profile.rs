//! In what is the processor's time spent, told by the stacks of its samples?
//!
//! Each sample is counted once, for the first [`KINDS`] line of which a word stands in one of its frames. The program
//! is built without debugging information, but stacks can be unwound and functions have names.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::Command;

use crate::measure::Program;
use crate::table::{Table, number};

/// Runs the program under `perf` and prints the shares.
pub(super) fn run(program: &Program, folder: &Path) -> Result<(), Box<dyn Error>> {
    let data = folder.join("perf.data");
    let words = [
        "record",
        "--quiet",
        "--freq",
        FREQUENCY,
        "--call-graph",
        "dwarf,16384",
        "--output",
    ];
    let record = program.clone().under("perf", words, &data);
    record.run().map_err(|error| {
        format!("no profile; `perf` (package linux-perf) is needed for it: {error}")
    })?;
    let script = Command::new("perf")
        .args(["script", "--fields", "comm,ip,sym", "--input"])
        .arg(&data)
        .output()?;
    let text = String::from_utf8_lossy(&script.stdout);
    print(&count(&text));
    Ok(())
}

/// Counts samples by kind. A sample is a line with the thread's name, then a line per frame, then an empty line.
fn count(text: &str) -> BTreeMap<usize, Counted> {
    let mut counted: BTreeMap<usize, Counted> = BTreeMap::new();
    for sample in text.split("\n\n") {
        let (thread, stack) = sample
            .trim_start()
            .split_once('\n')
            .unwrap_or((sample.trim(), ""));
        // nginx testing its configuration is a child of clpctl, but not its work.
        if thread.is_empty() || thread.starts_with("nginx") {
            continue;
        }
        let of_stack = |kind: &(&str, &[&str])| kind.1.iter().any(|word| stack.contains(word));
        let kind = KINDS.iter().position(of_stack).unwrap_or(KINDS.len());
        let found = counted.entry(kind).or_default();
        found.samples += 1;
        *found.innermost.entry(innermost(stack)).or_default() += 1;
    }
    counted
}

#[derive(Debug, Default)]
struct Counted {
    samples: usize,
    /// By the function in which the processor was.
    innermost: BTreeMap<String, usize>,
}

/// The function's name in the first frame, without its address.
fn innermost(stack: &str) -> String {
    let line = stack.lines().next().unwrap_or_default().trim();
    let name = line.split_once(' ').map_or(line, |(_, name)| name);
    name.split("::h")
        .next()
        .unwrap_or(name)
        .chars()
        .take(60)
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "samples are few")]
fn print(counted: &BTreeMap<usize, Counted>) {
    let all: usize = counted.values().map(|kind| kind.samples).sum();
    let share = |samples: usize| number(samples as f64 * 100.0 / all.max(1) as f64);
    let mut table = Table::new([
        "in",
        "% of clpctl's CPU time",
        "mostly in these functions (%)",
    ]);
    let mut kinds: Vec<_> = counted.iter().collect();
    kinds.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.samples));
    for (index, kind) in kinds {
        let name = KINDS
            .get(*index)
            .map_or("everything else", |(name, _)| name);
        let mut functions: Vec<_> = kind.innermost.iter().collect();
        functions.sort_by_key(|(_, samples)| std::cmp::Reverse(**samples));
        let functions = functions.iter().take(FUNCTIONS_SHOWN);
        let functions: Vec<_> = functions
            .map(|(name, samples)| format!("`{name}` {}", share(**samples)))
            .collect();
        table.line([name, &share(kind.samples), &functions.join(", ")]);
    }
    println!("Where clpctl's time goes, in {all} samples:\n\n{table}");
}

/// What a stack tells, by words in the names of its functions. The first that fits counts.
const KINDS: [(&str, &[&str]); 13] = [
    (
        "making keys",
        &[
            "KeyPair::generate",
            "EC_KEY_generate",
            "evp_pkey_keygen",
            "EVP_PKEY_keygen",
        ],
    ),
    (
        "signatures",
        &[
            "EVP_DigestSign",
            "ECDSA_sign",
            "ECDSA_do_sign",
            "EcdsaKeyPair::sign",
            "KeyPair::sign",
        ],
    ),
    (
        "checking signatures",
        &[
            "EVP_DigestVerify",
            "ECDSA_verify",
            "verify_signature",
            "UnparsedPublicKey",
        ],
    ),
    ("TLS", &["rustls", "SSL_", "aes_gcm", "aead_aes"]),
    ("the database", &["sqlite3", "rusqlite"]),
    (
        "files, in the kernel",
        &[
            "ext4_",
            "vfs_",
            "do_filp_open",
            "do_fsync",
            "filename_create",
            "do_unlinkat",
            "do_renameat2",
        ],
    ),
    ("reading certificates", &["x509_parser", "x509::"]),
    (
        "reading the nginx configuration",
        &["nginx::config", "nginx::conf", "nginx::vhost"],
    ),
    ("deployment", &["deploy", "stage", "fsync", "renameat"]),
    ("HTTP", &["hyper", "h2::", "http::"]),
    ("DNS", &["hickory"]),
    ("the log", &["tracing"]),
    ("the runtime", &["tokio", "epoll", "futex"]),
];

/// Samples a second; an odd number, so as not to march in step with anything.
const FREQUENCY: &str = "1499";

/// Functions named for each kind.
const FUNCTIONS_SHOWN: usize = 3;

#[cfg(test)]
mod tests {
    use super::{KINDS, count};

    #[test]
    fn a_sample_is_counted_once_and_nginx_not_at_all() {
        let text = "\
tokio-runtime-w\n\tffff p256_mul\n\taaaa rcgen::KeyPair::generate\n\tbbbb tokio::run\n
nginx\n\tffff ngx_conf_parse\n
clpctl\n\tffff memcpy\n\n";
        let counted = count(text);
        let seen: Vec<_> = counted
            .iter()
            .map(|(kind, found)| (*kind, found.samples))
            .collect();
        assert_eq!(seen, [(0, 1), (KINDS.len(), 1)]);
        assert_eq!(
            counted[&0].innermost.keys().collect::<Vec<_>>(),
            ["p256_mul"]
        );
    }
}
