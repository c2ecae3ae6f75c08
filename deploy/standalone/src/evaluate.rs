//! `eddyline evaluate`: prequential-v1 over a file, through the same dataflow code as live.
//!
//! Here the stream is prepared: positives only, each (user, item) once, in the order of
//! (timestamp, row), the whole catalogue in front. What is measured is `eddyline_replay`'s.

use std::path::PathBuf;

use eddyline_model::config::CoreConfig;
use eddyline_replay::{Evaluation, ModelReport, Report};

use crate::config::{ConfigArgs, load};
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::output::{Format, Progress, print_json, print_json_line, print_line, print_table};
use crate::source::Source;
use crate::source::positive::first_positives;
use crate::source::rejects::Rejects;
use crate::source::spec::{InputArgs, InputSpec};

/// Hyper-parameters to evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Those of the configuration: what `up` runs with
    Default,
    /// More negatives, a longer horizon, replayed events: what learning can do
    Quality,
}

/// Flags of `evaluate`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EvaluateArgs {
    /// Files of events
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub events: Vec<PathBuf>,
    #[command(flatten)]
    pub input: InputArgs,
    /// Ratings below it are left out; data sets know theirs
    #[arg(long, value_name = "N")]
    pub positive_rating: Option<f64>,
    /// Which hyper-parameters
    #[arg(long, value_enum, default_value = "quality")]
    pub profile: Profile,
    /// Worker threads of the dataflow; the result is the same for any number
    #[arg(long, value_name = "N", env = "EDDYLINE__DATAFLOW__WORKERS")]
    pub workers: Option<usize>,
    /// Events of an epoch: 1 learns each event before the next is asked for
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub epoch_events: usize,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

/// The prepared stream.
struct Prepared {
    name: String,
    catalogue: Vec<eddyline_schemas::event::Event>,
    events: Vec<eddyline_schemas::event::Event>,
    positive_rating: Option<f64>,
}

fn prepare(args: &EvaluateArgs) -> Outcome<Prepared> {
    let mut spec = args.input.spec(&args.events)?;
    spec.positive_rating = args.positive_rating.or(spec.positive_rating);
    let InputSpec { name, positive_rating, .. } = &spec;
    let items = Source::open(&spec.items)?;
    let source = Source::open(&spec.events)?;
    Rejects::clear(&[&items, &source], None);
    let catalogue = read(&items, false)?.into_iter().map(|sourced| sourced.event).collect();
    let events = first_positives(read(&source, true)?, *positive_rating);
    if events.is_empty() {
        return Err(Stop::new(Exit::BadData, "there is no positive event")
            .remedy("compare --map and --positive-rating with the file"));
    }
    Ok(Prepared { name: name.clone(), catalogue, events, positive_rating: *positive_rating })
}

fn read(source: &Source, sort: bool) -> Outcome<Vec<crate::source::Sourced>> {
    let mut rejects = Rejects::new(source, None);
    let events = source.collect(sort, |rejected| rejects.add(&rejected))?;
    let count = rejects.count();
    for path in rejects.finish()? {
        eprintln!("{count} rows were rejected, see {}", path.display());
    }
    Ok(events)
}

/// Runs the verb.
pub(crate) fn run(args: &EvaluateArgs, config: &ConfigArgs) -> Outcome {
    // Epochs of one event leave a second worker nothing to do but wait.
    let workers = args.workers.unwrap_or(1).to_string();
    let flags = Some(("dataflow.workers", workers, "--workers"));
    let config = load(config, flags.as_slice())?;
    let prepared = prepare(args)?;
    let core = core(args.profile, &config.core, prepared.positive_rating);
    let mut progress = Progress::new("events", prepared.events.len() as u64);
    let report = eddyline_replay::evaluate(
        Evaluation {
            dataset: prepared.name,
            core,
            workers: config.dataflow.workers,
            epoch_events: args.epoch_events,
            catalogue: prepared.catalogue,
            events: prepared.events,
        },
        move |done| progress.set(done),
    )
    .or_stop(Exit::Failure, || "evaluating".into())?;
    match args.output {
        _ if args.json => print_json(&report),
        Format::Json => print_json(&report),
        Format::Ndjson => print_json_line(&report),
        Format::Table => print_report(&report),
    }
}

/// The profile's learner with the seed, the weights and the bounds of the configuration.
fn core(profile: Profile, configured: &CoreConfig, positive_rating: Option<f64>) -> CoreConfig {
    let mut core = configured.clone();
    if profile == Profile::Quality {
        let CoreConfig { factors, covisitation, .. } = CoreConfig::quality();
        (core.factors, core.covisitation) = (factors, covisitation);
    }
    // The stream holds positives only; without this a rating of the set's own scale might not be.
    core.events.positive_rating = positive_rating.unwrap_or(0.0);
    core
}

fn print_report(report: &Report) -> Outcome {
    let headers = ["model", "HR@10", "NDCG@10", "MRR@10", "coverage@10", "warm HR@10"];
    let models = [
        ("whole", &report.whole),
        ("factors", &report.factors),
        ("co-visitation", &report.covisitation),
        ("popularity", &report.popularity),
    ];
    let rows = models.map(|(name, model)| {
        let ModelReport { hr_at_10, ndcg_at_10, mrr_at_10, coverage_at_10, warm_hr_at_10 } = *model;
        let numbers = [hr_at_10, ndcg_at_10, mrr_at_10, coverage_at_10, warm_hr_at_10];
        let shown = numbers.iter().map(|number| format!("{number:.4}"));
        [name.to_owned()].into_iter().chain(shown).collect()
    });
    print_table(&headers, &rows)?;
    print_line(&format!(
        "{}: {} of {} events scored, {} an epoch, {:.1} % of new items, {:.0} events/s, ranks {}",
        report.dataset,
        report.scored,
        report.events,
        report.epoch_events,
        report.new_item_share * 100.0,
        report.events_per_second,
        report.rank_digest
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_keeps_the_rest_of_the_configuration() {
        let configured = CoreConfig { seed: 9, ..CoreConfig::default() };
        let quality = core(Profile::Quality, &configured, Some(7.0));
        assert_eq!(quality.seed, 9);
        assert_eq!(quality.factors, CoreConfig::quality().factors);
        assert!(quality.events.positive_rating > 6.9);
        let default = core(Profile::Default, &configured, None);
        assert_eq!(default.factors, configured.factors);
    }
}
