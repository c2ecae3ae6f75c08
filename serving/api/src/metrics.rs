//! What the serving process counts and times, and how it tells Prometheus.
//!
//! Three tables ([`TABLE`], [`store::STORE_TABLE`] of the feature store and
//! [`lineages::LINEAGE_TABLE`]) hold every metric name;
//! nothing else in the crate writes one. Units are
//! base units (seconds, bytes, records), as the suffix of a name says. Labels take their values
//! from static text alone, so neither user nor item ids can enter them and the number of series is
//! bounded by the code. All recording is wait-free but for the first use of a label.
//!
//! Format: Prometheus text exposition 0.0.4.

pub mod lineages;
pub mod store;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

/// What Prometheus should know of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// With prefix and unit.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// One sentence for people.
    pub help: &'static str,
}

const fn row(name: &'static str, kind: &'static str, help: &'static str) -> Description {
    Description { name, kind, help }
}

const FRESHNESS: Description = row(
    "eddyline_freshness_seconds",
    "histogram",
    "time from the acceptance of an event until answers reflect it, sampled",
);
const REQUEST: Description =
    row("eddyline_request_seconds", "histogram", "time spent on requests, by route and stage");
const ANSWERS: Description =
    row("eddyline_answers_total", "counter", "answers sent, by class of status");
const FALLBACK: Description =
    row("eddyline_fallback_total", "counter", "degraded answers, by the tier that answered");
const EVENTS: Description =
    row("eddyline_events_total", "counter", "events that came to the door, by what became of them");
const SHED: Description =
    row("eddyline_shed_total", "counter", "requests turned away because a queue was full");

/// Every metric of the crate, in the order of the exposition.
pub const TABLE: [Description; 18] = [
    FRESHNESS,
    REQUEST,
    ANSWERS,
    FALLBACK,
    EVENTS,
    SHED,
    Gauge::SourceLag.description(),
    Gauge::BoundEpoch.description(),
    Gauge::CommittedEpoch.description(),
    Gauge::SnapshotEpoch.description(),
    Gauge::ArchivedEpoch.description(),
    Gauge::ServingEpoch.description(),
    Gauge::PipelineAccepted.description(),
    Gauge::PipelineApplied.description(),
    Gauge::PipelineDuplicate.description(),
    Gauge::PipelineLate.description(),
    Gauge::PipelineDeadLetter.description(),
    Gauge::IndexItems.description(),
];

/// Values that are read when Prometheus asks, not recorded as they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table describes each one for people")]
pub enum Gauge {
    SourceLag,
    BoundEpoch,
    CommittedEpoch,
    SnapshotEpoch,
    ArchivedEpoch,
    ServingEpoch,
    PipelineAccepted,
    PipelineApplied,
    PipelineDuplicate,
    PipelineLate,
    PipelineDeadLetter,
    IndexItems,
}

impl Gauge {
    const fn description(self) -> Description {
        let (name, kind, help) = match self {
            Self::SourceLag => {
                ("eddyline_source_lag_records", "gauge", "records on the log not yet bound")
            }
            Self::BoundEpoch => ("eddyline_bound_epoch", "gauge", "last epoch that was bound"),
            Self::CommittedEpoch => {
                ("eddyline_committed_epoch", "gauge", "last epoch that the dataflow committed")
            }
            Self::SnapshotEpoch => {
                ("eddyline_snapshot_epoch", "gauge", "epoch of the newest snapshot of the state")
            }
            Self::ArchivedEpoch => {
                ("eddyline_archived_epoch", "gauge", "last epoch that this process has archived")
            }
            Self::ServingEpoch => {
                ("eddyline_serving_epoch", "gauge", "last epoch that answers reflect")
            }
            Self::PipelineAccepted => {
                ("eddyline_pipeline_accepted_total", "counter", "records bound since epoch 0")
            }
            Self::PipelineApplied => {
                ("eddyline_pipeline_applied_total", "counter", "records folded into state")
            }
            Self::PipelineDuplicate => {
                ("eddyline_pipeline_duplicate_total", "counter", "records seen before")
            }
            Self::PipelineLate => (
                "eddyline_pipeline_late_total",
                "counter",
                "records behind their partition's clock less the allowance",
            ),
            Self::PipelineDeadLetter => (
                "eddyline_pipeline_dead_letter_total",
                "counter",
                "records that the validator refused",
            ),
            Self::IndexItems => ("eddyline_index_items", "gauge", "items that can be recommended"),
        };
        row(name, kind, help)
    }
}

/// What became of an event at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventResult {
    /// Durable on the log.
    Accepted,
    /// Durable on the log, and seen a short while ago.
    Duplicate,
    /// Refused by the validator.
    Rejected,
    /// Valid, but the log did not take it.
    Failed,
}

impl EventResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// Upper bounds of the histogram buckets in microseconds; one more is without bound.
const BOUNDS_US: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000,
];

/// Times by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn render(&self, to: &mut String, name: &str, labels: &str) {
        let separator = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            let bound = BOUNDS_US.get(at).map_or("+Inf".to_owned(), |us| seconds(*us));
            line(to, name, "_bucket", &format!("{labels}{separator}le=\"{bound}\""), &count);
        }
        line(to, name, "_sum", labels, &seconds(self.sum_us.load(Ordering::Relaxed)));
        line(to, name, "_count", labels, &count);
    }
}

/// Series of one metric by static label values.
#[derive(Debug)]
struct Family<K, V>(RwLock<BTreeMap<K, Arc<V>>>);

impl<K, V> Default for Family<K, V> {
    fn default() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }
}

impl<K: Ord + Copy, V: Default> Family<K, V> {
    fn series(&self, key: K) -> Arc<V> {
        if let Some(series) = self.0.read().get(&key) {
            return Arc::clone(series);
        }
        Arc::clone(self.0.write().entry(key).or_default())
    }

    fn each(&self, mut see: impl FnMut(K, &V)) {
        self.0.read().iter().for_each(|(key, series)| see(*key, series));
    }
}

/// All that is recorded; one per process, shared.
#[derive(Debug, Default)]
pub struct Metrics {
    freshness: Histogram,
    requests: Family<(&'static str, &'static str), Histogram>,
    answers: Family<&'static str, AtomicU64>,
    fallbacks: Family<&'static str, AtomicU64>,
    events: Family<&'static str, AtomicU64>,
    shed: Family<&'static str, AtomicU64>,
}

impl Metrics {
    /// An event accepted `took` ago is reflected in answers now.
    pub fn freshness(&self, took: Duration) {
        self.freshness.observe(took);
    }

    /// A stage of a request took so long; the whole of it is the stage `total`.
    pub fn request(&self, route: &'static str, stage: &'static str, took: Duration) {
        self.requests.series((route, stage)).observe(took);
    }

    /// An answer with this status left.
    pub fn answer(&self, status: u16) {
        let class = match status {
            0..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        self.answers.series(class).fetch_add(1, Ordering::Relaxed);
    }

    /// An answer was degraded.
    pub fn fallback(&self, tier: &'static str) {
        self.fallbacks.series(tier).fetch_add(1, Ordering::Relaxed);
    }

    /// `count` events met this fate.
    pub fn events(&self, result: EventResult, count: u64) {
        if count > 0 {
            self.events.series(result.label()).fetch_add(count, Ordering::Relaxed);
        }
    }

    /// A request was turned away by this queue.
    pub fn shed(&self, queue: &'static str) {
        self.shed.series(queue).fetch_add(1, Ordering::Relaxed);
    }

    /// The exposition. A gauge that cannot be read now is left out of `gauges`.
    #[must_use]
    pub fn render(&self, gauges: &[(Gauge, u64)]) -> String {
        let mut to = String::with_capacity(16 * 1024);
        head(&mut to, FRESHNESS);
        self.freshness.render(&mut to, FRESHNESS.name, "");
        head(&mut to, REQUEST);
        self.requests.each(|(route, stage), histogram| {
            let labels = format!("route=\"{route}\",stage=\"{stage}\"");
            histogram.render(&mut to, REQUEST.name, &labels);
        });
        render_counters(&mut to, ANSWERS, "class", &self.answers);
        render_counters(&mut to, FALLBACK, "tier", &self.fallbacks);
        render_counters(&mut to, EVENTS, "result", &self.events);
        render_counters(&mut to, SHED, "queue", &self.shed);
        for (gauge, value) in gauges {
            let description = gauge.description();
            head(&mut to, description);
            line(&mut to, description.name, "", "", value);
        }
        to
    }
}

fn render_counters(
    to: &mut String,
    description: Description,
    label: &str,
    family: &Family<&'static str, AtomicU64>,
) {
    head(to, description);
    family.each(|value, count| {
        let labels = format!("{label}=\"{value}\"");
        line(to, description.name, "", &labels, &count.load(Ordering::Relaxed));
    });
}

fn head(to: &mut String, description: Description) {
    let Description { name, kind, help } = description;
    let _ = writeln!(to, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(to: &mut String, name: &str, suffix: &str, labels: &str, value: &dyn std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(to, "{name}{suffix} {value}"),
        labels => writeln!(to, "{name}{suffix}{{{labels}}} {value}"),
    };
}

/// Exact decimal seconds of a count of microseconds.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_house_rules() {
        let mut names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        for row in TABLE {
            assert!(row.name.starts_with("eddyline_"), "{}", row.name);
            assert_eq!(row.kind == "counter", row.name.ends_with("_total"), "{}", row.name);
            assert_eq!(row.kind == "histogram", row.name.ends_with("_seconds"), "{}", row.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn every_rendered_line_is_of_the_table() {
        let metrics = Metrics::default();
        metrics.freshness(Duration::from_millis(7));
        metrics.request("/v1/events", "total", Duration::from_micros(300));
        metrics.answer(200);
        metrics.fallback("popular");
        metrics.events(EventResult::Accepted, 3);
        metrics.shed("compute");
        let text = metrics.render(&[(Gauge::CommittedEpoch, 12)]);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let known = |row: &Description| {
                ["", "_bucket", "_sum", "_count"]
                    .iter()
                    .any(|suffix| name == format!("{}{suffix}", row.name))
            };
            assert!(TABLE.iter().any(known), "{line}");
        }
        assert!(text.contains("eddyline_freshness_seconds_bucket{le=\"0.005\"} 0\n"));
        assert!(text.contains("eddyline_freshness_seconds_bucket{le=\"0.01\"} 1\n"));
        assert!(text.contains("eddyline_freshness_seconds_sum 0.007\n"));
        assert!(text.contains("eddyline_events_total{result=\"accepted\"} 3\n"));
        assert!(text.contains("eddyline_committed_epoch 12\n"));
    }
}
