//! What do the tests of this crate have in common?

use std::io::Write as _;
use std::path::Path;

/// Writes a file of a test's own making.
pub(crate) fn put(path: &Path, text: &str) {
    let mut file = std::fs::File::create(path).expect("the folder is the test's own");
    file.write_all(text.as_bytes())
        .expect("a test's file can be written");
}
