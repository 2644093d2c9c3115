//! Does any PEM, or any certificate in it, make its readers panic, or come back as another?
#![no_main]

use renewal::secret::Secret;
use x509::bundle::{Bundle, Source};
use x509::chain::{self, Chain};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(chain) = Chain::read(bytes) {
        let again = Chain::read(chain.pem().as_bytes()).expect("what we write can be read");
        assert_eq!(again.ders(), chain.ders());
        assert!(chain::leaf(bytes).is_ok());
        let _ = chain.fault();
    }
    let _ = chain::facts_of(bytes);
    let _ = x509::key::check(&Secret::new(String::from_utf8_lossy(bytes).into_owned()));
    let text = Source { name: "it", text: bytes };
    let _ = Bundle::read(&[text]);
});
