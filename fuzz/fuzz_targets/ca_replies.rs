//! Does anything that a CA sends (JSON, problems, Retry-After, links, URLs) make its readers panic or say too much?
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| acme::stranger::read(bytes));
