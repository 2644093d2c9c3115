//! Measures what it costs to look at ten thousand vhosts: `cargo run --release -p nginx --example look_many [PASSES]`.

#![expect(clippy::print_stdout, reason = "a measurement for people")]
#![expect(clippy::disallowed_methods, reason = "writes scratch files")]

use std::error::Error;
use std::fs;
use std::time::Instant;

use nginx::conf::read::Disk;
use nginx::conf::tree::Tree;
use nginx::look::{Settings, look};

const VHOST: &str = include_str!("../testdata/working_cloudpanel_v2.conf");
const SITES: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("nginx.conf");
    fs::write(
        &config,
        "events { }\nhttp { include sites-enabled/*.conf; }\n",
    )?;
    fs::create_dir(folder.path().join("sites-enabled"))?;
    fs::write(
        folder.path().join("fastcgi_params"),
        "fastcgi_param A $b;\n",
    )?;
    fs::write(folder.path().join("global_settings"), "gzip on;\n")?;
    let own = format!("{}/", folder.path().display());
    let mut bytes = 0;
    for site in 0..SITES {
        let vhost = VHOST
            .replace("DOMAIN", &format!("site{site}.test"))
            .replace("/etc/nginx/", &own);
        bytes += vhost.len();
        fs::write(
            folder
                .path()
                .join(format!("sites-enabled/site{site}.test.conf")),
            vhost,
        )?;
    }
    let settings = Settings {
        config,
        prefix: folder.path().to_owned(),
        ..Settings::default()
    };
    let before = peak_memory()?;
    let passes = std::env::args()
        .nth(1)
        .map_or(Ok(3), |passes| passes.parse())?;
    for pass in 1..=passes {
        let (cpu, wall) = (cpu_ms()?, Instant::now());
        let seen = look(&Disk, &settings, &|_| None);
        println!(
            "pass {pass}: {} sites, {} findings, {:.1} MB read, {} ms of CPU, {} ms",
            seen.sites.len(),
            seen.findings.len(),
            bytes as f64 / 1e6,
            cpu_ms()? - cpu,
            wall.elapsed().as_millis(),
        );
    }
    println!(
        "peak memory: {before} MB before, {} MB after",
        peak_memory()?
    );

    let text = VHOST.repeat(5000).into_bytes();
    let (length, wall) = (text.len(), Instant::now());
    let tree = Tree::parse(text)?;
    let seconds = wall.elapsed().as_secs_f64();
    println!(
        "parsing alone: {:.0} MB/s, {} tokens",
        length as f64 / 1e6 / seconds,
        tree.tokens().len()
    );
    Ok(())
}

/// Returns the processor time used so far, user and system, in milliseconds.
fn cpu_ms() -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: u64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1_000_000)
}

/// Returns the peak of resident memory so far, in megabytes.
fn peak_memory() -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmHWM")?;
    Ok(kilobytes.parse::<u64>()? / 1000)
}
