//! How does a test get a network of its own?
//!
//! Two network namespaces joined by a cable (veth): *inside* is the host with its public addresses, *outside* the rest
//! of the world. The calling thread lives inside, and so does every program it starts; [`Net::outside`] takes it out for
//! a moment. Both end with the two processes that hold them.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::program::{self, Output, Program};

/// A network of its own; gone when dropped.
#[derive(Debug)]
pub struct Net {
    inside: Space,
    outside: Space,
    /// The namespace that the thread came from.
    home: File,
}

/// One namespace, and the process that holds it.
#[derive(Debug)]
struct Space {
    holder: Child,
    link: File,
}

impl Net {
    /// Makes the network and moves the calling thread inside.
    ///
    /// # Panics
    ///
    /// When this user may not make namespaces, or `ip` is missing.
    #[must_use]
    #[track_caller]
    pub fn start(folder: &Path) -> Self {
        let home = open(Path::new("/proc/thread-self/ns/net"));
        let mut holders = [0, 1].map(|_| {
            Program::new("unshare")
                .args(["--net", "sleep", "infinity"])
                .spawn(&folder.join("net.log"))
        });
        let ready = program::wait_until(START, || {
            let away = |child: &Child| link(child.id()).is_some_and(|link| link != own_link());
            holders.iter().all(away)
        });
        if !ready {
            holders.iter_mut().for_each(program::kill);
            panic!("no network namespace can be made; run the tests as root");
        }
        let [inside, outside] = holders.map(|holder| Space {
            link: open(Path::new(&format!("/proc/{}/ns/net", holder.id()))),
            holder,
        });
        let net = Self {
            inside,
            outside,
            home,
        };
        net.enter(&net.inside);
        let cable = format!(
            "link add wan type veth peer name lan netns {}\n{INSIDE}",
            net.outside.holder.id()
        );
        batch(&cable);
        net.outside(|| batch(OUTSIDE));
        batch(ROUTES);
        net
    }

    /// Does something as the rest of the world; programs started meanwhile stay there.
    ///
    /// # Panics
    ///
    /// When the namespace is gone.
    pub fn outside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.enter(&self.outside);
        let done = work();
        self.enter(&self.inside);
        done
    }

    fn enter(&self, space: &Space) {
        move_into(&space.link);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // A thread that panicked still goes home; what else it left here ends with the holders.
        let _ = move_into_link_name_space(self.home.as_fd(), NETWORK);
        program::kill(&mut self.inside.holder);
        program::kill(&mut self.outside.holder);
    }
}

/// Has `ip` carry out these lines.
///
/// # Panics
///
/// When it refuses one.
#[track_caller]
pub fn batch(lines: &str) {
    run("ip", &["-batch", "-"], lines);
}

/// Has `nft` take in these rules, in the namespace of the calling thread.
///
/// # Panics
///
/// When it refuses them.
#[track_caller]
pub fn nft(rules: &str) {
    run("nft", &["-f", "-"], rules);
}

#[track_caller]
fn run(name: &str, args: &[&str], input: &str) {
    let output: Output = Program::new(name).args(args).input(input).run();
    assert!(output.ok(), "{name}: {}\n{input}", output.stderr);
}

#[track_caller]
fn move_into(link: &File) {
    move_into_link_name_space(link.as_fd(), NETWORK)
        .expect("the namespace is held by a child of ours");
}

#[track_caller]
fn open(path: &Path) -> File {
    File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn link(process: u32) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

fn own_link() -> std::path::PathBuf {
    std::fs::read_link("/proc/thread-self/ns/net").expect("every thread has one")
}

const NETWORK: Option<LinkNameSpaceType> = Some(LinkNameSpaceType::Network);

/// The host: several addresses, so that a fault can have one of its own.
const INSIDE: &str = "\
link set lo up
link set wan up
addr add 93.184.215.7/24 dev wan
addr add 93.184.215.8/24 dev wan
addr add 93.184.215.9/24 dev wan
addr add 93.184.215.20/24 dev wan
addr add 93.184.215.21/24 dev wan
addr add 2a01:4f8:aa::7/64 dev wan nodad
";

/// The world: DNS servers, a resolver, a CA, another host, a content delivery network.
const OUTSIDE: &str = "\
link set lo up
link set lan up
addr add 93.184.215.1/24 dev lan
addr add 2a01:4f8:aa::1/64 dev lan nodad
addr add 93.184.216.10/32 dev lo
addr add 93.184.216.11/32 dev lo
addr add 93.184.216.12/32 dev lo
addr add 93.184.216.53/32 dev lo
addr add 93.184.216.80/32 dev lo
addr add 93.184.216.99/32 dev lo
addr add 104.16.0.1/32 dev lo
addr add 2a01:4f8:bb::99/128 dev lo nodad
route add blackhole 93.184.217.0/24
";

const ROUTES: &str = "\
route add default via 93.184.215.1 dev wan
route add default via 2a01:4f8:aa::1 dev wan
";

/// How long the namespaces may take; generous, for busy machines.
const START: Duration = Duration::from_secs(30);
