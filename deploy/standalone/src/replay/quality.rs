//! `eddyline replay what-if` and `eddyline replay evaluate`.

use std::path::PathBuf;

use eddyline_dataflows::rank::MODELS;
use eddyline_model::config::CoreConfig;
use eddyline_replay::quality::{Difference, Reported, Tested, test};
use eddyline_schemas::lineage::Epoch;
use serde_json::{Value, json};

use super::span::last_epoch;
use super::{History, HistoryArgs, of_replay};
use crate::config::ConfigArgs;
use crate::exit::{Exit, Outcome, Stop};
use crate::output::{Format, Progress, print_json, print_json_line, print_line, print_table};

/// Flags of both verbs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct QualityArgs {
    #[command(flatten)]
    pub history: HistoryArgs,
    /// The last epoch [default: the last one that is bound]
    #[arg(long, value_name = "EPOCH")]
    pub until: Option<u64>,
    /// Report only the last days of event time; all of history is learned
    #[arg(long, value_name = "DAYS")]
    pub last_days: Option<u32>,
    /// Rank one in so many positive events, whatever core.quality.sample_one_in says; 1 ranks all
    #[arg(long, value_name = "N")]
    pub test_one_in: Option<u64>,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
}

/// Flags of `replay evaluate`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    pub quality: QualityArgs,
    /// Compare with this configuration file, or with this registered lineage (eight digits of it or
    /// more), over the same events; --set applies to both files
    #[arg(long, value_name = "FILE|LINEAGE")]
    pub against: Option<PathBuf>,
}

/// History, and what of it is reported.
struct Opened {
    history: History,
    workers: usize,
    until: Epoch,
    core: CoreConfig,
}

impl QualityArgs {
    fn open(&self, config: &ConfigArgs) -> Outcome<Opened> {
        let config = self.history.load(config)?;
        let history = self.history.open(&config)?;
        let until = last_epoch(self.until, &history.log)?;
        let core = self.sampled(config.core.clone())?;
        Ok(Opened { history, workers: config.dataflow.workers, until, core })
    }

    fn sampled(&self, mut core: CoreConfig) -> Outcome<CoreConfig> {
        if let Some(one_in) = self.test_one_in {
            core.quality.sample_one_in = one_in;
        }
        if core.quality.sample_one_in == 0 {
            return Err(Stop::new(Exit::Usage, "no event would be ranked")
                .remedy("give --test-one-in 1, or a larger number to rank fewer"));
        }
        Ok(core)
    }

    fn test(&self, opened: &Opened, core: &CoreConfig, what: &'static str) -> Outcome<Tested> {
        let mut progress = Progress::new(what, opened.until.0);
        let told = move |epoch: Epoch| progress.set(epoch.0);
        let reported = Reported { until: Some(opened.until), last_days: self.last_days };
        let (history, workers) = (&opened.history, opened.workers);
        let core = history.core(core, opened.until);
        test(&core, &history.log, workers, reported, told).map_err(of_replay)
    }
}

/// Runs `replay evaluate`.
pub(super) fn evaluate(args: &EvaluateArgs, config: &ConfigArgs) -> Outcome {
    let EvaluateArgs { quality: args, against } = args;
    let opened = args.open(config)?;
    if let Some(file) = against {
        let other = if file.exists() {
            let other = ConfigArgs { config: Some(file.clone()), ..config.clone() };
            args.history.load(&other)?.core
        } else {
            let lineage = file.to_string_lossy();
            crate::lineage::core_of(&args.history.load(config)?, &lineage)?
        };
        let other = args.sampled(other)?;
        if other == opened.core {
            let message = format!("{} changes nothing that changes state", file.display());
            return Err(Stop::new(Exit::Usage, message)
                .remedy("name a file with another [core], or leave --against out"));
        }
        let shown = json!({ "against": file });
        return compare(args, &opened, (&other, ["configured", "against"]), shown);
    }
    let tested = args.test(&opened, &opened.core, "epochs")?;
    let shown = to_json(&tested);
    match args.output {
        Format::Json => print_json(&shown),
        Format::Ndjson => print_json_line(&shown),
        Format::Table => {
            let row = |model: &str| {
                let of = &shown["models"][model];
                let numbers = METRICS.map(|metric| decimal(&of[metric]));
                [vec![model.to_owned()], numbers.to_vec()].concat()
            };
            let rows: Vec<Vec<String>> = MODELS.iter().map(|model| row(model)).collect();
            print_table(&["model", "precision@10", "recall@10", "NDCG@10", "MRR@10"], &rows)?;
            print_line(&format!("{} events were ranked", tested.events.len()))
        }
    }
}

/// Runs `replay what-if`: once as configured without `--set`, once with it.
pub(super) fn what_if(args: &QualityArgs, config: &ConfigArgs) -> Outcome {
    let usual = ConfigArgs { set: Vec::new(), ..config.clone() };
    let other = args.sampled(args.history.load(config)?.core)?;
    let opened = args.open(&usual)?;
    if other == opened.core {
        return Err(Stop::new(Exit::Usage, "--set changes nothing that changes state")
            .remedy("set a key of [core], such as --set core.factors.item_rate=0.05"));
    }
    compare(args, &opened, (&other, ["original", "what_if"]), json!({ "set": config.set }))
}

/// Ranks the same events under both configurations and prints how they differ.
fn compare(
    args: &QualityArgs,
    opened: &Opened,
    (other, sides): (&CoreConfig, [&'static str; 2]),
    mut shown: Value,
) -> Outcome {
    let original = args.test(opened, &opened.core, "epochs of the first")?;
    let changed = args.test(opened, other, "epochs of the second")?;
    let paired = original.compared_with(&changed);
    shown[sides[0]] = to_json(&original);
    shown[sides[1]] = to_json(&changed);
    shown["difference"] = json!(paired);
    match args.output {
        Format::Json => print_json(&shown),
        Format::Ndjson => print_json_line(&shown),
        Format::Table => {
            let differences =
                [paired.precision_at_10, paired.recall_at_10, paired.ndcg_at_10, paired.mrr_at_10];
            let row = |(metric, Difference { mean, standard_error }): (&str, Difference)| {
                let of = |side: &str| decimal(&shown[side]["models"]["whole"][metric]);
                let sure = format!("{mean:+.4} ± {standard_error:.4}");
                vec![metric.to_owned(), of(sides[0]), of(sides[1]), sure]
            };
            let rows: Vec<Vec<String>> = METRICS.into_iter().zip(differences).map(row).collect();
            let [first, second] = sides.map(|side| side.replace('_', " "));
            print_table(&["metric", &first, &second, "difference ± standard error"], &rows)?;
            print_line(&format!("{} events were ranked by both", paired.events))
        }
    }
}

const METRICS: [&str; 4] = ["precision_at_10", "recall_at_10", "ndcg_at_10", "mrr_at_10"];

fn decimal(number: &Value) -> String {
    number.as_f64().map_or_else(String::new, |number| format!("{number:.4}"))
}

fn to_json(tested: &Tested) -> Value {
    let model = |(at, name): (usize, &&str)| {
        let metrics = tested.metrics(at);
        let values = json!({
            "hr_at_10": metrics.hit_rate(),
            // One item is relevant, among the ten or not.
            "precision_at_10": metrics.hit_rate() / 10.0,
            "recall_at_10": metrics.hit_rate(),
            "ndcg_at_10": metrics.ndcg(),
            "mrr_at_10": metrics.mrr(),
        });
        ((*name).to_owned(), values)
    };
    let models: serde_json::Map<String, Value> = MODELS.iter().enumerate().map(model).collect();
    json!({
        "lineage": tested.state.lineage,
        "epoch": tested.state.epoch,
        "state_digest": tested.state.state_digest,
        "ranked": tested.events.len(),
        "models": models,
    })
}
