//! The graph against the exact scan, on rows as matrix factorisation learns them: clustered
//! directions, log-normal lengths.

use std::ops::ControlFlow;
use std::time::Instant;

use eddyline_index::exact::ExactScan;
use eddyline_index::graph::{GraphConfig, GraphIndex, Snapshot, build};
use eddyline_index::search::{Hit, ItemIndex, Query, recall};
use eddyline_index::store::{Slot, VectorStore};
use eddyline_model::philox::philox4x32;

const CLUSTERS: u64 = 60;

/// A fixed sequence of numbers.
struct Numbers {
    seed: u32,
    drawn: u32,
}

impl Numbers {
    fn unit(&mut self) -> f32 {
        self.drawn += 1;
        let word = philox4x32([self.drawn, 0, 0, 0], [self.seed, 7])[0];
        (word >> 8) as f32 / 16_777_216.0
    }

    /// Nearly normal: twelve uniform numbers less six (Irwin-Hall).
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }

    fn direction(&mut self, dim: usize) -> Vec<f32> {
        let raw: Vec<f32> = (0..dim).map(|_| self.normal()).collect();
        let norm = raw.iter().map(|value| value * value).sum::<f32>().sqrt();
        raw.iter().map(|value| value / norm).collect()
    }

    /// A point near one of the `centres`, of log-normal length.
    fn near(&mut self, centres: &[Vec<f32>], spread: f32) -> Vec<f32> {
        let centre = &centres[(self.unit() * centres.len() as f32) as usize];
        let noise = self.direction(centre.len());
        let length = (0.5 * self.normal()).exp();
        centre.iter().zip(&noise).map(|(c, n)| length * (c + spread * n)).collect()
    }
}

fn catalogue(items: usize, dim: usize, queries: usize) -> (VectorStore, Vec<Vec<f32>>) {
    let mut numbers = Numbers { seed: 42, drawn: 0 };
    let centres: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| numbers.direction(dim)).collect();
    let mut store = VectorStore::new(dim);
    for _ in 0..items {
        store.push(&numbers.near(&centres, 0.8)).expect("a finite row");
    }
    let queries = (0..queries).map(|_| numbers.near(&centres, 0.6)).collect();
    (store, queries)
}

fn built(store: &VectorStore, config: &GraphConfig) -> GraphIndex {
    let mut snapshot = Snapshot::new(store.dim());
    while snapshot.copy_run(store) {}
    build(&snapshot, config, &mut |_| ControlFlow::Continue(())).expect("nobody gave up")
}

fn search(index: &dyn ItemIndex, store: &VectorStore, vector: &[f32], k: usize) -> Vec<Hit> {
    index.search(store, &Query { vector, k, keep: &|_| true })
}

fn mean_recall(index: &dyn ItemIndex, store: &VectorStore, queries: &[Vec<f32>], k: usize) -> f32 {
    let one = |query: &Vec<f32>| {
        recall(&search(&ExactScan, store, query, k), &search(index, store, query, k))
    };
    queries.iter().map(one).sum::<f32>() / queries.len() as f32
}

#[test]
fn the_graph_finds_what_the_scan_finds() {
    let (mut store, queries) = catalogue(50_000, 64, 40);
    let config = GraphConfig { neighbours: 16, ef_construction: 80, ef_search: 600 };
    let begun = Instant::now();
    let graph = built(&store, &config);
    let at_build = mean_recall(&graph, &store, &queries, 100);
    println!("recall@100 {at_build:.3} at 50,000 x 64, built in {:.1?}", begun.elapsed());
    assert!(at_build >= 0.93, "recall@100 is {at_build}");

    // Every row moves by a fifth of its length under the standing graph, a tenth of the items is
    // taken out, and new ones join.
    let mut numbers = Numbers { seed: 9, drawn: 0 };
    for slot in (0..50_000).map(Slot) {
        let noise = numbers.direction(64);
        let row = store.row(slot).to_vec();
        let step = 0.2 * row.iter().map(|value| value * value).sum::<f32>().sqrt();
        let moved: Vec<f32> = row.iter().zip(&noise).map(|(r, n)| r + step * n).collect();
        store.overwrite(slot, &moved).expect("a finite row");
        store.set_live(slot, slot.0 % 10 != 0);
    }
    let loudest: Vec<f32> = queries[0].iter().map(|value| value * 100.0).collect();
    let newest = store.push(&loudest).expect("a finite row");
    let drift = graph.drift(&store);
    assert!((0.19..0.21).contains(&drift), "a move by a fifth is a drift of {drift}");
    let found = search(&graph, &store, &queries[0], 100);
    assert_eq!(found[0].slot, newest, "a row that joined after the build is found");
    assert!(found.iter().all(|hit| hit.slot == newest || hit.slot.0 % 10 != 0), "no tombstone");
    let drifted = mean_recall(&graph, &store, &queries, 100);
    println!("recall@100 {drifted:.3} after every row moved by a fifth of its length");
    assert!(drifted >= 0.92, "recall@100 is {drifted}");
}

#[test]
fn a_search_is_short_only_when_the_catalogue_is() {
    let (store, queries) = catalogue(2_000, 16, 1);
    let config = GraphConfig { neighbours: 8, ef_construction: 40, ef_search: 64 };
    let graph = built(&store, &config);
    let keep = |slot: Slot| slot.0 < 30;
    for k in [10, 50] {
        let query = Query { vector: &queries[0], k, keep: &keep };
        assert_eq!(graph.search(&store, &query), ExactScan.search(&store, &query));
    }
    let zero = Query { vector: &[0.0; 16], k: 5, keep: &|_| true };
    assert_eq!(graph.search(&store, &zero), ExactScan.search(&store, &zero));
    let poison = Query { vector: &[f32::NAN; 16], k: 5, keep: &|_| true };
    assert!(graph.search(&store, &poison).is_empty(), "scores that are no numbers find nothing");
}

#[test]
fn a_build_can_be_given_up() {
    let (store, _) = catalogue(1_000, 16, 0);
    let mut snapshot = Snapshot::new(16);
    while snapshot.copy_run(&store) {}
    let give_up =
        &mut |done| if done < 300 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    assert!(build(&snapshot, &GraphConfig::default(), give_up).is_none());
}

/// Prints a table; `cargo test --release -p eddyline-index -- --ignored --nocapture`.
#[test]
#[ignore = "a benchmark: minutes, and only meaningful in release"]
fn benchmark_of_scan_and_graph() {
    for (items, dim) in [(30_000, 128), (100_000, 128)] {
        let (store, queries) = catalogue(items, dim, 200);
        for k in [100, 500] {
            let begun = Instant::now();
            queries.iter().for_each(|query| drop(search(&ExactScan, &store, query, k)));
            let rate = queries.len() as f64 / begun.elapsed().as_secs_f64();
            println!("exact {items} x {dim} k {k}: recall 1.000, {rate:.0} queries/s");
        }
        let begun = Instant::now();
        let mut graph = built(&store, &GraphConfig::default());
        let seconds = begun.elapsed().as_secs_f64();
        for (k, ef) in [(100, 200), (100, 400), (100, 800), (500, 800), (500, 1_600)] {
            graph.set_ef_search(ef);
            let recall = mean_recall(&graph, &store, &queries, k);
            let begun = Instant::now();
            queries.iter().for_each(|query| drop(search(&graph, &store, query, k)));
            let rate = queries.len() as f64 / begun.elapsed().as_secs_f64();
            println!(
                "hnsw {items} x {dim} k {k} ef {ef}: recall {recall:.3}, {rate:.0} queries/s, built in {seconds:.0} s"
            );
        }
    }
}
