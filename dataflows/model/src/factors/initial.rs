//! First values of rows. Users and contexts start at zero, items at the centroid of their kind
//! plus a little noise: without noise, zero times zero would never move.

use super::config::FactorsConfig;
use crate::philox::{Draws, Purpose, RecordKey};

/// Writes an item's first vector: `centroid` (of its category, brand, tags) plus noise drawn from
/// (seed, hash of the item's id), so that it does not depend on when or where the item was first seen.
pub fn initial_item_vector(
    config: &FactorsConfig,
    seed: u64,
    item_hash: u64,
    centroid: Option<&[f32]>,
    out: &mut [f32],
) {
    let record = RecordKey { seed, topic_hash: item_hash, partition: 0, offset: 0 };
    let mut draws = Draws::new(&record, Purpose::Initial);
    // A uniform number in [-1, 1) has a mean square of 1/3.
    let width = config.initial_scale * 1.732_050_8;
    for (k, value) in out.iter_mut().enumerate() {
        let noise = (2.0 * draws.unit_f32() - 1.0) * width;
        *value = noise + centroid.map_or(0.0, |vector| vector[k]);
    }
}
