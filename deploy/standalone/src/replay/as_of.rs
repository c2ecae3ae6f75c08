//! `eddyline replay as-of`: the state at a past epoch or time, to be asked.

use std::net::SocketAddr;

use eddyline_dataflows::epoch_at;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::time::TimestampMs;
use serde_json::json;
use tokio::runtime::Runtime;

use super::span::{Span, last_epoch};
use super::{History, HistoryArgs};
use crate::ask::{RecommendArgs, SimilarArgs, recommend, similar};
use crate::client::{Client, ClientArgs, encode};
use crate::config::{Config, ConfigArgs};
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};
use crate::node::Past;
use crate::output::{Format, Progress, print_json, print_json_line, print_line, print_table};
use crate::up::{Stopping, listen};

/// Flags of `replay as-of`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AsOfArgs {
    /// An epoch, or a time such as 2026-11-22T10:00:00Z: what was bound by then
    #[arg(value_name = "EPOCH|TIME")]
    pub when: String,
    #[command(flatten)]
    pub history: HistoryArgs,
    /// Begin at the start of history even if there are snapshots
    #[arg(long)]
    pub from_start: bool,
    /// Print recommendations of this user
    #[arg(long, value_name = "USER")]
    pub recommend: Option<String>,
    /// Print items similar to this one
    #[arg(long, value_name = "ITEM")]
    pub similar: Option<String>,
    /// Print the features of this user
    #[arg(long, value_name = "USER")]
    pub features: Option<String>,
    /// Answer over HTTP at this address until a signal; port 0 picks one and prints it
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// How everything is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
}

/// Runs the verb.
pub(super) fn run(args: &AsOfArgs, config: &ConfigArgs) -> Outcome {
    // Whoever only asks needs a server too, which nobody else has to find.
    let address = args.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let listen_flag = ("server.listen", address.to_string(), "--listen");
    let config = args.history.load_with(config, &[listen_flag])?;
    let history = args.history.open(&config)?;
    let (config, span) = span(args, config, &history)?;
    let log = history.log;
    let began = span.from.as_ref().map_or(0, |from| from.epoch().0);
    let mut progress = Progress::new("epochs", span.until.0 - began);
    let told = move |epoch: Epoch| progress.set(epoch.0 - began);
    let past = Past::open(config.clone(), log, (span.from, span.until), told)?;
    let asks = args.recommend.is_some() || args.similar.is_some() || args.features.is_some();
    if !asks {
        print(&past, args.output)?;
    }
    if !asks && args.listen.is_none() {
        return Ok(());
    }
    let runtime = Runtime::new().or_stop(Exit::Io, || "starting the runtime".into())?;
    let listener = runtime.block_on(listen(config.server.listen))?;
    let address = listener.local_addr().or_stop(Exit::Io, || "reading the port".into())?;
    let stopping = Stopping::default();
    let (until, asked) = (stopping.clone(), args.clone());
    let asking = std::thread::spawn(move || {
        let answered = if asks { ask(&asked, address) } else { Ok(()) };
        if asked.listen.is_none() || answered.is_err() {
            stopping.stop();
        }
        answered
    });
    if args.listen.is_some() {
        print_line(&format!("eddyline answers as of the past on http://{address}"))?;
    }
    let served =
        runtime.block_on(past.serve(listener, async move { until.wait_for_signal().await }));
    asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    served
}

fn span(args: &AsOfArgs, config: Config, history: &History) -> Outcome<(Config, Span)> {
    let log = &history.log;
    let until = match args.when.parse::<u64>() {
        Ok(epoch) => last_epoch(Some(epoch), log)?,
        Err(_) => {
            let time = TimestampMs::from_rfc3339(&args.when)
                .or_stop(Exit::Usage, || format!("{:?} is no epoch and no time", args.when))
                .map_err(|stop| stop.remedy("write it like 4711 or 2026-11-22T10:00:00Z"))?;
            let epoch = epoch_at(&**log, time).map_err(of_engine)?;
            if epoch == Epoch(0) {
                return Err(Stop::new(Exit::Usage, format!("nothing was bound by {}", args.when)));
            }
            epoch
        }
    };
    let config = Config { core: history.core(&config.core, until), ..config };
    let span = Span::choose(&config, log, until, !args.from_start)?;
    Ok((config, span))
}

fn ask(args: &AsOfArgs, address: SocketAddr) -> Outcome {
    let server = Some(format!("http://{address}"));
    let client = ClientArgs { server: server.clone(), ..ClientArgs::default() };
    if let Some(user) = args.recommend.clone() {
        let (client, output) = (client.clone(), args.output);
        recommend(&RecommendArgs { user, num_results: 10, context: None, output, client })?;
    }
    if let Some(item) = args.similar.clone() {
        let (client, output) = (client.clone(), args.output);
        similar(&SimilarArgs { item, num_results: 10, output, client })?;
    }
    if let Some(user) = &args.features {
        let client: Client = client.client();
        print_json(&client.get(&format!("/v1/users/{}/features", encode(user)))?)?;
    }
    Ok(())
}

fn print(past: &Past, format: Format) -> Outcome {
    let digest = past.digest();
    let shown = json!({
        "lineage": digest.lineage,
        "epoch": digest.epoch,
        "state_digest": digest.state_digest,
        "delta_digest": digest.delta_digest,
    });
    match format {
        Format::Json => print_json(&shown),
        Format::Ndjson => print_json_line(&shown),
        Format::Table => print_table(
            &["lineage", "epoch", "state digest"],
            &[vec![
                digest.lineage.to_string(),
                digest.epoch.to_string(),
                digest.state_digest.to_string(),
            ]],
        ),
    }
}
