//! Zipf ranks by the alias method: one table built before the clock runs, then two random numbers
//! a draw (A. J. Walker 1977, M. D. Vose 1991).

use crate::demo::rng::Dice;

/// Draws a rank below n with probability ∝ 1 / (rank + 1)^skew.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    /// For each column: the chance to keep it, and what is drawn instead.
    columns: Vec<(f32, u32)>,
}

impl Zipf {
    /// The table for `n` ranks; a skew of 0 is uniform.
    #[must_use]
    pub(crate) fn new(n: usize, skew: f64) -> Self {
        let weights: Vec<f64> = (0..n).map(|rank| (rank as f64 + 1.0).powf(-skew)).collect();
        let total: f64 = weights.iter().sum();
        let mut chances: Vec<f64> =
            weights.iter().map(|weight| weight * n as f64 / total).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..n).partition(|&rank| chances[rank] < 1.0);
        let mut columns: Vec<(f32, u32)> = (0..n).map(|rank| (1.0, rank as u32)).collect();
        while let (Some(poor), Some(rich)) = (small.pop(), large.pop()) {
            columns[poor] = (chances[poor] as f32, rich as u32);
            chances[rich] -= 1.0 - chances[poor];
            if chances[rich] < 1.0 { small.push(rich) } else { large.push(rich) }
        }
        Self { columns }
    }

    /// A rank.
    pub(crate) fn draw(&self, dice: &mut Dice) -> usize {
        let column = dice.below(self.columns.len());
        let (keep, other) = self.columns[column];
        if dice.unit() < f64::from(keep) { column } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_those_of_the_law() {
        let zipf = Zipf::new(1_000, 1.0);
        let mut dice = Dice::new(7, 1);
        let draws = 400_000;
        let mut counts = vec![0_u32; 1_000];
        for _ in 0..draws {
            counts[zipf.draw(&mut dice)] += 1;
        }
        let harmonic: f64 = (1..=1_000).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [0, 1, 9, 99] {
            let want = f64::from(draws) / harmonic / (rank as f64 + 1.0);
            let got = f64::from(counts[rank]);
            assert!((got - want).abs() < 5.0 * want.sqrt(), "rank {rank}: {got}, expected {want}");
        }
    }
}
