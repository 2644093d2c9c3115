//! Which files and folders are in the way?

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use testkit::certificate::{Authority, Days};
use testkit::lab::HOST;
use testkit::program::Program;
use testkit::{lineage, openssl};

use super::fault::Asked::{Issues, Never, Refuses};
use super::fault::{Asked, Fault, Make};
use super::world::World;
use crate::disk;

/// How a fault is made, and how it is mended.
type Both = (fn(&mut World, &str), fn(&mut World, &str));

const fn fault(
    name: &'static str,
    what: &'static str,
    make: Both,
    (verdict, finding): (&'static str, &'static str),
    fix: &'static str,
    asked: Asked,
) -> Fault {
    let make = Make::Done(make.0, make.1);
    Fault {
        name,
        what,
        make,
        verdict,
        finding,
        fix,
        asked,
    }
}

const fn fails(finding: &'static str) -> (&'static str, &'static str) {
    ("will-fail", finding)
}

const fn risks(finding: &'static str) -> (&'static str, &'static str) {
    ("at-risk", finding)
}

pub(crate) fn faults() -> Vec<Fault> {
    FAULTS.to_vec()
}

const FAULTS: &[Fault] = &[
    fault(
        "missing",
        "the document root is missing",
        (remove_root, make_root),
        fails("webroot-missing"),
        "make it",
        Never,
    ),
    fault(
        "mode",
        "the document root is closed to nginx",
        (|w, d| mode(w, d, "", 0o700), |w, d| mode(w, d, "", 0o755)),
        fails("challenge-forbidden"),
        "open it to nginx's user",
        Refuses,
    ),
    fault(
        "wellknown",
        "`.well-known` is closed to nginx",
        (close_well_known, open_well_known),
        fails("challenge-forbidden"),
        "open it to nginx's user",
        Refuses,
    ),
    fault(
        "acl",
        "an ACL keeps nginx out",
        (set_acl, clear_acl),
        fails("challenge-forbidden"),
        "`setfacl -x`",
        Refuses,
    ),
    fault(
        "file",
        "`.well-known` is a file",
        (put_file, remove_file),
        fails("webroot-symlink-owner"),
        "remove the file",
        Never,
    ),
    fault(
        "linked",
        "`.well-known` is a link that leads out of the site",
        (link, unlink),
        fails("webroot-symlink-owner"),
        "replace the link by a folder",
        Never,
    ),
    fault(
        "readable",
        "the key is readable by all",
        (open_key, close_key),
        risks("key-readable-by-others"),
        "`chmod 600`",
        Issues,
    ),
    fault(
        "chain",
        "the chain lacks its intermediate",
        (shorten, nothing),
        risks("chain-incomplete"),
        "renew it",
        Issues,
    ),
    fault(
        "expired",
        "the certificate has expired",
        (expire, nothing),
        risks("certificate-expired"),
        "renew it",
        Issues,
    ),
    fault(
        "stale",
        "nginx serves an older certificate than the one on disk",
        (newer, nothing),
        risks("certificate-not-served"),
        "reload nginx",
        Issues,
    ),
];

fn root(world: &World, domain: &str) -> std::path::PathBuf {
    world.host.nginx.document_root(domain)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(world: &mut World, domain: &str, below: &str, mode: u32) {
    set_mode(&root(world, domain).join(below), mode);
}

fn remove_root(world: &mut World, domain: &str) {
    fs::remove_dir_all(root(world, domain)).unwrap();
}

fn make_root(world: &mut World, domain: &str) {
    fs::create_dir_all(root(world, domain)).unwrap();
}

fn close_well_known(world: &mut World, domain: &str) {
    let folder = root(world, domain).join(".well-known");
    fs::create_dir_all(folder.join("acme-challenge")).unwrap();
    chown(&folder, Some(1), Some(1)).unwrap();
    set_mode(&folder, 0o700);
}

fn open_well_known(world: &mut World, domain: &str) {
    mode(world, domain, ".well-known", 0o755);
}

fn set_acl(world: &mut World, domain: &str) {
    let root = root(world, domain);
    let words = ["-m", "u:www-data:---"];
    let _ = Program::new("setfacl")
        .args(words)
        .arg(root)
        .run()
        .expect_ok();
}

fn clear_acl(world: &mut World, domain: &str) {
    let root = root(world, domain);
    let words = ["-x", "u:www-data"];
    let _ = Program::new("setfacl")
        .args(words)
        .arg(root)
        .run()
        .expect_ok();
}

fn put_file(world: &mut World, domain: &str) {
    disk::put(&root(world, domain).join(".well-known"), "");
}

fn remove_file(world: &mut World, domain: &str) {
    fs::remove_file(root(world, domain).join(".well-known")).unwrap();
}

fn link(world: &mut World, domain: &str) {
    symlink("/tmp", root(world, domain).join(".well-known")).unwrap();
}

fn unlink(world: &mut World, domain: &str) {
    remove_file(world, domain);
}

fn open_key(world: &mut World, domain: &str) {
    let archive = world.host.archive(domain);
    for folder in [
        &world.host.letsencrypt(),
        &world.host.letsencrypt().join("archive"),
        &archive,
    ] {
        set_mode(folder, 0o755);
    }
    set_mode(&archive.join("privkey1.pem"), 0o644);
}

fn close_key(world: &mut World, domain: &str) {
    let archive = world.host.archive(domain);
    for entry in fs::read_dir(archive).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("privkey") {
            set_mode(&path, 0o600);
        }
    }
}

fn shorten(world: &mut World, domain: &str) {
    let archive = world.host.archive(domain);
    fs::copy(archive.join("cert1.pem"), archive.join("fullchain1.pem")).unwrap();
}

fn newer(world: &mut World, domain: &str) {
    let other = Authority::new("Older").issue(&[domain], Days::left(12));
    lineage::write(&world.host.letsencrypt(), domain, 2, &other);
}

fn expire(world: &mut World, domain: &str) {
    let ended = Authority::new("Older").issue(&[domain], Days::left(-1));
    lineage::write(&world.host.letsencrypt(), domain, 2, &ended);
    world.host.nginx.reload();
    let leaf = openssl::sha256(&world.host.live(domain).join("cert.pem"));
    let address = SocketAddr::new(HOST.parse().unwrap(), 443);
    assert_eq!(openssl::served(address, domain).as_ref(), Some(&leaf));
}

/// A renewal mends it, with or without a fault.
fn nothing(_: &mut World, _: &str) {}
