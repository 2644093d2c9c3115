//! Values as people write them, and as they mistype them.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;

use jiff::SignedDuration;
use renewal::certificate::KeyType;
use renewal::policy::{EditVhosts, Http01Mode};

use super::{Challenge, Jobs, Manage, Owner, Reload, Size, Value};
use expect_test::{Expect, expect};

fn check<V: Value>(texts: &[&str], expect: Expect) {
    let answers: String = texts
        .iter()
        .map(|text| match V::from_text(text) {
            Ok(value) => format!("{text} -> {}\n", value.show()),
            Err(error) => format!("{error}\n"),
        })
        .collect();
    expect.assert_eq(&answers);
}

#[test]
fn times() {
    check::<Option<SignedDuration>>(
        &[
            "auto",
            "30d",
            "36h",
            "1d12h",
            "4w",
            "90m",
            "",
            "30",
            "d",
            "30 d",
            "1s",
            "99999999999999999999d",
            "20000d",
            "30ü",
        ],
        expect![[r#"
            auto -> "auto"
            30d -> "30d"
            36h -> "36h"
            1d12h -> "36h"
            4w -> "4w"
            90m -> "90m"
            “” is not a time; write a number with s, m, h, d or w, such as 30d or 36h
            “30” is not a time; write a number with s, m, h, d or w, such as 30d or 36h
            “d” is not a time; write a number with s, m, h, d or w, such as 30d or 36h
            “30 d” is not a time; write a number with s, m, h, d or w, such as 30d or 36h
            “1s” is not between an hour and ten years
            “99999999999999999999d” is not a time; write a number with s, m, h, d or w, such as 30d or 36h
            “20000d” is not between an hour and ten years
            “30ü” is not a time; write a number with s, m, h, d or w, such as 30d or 36h
        "#]],
    );
}

#[test]
fn sizes() {
    check::<Size>(
        &[
            "10MiB",
            "4096B",
            "1gib",
            "500 KiB",
            "1",
            "",
            "MiB",
            "99999999999GiB",
            "10MB",
        ],
        expect![[r#"
            10MiB -> "10MiB"
            4096B -> "4KiB"
            1gib -> "1GiB"
            500 KiB -> "500KiB"
            “1” is not a size such as 500KiB or 10MiB (from 4KiB to 1TiB)
            “” is not a size such as 500KiB or 10MiB (from 4KiB to 1TiB)
            “MiB” is not a size such as 500KiB or 10MiB (from 4KiB to 1TiB)
            “99999999999GiB” is not a size such as 500KiB or 10MiB (from 4KiB to 1TiB)
            “10MB” is not a size such as 500KiB or 10MiB (from 4KiB to 1TiB)
        "#]],
    );
}

#[test]
fn addresses() {
    check::<SocketAddr>(
        &[
            "127.0.0.1:8053",
            "127.0.0.1",
            "::1",
            "[::1]",
            "[::1]:5353",
            "localhost",
            "1.2.3",
            "",
        ],
        expect![[r#"
            127.0.0.1:8053 -> "127.0.0.1:8053"
            127.0.0.1 -> "127.0.0.1:53"
            ::1 -> "[::1]:53"
            [::1] -> "[::1]:53"
            [::1]:5353 -> "[::1]:5353"
            “localhost” is not an address; write 127.0.0.1, 127.0.0.1:53, ::1 or [::1]:53
            “1.2.3” is not an address; write 127.0.0.1, 127.0.0.1:53, ::1 or [::1]:53
            “” is not an address; write 127.0.0.1, 127.0.0.1:53, ::1 or [::1]:53
        "#]],
    );
    check::<Vec<IpAddr>>(
        &["192.0.2.1, 2001:db8::1", "", "192.0.2.1:53"],
        expect![[r#"
        192.0.2.1, 2001:db8::1 -> ["192.0.2.1", "2001:db8::1"]
         -> []
        “192.0.2.1:53” is not an IP address
    "#]],
    );
}

#[test]
fn paths() {
    check::<PathBuf>(
        &["/etc", "etc", "", "/a/../b", "/a\0b"],
        expect![[r#"
            /etc -> "/etc"
            “etc” is not an absolute path
            “” is not an absolute path
            “/a/../b” must not contain “..”
            “/a\0b” contains a control character
        "#]],
    );
    check::<Option<PathBuf>>(
        &["", "/x"],
        expect![[r#"
         -> ""
        /x -> "/x"
    "#]],
    );
}

#[test]
fn words() {
    check::<KeyType>(
        &["rsa-2048", "ecdsa", "ECDSA-P256", "ed25519"],
        expect![[r#"
        rsa-2048 -> "rsa-2048"
        “ecdsa” is not one of ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096; did you mean “ecdsa-p256”?
        “ECDSA-P256” is not one of ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096; did you mean “ecdsa-p256”?
        “ed25519” is not one of ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096
    "#]],
    );
    check::<Challenge>(
        &["auto", "http-01", "http01", "dns-01"],
        expect![[r#"
        auto -> "auto"
        http-01 -> "http-01"
        “http01” is not one of auto, http-01; did you mean “http-01”?
        this release cannot answer dns-01; use auto or http-01
    "#]],
    );
    check::<Reload>(
        &[
            "auto",
            "sytemd",
            "/usr/bin/systemctl reload nginx",
            "/bin/sh -c 'x'",
        ],
        expect![[r#"
            auto -> "auto"
            “sytemd” is not auto, systemd, signal, or a command with an absolute path; did you mean “systemd”?
            /usr/bin/systemctl reload nginx -> "/usr/bin/systemctl reload nginx"
            the command is started without a shell, so it cannot contain quotes or shell characters; put it into a script
        "#]],
    );
    check::<Owner>(
        &["auto", "john", "clp-data:clp-data", "a:b:c", ":", "a b"],
        expect![[r#"
            auto -> "auto"
            john -> "john"
            clp-data:clp-data -> "clp-data:clp-data"
            “a:b:c” is not auto, user, or user:group
            “:” is not auto, user, or user:group
            “a b” is not auto, user, or user:group
        "#]],
    );
    check::<Option<String>>(
        &["", "shortlived", "short lived"],
        expect![[r#"
         -> ""
        shortlived -> "shortlived"
        “short lived” is not one word of letters, digits, “-”, “_” and “.”
    "#]],
    );
}

#[test]
fn numbers() {
    check::<NonZeroU16>(
        &["80", "0", "65536", "-1", "080", "http"],
        expect![[r#"
        80 -> 80
        “0” is not a port from 1 to 65535
        “65536” is not a port from 1 to 65535
        “-1” is not a port from 1 to 65535
        080 -> 80
        “http” is not a port from 1 to 65535
    "#]],
    );
    check::<Jobs>(
        &["16", "0", "257"],
        expect![[r#"
        16 -> 16
        “0” is not a number from 1 to 256
        “257” is not a number from 1 to 256
    "#]],
    );
    check::<EditVhosts>(
        &["true", "false", "auto", "yes"],
        expect![[r#"
        true -> true
        false -> false
        auto -> "auto"
        “yes” is not true, false, or auto
    "#]],
    );
}

#[test]
fn every_choice_is_written_as_it_is_read() {
    for setting in crate::config::SETTINGS
        .iter()
        .filter(|setting| setting.kind.starts_with("one of "))
    {
        for word in setting.kind.trim_start_matches("one of ").split(", ") {
            let shown = match setting.key {
                "key_type" => KeyType::from_text(word).unwrap().show(),
                "mode" => Http01Mode::from_text(word).unwrap().show(),
                "manage" => Manage::from_text(word).unwrap().show(),
                "challenge" => Challenge::from_text(word).unwrap().show(),
                other => panic!("{other} is a choice that this test does not know"),
            };
            assert_eq!(shown, format!("\"{word}\""));
        }
    }
}
