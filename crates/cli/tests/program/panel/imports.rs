//! Does the panel show a certificate that was brought in any of the shapes in which people keep them?

use testkit::program::Program;

use super::*;

/// What `openssl` says, given this.
fn openssl_says(words: &[&str], input: &str) -> String {
    let output = Program::new("openssl").args(words).input(input).run();
    output.expect_ok()
}

/// A certificate for a.test with an RSA key, by a CA of its own: key, leaf and issuer.
fn rsa(folder: &std::path::Path) -> [String; 3] {
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 900 -subj '/CN=RSA CA' 2>/dev/null &&
        openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=a.test 2>/dev/null &&
        printf 'subjectAltName=DNS:a.test\\nbasicConstraints=CA:FALSE\\n' > extensions &&
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -set_serial 4711 -days 300 -extfile extensions -out leaf.pem 2>/dev/null";
    let _ = Program::new("sh")
        .args(["-c", script])
        .folder(folder)
        .run()
        .expect_ok();
    ["key.pem", "leaf.pem", "ca.pem"].map(|name| fs::read_to_string(folder.join(name)).unwrap())
}

#[test]
fn every_shape_is_served_and_recorded_as_imported() {
    let mut panel = PanelHost::prepare();
    panel.add(&PanelSite::new("a.test", Shape::Php));
    panel.host.nginx.launch();
    let folder = panel.host.folder().join("bought");
    fs::create_dir(&folder).unwrap();
    let year = |left| Days { since: 1, left };
    let one = Authority::new("One").issue(&["a.test"], year(200));
    let two = Authority::new("Two").issue(&["a.test"], year(220));
    let three = Authority::new("Three").issue(&["a.test"], year(240));
    let [rsa_key, rsa_leaf, rsa_issuer] = rsa(&folder);
    let sec1 = openssl_says(&["ec"], &two.key);
    let parameters = openssl_says(&["ecparam", "-name", "prime256v1"], "");
    let pkcs8 = openssl_says(&["pkcs8", "-topk8", "-nocrypt"], &three.key);
    let pkcs1 = openssl_says(&["rsa", "-traditional"], &rsa_key);
    let crlf = |text: String| text.replace('\n', "\r\n");
    let shapes = [
        // As the panel's own form wants it: three files.
        (one.key.clone(), one.leaf.clone(), Some(one.chain.clone())),
        // As `openssl ecparam -genkey` writes it, with the chain in the certificate's file, and Windows' line ends.
        (
            crlf(format!("{parameters}{sec1}")),
            crlf(two.fullchain()),
            None,
        ),
        // One file, the key first, with leading text.
        (
            format!("Bag Attributes\n{pkcs8}{}", three.fullchain()),
            three.fullchain(),
            None,
        ),
        (pkcs1.clone(), format!("{rsa_issuer}{rsa_leaf}"), None),
    ];
    for (index, (key, certificate, chain)) in shapes.iter().enumerate() {
        let file = |end: &str, text: &str| {
            let path = folder.join(format!("{index}.{end}"));
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let mut words = vec![
            "site:install:certificate".to_owned(),
            "--domainName=a.test".to_owned(),
            format!("--privateKey={}", file("key", key)),
            format!("--certificate={}", file("crt", certificate)),
        ];
        words.extend(
            chain
                .iter()
                .map(|chain| format!("--certificateChain={}", file("chain", chain))),
        );
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = ask(&panel, &words).expect_code(0);
        assert_eq!(
            answer.outcome("a.test"),
            "installed",
            "{index}: {:#}",
            answer.json
        );
        assert_whole(&panel, "a.test", "a.test");
        assert!(shown(&panel, "a.test").starts_with("3|0|"), "{index}");
    }
    let served = panel.host.nginx.certificates().join("a.test.crt");
    assert!(openssl::x509(&served, &["-text"]).contains("rsaEncryption"));
    assert_eq!(panel.database.due(), [""; 0], "the panel leaves it alone");
}
