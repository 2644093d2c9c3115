//! Who gets to see a private key? Root, in its file, and nobody else anywhere, at no moment.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::program::{Program, wait, wait_until};

use crate::answer::{SOON, clpctl};
use crate::bad_input::readable_program;
use crate::hosts::host_with;
use crate::practice::Practice;

/// A run that makes an account and a certificate, says as much as it can, and is watched from outside. Nothing is
/// taken away by the umask.
struct Watched {
    host: Host,
    said: String,
    /// Each system call that makes, changes or starts something.
    calls: Vec<String>,
}

impl Watched {
    fn run() -> Self {
        let mut host = Host::start([Site::files("a.test")]);
        let practice = Practice::start(&mut host, |_| {});
        let trace = host.folder().join("trace");
        let watch = format!(
            "umask 0; exec strace -f -y -s 4096 -e trace=%file,fchmod,fchmodat,fchown,execve -o {} \"$@\"",
            trace.display()
        );
        let output = clpctl(&host)
            .inside(&["sh", "-c", &watch, "sh"])
            .limit(Duration::from_secs(120))
            .run(&[
                "site:renew-certificates",
                "--domain=a.test",
                "-vv",
                "--json",
            ]);
        assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
        assert_eq!(practice.ca.issued(), 1);
        let calls = fs::read_to_string(&trace).unwrap();
        fs::remove_file(&trace).unwrap();
        Self {
            said: output.stdout + &output.stderr,
            calls: calls.lines().map(str::to_owned).collect(),
            host,
        }
    }

    /// The files that hold keys: of the account, and of the site's new certificate.
    fn keys(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        files(&self.host.letsencrypt(), &mut all);
        let keys = all.into_iter().filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name == "account.json" || name == "privkey1.pem"
        });
        keys.collect()
    }
}

#[test]
fn the_files_of_keys_are_closed_from_their_first_moment() {
    let watched = Watched::run();
    let keys = watched.keys();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for key in &keys {
        let facts = key.metadata().unwrap();
        assert_eq!((facts.mode() & 0o7777, facts.uid()), (0o600, 0), "{key:?}");
        // As certbot has it: what is below `archive` is closed by `archive` itself.
        let mut above = key.ancestors().skip(1);
        let closed = above.find(|above| above.metadata().unwrap().mode() & 0o7777 == 0o700);
        let closed = closed.unwrap_or(Path::new("/"));
        assert!(closed.starts_with(watched.host.letsencrypt()), "{key:?}");
    }
    let secret = |call: &&String| SECRET_NAMES.iter().any(|name| call.contains(name));
    let made: Vec<_> = watched
        .calls
        .iter()
        .filter(secret)
        .filter(|call| call.contains("O_CREAT"))
        .collect();
    assert!(made.len() >= 2, "{made:#?}");
    for call in made {
        assert!(
            call.contains("O_EXCL") && call.contains(", 0600) = "),
            "{call}"
        );
    }
    for call in watched.calls.iter().filter(secret) {
        let opened = call.contains("chmod(") && !call.contains(", 0600) = ");
        assert!(!opened, "{call}");
    }
    for folder in ["/archive\"", "/accounts\"", "/state/keys\""] {
        let made = watched.calls.iter().filter(|call| {
            call.contains("mkdir") && call.contains(folder) && call.contains(" = 0")
        });
        for call in made {
            assert!(call.contains(", 0700) = 0"), "{call}");
        }
    }
}

#[test]
fn no_key_is_told_logged_passed_on_or_kept_anywhere_else() {
    let watched = Watched::run();
    let keys = watched.keys();
    let mut needles = BTreeSet::new();
    for key in &keys {
        needles.extend(lines_of(&fs::read_to_string(key).unwrap()));
    }
    assert_eq!(needles.len(), 4, "two lines of each of two keys");
    let calls = watched.calls.join("\n");
    let mut places = vec![
        ("what it said".to_owned(), watched.said.clone().into_bytes()),
        ("what was started".to_owned(), calls.into_bytes()),
    ];
    let mut all = Vec::new();
    files(watched.host.folder(), &mut all);
    files(watched.host.nginx.folder(), &mut all);
    for path in all.iter().filter(|path| !keys.contains(path)) {
        let bytes = fs::read(path).unwrap_or_default();
        places.push((path.display().to_string(), bytes));
    }
    assert!(places.len() > 10, "logs, the database and vhosts were read");
    for (place, bytes) in &places {
        let found = needles
            .iter()
            .any(|needle| contains(bytes, needle.as_bytes()));
        assert!(!found, "a key stands in {place}");
    }
    let log = watched.host.log() + &watched.host.acme_log();
    assert!(log.contains("new-order"), "it was verbose: {log}");
}

#[test]
fn a_service_at_rest_holds_no_key_of_a_site() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let mut service = clpctl(&host).spawn(&["service:run"]);
    let key = host.archive("a.test").join("privkey2.pem");
    let renewed = wait_until(SOON, || key.exists() && host.nginx.reloads() > 0);
    assert!(renewed, "{}", service.stderr());
    let renewed = wait_until(SOON, || host.log().contains("renewed"));
    assert!(renewed, "{}", host.log());
    let text = fs::read_to_string(&key).unwrap();
    let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
    // RFC 5958 around RFC 5915: of a P-256 key the secret number stands there.
    let number = &der.secret_der()[36..68];
    let mut needles: Vec<Vec<u8>> = lines_of(&text).into_iter().map(Vec::from).collect();
    needles.push(number.to_vec());
    // It comes to rest within moments; what stays, stays.
    let mut found = BTreeSet::new();
    let forgotten = wait_until(Duration::from_secs(20), || {
        found = search(service.pid(), &needles);
        found.is_empty()
    });
    assert!(forgotten, "still in memory: {found:?}");
    let domain = search(service.pid(), &[b"a.test".to_vec()]);
    assert!(!domain.is_empty(), "memory can be searched");
    service.signal(Signal::TERM);
    service.wait(SOON).expect("it ends");
    assert_eq!(practice.ca.issued(), 1);
}

#[test]
fn others_get_neither_at_its_memory_nor_a_dump_of_it() {
    let host = Host::prepare();
    let log = host.folder().join("followed.log");
    fs::write(&log, "").unwrap();
    let home = host.folder().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
    let start = |program: &Path, words: &[&str]| {
        Program::new("setpriv")
            .args(["--reuid=4711", "--regid=4711", "--clear-groups", "sh", "-c"])
            .arg("ulimit -c unlimited; exec \"$@\"")
            .arg("sh")
            .arg(program)
            .args(words)
            .folder(&home)
            .spawn(&log)
    };
    let config = format!("--config={}", host.config().display());
    let mut ours = start(&readable_program(), &[&config, "site:logs", "--follow"]);
    let mut other = start(Path::new("sleep"), &["600"]);
    let owner = |pid: u32| fs::metadata(format!("/proc/{pid}/environ")).map(|facts| facts.uid());
    let exe = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let runs = wait_until(SOON, || {
        exe(ours.id()).ends_with("clpctl") && owner(ours.id()).is_ok_and(|owner| owner == 0)
    });
    let ended = ours.try_wait().unwrap();
    let compared = wait_until(SOON, || exe(other.id()).ends_with("sleep"));
    let others = owner(other.id());
    for child in [&mut ours, &mut other] {
        let pid = rustix::process::Pid::from_child(child);
        let _ = rustix::process::kill_process(pid, Signal::ABORT);
        wait(child, SOON).expect("nothing survives that signal");
    }
    assert!(runs && ended.is_none(), "{:?}", fs::read_to_string(&log));
    assert!(
        compared && others.unwrap() == 4711,
        "others are their user's"
    );
    let dumps: Vec<_> = fs::read_dir(&home).unwrap().flatten().collect();
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    // Where dumps lie beside the program, the other one left its own, and shows that ours would have been seen.
    if pattern.trim() == "core" {
        assert!(dumps.len() <= 1, "{dumps:?}");
    }
}

/// The lines of a P-256 key in PEM that hold its secret number, as they stand in a file or in JSON. The third is the
/// public key, and that is in every request for a certificate.
fn lines_of(text: &str) -> Vec<String> {
    let lines = text.split(['\n', '"']).flat_map(|part| part.split("\\n"));
    let long = lines.filter(|line| line.len() >= 40 && !line.contains(['-', ' ', ':']));
    long.map(str::to_owned).take(2).collect()
}

/// Looks for each needle in what a process may write to; returns the numbers of those found, and where.
fn search(pid: u32, needles: &[Vec<u8>]) -> BTreeSet<(usize, String)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = BTreeSet::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().unwrap();
        let (begin, end) = range.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (begin, end) = (number(begin), number(end));
        let mut bytes = Vec::new();
        memory.seek(SeekFrom::Start(begin)).unwrap();
        // What went away meanwhile holds nothing.
        let _ = (&memory).take(end - begin).read_to_end(&mut bytes);
        let there = (0..needles.len()).filter(|at| contains(&bytes, &needles[*at]));
        found.extend(there.map(|at| (at, line.to_owned())));
    }
    found
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else {
        return true;
    };
    let mut from = bytes;
    while let Some(at) = from.iter().position(|byte| byte == first) {
        from = &from[at + 1..];
        if from.starts_with(rest) {
            return true;
        }
    }
    false
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&path, all),
            Ok(kind) if kind.is_file() => all.push(path),
            Ok(_) | Err(_) => {}
        }
    }
}

/// What the paths of files that hold keys have in them, from their first moment on.
const SECRET_NAMES: [&str; 3] = ["privkey", "account.json", ".key"];
