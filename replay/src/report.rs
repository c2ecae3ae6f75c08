//! What an evaluation prints.

use eddyline_schemas::record::Digest;
use serde::Serialize;

/// Quality of one model over the reported part of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ModelReport {
    /// Share of events whose item was among the first ten; equals recall@10.
    pub hr_at_10: f64,
    /// Normalised discounted cumulative gain over the first ten.
    pub ndcg_at_10: f64,
    /// Mean reciprocal rank, 0 beyond the first ten.
    pub mrr_at_10: f64,
    /// Share of all items that were ever among the first ten.
    pub coverage_at_10: f64,
    /// `hr_at_10` over users that had a positive event before.
    pub warm_hr_at_10: f64,
}

/// The result of `prequential-v1`. The first members are those of the whole, the blend that is
/// served; its experts alone follow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Name of the stream.
    pub dataset: String,
    /// Events of an epoch: 1 learns each event before the next is asked for.
    pub epoch_events: u64,
    /// Events learned.
    pub events: u64,
    /// Events reported: those after the first 30 %.
    pub scored: u64,
    /// The blend.
    #[serde(flatten)]
    pub whole: ModelReport,
    /// Share of scored events whose item nobody had taken before.
    pub new_item_share: f64,
    /// BLAKE3 over the ranks of all events, in order.
    pub rank_digest: Digest,
    /// Wall clock, ranking included.
    pub events_per_second: f64,
    /// Factors alone.
    pub factors: ModelReport,
    /// Co-visitation alone.
    pub covisitation: ModelReport,
    /// Decayed popularity alone.
    pub popularity: ModelReport,
    /// Of the state at the end.
    pub state_digest: Digest,
}
