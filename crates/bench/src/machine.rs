//! On what machine, and with which versions, was it measured?

use std::fs;
use std::process::Command;

use crate::arguments::Arguments;

/// Prints what the figures depend on.
pub(crate) fn print(arguments: &Arguments) {
    println!("# Benchmarks\n");
    println!("| | |\n| --- | --- |");
    let line = |what: &str, value: &str| println!("| {what} | {} |", value.trim());
    line("command", &command());
    line(
        "when",
        &jiff::Timestamp::now()
            .strftime("%Y-%m-%d %H:%M UTC")
            .to_string(),
    );
    line("machine", &machine());
    line("load before (1, 5, 15 min)", &load());
    line("kernel", &first_line("uname", &["-sr"]));
    line("distribution", &distribution());
    line(
        "source",
        &first_line("git", &["log", "-1", "--format=%h of %cs"]),
    );
    let said = |program: &std::path::Path| first_line(&program.to_string_lossy(), &["--version"]);
    line("clpctl", &said(&arguments.clpctl));
    line("nginx", &first_line(testkit::nginx::BINARY, &["-v"]));
    line("certbot", &said(&arguments.certbot()));
    let unpacked =
        fs::read_to_string(arguments.peers.join("unstable/versions")).unwrap_or_default();
    line(
        "lego, pebble",
        &unpacked.replace("_amd64.deb", "").replace('\n', " "),
    );
}

fn command() -> String {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let named = words.iter().filter(|word| !word.contains('/'));
    let named = named.filter(|word| !matches!(word.as_str(), "--peers" | "--clpctl"));
    named.fold("bench/run".to_owned(), |line, word| {
        format!("{line} {word}")
    })
}

fn machine() -> String {
    let of = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned());
        value.unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: f64 = of("/proc/meminfo", "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(0.0);
    let processor = of("/proc/cpuinfo", "model name");
    format!(
        "{processor}, {cores} cores, {:.0} GB",
        memory * 1024.0 / 1e9
    )
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn distribution() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().replace('"', "")
}

/// The first line that a program says; nginx says its version on standard error.
fn first_line(program: &str, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).output() else {
        return format!("{program} is not there");
    };
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
