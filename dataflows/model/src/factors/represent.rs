//! A user's representation, one definition for learning and serving (I1).

use super::config::FactorsConfig;
use crate::item::{ItemRef, ItemRows};
use crate::kernel::{add_scaled, read_soon};

/// Writes x = p_u + Σ_k w_k·c_{i_k} into `out` (`dim` long). `user` is `None` for a user without a
/// vector; `recent` is newest first; items without a context row count as zero but keep their place.
pub fn represent<R: ItemRows + ?Sized>(
    config: &FactorsConfig,
    user: Option<&[f32]>,
    recent: &[ItemRef],
    rows: &R,
    out: &mut [f32],
) {
    let horizon = recent.iter().take(config.horizon);
    horizon.filter_map(|&item| rows.context(item)).for_each(read_soon);
    match user {
        Some(vector) => out.copy_from_slice(vector),
        None => out.fill(0.0),
    }
    for (&item, weight) in recent.iter().zip(config.context_weights()) {
        if let Some(context) = rows.context(item) {
            add_scaled(out, weight, context);
        }
    }
}
