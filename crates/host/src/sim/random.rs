//! The seeded numbers of a simulation: what a crash leaves, and what a test does next.
//! It refuses any other source: no time, no address, no hash order may leak into a simulation.

/// Numbers that follow from a seed, the same on every machine.
///
/// This is `SplitMix64`: small, fast, and every seed is a good one. It keeps no secrets.
///
/// ```
/// use host::sim::Random;
///
/// let (mut one, mut other) = (Random::new(7), Random::new(7));
/// assert_eq!(one.next(), other.next());
/// assert!(one.below(6) < 6);
/// ```
///
/// Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Any number.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, and an iterator's adapters would copy it"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// True `of_four` times out of four.
    pub(super) fn is_lucky(&mut self, of_four: u64) -> bool {
        self.below(4) < of_four
    }
}
