//! How is clpctl started on a host of its own, to be measured?

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use testkit::host::Host;
use testkit::nginx::{Nginx, Site};
use testkit::pebble::Pebble;

use crate::arguments::Arguments;
use crate::measure::Program;

/// Lets the disk come to rest after the set-up, so that none of its work is done in the time of who is measured.
pub(crate) fn settle() {
    rustix::fs::sync();
    thread::sleep(REST);
}

/// Returns sites of plain files, each with a self-signed certificate of its own.
pub(crate) fn sites(count: usize) -> Vec<Site> {
    (0..count)
        .map(|index| Site::files(&domain(index)))
        .collect()
}

/// Returns the domain of one of the sites.
pub(crate) fn domain(index: usize) -> String {
    format!("site-{index:05}.test")
}

/// Starts the newest pebble with all the processors there are, knocking at the port.
pub(crate) fn pebble(arguments: &Arguments, http_port: u16, tls_port: u16) -> io::Result<Pebble> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let program = arguments.unpacked("pebble").canonicalize()?;
    let settings = Pebble::settings(http_port, tls_port).program(program);
    Ok(settings.processors(processors).start())
}

/// Makes the pebble the CA of the host, in clpctl's configuration.
pub(crate) fn use_pebble(host: &mut Host, pebble: &Pebble) {
    host.set_ca(&pebble.directory(), &pebble.ca_bundle());
    use_dns(host, pebble.dns().address());
}

/// Makes clpctl ask this DNS server.
pub(crate) fn use_dns(host: &mut Host, server: SocketAddr) {
    host.set("dns", "servers", &format!("[\"{server}\"]"));
}

/// Lists the sites in clpctl's configuration, so that they get even their first certificate unasked.
pub(crate) fn list(host: &mut Host, sites: usize) {
    let listed = (0..sites).map(|index| format!("[[site]]\ndomain = \"{}\"\n", domain(index)));
    host.append(&listed.collect::<String>());
}

/// Returns `clpctl --config …`, to which a command is added.
pub(crate) fn clpctl(arguments: &Arguments, host: &Host) -> io::Result<Program> {
    let program = program(arguments)?;
    let program = Program::new(program, host.folder())
        .arg("--config")
        .arg(host.config());
    Ok(program)
}

/// Returns the program's path, which must hold in any folder.
pub(crate) fn program(arguments: &Arguments) -> io::Result<PathBuf> {
    absolute(&arguments.clpctl)
}

/// Returns the path of a program, or says that it is not there.
pub(crate) fn absolute(program: &Path) -> io::Result<PathBuf> {
    program.canonicalize().map_err(|error| {
        let what = program.display();
        io::Error::other(format!(
            "{what} is not there ({error}); run: bench/run --setup"
        ))
    })
}

/// Counts the sites for which nginx serves a certificate of this root, at its first address.
pub(crate) fn served(nginx: &Nginx, root: &Path, sites: usize) -> io::Result<usize> {
    let domains: Vec<_> = (0..sites).map(domain).collect();
    let address = nginx.https_addresses()[0];
    crate::served::count(root, address, domains.iter().map(String::as_str))
}

/// What the kernel writes by itself it has begun by then.
const REST: Duration = Duration::from_secs(6);
