//! Does anything in the files of certbot and acme.sh, in a job of cron or a CAA record, make its readers panic?
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doctor::stranger::read(bytes));
