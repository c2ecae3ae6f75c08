//! Dense f32 kernels with one fixed order of summation.
//!
//! A sum runs in [`LANES`] independent lanes that meet in a fixed tree, so scalar,
//! SSE2, AVX and NEON builds give the same bits. The loops are plain arrays that the
//! compiler vectorises; Rust never contracts a multiply and an add into an FMA.
//! On x86-64 each kernel is compiled twice and the CPU chooses at run time: eight numbers an
//! instruction instead of four are twice as fast, and the bits are those of the same lanes.
//! Lengths are multiples of [`LANES`]; a shorter tail would be ignored, hence the asserts.

mod ahead;

use multiversion::multiversion;

pub use ahead::read_soon;

/// Lanes of every sum; vector dimensions are multiples of it.
pub const LANES: usize = 16;

/// Adds the lanes pairwise, always in the same tree.
#[inline(always)]
fn fold_lanes(lanes: &[f32; LANES]) -> f32 {
    let mut eight = [0.0f32; 8];
    for (k, sum) in eight.iter_mut().enumerate() {
        *sum = lanes[k] + lanes[k + 8];
    }
    let four = [eight[0] + eight[4], eight[1] + eight[5], eight[2] + eight[6], eight[3] + eight[7]];
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Adds x·y lane by lane. Whole arrays, so that the compiler sees four vector registers.
#[inline(always)]
fn accumulate(lanes: &mut [f32; LANES], x: &[f32; LANES], y: &[f32; LANES]) {
    for k in 0..LANES {
        lanes[k] += x[k] * y[k];
    }
}

/// Inner product.
#[multiversion(targets("x86_64+avx2"))]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert!(
        a.len() == b.len() && a.len().is_multiple_of(LANES),
        "equal lengths in whole lanes"
    );
    let mut lanes = [0.0f32; LANES];
    for (x, y) in a.as_chunks().0.iter().zip(b.as_chunks().0) {
        accumulate(&mut lanes, x, y);
    }
    fold_lanes(&lanes)
}

/// The three inner products of two vectors.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Products {
    /// a·a.
    pub first: f32,
    /// a·b.
    pub cross: f32,
    /// b·b.
    pub second: f32,
}

impl Products {
    /// Squared length of `p·a + q·b`.
    pub fn combined(&self, p: f32, q: f32) -> f32 {
        p * p * self.first + 2.0 * p * q * self.cross + q * q * self.second
    }
}

/// a·a, a·b and b·b in one pass; each has the bits of its own [`dot`].
#[multiversion(targets("x86_64+avx2"))]
pub fn products(a: &[f32], b: &[f32]) -> Products {
    debug_assert!(
        a.len() == b.len() && a.len().is_multiple_of(LANES),
        "equal lengths in whole lanes"
    );
    let mut lanes = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
    for (x, y) in a.as_chunks().0.iter().zip(b.as_chunks().0) {
        accumulate(&mut lanes.0, x, x);
        accumulate(&mut lanes.1, x, y);
        accumulate(&mut lanes.2, y, y);
    }
    Products {
        first: fold_lanes(&lanes.0),
        cross: fold_lanes(&lanes.1),
        second: fold_lanes(&lanes.2),
    }
}

/// Squared Euclidean length.
pub fn squared_norm(a: &[f32]) -> f32 {
    dot(a, a)
}

/// Squared Euclidean distance.
#[multiversion(targets("x86_64+avx2"))]
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    debug_assert!(
        a.len() == b.len() && a.len().is_multiple_of(LANES),
        "equal lengths in whole lanes"
    );
    let mut lanes = [0.0f32; LANES];
    for (x, y) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for k in 0..LANES {
            let difference = x[k] - y[k];
            lanes[k] += difference * difference;
        }
    }
    fold_lanes(&lanes)
}

/// `y += scale · x`.
#[multiversion(targets("x86_64+avx2"))]
pub fn add_scaled(y: &mut [f32], scale: f32, x: &[f32]) {
    debug_assert!(y.len() == x.len(), "equal lengths");
    for (to, from) in y.iter_mut().zip(x) {
        *to += scale * from;
    }
}

/// `y = keep · y + scale · x`.
#[multiversion(targets("x86_64+avx2"))]
pub fn scale_add(y: &mut [f32], keep: f32, scale: f32, x: &[f32]) {
    debug_assert!(y.len() == x.len(), "equal lengths");
    for (to, from) in y.iter_mut().zip(x) {
        *to = keep * *to + scale * from;
    }
}

/// `y *= factor`.
pub fn scale(y: &mut [f32], factor: f32) {
    for value in y {
        *value *= factor;
    }
}

/// Inner products of `x` with each row of the flat `rows`, two rows at a time so that each load of
/// `x` serves both and their sums stay in registers. Same bits as [`dot`] row by row.
pub fn dot_rows(rows: &[f32], x: &[f32], out: &mut [f32]) {
    let dim = x.len();
    debug_assert!(rows.len() == dim * out.len(), "one row of dim per output");
    let pairs = rows.chunks_exact(2 * dim);
    let last = pairs.remainder();
    let mut outs = out.chunks_exact_mut(2);
    for (pair, two) in pairs.zip(&mut outs) {
        let (first, second) = pair.split_at(dim);
        dot_two(first, second, x, two);
    }
    if let [one] = outs.into_remainder() {
        *one = dot(last, x);
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn dot_two(first: &[f32], second: &[f32], x: &[f32], out: &mut [f32]) {
    let mut lanes = ([0.0f32; LANES], [0.0f32; LANES]);
    let rows = first.as_chunks().0.iter().zip(second.as_chunks().0);
    for ((a, b), x) in rows.zip(x.as_chunks().0) {
        accumulate(&mut lanes.0, a, x);
        accumulate(&mut lanes.1, b, x);
    }
    out[0] = fold_lanes(&lanes.0);
    out[1] = fold_lanes(&lanes.1);
}

#[cfg(test)]
mod tests {
    use super::{
        LANES, Products, add_scaled, dot, dot_rows, products, scale, scale_add, squared_distance,
        squared_norm,
    };
    use crate::philox::{Draws, Purpose, RecordKey};

    fn random(seed: u64, length: usize) -> Vec<f32> {
        let record = RecordKey { seed, topic_hash: 0, partition: 0, offset: 0 };
        let mut draws = Draws::new(&record, Purpose::Initial);
        (0..length).map(|_| 2.0 * draws.unit_f32() - 1.0).collect()
    }

    /// The order of summation written out: one scalar at a time.
    fn oracle(a: &[f32], b: &[f32]) -> f32 {
        let mut lanes = [0.0f32; LANES];
        for (k, (x, y)) in a.iter().zip(b).enumerate() {
            lanes[k % LANES] += x * y;
        }
        for width in [8, 4, 2, 1] {
            for k in 0..width {
                lanes[k] += lanes[k + width];
            }
        }
        lanes[0]
    }

    #[test]
    fn dot_has_the_bits_of_the_scalar_oracle() {
        for length in [0, 16, 64, 128, 272] {
            let (a, b) = (random(1, length), random(2, length));
            assert_eq!(dot(&a, &b).to_bits(), oracle(&a, &b).to_bits(), "length {length}");
            assert_eq!(squared_norm(&a).to_bits(), oracle(&a, &a).to_bits(), "length {length}");
        }
    }

    #[test]
    fn distance_has_the_bits_of_the_scalar_oracle() {
        let (a, b) = (random(9, 144), random(10, 144));
        let differences: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        let want = oracle(&differences, &differences);
        assert_eq!(squared_distance(&a, &b).to_bits(), want.to_bits());
    }

    #[test]
    fn rows_have_the_bits_of_single_rows() {
        for count in [1, 2, 5, 8] {
            let (rows, x) = (random(3, count * 48), random(4, 48));
            let mut out = vec![0.0; count];
            dot_rows(&rows, &x, &mut out);
            for (row, value) in rows.chunks_exact(48).zip(out) {
                assert_eq!(value.to_bits(), oracle(row, &x).to_bits(), "{count} rows");
            }
        }
    }

    #[test]
    fn products_have_the_bits_of_the_scalar_oracle() {
        for length in [0, 16, 64, 128, 272] {
            let (a, b) = (random(7, length), random(8, length));
            let got = products(&a, &b);
            let want =
                Products { first: oracle(&a, &a), cross: oracle(&a, &b), second: oracle(&b, &b) };
            let bits = |of: &Products| [of.first, of.cross, of.second].map(f32::to_bits);
            assert_eq!(bits(&got), bits(&want), "length {length}");
        }
    }

    #[test]
    fn products_give_the_length_of_a_combination() {
        let (a, b) = (random(5, 64), random(6, 64));
        let mut sum = a.clone();
        scale_add(&mut sum, 0.9, 0.3, &b);
        let want = squared_norm(&sum);
        assert!((products(&a, &b).combined(0.9, 0.3) - want).abs() < 1e-5 * want);
        scale(&mut sum, 0.0);
        add_scaled(&mut sum, 2.0, &a);
        assert_eq!(sum[7].to_bits(), (2.0 * a[7]).to_bits(), "zero plus twice a");
    }
}
