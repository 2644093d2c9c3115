//! Does anything that stands in another client's files, or in DNS, make a reader of this crate panic or hang?
//!
//! [`read`] gives the same text to every reader. It is played with seeded noise by the tests below, and with
//! coverage-guided fuzzing by `fuzz/run`.

use std::hint::black_box;
use std::path::Path;

use crate::caa::value;
use crate::clients::{acme_sh, certbot, schedule};
use crate::excerpt::excerpt;

/// Has every reader read this text.
///
/// # Panics
///
/// When one of them breaks a promise.
pub fn read(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // It names files, which are looked for and are not there.
    let nowhere = Path::new("/nonexistent");
    black_box(certbot::managed(
        nowhere,
        &nowhere.join("a.test.conf"),
        &text,
    ));
    let values = acme_sh::Values::read(&text);
    black_box((values.get("Le_Domain"), values.get("Le_API")));
    for whole in [true, false] {
        black_box(schedule::jobs(nowhere, &text, whole, !whole));
    }
    if let Ok(value) = value::parse(&text) {
        let shown = value.parameters.iter();
        assert!(shown.clone().all(|(tag, _)| !tag.is_empty()));
    }
    let shown = excerpt(bytes);
    assert!(
        !shown.chars().any(char::is_control),
        "a terminal obeys nothing of it"
    );
    assert!(shown.len() < 2_000);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use testkit::noise;

    use super::read;

    #[test]
    fn noise_is_read_by_all() {
        noise::bytes(2_000, 300, read);
    }

    #[test]
    fn pieces_of_other_clients_files_are_read_by_all() {
        noise::pieces(4_000, 30, &PIECES, read);
    }

    #[test]
    fn large_files_take_linear_time() {
        noise::repeated(1 << 20, PIECES, Duration::from_secs(20), read);
    }

    const PIECES: [&str; 30] = [
        "\n",
        "=",
        " = ",
        "#",
        "[",
        "]",
        "[renewalparams]\n",
        "[[webroot_map]]\n",
        "cert = /nonexistent/cert.pem\n",
        "server = https://ca.test/d\n",
        "account = ../../x\n",
        "renew_before_expiry = 99999999999999999999 days\n",
        "renew_before_expiry = 30 days\n",
        "key_type = rsa\nrsa_key_size = 3072\n",
        "'",
        "\"",
        "Le_Domain='a.test'\n",
        "__ACME_BASE64__START_",
        "__ACME_BASE64__END_",
        "'__ACME_BASE64__START_!!__ACME_BASE64__END_'",
        "0 0 * * * root certbot renew\n",
        "acme.sh --cron --home \"",
        ";",
        "letsencrypt.org; accounturi=",
        "\t",
        "é",
        "\u{0}",
        "\u{1b}",
        "\u{202e}",
        "a.b-c",
    ];
}
