//! How does a test let the process die at a chosen change to the disk?

use std::cell::Cell;
use std::io;

thread_local! {
    static STEPS_LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

pub(crate) fn step() -> io::Result<()> {
    STEPS_LEFT.with(|left| match left.get() {
        None => Ok(()),
        Some(0) => Err(io::Error::other("the process died here")),
        Some(more) => {
            left.set(Some(more - 1));
            Ok(())
        }
    })
}

/// Runs `work` and lets it die after `steps` changes; says whether it died.
pub(crate) fn after<T>(steps: usize, work: impl FnOnce() -> T) -> (T, bool) {
    STEPS_LEFT.with(|left| left.set(Some(steps)));
    let answer = work();
    let died = STEPS_LEFT.with(|left| left.replace(None)) == Some(0);
    (answer, died)
}
