//! `eddyline demo`: a simulated shop through the real pipeline.
//!
//! The shop is a client like any other: it posts its catalogue, a short history and then a steady
//! stream to the node's own HTTP address. Nothing in the node knows that it is simulated, but the
//! note on the page.

mod catalogue;
mod generator;
pub(crate) mod rng;
mod shopper;
mod visit;
mod words;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use eddyline_schemas::time::{HOUR_MS, TimestampMs};
use eddyline_serving::http::{DemoInfo, Persona};

use crate::client::Client;
use crate::config::{ConfigArgs, load};
use crate::exit::{Exit, OrStop, Outcome};
use crate::ingest::{Batch, MAX_EVENTS};
use crate::output::print_line;
use crate::source::wall_clock;
use crate::up::{Stopping, UpArgs, run_until_signal};
use generator::Generator;
use shopper::PERSONAS;

/// Events of the history that is posted before the stream begins.
const HISTORY: i64 = 8_000;
/// The history is spread over the hours before now.
const HISTORY_MS: i64 = 12 * HOUR_MS;
/// Between two posts of the stream.
const TICK: Duration = Duration::from_millis(50);

/// What the page and the terminal say.
const NOTE: &str = "This shop is simulated: products, brands and people are invented by a seeded \
                    generator. Everything behind the door is the real pipeline.";

/// Flags of `demo`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub up: UpArgs,
    /// Simulated events per second
    #[arg(long, value_name = "N", env = "EDDYLINE_DEMO_RATE", default_value_t = 150)]
    pub rate: u32,
    /// Another seed is another shop
    #[arg(long, value_name = "N", env = "EDDYLINE_DEMO_SEED", default_value_t = 1)]
    pub seed: u64,
}

/// Runs the verb. Without --data everything lies in a temporary folder that is removed at the end.
pub(crate) fn run(args: &DemoArgs, config: &ConfigArgs) -> Outcome {
    let mut args = args.clone();
    let mut temporary = None;
    if args.up.data.is_none() {
        let made = tempfile::tempdir().or_stop(Exit::Io, || "making a folder for data".into())?;
        args.up.data = Some(made.path().to_owned());
        temporary = Some(made);
    }
    let config = load(config, &args.up.flags())?;
    let api_key = std::env::var("EDDYLINE_API_KEY").ok();
    let ran = run_until_signal(config, Some(demo_info()), move |address, stopping| {
        stream(&args, address, api_key, stopping)
    });
    drop(temporary);
    ran
}

fn demo_info() -> DemoInfo {
    let persona = |persona: &shopper::Persona| Persona {
        user_id: persona.id.into(),
        name: persona.name.into(),
        description: persona.description.into(),
    };
    DemoInfo { personas: PERSONAS.iter().map(persona).collect(), note: NOTE.into() }
}

fn stream(
    args: &DemoArgs,
    address: SocketAddr,
    api_key: Option<String>,
    stopping: &Stopping,
) -> Outcome {
    let client = Client::new(&format!("http://{address}"), api_key);
    let streamed = open_and_stream(args, (address, &client), stopping);
    // While the node drains it refuses events: that is no failure of the demo.
    if stopping.is_stopping() { Ok(()) } else { streamed }
}

fn open_and_stream(
    args: &DemoArgs,
    (address, client): (SocketAddr, &Client),
    stopping: &Stopping,
) -> Outcome {
    let started = wall_clock();
    let mut shop = Generator::new(args.seed, &started.0.to_string());
    post(client, shop.opening())?;
    let mut history = Vec::new();
    for number in 0..HISTORY {
        let before = HISTORY_MS - HISTORY_MS * number / HISTORY;
        history.push(shop.next(TimestampMs(started.0 - before)));
    }
    post(client, history)?;
    print_line(NOTE)?;
    print_line(&format!("watch it at http://{address}/   (Ctrl-C ends it)"))?;
    keep_streaming(args.rate, client, &mut shop, stopping)
}

fn keep_streaming(
    rate: u32,
    client: &Client,
    shop: &mut Generator,
    stopping: &Stopping,
) -> Outcome {
    let began = Instant::now();
    let mut sent = 0;
    while !stopping.is_stopping() {
        let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        let events = (sent..due).take(MAX_EVENTS).map(|_| shop.next(wall_clock())).collect();
        sent = due;
        post(client, events)?;
        std::thread::sleep(TICK);
    }
    Ok(())
}

fn post(client: &Client, events: Vec<serde_json::Value>) -> Outcome {
    let mut batch = Batch::default();
    for event in events {
        let serde_json::Value::Object(event) = event else { continue };
        if !batch.push(&event) {
            client.post_events(&batch.take())?;
            let _ = batch.push(&event);
        }
    }
    if batch.events() > 0 {
        client.post_events(&batch.take())?;
    }
    Ok(())
}
