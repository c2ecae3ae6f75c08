//! Greatest inner product as nearest neighbour: the augmented-L2 reduction.
//!
//! A graph on raw inner product stalls at a recall below one half, since a few long rows are
//! everybody's neighbour. With M the greatest norm, each row v becomes (v, √(M² − |v|²)) / M and a
//! query q becomes (q, 0) / |q|: all lie on the unit sphere, and the squared distance between the
//! two is 2 − 2·(q·v) / (|q|·M), so the nearest row is the one of greatest inner product.
//!
//! Bachrach et al., *Speeding up the Xbox recommender system using a Euclidean transformation for
//! inner-product spaces*, RecSys 2014.

use eddyline_model::kernel::{LANES, squared_distance, squared_norm};
use hnsw_rs::prelude::Distance;

/// The greatest norm M of the rows that a structure is built from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound(f32);

impl Bound {
    /// M of flat finite `rows`; 1 when all are zero.
    #[must_use]
    pub fn of(rows: &[f32], dim: usize) -> Self {
        let greatest = rows.chunks_exact(dim).map(squared_norm).fold(0.0, f32::max).sqrt();
        Self(if greatest.is_normal() { greatest } else { 1.0 })
    }

    /// The augmented row, `dim` + 16 long to keep whole lanes. A row longer than M, which was
    /// overwritten since, is taken as of length M.
    pub fn augment_row(self, row: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.extend(row.iter().map(|value| value / self.0));
        let rest = 1.0 - squared_norm(out);
        out.push(rest.max(0.0).sqrt());
        out.resize(row.len() + LANES, 0.0);
    }
}

/// The augmented query; `None` when it is zero or not finite and so has no nearest row.
#[must_use]
pub fn augment_query(query: &[f32]) -> Option<Vec<f32>> {
    let norm = squared_norm(query).sqrt();
    if !norm.is_normal() {
        return None;
    }
    let mut out: Vec<f32> = query.iter().map(|value| value / norm).collect();
    out.resize(query.len() + LANES, 0.0);
    Some(out)
}

/// Squared Euclidean distance, for the graph. Never NaN or negative, which it would not survive.
#[derive(Clone, Copy, Debug, Default)]
pub struct SquaredL2;

impl Distance<f32> for SquaredL2 {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        // `min` also turns NaN into the greatest distance.
        squared_distance(a, b).min(f32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eddyline_model::kernel::dot;

    #[test]
    fn distance_falls_as_the_inner_product_rises() {
        let rows: Vec<f32> = (0..16 * 40).map(|k| ((k * 53) % 97) as f32 / 20.0 - 2.0).collect();
        let query: Vec<f32> = (0..16).map(|k| (k % 5) as f32 - 1.5).collect();
        let bound = Bound::of(&rows, 16);
        let near = augment_query(&query).expect("the query is finite and not zero");
        let mut row = Vec::new();
        let mut pairs: Vec<(f32, f32)> = Vec::new();
        for vector in rows.chunks_exact(16) {
            bound.augment_row(vector, &mut row);
            assert!((squared_norm(&row) - 1.0).abs() < 1e-5, "rows lie on the unit sphere");
            pairs.push((dot(vector, &query), SquaredL2.eval(&row, &near)));
        }
        let scale = bound.0 * squared_norm(&query).sqrt();
        for (product, distance) in pairs {
            assert!((distance - (2.0 - 2.0 * product / scale)).abs() < 1e-4);
        }
    }

    #[test]
    fn what_is_not_finite_stays_out_of_the_graph() {
        assert_eq!(augment_query(&[0.0; 16]), None);
        assert_eq!(augment_query(&[f32::NAN; 16]), None);
        assert_eq!(augment_query(&[f32::MAX; 16]), None);
        assert_eq!(SquaredL2.eval(&[f32::MAX; 16], &[-f32::MAX; 16]), f32::MAX);
    }
}
