//! Does `site:doctor --fix` mend what it says it mends, and put back what nginx refuses?
//!
//! Every fault is made for real; after the fix the doctor looks again, and a renewal shows that it was right.

use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use serde_json::Value;
use testkit::certificate::{Authority, Days};
use testkit::host::Host;
use testkit::lineage;
use testkit::nginx::Site;
use testkit::openssl;

use crate::answer::{Answer, ask, clpctl};
use crate::disk::{self, NOTHING, contents_that_differ, differences};
use crate::hosts::host_with;
use crate::practice::Practice;

/// Makes a fault on a host of one site, sees that the doctor mends it, and that the site is ready and renewed then.
/// Returns the fixes.
#[track_caller]
fn mended(host: &mut Host, fault: impl FnOnce(&mut Host, &Practice), finding: &str) -> Vec<Value> {
    let practice = Practice::start(host, |_| {});
    fault(host, &practice);
    let seen = ask(host, &["site:doctor"]);
    assert!(
        names(&seen).contains(&finding.to_owned()),
        "{:#}",
        seen.json
    );
    let before = disk::guarded(host);
    let shown = ask(host, &["site:doctor", "--fix", "--dry-run"]);
    assert_eq!(
        differences(&before, &disk::guarded(host)),
        NOTHING,
        "a dry run changes nothing"
    );
    let fixes = shown.json["fixes"].as_array().unwrap().clone();
    assert!(
        fixes.iter().any(|fix| fix["outcome"] == "would-fix"),
        "{:#}",
        shown.json
    );
    let fixed = ask(host, &["site:doctor", "--fix"]).expect_code(0);
    let fixes = fixed.json["fixes"].as_array().unwrap().clone();
    assert!(
        fixes.iter().all(|fix| fix["outcome"] == "done"),
        "{:#}",
        fixed.json
    );
    assert!(
        fixes.iter().any(|fix| fix["finding"] == finding),
        "{:#}",
        fixed.json
    );
    assert_eq!(fixed.json["verdict"], "ready", "{:#}", fixed.json);
    assert_eq!(names(&fixed), NONE);
    let again = ask(host, &["site:doctor", "--fix"]).expect_code(0);
    assert_eq!(again.json["fixes"].as_array().unwrap().len(), 0);
    assert_eq!(practice.orders(), 0);
    let renewed = ask(host, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(renewed.outcome("a.test"), "renewed", "{:#}", renewed.json);
    fixes
}

fn one_site() -> Host {
    host_with([(Site::files("a.test"), 10)])
}

#[test]
fn challenge_folders_that_nginx_may_not_enter() {
    let mut host = one_site();
    host.set("nginx", "edit", "false");
    let inner = host
        .nginx
        .document_root("a.test")
        .join(".well-known/acme-challenge");
    chown(host.nginx.document_root("a.test"), Some(33), Some(33)).unwrap();
    let close = |_: &mut Host, _: &Practice| {
        fs::create_dir_all(&inner).unwrap();
        mode(inner.parent().unwrap(), 0o700);
        mode(&inner, 0o700);
    };
    let fixes = mended(&mut host, close, "challenge-forbidden");
    let changes = fixes[0]["changes"].as_array().unwrap();
    assert_eq!(changes[0]["before"], "mode 0700, user 0, group 0");
    assert_eq!(changes[0]["after"], "mode 0755, user 33, group 33");
    for folder in [&inner, inner.parent().unwrap()] {
        let meta = folder.metadata().unwrap();
        assert_eq!(
            (meta.uid(), meta.gid(), meta.mode() & 0o7777),
            (33, 33, 0o755)
        );
    }
}

#[test]
fn a_link_whose_vhost_lies_among_the_available_ones() {
    let mut host = one_site();
    let link = host.nginx.vhost("a.test");
    let available = host.nginx.folder().join("sites-available/a.test.conf");
    let dangle = |_: &mut Host, _: &Practice| {
        fs::create_dir(available.parent().unwrap()).unwrap();
        fs::rename(&link, &available).unwrap();
        symlink("/old/place/a.test.conf", &link).unwrap();
    };
    let fixes = mended(&mut host, dangle, "vhost-symlink-broken");
    assert_eq!(
        fixes[0]["changes"][0]["before"],
        "a link to /old/place/a.test.conf"
    );
    assert_eq!(fs::read_link(&link).unwrap(), available);
    let copy = kept_copy(&host, &link);
    assert_eq!(
        fs::read_link(copy).unwrap(),
        Path::new("/old/place/a.test.conf")
    );
}

#[test]
fn links_that_lead_nowhere_go_and_a_copy_is_kept() {
    let mut host = one_site();
    let (one, other) = (
        host.nginx.vhost("gone.test"),
        host.nginx.vhost("circle.test"),
    );
    let dangle = |_: &mut Host, _: &Practice| {
        symlink("/nowhere", &one).unwrap();
        symlink(&other, &other).unwrap();
    };
    let fixes = mended(&mut host, dangle, "vhost-symlink-broken");
    assert_eq!(fixes.len(), 2);
    for link in [&one, &other] {
        assert!(link.symlink_metadata().is_err());
        assert!(kept_copy(&host, link).is_symlink());
    }
    assert_eq!(
        host.nginx.reloads(),
        2,
        "one for both fixes, one for the renewal"
    );
}

#[test]
fn a_rule_before_which_our_line_must_stand() {
    let mut host = host_with([(Site::files("a.test").extra("deny all;"), 80)]);
    let practice = Practice::start(&mut host, |_| {});
    // The line answers for an account, which the first order makes.
    let _ = ask(&host, &["site:renew-certificates", "--force"]).expect_code(0);
    let line = "/\\.well-known/acme-challenge/";
    let vhost = host.nginx.vhost("a.test");
    let text = fs::read_to_string(&vhost).unwrap();
    assert!(text.contains(line));
    let without: Vec<&str> = text.lines().filter(|text| !text.contains(line)).collect();
    fs::write(&vhost, without.join("\n") + "\n").unwrap();
    host.nginx.reload();
    let fixed = ask(&host, &["site:doctor", "--fix"]).expect_code(0);
    let fix = &fixed.json["fixes"][0];
    assert_eq!(fix["finding"], "challenge-forbidden", "{:#}", fixed.json);
    assert_eq!(fix["outcome"], "done");
    assert!(fix["changes"][0]["after"].as_str().unwrap().contains(line));
    assert_eq!(fixed.json["verdict"], "ready", "{:#}", fixed.json);
    assert_eq!(fs::read_to_string(&vhost).unwrap(), text);
    let orders = practice.orders();
    let renewed = ask(&host, &["site:renew-certificates", "--force"]).expect_code(0);
    assert_eq!(renewed.outcome("a.test"), "renewed");
    assert_eq!(practice.orders(), orders + 1);
}

#[test]
fn a_site_that_listens_on_ipv4_alone() {
    let mut host = host_with([(Site::files("a.test"), 10), (Site::files("b.test"), 80)]);
    if host.nginx.http_addresses().len() < 2 {
        return; // a machine without IPv6 has no such fault
    }
    let six = format!("listen [::1]:{};", host.nginx.http_port());
    let only_v4 = |host: &mut Host, practice: &Practice| {
        without(&host.nginx.vhost("a.test"), &six);
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        practice
            .dns
            .change(|zone| zone.set("a.test", &[here, "::1".parse().unwrap()]));
        host.nginx.stop();
        host.nginx.launch();
    };
    let fixes = mended(&mut host, only_v4, "name-not-served");
    let after = fixes[0]["changes"][0]["after"].as_str().unwrap();
    assert_eq!(
        after.trim(),
        format!("listen [::1]:{};", host.nginx.http_port())
    );
}

#[test]
fn a_site_alone_that_listens_on_ipv4_alone() {
    let mut host = one_site();
    if host.nginx.http_addresses().len() < 2 {
        return; // a machine without IPv6 has no such fault
    }
    let only_v4 = |host: &mut Host, practice: &Practice| {
        let six = format!("listen [::1]:{};", host.nginx.http_port());
        without(&host.nginx.vhost("a.test"), &six);
        let six: IpAddr = "::1".parse().unwrap();
        practice.dns.change(|zone| zone.set("a.test", &[six]));
        host.nginx.reload();
        let at = (six, host.nginx.http_port());
        let begun = std::time::Instant::now();
        while std::net::TcpStream::connect(at).is_ok() {
            assert!(begun.elapsed() < crate::answer::SOON);
        }
    };
    let fixes = mended(&mut host, only_v4, "port-80-no-ipv6");
    let after = fixes[0]["changes"][0]["after"].as_str().unwrap();
    assert_eq!(
        after.trim(),
        format!("listen [::]:{};", host.nginx.http_port())
    );
}

#[test]
fn a_key_that_everybody_can_read() {
    let mut host = one_site();
    let key = host.archive("a.test").join("privkey1.pem");
    let open = |host: &mut Host, _: &Practice| {
        let folders = [host.letsencrypt(), host.letsencrypt().join("archive")];
        folders.iter().for_each(|folder| mode(folder, 0o755));
        mode(&host.archive("a.test"), 0o755);
        mode(&key, 0o644);
    };
    let fixes = mended(&mut host, open, "key-readable-by-others");
    assert_eq!(fixes[0]["changes"][0]["place"], key.to_str().unwrap());
    assert_eq!(key.metadata().unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn limits_that_are_too_low_for_the_sites() {
    let mut host = one_site();
    let config = host.nginx.config();
    let lower = |host: &mut Host, _: &Practice| {
        let text = fs::read_to_string(&config).unwrap();
        let text = text.replace("worker_connections 512;", "worker_connections 32;");
        fs::write(
            &config,
            text.replace("events {", "worker_rlimit_nofile 40;\nevents {"),
        )
        .unwrap();
        host.nginx.stop();
        host.nginx.launch();
    };
    let _ = mended(&mut host, lower, "worker-connections-low");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("worker_connections 1024;"), "{text}");
    // What the kernel says of a worker, not what stands in a file.
    for worker in host.nginx.workers() {
        let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
        let files = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap();
        let soft: u64 = files.split_whitespace().nth(3).unwrap().parse().unwrap();
        assert!(soft >= 2048, "{files}");
    }
}

#[test]
fn a_certificate_that_nginx_did_not_take_up() {
    let mut host = one_site();
    let address = host.nginx.https_addresses()[0];
    let stale = |host: &mut Host, _: &Practice| {
        let other = Authority::new("Older").issue(&["a.test"], Days::left(12));
        lineage::write(&host.letsencrypt(), "a.test", 2, &other);
    };
    let before = openssl::served(address, "a.test");
    let fixes = mended(&mut host, stale, "certificate-not-served");
    assert_eq!(fixes[0]["what"], "Let nginx take up what is on disk.");
    assert_ne!(openssl::served(address, "a.test"), before);
}

#[test]
fn what_nginx_refuses_is_put_back_to_the_byte() {
    let mut host = one_site();
    let practice = Practice::start(&mut host, |_| {});
    let link = host.nginx.vhost("b.test");
    let available = host.nginx.folder().join("sites-available/b.test.conf");
    fs::create_dir(available.parent().unwrap()).unwrap();
    fs::write(&available, "server { sevrer_name b.test; }\n").unwrap();
    symlink("/old/b.test.conf", &link).unwrap();
    let before = disk::guarded(&host);
    let owner = link.symlink_metadata().unwrap().uid();
    let fixed = ask(&host, &["site:doctor", "--fix"]).expect_code(1);
    let fix = &fixed.json["fixes"][0];
    assert_eq!(fix["outcome"], "undone", "{:#}", fixed.json);
    assert!(
        fix["why"].as_str().unwrap().contains("sevrer_name"),
        "{fix:#}"
    );
    assert_eq!(
        contents_that_differ(&before, &disk::guarded(&host)),
        NOTHING
    );
    assert_eq!(link.symlink_metadata().unwrap().uid(), owner);
    assert_eq!(host.nginx.reloads(), 0);
    assert!(names(&fixed).contains(&"vhost-symlink-broken".to_owned()));
    assert_eq!(practice.orders(), 0);
}

#[test]
fn a_line_that_nginx_refuses_is_taken_out_again() {
    let long = format!(
        "{}.{}.{}.test",
        "a".repeat(60),
        "b".repeat(60),
        "c".repeat(60)
    );
    let mut host = Host::prepare();
    if host.nginx.http_addresses().len() < 2 {
        return; // a machine without IPv6 has no such fault
    }
    for name in [long.as_str(), "b.test"] {
        let pair = Authority::new("Older").issue(&[name], Days::left(20));
        host.add_with_lineage(Site::files(name), &pair);
    }
    // With a socket of its own the long name needs no table of names, whose buckets are too small for it.
    let (http, https) = (host.nginx.http_port(), host.nginx.https_port());
    for port in [format!("{http};"), format!("{https} ssl;")] {
        without(&host.nginx.vhost(&long), &format!("listen [::1]:{port}"));
        without(
            &host.nginx.vhost("b.test"),
            &format!("listen 127.0.0.1:{port}"),
        );
    }
    host.nginx.launch();
    let practice = Practice::start(&mut host, |_| {});
    let addresses: Vec<IpAddr> = ["127.0.0.1", "::1"]
        .iter()
        .map(|ip| ip.parse().unwrap())
        .collect();
    practice.dns.change(|zone| zone.set(&long, &addresses));
    host.set("http01", "mode", "\"webroot\"");
    let before = disk::guarded(&host);
    let fixed = ask(
        &host,
        &["site:doctor", "--fix", &format!("--domain={long}")],
    )
    .expect_code(1);
    let fix = &fixed.json["fixes"][0];
    assert_eq!(fix["outcome"], "undone", "{:#}", fixed.json);
    assert!(
        fix["why"].as_str().unwrap().contains("server_names_hash"),
        "{fix:#}"
    );
    assert_eq!(
        contents_that_differ(&before, &disk::guarded(&host)),
        NOTHING
    );
    assert_eq!((host.nginx.reloads(), practice.orders()), (0, 0));
    assert!(host.nginx.test().ok());
}

#[test]
fn what_nginx_accepts_and_does_not_take_up_is_taken_back() {
    let mut host = one_site();
    if host.nginx.http_addresses().len() < 2 {
        return; // a machine without IPv6 has no such fault
    }
    let practice = Practice::start(&mut host, |_| {});
    let vhost = host.nginx.vhost("a.test");
    without(&vhost, &format!("listen [::1]:{};", host.nginx.http_port()));
    host.nginx.reload();
    // Another program takes the address; nginx's test does not mind, and its reload does.
    let at: SocketAddr = ("::1".parse::<IpAddr>().unwrap(), host.nginx.http_port()).into();
    let begun = std::time::Instant::now();
    let holder = loop {
        match TcpListener::bind(at) {
            Ok(holder) => break holder,
            Err(error) => assert!(begun.elapsed() < crate::answer::SOON, "{error}"),
        }
    };
    let closing = std::thread::spawn(move || holder.incoming().for_each(drop));
    practice.dns.change(|zone| zone.set("a.test", &[at.ip()]));
    let before = disk::guarded(&host);
    let fixed = ask(&host, &["site:doctor", "--fix"]);
    let fix = &fixed.json["fixes"][0];
    assert_eq!(fix["outcome"], "undone", "{:#}", fixed.json);
    assert!(fix["why"].as_str().unwrap().contains("bind()"), "{fix:#}");
    assert_eq!(
        contents_that_differ(&before, &disk::guarded(&host)),
        NOTHING
    );
    assert!(host.nginx.test().ok() && !host.nginx.workers().is_empty());
    assert!(!closing.is_finished());
}

#[test]
fn a_run_that_dies_in_a_fix_is_undone_by_the_next() {
    let mut host = one_site();
    let practice = Practice::start(&mut host, |_| {});
    let link = host.nginx.vhost("b.test");
    let available = host.nginx.folder().join("sites-available/b.test.conf");
    fs::create_dir(available.parent().unwrap()).unwrap();
    fs::write(&available, "server { sevrer_name b.test; }\n").unwrap();
    symlink("/old/b.test.conf", &link).unwrap();
    let before = disk::guarded(&host);
    // An nginx that kills whoever has it test the vhost that nginx refuses.
    let deadly = host.folder().join("nginx");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *-t*) [ \"$(readlink {})\" = /old/b.test.conf ] || kill -9 $PPID;; esac\nexec {} \"$@\"\n",
        link.display(),
        testkit::nginx::BINARY
    );
    disk::put(&deadly, script);
    mode(&deadly, 0o755);
    host.set("nginx", "binary", &format!("{deadly:?}"));
    let died = clpctl(&host).run(&["site:doctor", "--fix"]);
    assert_eq!(died.code, None, "{}", died.stdout);
    assert_eq!(fs::read_link(&link).unwrap(), available);
    host.set("nginx", "binary", &format!("{:?}", testkit::nginx::BINARY));
    let renewed = ask(&host, &["site:renew-certificates"]).expect_code(1);
    assert_eq!(renewed.outcome("a.test"), "failed");
    assert_eq!(
        contents_that_differ(&before, &disk::guarded(&host)),
        NOTHING
    );
    assert!(!host.state().join("fixing.json").exists());
    assert_eq!(practice.orders(), 0);
}

#[test]
fn a_site_users_link_is_never_followed() {
    let mut host = one_site();
    let _practice = Practice::start(&mut host, |_| {});
    host.set("http01", "mode", "\"webroot\"");
    let elsewhere = host.folder().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    mode(&elsewhere, 0o700);
    let root = host.nginx.document_root("a.test");
    chown(&root, Some(33), Some(33)).unwrap();
    symlink(&elsewhere, root.join(".well-known")).unwrap();
    let fixed = ask(&host, &["site:doctor", "--fix"]).expect_code(1);
    assert!(names(&fixed).contains(&"webroot-symlink-owner".to_owned()));
    assert_eq!(
        fixed.json["fixes"].as_array().unwrap().len(),
        0,
        "it is told, and not done"
    );
    let meta = elsewhere.metadata().unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o7777), (0, 0o700));
}

#[test]
fn people_see_each_fix_before_and_after() {
    let mut host = one_site();
    let _practice = Practice::start(&mut host, |_| {});
    let link = host.nginx.vhost("gone.test");
    symlink("/nowhere", &link).unwrap();
    let output = clpctl(&host).run(&["site:doctor", "--fix"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let link = link.display();
    let fix = format!(
        "fix Take the link {link} away, and keep a copy of it.\n  {link}\n    - a link to /nowhere\n  done: for vhost-symlink-broken\n"
    );
    assert!(output.stdout.starts_with(&fix), "{}", output.stdout);
    assert!(
        output.stdout.contains("\nready: 1 site can be renewed"),
        "{}",
        output.stdout
    );
    let refused = clpctl(&host).run(&["site:doctor", "--dry-run"]);
    assert_eq!(refused.code, Some(2), "--dry-run alone says nothing");
}

#[test]
fn a_fix_waits_for_no_other_run_and_disturbs_none() {
    let mut host = one_site();
    let practice = Practice::start(&mut host, |_| {});
    practice.slow(std::time::Duration::from_secs(60));
    let mut running = clpctl(&host).spawn(&["site:renew-certificates"]);
    let begun = std::time::Instant::now();
    while practice.orders() == 0 {
        assert!(
            begun.elapsed() < crate::answer::SOON,
            "{}",
            running.stderr()
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let output = clpctl(&host).run(&["site:doctor", "--fix"]);
    assert_eq!(output.code, Some(3), "{}", output.stdout);
    assert!(
        output.stderr.contains("another-run-holds-the-lock"),
        "{}",
        output.stderr
    );
    running.signal(rustix::process::Signal::KILL);
    let _ = running.wait(crate::answer::SOON);
}

#[test]
fn the_sessions_in_the_guide_are_what_is_printed() {
    let mut host = host_with([
        (Site::files("blog.example"), 20),
        (Site::files("shop.example"), 10),
    ]);
    let _practice = Practice::start(&mut host, |_| {});
    let link = host.nginx.vhost("blog.example");
    let available = host
        .nginx
        .folder()
        .join("sites-available/blog.example.conf");
    fs::create_dir(available.parent().unwrap()).unwrap();
    fs::rename(&link, &available).unwrap();
    symlink("/srv/old/blog.example.conf", &link).unwrap();
    let root = host.nginx.document_root("shop.example");
    chown(&root, Some(33), Some(33)).unwrap();
    fs::create_dir(root.join(".well-known")).unwrap();
    mode(&root.join(".well-known"), 0o700);
    in_the_guide(&host, &["site:doctor", "--fix"], 0);

    let link = host.nginx.vhost("new.example");
    let available = available.with_file_name("new.example.conf");
    fs::write(&available, "server {\n    sevrer_name new.example;\n}\n").unwrap();
    symlink("/srv/old/new.example.conf", &link).unwrap();
    in_the_guide(&host, &["site:doctor", "--fix", "--domain=shop.example"], 1);
}

/// Compares what is printed with the guide, which shows a scratch folder's paths and ports as the usual ones.
#[track_caller]
fn in_the_guide(host: &Host, words: &[&str], code: i32) {
    let output = clpctl(host).run(words);
    assert_eq!(
        output.code,
        Some(code),
        "{}\n{}",
        output.stdout,
        output.stderr
    );
    let printed = output
        .stdout
        .replace(host.nginx.folder().to_str().unwrap(), "/etc/nginx")
        .replace("/etc/nginx/htdocs", "/var/www")
        .replace(&format!(":{}", host.nginx.http_port()), ":80");
    let guide = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/guide/the-doctor.md"
    );
    let page = fs::read_to_string(guide).unwrap();
    let command = format!("$ clpctl {}\n", words.join(" "));
    let session = page
        .split(&command)
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let session = session.unwrap_or_default().trim();
    assert!(
        session == printed.trim(),
        "{command}{printed}\nand in the guide:\n{session}"
    );
}

/// Where a link that was taken away is kept.
fn kept_copy(host: &Host, link: &Path) -> std::path::PathBuf {
    host.state()
        .join("removed-links")
        .join(link.strip_prefix("/").unwrap())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Takes the lines that say this out of a file.
#[track_caller]
fn without(file: &Path, line: &str) {
    let text = fs::read_to_string(file).unwrap();
    let kept: Vec<&str> = text.lines().filter(|text| text.trim() != line).collect();
    assert_ne!(kept.len(), text.lines().count(), "{line} is not in {text}");
    fs::write(file, kept.join("\n") + "\n").unwrap();
}

/// Returns the names of all findings about the host and its sites.
fn names(answer: &Answer) -> Vec<String> {
    let sites = answer.json["sites"].as_array().unwrap().iter();
    let each = sites.map(|site| &site["checks"]);
    let all = each
        .chain([&answer.json["host"]])
        .flat_map(|checks| checks.as_array().unwrap());
    let names = all.filter_map(|check| check["finding"]["name"].as_str());
    names.map(str::to_owned).collect()
}

const NONE: Vec<String> = Vec::new();
