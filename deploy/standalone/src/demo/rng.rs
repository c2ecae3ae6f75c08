//! The demo's dice: Philox blocks numbered from 0 under a seed, so that a seed gives one shop.

use eddyline_model::philox::philox4x32;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    key: [u32; 2],
    drawn: u64,
    block: [u32; 4],
}

impl Dice {
    /// The stream `stream` of `seed`; different streams share no numbers.
    #[must_use]
    pub(crate) fn new(seed: u64, stream: u32) -> Self {
        let seeded = philox4x32([stream, 0, 0, 0], [seed as u32, (seed >> 32) as u32]);
        Self { key: [seeded[0], seeded[1]], drawn: 0, block: [0; 4] }
    }

    /// The next 32 bits.
    pub(crate) fn bits(&mut self) -> u32 {
        let lane = (self.drawn % 4) as usize;
        if lane == 0 {
            let number = self.drawn / 4;
            self.block = philox4x32([number as u32, (number >> 32) as u32, 1, 0], self.key);
        }
        self.drawn += 1;
        self.block[lane]
    }

    /// A uniform number in [0, 1), a multiple of 2⁻³².
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.bits()) / 4_294_967_296.0
    }

    /// A whole number below `n`, which must not be 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        debug_assert!(n > 0, "there is no number below 0");
        ((u64::from(self.bits()) * n as u64) >> 32) as usize
    }

    /// True once in 1 / `probability`.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of `from`, which must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A rank below `n`, rank r with a chance of about 1 / (r + 1): a few are picked often.
    pub(crate) fn rank(&mut self, n: usize) -> usize {
        let top = (n as f64 + 1.0).ln();
        (((self.unit() * top).exp() - 1.0) as usize).min(n - 1)
    }

    /// A number from `low` to `high`, every factor alike.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_fall_off_and_stay_below_n() {
        let mut dice = Dice::new(1, 1);
        let mut counts = [0_u32; 50];
        for _ in 0..20_000 {
            counts[dice.rank(50)] += 1;
        }
        assert!(counts[0] > 3 * counts[4] && counts[4] > 3 * counts[30], "{counts:?}");
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    }

    #[test]
    fn a_seed_gives_one_stream() {
        let draw = |seed, stream| {
            let mut dice = Dice::new(seed, stream);
            [dice.bits(), dice.bits(), dice.bits(), dice.bits(), dice.bits()]
        };
        assert_eq!(draw(1, 1), draw(1, 1));
        assert_ne!(draw(1, 1), draw(2, 1));
        assert_ne!(draw(1, 1), draw(1, 2));
    }
}
