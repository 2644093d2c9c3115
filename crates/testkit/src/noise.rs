//! What might a stranger write? Input for readers, the same in every run, so that a failure comes again.
//!
//! A reader passes when it returns: it panics where one of its promises is broken.

use std::ops::Range;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Has bytes without any sense read, so many times, each time up to `longest` of them.
///
/// # Panics
///
/// When the reader does; the message has the shortest bytes for which it does.
pub fn bytes(times: u32, longest: usize, read: impl Fn(&[u8])) {
    let bytes = prop::collection::vec(any::<u8>(), 0..longest);
    run(times, &bytes, |bytes| read(&bytes));
}

/// Has bytes read of which each is one of these signs, so many times, each time up to `longest` of them.
///
/// # Panics
///
/// When the reader does; the message has the shortest bytes for which it does.
pub fn signs(times: u32, longest: usize, signs: &[u8], read: impl Fn(&[u8])) {
    let bytes = prop::collection::vec(prop::sample::select(signs.to_vec()), 0..longest);
    run(times, &bytes, |bytes| read(&bytes));
}

/// Has texts read that are put together of these pieces, so many times, each time up to `longest` of them.
///
/// # Panics
///
/// When the reader does; the message has the shortest text for which it does.
pub fn pieces(times: u32, longest: usize, pieces: &[&str], read: impl Fn(&[u8])) {
    let text = texts(pieces, 1..longest);
    run(times, &text, |text| read(text.as_bytes()));
}

/// Has `whole` read with up to five bytes of it changed, so many times.
///
/// # Panics
///
/// When the reader does; the message has the changed bytes.
pub fn bent(times: u32, whole: &[u8], read: impl Fn(&[u8])) {
    let bends = prop::collection::vec((0..whole.len(), any::<u8>()), 0..6);
    run(times, &bends, |bends| {
        let mut bent = whole.to_vec();
        for (at, byte) in bends {
            bent[at] = byte;
        }
        read(&bent);
    });
}

/// Has each piece read again and again, `size` bytes of it, which must take less than `limit`.
///
/// What takes more than linear time takes minutes for a megabyte; so `limit` may be generous.
///
/// # Panics
///
/// When the reader does, or takes longer.
pub fn repeated<'a>(
    size: usize,
    pieces: impl IntoIterator<Item = &'a str>,
    limit: Duration,
    read: impl Fn(&[u8]),
) {
    for piece in pieces {
        let bytes = piece.repeat(size / piece.len()).into_bytes();
        let begun = Instant::now();
        read(&bytes);
        let took = begun.elapsed();
        assert!(took < limit, "{size} bytes of {piece:?}: {took:?}");
    }
}

/// Returns so many texts, each put together of as many of these pieces as `lengths` allows.
#[must_use]
pub fn samples(count: usize, lengths: Range<usize>, pieces: &[&str]) -> Vec<String> {
    let text = texts(pieces, lengths);
    let mut runner = seeded(1);
    let mut sample = || text.new_tree(&mut runner).expect("no text is refused");
    (0..count).map(|_| sample().current()).collect()
}

fn texts(pieces: &[&str], lengths: Range<usize>) -> impl Strategy<Value = String> {
    let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    let some = prop::collection::vec(prop::sample::select(pieces), lengths);
    some.prop_map(|pieces| pieces.concat())
}

fn run<T: Strategy>(times: u32, values: &T, read: impl Fn(T::Value)) {
    let read = |value| {
        read(value);
        Ok(())
    };
    if let Err(failed) = seeded(times).run(values, read) {
        panic!("{failed}");
    }
}

fn seeded(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use super::{bent, bytes, pieces, repeated, samples, signs};

    type Read<'a> = &'a dyn Fn(&[u8]);

    fn seen(play: impl Fn(Read<'_>)) -> Vec<Vec<u8>> {
        let seen = RefCell::new(Vec::new());
        play(&|bytes| seen.borrow_mut().push(bytes.to_vec()));
        seen.into_inner()
    }

    #[track_caller]
    fn check(play: impl Fn(Read<'_>)) {
        let first = seen(&play);
        assert_eq!(first.len(), 100);
        assert!(first.iter().collect::<BTreeSet<_>>().len() > 60);
        assert_eq!(first, seen(play), "it is the same again");
    }

    #[test]
    fn it_is_varied_and_the_same_again() {
        check(|read| bytes(100, 50, read));
        check(|read| signs(100, 50, b"ab\xff", read));
        check(|read| pieces(100, 9, &["a", "bc"], read));
        check(|read| bent(100, b"a text of some length", read));
        assert_eq!(samples(5, 1..4, &["a", "b"]), samples(5, 1..4, &["a", "b"]));
    }

    #[test]
    fn a_reader_that_fails_is_told_the_least_that_it_fails_for() {
        let refusing = |read: &[u8]| assert!(!read.contains(&b'x'), "no x");
        let failed = catch_unwind(AssertUnwindSafe(|| {
            pieces(500, 20, &["a", "x", "yz"], refusing);
        }));
        let said = failed.unwrap_err();
        let said = said.downcast_ref::<String>().unwrap();
        assert!(said.contains("no x") && said.contains("\"x\""), "{said}");
    }

    #[test]
    #[should_panic(expected = "4 bytes of \"ab\"")]
    fn a_slow_reader_is_seen() {
        repeated(4, ["ab"], Duration::ZERO, |read| {
            assert_eq!(read, b"abab");
        });
    }
}
