//! Dense f32 kernels with one fixed order of summation.
//!
//! A sum runs in [`LANES`] independent lanes that meet in a fixed tree, so scalar,
//! SSE2, AVX and NEON builds give the same bits. The loops are plain arrays that the
//! compiler vectorises; Rust never contracts a multiply and an add into an FMA.
//! Lengths are multiples of [`LANES`]; a shorter tail would be ignored, hence the asserts.

/// Lanes of every sum; vector dimensions are multiples of it.
pub const LANES: usize = 16;

/// Adds the lanes pairwise, always in the same tree.
fn fold_lanes(lanes: &[f32; LANES]) -> f32 {
    let mut eight = [0.0f32; 8];
    for (k, sum) in eight.iter_mut().enumerate() {
        *sum = lanes[k] + lanes[k + 8];
    }
    let four = [eight[0] + eight[4], eight[1] + eight[5], eight[2] + eight[6], eight[3] + eight[7]];
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Inner product.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert!(a.len() == b.len() && a.len().is_multiple_of(LANES), "equal lengths in whole lanes");
    let mut lanes = [0.0f32; LANES];
    for (x, y) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for k in 0..LANES {
            lanes[k] += x[k] * y[k];
        }
    }
    fold_lanes(&lanes)
}

/// Squared Euclidean length.
pub fn squared_norm(a: &[f32]) -> f32 {
    dot(a, a)
}

/// `y += scale · x`.
pub fn add_scaled(y: &mut [f32], scale: f32, x: &[f32]) {
    debug_assert!(y.len() == x.len(), "equal lengths");
    for (to, from) in y.iter_mut().zip(x) {
        *to += scale * from;
    }
}

/// `y *= factor`.
pub fn scale(y: &mut [f32], factor: f32) {
    for value in y {
        *value *= factor;
    }
}

/// Shrinks `y` onto the ball of radius `cap` when it is outside.
pub fn cap_norm(y: &mut [f32], cap: f32) {
    let squared = squared_norm(y);
    if squared > cap * cap {
        scale(y, cap / squared.sqrt());
    }
}

/// Inner products of `x` with each row of the flat `rows`, four rows at a time so that
/// each load of `x` serves four rows. Same bits as [`dot`] row by row.
pub fn dot_rows(rows: &[f32], x: &[f32], out: &mut [f32]) {
    let dim = x.len();
    debug_assert!(rows.len() == dim * out.len(), "one row of dim per output");
    let mut blocks = rows.chunks_exact(4 * dim);
    let mut outs = out.chunks_exact_mut(4);
    for (block, four) in (&mut blocks).zip(&mut outs) {
        dot_four(block, x, four);
    }
    for (row, one) in blocks.remainder().chunks_exact(dim).zip(outs.into_remainder()) {
        *one = dot(row, x);
    }
}

/// Four rows against one vector; half the lanes at a time so that the sums stay in registers.
fn dot_four(block: &[f32], x: &[f32], out: &mut [f32]) {
    let dim = x.len();
    for (row, one) in block.chunks_exact(dim).zip(out) {
        *one = dot(row, x);
    }
}
