//! I2: same log + same bindings ⇒ same state and same deltas, for any number of workers, any
//! order of arrival, and live as well as folded again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eddyline_connect::clock::SystemClock;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{Append, EventLog};
use eddyline_connect::memory::MemoryLog;
use eddyline_dataflows::{Arrival, EngineConfig, EpochLimits, Refold, StateDigest, refold, start};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::topic::{Topic, TopicPartition, partition_for};

/// A seeded shop: items that change category, users that come and go, duplicates, late and broken
/// records. SplitMix64 (Steele et al., OOPSLA 2014).
struct Shop(u64);

impl Shop {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn event(&mut self, n: u64) -> (Topic, String, String) {
        // Skewed: low numbers come often.
        let user = self.draw(60).min(self.draw(60));
        let item = self.draw(120).min(self.draw(120));
        let second = 1_700_000_000 + n * 97 + self.draw(600);
        let at = format!(r#""timestamp":{second},"event_id":"e{}""#, n - self.draw(20) / 19);
        match self.draw(40) {
            0..3 => {
                let category = ["books", "games", "toys > blocks"][self.draw(3) as usize];
                let item_json = format!(
                    r#"{{"category":"{category}","brand":"b{}","price":{}}}"#,
                    item % 5,
                    item
                );
                let text = format!(
                    r#"{{"event_type":"item_upsert","item_id":"i{item}","item":{item_json}}}"#
                );
                (Topic::ItemEvents, format!("i{item}"), text)
            }
            3 => (
                Topic::ItemEvents,
                format!("i{item}"),
                format!(r#"{{"event_type":"item_delete","item_id":"i{item}"}}"#),
            ),
            4 => (Topic::UserEvents, "x".into(), "{broken".into()),
            5 => {
                let text = format!(
                    r#"{{"event_type":"view","user_id":"u{user}","item_id":"i{item}","timestamp":1600000000,"event_id":"l{n}"}}"#
                );
                (Topic::UserEvents, format!("u{user}"), text)
            }
            6 => (
                Topic::UserEvents,
                format!("u{user}"),
                format!(r#"{{"event_type":"search","user_id":"u{user}","query":"q{item}",{at}}}"#),
            ),
            7 => (
                Topic::Feedback,
                format!("u{user}"),
                format!(
                    r#"{{"event_type":"dislike","user_id":"u{user}","item_id":"i{item}",{at}}}"#
                ),
            ),
            8 => (
                Topic::Feedback,
                format!("u{user}"),
                format!(
                    r#"{{"event_type":"rate","rating":{},"user_id":"u{user}","item_id":"i{item}",{at}}}"#,
                    item % 6
                ),
            ),
            9 => (
                Topic::UserEvents,
                format!("u{user}"),
                format!(
                    r#"{{"event_type":"purchase","user_id":"u{user}","items":["i{item}","i{}"],{at}}}"#,
                    item / 2
                ),
            ),
            10 if n % 50 == 0 => (
                Topic::UserEvents,
                format!("u{user}"),
                format!(r#"{{"event_type":"erase","user_id":"u{user}",{at}}}"#),
            ),
            _ => (
                Topic::UserEvents,
                format!("u{user}"),
                format!(r#"{{"event_type":"view","user_id":"u{user}","item_id":"i{item}",{at}}}"#),
            ),
        }
    }
}

fn append(log: &dyn EventLog, events: u64, seed: u64) {
    let mut shop = Shop(seed);
    for n in 1..=events {
        let (topic, key, value) = shop.event(n);
        let partition = partition_for(key.as_bytes(), log.partitions(topic));
        let partition = TopicPartition { topic, partition };
        let (key, value) = (Bytes::from(key), Bytes::from(value));
        log.append(vec![Append { partition, key, value, headers: Vec::new() }])
            .expect("memory never fails");
    }
}

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core.factors.replays = 2;
    core.quality.sample_one_in = 3;
    core
}

fn config(workers: usize, events: usize) -> EngineConfig {
    let epoch = EpochLimits { events, wait: Duration::from_millis(2), backlog_events: events };
    EngineConfig { core: core(), workers, epoch }
}

/// Runs the live engine over the log until everything is committed.
fn live(log: &Arc<dyn EventLog>, workers: usize, epoch_events: usize) -> StateDigest {
    let engine =
        start(config(workers, epoch_events), Arc::clone(log), Box::new(|_| {})).expect("starts");
    loop {
        let status = engine.status();
        assert_eq!(status.failure, None);
        if status.is_recovered && status.lag_records == 0 {
            break;
        }
        // Returns early with the next epoch; a recovery that changes nothing just takes its time.
        let _ = engine.wait_committed(status.committed_epoch.next(), Duration::from_millis(20));
    }
    engine.shutdown().expect("stops")
}

fn again(log: &Arc<dyn EventLog>, workers: usize, arrival: Arrival) -> StateDigest {
    let how = Refold { workers, until: None, arrival };
    refold(
        &core(),
        Arc::clone(log),
        how,
        Box::new(|committed| {
            assert!(committed.deltas.counts.is_conserved(), "I10 at {}", committed.deltas.epoch);
            assert!(
                committed.deltas.deltas.is_sorted_by(|a, b| a.cmp_key(b).is_lt()),
                "each key once, in order"
            );
        }),
    )
    .expect("folds")
}

#[test]
fn digests_do_not_depend_on_workers_or_arrival() {
    let log: Arc<dyn EventLog> =
        Arc::new(MemoryLog::new(LogLayout::default(), Arc::new(SystemClock)));
    append(&*log, 3_000, 7);
    let lived = live(&log, 2, 200);
    assert!(lived.epoch.0 >= 15, "{lived:?}");
    for workers in [1, 2, 4] {
        assert_eq!(again(&log, workers, Arrival::ByPartition), lived, "{workers} workers");
        assert_eq!(
            again(&log, workers, Arrival::Shuffled(5)),
            lived,
            "{workers} workers, shuffled"
        );
    }
}

#[test]
fn a_restart_goes_on_where_the_bindings_end() {
    let log: Arc<dyn EventLog> =
        Arc::new(MemoryLog::new(LogLayout::default(), Arc::new(SystemClock)));
    append(&*log, 800, 1);
    let first = live(&log, 1, 100);
    append(&*log, 700, 2);
    let second = live(&log, 2, 64);
    assert!(second.epoch > first.epoch);
    assert_eq!(again(&log, 1, Arrival::ByPartition), second);
}

#[test]
fn other_epochs_are_another_history() {
    let cut = |events| {
        let log: Arc<dyn EventLog> =
            Arc::new(MemoryLog::new(LogLayout::default(), Arc::new(SystemClock)));
        append(&*log, 500, 3);
        live(&log, 1, events).state_digest
    };
    assert_ne!(cut(50), cut(500), "a digest that never changes proves nothing");
}
