//! What was asked for on the command line?

use std::fmt;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures clpctl beside its peers. Started by `bench/run`, which prepares everything.
#[derive(Debug, Parser)]
#[command(name = "bench/run", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// The benchmarks; all of them when none is named.
    names: Vec<Benchmark>,
    /// Fewer sites and rounds, to see that it works.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only clpctl and the ideal client: for those who make it faster.
    #[arg(long)]
    pub(crate) without_peers: bool,
    /// The folder of the peers.
    #[arg(long, default_value = "bench/.peers")]
    pub(crate) peers: PathBuf,
    /// The program that is measured.
    #[arg(long, default_value = "target/release/clpctl")]
    pub(crate) clpctl: PathBuf,
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
}

/// What the program does for itself, in a process of its own, so that its cost can be told.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Runs a command and writes what it cost into a file.
    #[command(hide = true)]
    Measure {
        /// The file.
        report: PathBuf,
        /// The command.
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Is the ideal client.
    #[command(hide = true)]
    Ideal(crate::ideal::Options),
}

/// One benchmark.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Benchmark {
    Issue,
    NothingDue,
    Panel,
    Plan,
    PracticeCa,
    ServiceIdle,
}

impl Arguments {
    /// Returns the benchmarks that were named, or all.
    pub(crate) fn benchmarks(&self) -> &[Benchmark] {
        if self.names.is_empty() {
            Benchmark::value_variants()
        } else {
            &self.names
        }
    }

    /// Returns the first number, or with `--quick` the second.
    pub(crate) fn choose(&self, usual: usize, quick: usize) -> usize {
        if self.quick { quick } else { usual }
    }

    /// Returns a program that `bench/run` unpacked.
    pub(crate) fn unpacked(&self, program: &str) -> PathBuf {
        self.peers.join("unstable/usr/bin").join(program)
    }

    /// Returns the newest certbot.
    pub(crate) fn certbot(&self) -> PathBuf {
        self.peers.join("certbot/bin/certbot")
    }
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
