//! `eddyline replay verify`.

use eddyline_replay::verify::{ErasedHistory, Mismatch, Verified, Verify, verify_erased};
use eddyline_schemas::delta::digest::EpochDigest;
use eddyline_schemas::lineage::Epoch;
use serde_json::{Value, json};

use super::processes::{Part, ProcessesArgs};
use super::span::{Span, last_epoch};
use super::{HistoryArgs, of_replay};
use crate::config::{Config, ConfigArgs};
use crate::exit::{Exit, Outcome, Stop};
use crate::output::{Format, Progress, print_json, print_json_line, print_line, print_table};

/// Flags of `replay verify`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub history: HistoryArgs,
    /// The last epoch to fold [default: the last one that is bound]
    #[arg(long, value_name = "EPOCH")]
    pub until: Option<u64>,
    /// Begin behind the newest snapshot, or that of EPOCH: quicker, and proves only what came after
    #[arg(long, value_name = "EPOCH")]
    pub from_snapshot: Option<Option<u64>>,
    #[command(flatten)]
    pub processes: ProcessesArgs,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
}

/// Runs the verb. It begins at the start of history unless told otherwise: a snapshot could hide what
/// differs before it.
pub(super) fn run(args: &VerifyArgs, config: &ConfigArgs) -> Outcome {
    let config = args.history.load_with(config, &args.processes.flags())?;
    let Part::Lead(workers) = args.processes.take_part(&config, "verify")? else { return Ok(()) };
    let history = args.history.open(&config)?;
    let log = &history.log;
    let until = last_epoch(args.until, log)?;
    let folded = Config { core: history.core(&config.core, until), ..config.clone() };
    let Span { from, until } = match args.from_snapshot {
        Some(Some(epoch)) => Span::behind(&folded, log, until, Epoch(epoch))?,
        newest => Span::choose(&folded, log, until, newest.is_some())?,
    };
    let began = from.as_ref().map_or(0, |from| from.epoch().0);
    let mut progress = Progress::new("epochs", until.0 - began);
    let how = (Verify { from, until: Some(until), workers }, &history.erasures[..]);
    let verified = verify_erased(&config.core, log, how, |epoch, _| progress.set(epoch.0 - began));
    progress.finish();
    let verified = verified.map_err(of_replay)?;
    print(&verified, began, args.output)?;
    if let (Some(erased), Format::Table) = (verified.erased, args.output) {
        let ErasedHistory { from, lineage, .. } = erased;
        print_line(&format!("erased from epoch {from} on: child lineage {lineage}"))?;
    }
    match &verified.mismatch {
        None => Ok(()),
        Some(mismatch) => Err(mismatch_stop(mismatch)),
    }
}

fn mismatch_stop(Mismatch { recorded, folded }: &Mismatch) -> Stop {
    let shards = recorded.differing_shards(folded);
    let places = match shards.as_slice() {
        [] => "no logical shard: only sums or logical time differ".to_owned(),
        shards => {
            let shards: Vec<String> = shards.iter().map(u8::to_string).collect();
            format!("logical shards {}", shards.join(", "))
        }
    };
    let message = format!(
        "epoch {} is the first that differs: live recorded delta digest {}, the replay has {}; {places}",
        recorded.epoch, recorded.delta_digest, folded.delta_digest
    );
    Stop::new(Exit::Mismatch, message)
        .remedy("keep log, archive and snapshots as they are and report this: it must never happen")
}

fn print(verified: &Verified, began: u64, format: Format) -> Outcome {
    let shown = to_json(verified, began);
    match format {
        Format::Json => print_json(&shown),
        Format::Ndjson => print_json_line(&shown),
        Format::Table => {
            let rows: Vec<Vec<String>> = shown
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(_, value)| !value.is_object() && !value.is_null())
                .map(|(key, value)| vec![key.clone(), value.to_string().replace('"', "")])
                .collect();
            print_table(&["what", "value"], &rows)
        }
    }
}

fn to_json(verified: &Verified, began: u64) -> Value {
    let side = |digest: &EpochDigest| {
        json!({
            "delta_digest": digest.delta_digest,
            "deltas": digest.deltas,
            "logical_time": digest.logical_time.0,
            "counts": digest.counts,
        })
    };
    let mismatch = verified.mismatch.as_ref().map(|mismatch| {
        json!({
            "epoch": mismatch.recorded.epoch,
            "shards": mismatch.recorded.differing_shards(&mismatch.folded),
            "recorded": side(&mismatch.recorded),
            "folded": side(&mismatch.folded),
        })
    });
    json!({
        "lineage": verified.lineage,
        "from_epoch": began,
        "epoch": verified.state.epoch,
        "equal": verified.equal,
        "unrecorded": verified.unrecorded,
        "state_digest": verified.state.state_digest,
        "delta_digest": verified.state.delta_digest,
        "erased": verified.erased.map(|erased| json!({
            "from_epoch": erased.from,
            "lineage": erased.lineage,
            "epochs": erased.epochs,
            "equal": erased.equal,
        })),
        "mismatch": mismatch,
    })
}
