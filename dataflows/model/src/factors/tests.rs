//! Laws of the factor model: gradients, stability, determinism, and that bad numbers never enter.

use super::Row;
use super::apply::{apply_context, apply_item};
use super::config::FactorsConfig;
use super::initial::initial_item_vector;
use super::learn::{Example, Learner, learn};
use super::outbox::{Outbox, Target};
use super::represent::represent;
use crate::item::{ItemRef, ItemRows};
use crate::kernel::{dot, squared_norm};
use crate::philox::{Draws, Purpose, RecordKey};

const DIM: usize = 16;
const ITEMS: u32 = 40;

struct Rows {
    vectors: Vec<Vec<f32>>,
    contexts: Vec<Vec<f32>>,
}

impl ItemRows for Rows {
    fn count(&self) -> u64 {
        self.vectors.len() as u64
    }
    fn nth(&self, k: u64) -> ItemRef {
        ItemRef(k as u32)
    }
    fn vector(&self, item: ItemRef) -> Option<&[f32]> {
        self.vectors.get(item.0 as usize).map(Vec::as_slice)
    }
    fn context(&self, item: ItemRef) -> Option<&[f32]> {
        self.contexts.get(item.0 as usize).map(Vec::as_slice)
    }
}

fn config() -> FactorsConfig {
    FactorsConfig { dim: DIM, negatives: 8, initial_scale: 0.3, ..FactorsConfig::default() }
}

fn rows(config: &FactorsConfig) -> Rows {
    let fresh = |seed: u64, item: u32| {
        let mut vector = vec![0.0; DIM];
        initial_item_vector(config, seed, u64::from(item), None, &mut vector);
        vector
    };
    Rows {
        vectors: (0..ITEMS).map(|item| fresh(1, item)).collect(),
        contexts: (0..ITEMS).map(|item| fresh(2, item)).collect(),
    }
}

fn draws(offset: u64) -> Draws {
    let record = RecordKey { seed: 9, topic_hash: 4, partition: 0, offset };
    Draws::new(&record, Purpose::Negative)
}

fn example<'a>(recent: &'a [ItemRef], item: u32) -> Example<'a> {
    Example { recent, seen: recent, item: ItemRef(item), positive: true, weight: 1.0 }
}

/// Runs the read phase for a user whose vector is all `value`; gives the outbox.
fn read_phase(config: &FactorsConfig, rows: &Rows, example: &Example<'_>, value: f32) -> Outbox {
    let mut outbox = Outbox::new(DIM);
    let (mut vector, mut accumulator) = (vec![value; DIM], 0.0);
    let user = Row { vector: &mut vector, accumulator: &mut accumulator };
    learn(&Learner { config, rows }, user, example, &mut draws(1), &mut outbox);
    assert!(vector.iter().all(|v| v.is_finite()) && vector[0] != value, "the user moved");
    outbox
}

/// ln of the true item's share in the softmax over the outbox's items, in f64.
fn log_share(config: &FactorsConfig, rows: &Rows, outbox: &Outbox, x: &[f32]) -> f64 {
    let stands =
        (f64::from(ITEMS) / (outbox.items.len() - 1) as f64).ln() * f64::from(config.correction);
    let score = |k: usize| -> f64 {
        let vector = &rows.vectors[outbox.items[k].item.0 as usize];
        let sum: f64 = vector.iter().zip(x).map(|(v, x)| f64::from(*v) * f64::from(*x)).sum();
        if k == 0 { sum } else { sum + stands }
    };
    let total: f64 = (0..outbox.items.len()).map(|k| score(k).exp()).sum();
    score(0) - total.ln()
}

#[test]
fn the_gradient_equals_finite_differences() {
    let config = config();
    let rows = rows(&config);
    let recent = [ItemRef(1), ItemRef(2)];
    let outbox = read_phase(&config, &rows, &example(&recent, 7), 0.1);
    let gradient = outbox.vector(outbox.contexts[0].gradient);
    let x = outbox.vector(outbox.items[0].x);
    for k in 0..DIM {
        let at = |step: f32| {
            let mut moved = x.to_vec();
            moved[k] += step;
            log_share(&config, &rows, &outbox, &moved)
        };
        let want = (at(1e-2) - at(-1e-2)) / 2e-2;
        assert!((f64::from(gradient[k]) - want).abs() < 2e-3, "{k}: {} {want}", gradient[k]);
    }
}

#[test]
fn residuals_of_one_event_are_those_of_one_softmax() {
    let config = FactorsConfig { correction: 0.0, ..config() };
    let rows = rows(&config);
    let outbox = read_phase(&config, &rows, &example(&[ItemRef(1)], 7), 0.1);
    let x = outbox.vector(outbox.items[0].x);
    let residual = |k: usize| {
        let update = &outbox.items[k];
        update.target.residual(dot(&rows.vectors[update.item.0 as usize], x))
    };
    let sum: f32 = (0..outbox.items.len()).map(residual).sum();
    assert!(sum.abs() < 1e-5, "probabilities sum to one: {sum}");
    assert!(residual(0) > 0.0 && (1..outbox.items.len()).all(|k| residual(k) < 0.0));
}

#[test]
fn seen_items_are_not_drawn_and_a_dislike_moves_only_its_item() {
    let config = FactorsConfig { negatives: 200, ..config() };
    let rows = rows(&config);
    let seen: Vec<ItemRef> = (0..30).map(ItemRef).collect();
    let mut dislike = Example { seen: &seen, ..example(&[], 7) };
    let outbox = read_phase(&config, &rows, &dislike, 0.1);
    assert!(outbox.items[1..].iter().all(|update| update.item.0 >= 30));
    assert!(outbox.items.len() > 3 && outbox.contexts.is_empty());
    dislike.positive = false;
    let outbox = read_phase(&config, &rows, &dislike, 0.1);
    assert_eq!((outbox.items.len(), outbox.items[0].item), (1, ItemRef(7)));
    assert!(outbox.items[0].target.residual(0.0) < 0.0);
}

#[test]
fn an_epoch_of_equal_messages_stays_bounded() {
    let config = FactorsConfig { item_rate: 5.0, decay: 0.0, ..config() };
    let (mut vector, mut accumulator) = (vec![0.1; DIM], 0.0);
    let target = Target { label: 1.0, log_rest: 1.0, weight: 1.0 };
    for _ in 0..4_096 {
        let row = Row { vector: &mut vector, accumulator: &mut accumulator };
        apply_item(&config, row, &[0.5; DIM], &target);
    }
    assert!(squared_norm(&vector) <= config.norm_cap * config.norm_cap * 1.001);
    assert!(target.residual(dot(&vector, &[0.5; DIM])) < 0.1, "re-evaluation ends the ascent");
}

#[test]
fn bad_numbers_never_enter_a_row() {
    let config = config();
    let (mut vector, mut accumulator) = (vec![0.1; DIM], 1.0);
    for bad in [f32::NAN, f32::INFINITY, f32::MAX] {
        let target = Target { label: 1.0, log_rest: 0.0, weight: bad };
        let x = [bad; DIM];
        apply_item(
            &config,
            Row { vector: &mut vector, accumulator: &mut accumulator },
            &x,
            &target,
        );
        apply_context(&config, Row { vector: &mut vector, accumulator: &mut accumulator }, &x, bad);
        let x = [1.0; DIM];
        apply_item(
            &config,
            Row { vector: &mut vector, accumulator: &mut accumulator },
            &x,
            &target,
        );
    }
    assert!(accumulator.is_finite() && vector.iter().all(|v| v.is_finite()));
}

#[test]
fn training_raises_the_true_item() {
    let config = config();
    let mut rows = rows(&config);
    let (mut vector, mut accumulator) = (vec![0.0; DIM], 0.0);
    let mut accumulators = [0.0; ITEMS as usize];
    let score = |rows: &Rows, user: &[f32]| {
        let mut x = [0.0; DIM];
        represent(&config, Some(user), &[ItemRef(1)], rows, &mut x);
        dot(&rows.vectors[7], &x) - dot(&rows.vectors[8], &x)
    };
    let before = score(&rows, &vector);
    for offset in 0..50 {
        let mut outbox = Outbox::new(DIM);
        let user = Row { vector: &mut vector, accumulator: &mut accumulator };
        let learner = Learner { config: &config, rows: &rows };
        learn(&learner, user, &example(&[ItemRef(1)], 7), &mut draws(offset), &mut outbox);
        for update in &outbox.items {
            let at = update.item.0 as usize;
            let row = Row { vector: &mut rows.vectors[at], accumulator: &mut accumulators[at] };
            apply_item(&config, row, outbox.vector(update.x), &update.target);
        }
    }
    assert!(score(&rows, &vector) > before + 1.0);
}

#[test]
fn first_vectors_depend_on_the_item_alone_and_start_at_the_centroid() {
    let config = config();
    let fresh = |hash: u64, centroid: Option<&[f32]>| {
        let mut vector = vec![9.0; DIM];
        initial_item_vector(&config, 1, hash, centroid, &mut vector);
        vector
    };
    assert_eq!(fresh(3, None), fresh(3, None));
    assert_ne!(fresh(3, None), fresh(4, None));
    let moved = fresh(3, Some(&[2.0; DIM]));
    assert!(fresh(3, None).iter().zip(moved).all(|(a, b)| (b - a - 2.0).abs() < 1e-6));
}
