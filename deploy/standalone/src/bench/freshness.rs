//! `bench freshness`: how soon an accepted event changes what its user is recommended.
//!
//! One sample: post a view, and from the arrival of the 202 time the first answer to
//! `GET /v1/recommendations` of that user whose epoch covers the view (by its consistency token)
//! and that leaves the item out or gives it as a reason. Everything goes over HTTP on loopback,
//! while other events stream in. Half of the users are new, half have a short history.
//!
//! With a feature store beside the process, each sample goes on until that store, asked through
//! `GET /v1/users/{id}/features?source=store`, holds the user as of that epoch: `store_p50_ms` and
//! `store_p99_ms`, from the 202 too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::stream::{Stream, StreamShape};
use super::with_http;
use crate::client::{Client, encode};
use crate::demo::rng::Dice;
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::node::Node;
use crate::output::Progress;
use crate::source::wall_clock;

/// How long one request may wait on the server for its own write.
const MAX_WAIT_MS: u64 = 100;
/// A sample that takes longer is a failure, not a number.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Between two posts of the background load.
const TICK: Duration = Duration::from_millis(10);

/// What is printed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FreshnessReport {
    /// Half of the samples are faster.
    pub p50_ms: f64,
    /// One in a hundred is slower.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// Half of the samples are in the feature store sooner; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_p50_ms: Option<f64>,
    /// One in a hundred is in the feature store later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_p99_ms: Option<f64>,
    /// Background load that was really posted.
    pub events_per_second: f64,
    /// Samples taken.
    pub samples: usize,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Other events per second.
    pub(crate) rate: u64,
    /// At least 1.
    pub(crate) samples: usize,
    /// How many events of the stream are on the log already.
    pub(crate) from: u64,
}

/// As [`measure`], of a node that has the catalogue of `shape`.
pub(crate) fn of_node(node: &Node, shape: StreamShape, asked: Asked) -> Outcome<FreshnessReport> {
    let has_store = !node.config().features.is_in_process();
    with_http(node, |client| measure(client, shape, asked, has_store))
}

/// Takes the samples while other events stream in.
pub(super) fn measure(
    client: &Client,
    shape: StreamShape,
    asked: Asked,
    has_store: bool,
) -> Outcome<FreshnessReport> {
    let samples = asked.samples;
    let background = Background::start(client.clone(), shape, asked)?;
    // The load reaches its pace, and serving its steady state, before the first sample.
    std::thread::sleep(Duration::from_secs(1));
    let mut dice = Dice::new(shape.seed, 9);
    let mut progress = Progress::new("samples", samples as u64);
    let (mut times, mut stored) = (Vec::with_capacity(samples), Vec::new());
    let sampled: Outcome = (0..samples).try_for_each(|number| {
        let user = if number % 2 == 0 { number } else { dice.below(number) };
        let visible = sample(client, number, user, dice.below(shape.items))?;
        times.push(visible.took);
        if has_store {
            stored.push(in_store(client, user, &visible)?);
        }
        progress.set(number as u64 + 1);
        Ok(())
    });
    progress.finish();
    let events_per_second = background.stop()?;
    sampled?;
    times.sort_unstable();
    stored.sort_unstable();
    let [p50_ms, p99_ms, max_ms] = [0.5, 0.99, 1.0].map(|share| at(&times, share).unwrap_or(0.0));
    let [store_p50_ms, store_p99_ms] = [0.5, 0.99].map(|share| at(&stored, share));
    let samples = times.len();
    Ok(FreshnessReport {
        p50_ms,
        p99_ms,
        max_ms,
        store_p50_ms,
        store_p99_ms,
        events_per_second,
        samples,
    })
}

/// The time in ms that `share` of `times`, sorted, do not pass.
fn at(times: &[Duration], share: f64) -> Option<f64> {
    let place = ((times.len() as f64 * share).ceil() as usize).max(1);
    times.get(place - 1).map(|time| time.as_secs_f64() * 1_000.0)
}

/// An event that an answer reflects.
struct Visible {
    accepted: Instant,
    took: Duration,
    /// The epoch that binds it.
    epoch: u64,
}

/// Until the feature store holds `user` as of the event's epoch.
fn in_store(client: &Client, user: usize, visible: &Visible) -> Outcome<Duration> {
    let path = format!("/v1/users/fresh-{user}/features?source=store");
    loop {
        // A user who is not there yet is not found.
        let asked = client.try_get(&path).or_stop(Exit::Unavailable, || path.clone())?;
        let answer = asked.json();
        let held = answer["model"]["user_epoch"].as_u64();
        if answer["fallback"].is_null() && held.is_some_and(|held| held >= visible.epoch) {
            return Ok(visible.accepted.elapsed());
        }
        if visible.accepted.elapsed() > GIVE_UP {
            let message = format!("after {GIVE_UP:?} a view is not in the feature store: {answer}");
            return Err(Stop::new(Exit::Failure, message));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// One sample; see the module doc.
fn sample(client: &Client, number: usize, user: usize, item: usize) -> Outcome<Visible> {
    let item = format!("item-{item}");
    let event = json!({
        "event_id": format!("fresh-{number}"),
        "event_type": "view",
        "user_id": format!("fresh-{user}"),
        "item_id": item,
        "timestamp": wall_clock().0,
    });
    let posted = client.post_events(&serde_json::to_vec(&event).unwrap_or_default())?;
    let accepted = Instant::now();
    let Some(token) = posted["consistency_token"].as_str() else {
        return Err(Stop::new(Exit::Failure, format!("a view was not accepted: {posted}")));
    };
    let path = format!(
        "/v1/recommendations?user_id=fresh-{user}&num_results=20&after={}&max_wait_ms={MAX_WAIT_MS}",
        encode(token)
    );
    loop {
        let answer = client.get(&path)?;
        if covers(&answer) && reflects(&answer, &item) {
            let epoch = answer["consistency"]["epoch"].as_u64().unwrap_or(0);
            return Ok(Visible { accepted, took: accepted.elapsed(), epoch });
        }
        if accepted.elapsed() > GIVE_UP {
            let message = format!("after {GIVE_UP:?} a view of {item} is not visible: {answer}");
            return Err(Stop::new(Exit::Failure, message));
        }
    }
}

/// The answer's epoch is at or after the one that binds the view.
fn covers(answer: &Value) -> bool {
    let bound = answer["consistency"]["epoch"].as_u64();
    let epoch = answer["model"]["epoch"].as_u64();
    bound.is_some_and(|bound| epoch.is_some_and(|epoch| epoch >= bound))
}

/// The item is left out, or it is the reason for another.
fn reflects(answer: &Value, item: &str) -> bool {
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    let is_absent = items.iter().all(|one| one["item_id"] != item);
    let reasons = items.iter().filter_map(|one| one["explanations"].as_array()).flatten();
    is_absent || reasons.into_iter().any(|reason| reason["item_id"] == item)
}

/// Other events, posted at an even pace.
struct Background {
    stop: Arc<AtomicBool>,
    posted: Arc<AtomicU64>,
    started: Instant,
    thread: std::thread::JoinHandle<Outcome>,
}

impl Background {
    fn start(client: Client, shape: StreamShape, asked: Asked) -> Outcome<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let posted = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        let (flag, count) = (Arc::clone(&stop), Arc::clone(&posted));
        let thread = std::thread::Builder::new()
            .name("bench-load".into())
            .spawn(move || load(&client, &shape, asked, (&flag, &count)))
            .or_stop(Exit::Io, || "starting a thread".into())?;
        Ok(Self { stop, posted, started, thread })
    }

    /// Ends the load and tells how fast it was.
    fn stop(self) -> Outcome<f64> {
        let elapsed = self.started.elapsed();
        let posted = self.posted.load(Ordering::Relaxed);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Stop::new(Exit::Bug, "the load generator panicked"))??;
        Ok(posted as f64 / elapsed.as_secs_f64().max(1e-9))
    }
}

fn load(
    client: &Client,
    shape: &StreamShape,
    Asked { rate, from, .. }: Asked,
    (stop, posted): (&AtomicBool, &AtomicU64),
) -> Outcome {
    let mut stream = Stream::new(shape);
    // An event that was sent before would be a duplicate.
    for _ in 0..from {
        stream.draw();
    }
    let started = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let due = (started.elapsed().as_secs_f64() * rate as f64) as u64;
        let done = posted.load(Ordering::Relaxed);
        let now = due.saturating_sub(done).min(super::stream::BATCH as u64);
        if now > 0 {
            let mut body = String::from("{\"events\":[");
            for number in 0..now {
                body.push_str(if number > 0 { "," } else { "" });
                stream.write_next(wall_clock(), &mut body);
            }
            body.push_str("]}");
            client.post_events(body.as_bytes())?;
            posted.fetch_add(now, Ordering::Relaxed);
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_samples() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(
            [0.5, 0.99, 1.0].map(|share| at(&times, share)),
            [100.0, 198.0, 200.0].map(Some)
        );
        assert_eq!(at(&times[..1], 0.5), Some(1.0));
        assert_eq!(at(&[], 0.5), None);
    }

    #[test]
    fn an_answer_counts_only_when_it_covers_and_reflects_the_view() {
        let answer = |epoch: u64, items: Value| json!({"model": {"epoch": epoch}, "consistency": {"epoch": 7}, "items": items});
        assert!(!covers(&answer(6, json!([]))));
        assert!(covers(&answer(7, json!([]))));
        assert!(!covers(&json!({"model": {"epoch": 9}, "consistency": {"epoch": null}})));
        assert!(reflects(&answer(7, json!([{"item_id": "b"}])), "a"));
        assert!(!reflects(&answer(7, json!([{"item_id": "a"}])), "a"));
        let reason =
            json!([{"item_id": "a"}, {"item_id": "b", "explanations": [{"item_id": "a"}]}]);
        assert!(reflects(&answer(7, reason), "a"));
    }
}
