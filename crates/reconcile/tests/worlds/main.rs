//! Worlds in which the driver works: sites come and go, everything breaks and heals, the process dies anywhere.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "world.rs"]
mod world;

/// `cargo run --release -p reconcile --example worlds -- 0..1000000` plays as many as one likes.
#[test]
fn two_thousand_worlds_are_as_they_must_be() {
    if let Err((seed, tale)) = world::play_many(0..2_000) {
        panic!("{}", world::told(seed, &tale));
    }
}

#[test]
fn a_seed_repeats_itself_to_the_letter() {
    for seed in 0..40 {
        assert_eq!(world::surely(seed), world::surely(seed), "{seed}");
    }
}
