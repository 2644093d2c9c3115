//! Does any configuration of nginx make its readers panic, hang, or lose a byte of it?
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nginx::stranger::read(bytes));
