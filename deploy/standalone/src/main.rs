//! `eddyline`, the one binary: command line, configuration, and the wiring of all parts.
//!
//! Order of reading: [`cli`] says what can be asked, [`config`] what can be set, [`node`] is the
//! composition root that puts log, dataflow and serving into one process; each verb is a module.
//! Knows everything, is known by nobody. stdout is data, stderr is logs and progress.

mod allocator;
mod archive;
mod ask;
mod bench;
mod cli;
mod client;
mod config;
mod demo;
mod digest;
mod dlq;
mod evaluate;
mod exit;
mod ingest;
mod lineage;
mod node;
mod output;
mod replay;
mod roles;
mod server_file;
mod source;
mod supervise;
mod up;
mod user;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Verb};
use exit::{Exit, OrStop, Outcome, Stop};

fn main() -> ExitCode {
    allocator::keep_memory_longer();
    let cli = Cli::parse();
    tell_of_bugs();
    match start_logs(&cli.log_filter).and_then(|()| arm_crash_points()).and_then(|()| run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("{stop}");
            ExitCode::from(stop.exit as u8)
        }
    }
}

fn run(cli: &Cli) -> Outcome {
    match &cli.verb {
        Verb::Up(args) => up::run(args, &cli.config),
        Verb::Dataflow(args) => roles::run_dataflow(args, &cli.config),
        Verb::Serve(args) => roles::run_serve(args, &cli.config),
        Verb::Demo(args) => demo::run(args, &cli.config),
        Verb::Ingest(args) => ingest::run(args),
        Verb::Evaluate(args) => evaluate::run(args, &cli.config),
        Verb::Digest(args) => digest::run(args, &cli.config),
        Verb::Archive(args) => archive::run(args, &cli.config),
        Verb::Replay { verb } => replay::run(verb, &cli.config),
        Verb::Snapshot { verb } => replay::snapshot::run(verb, &cli.config),
        Verb::Lineage { verb } => lineage::run(verb, &cli.config),
        Verb::Dlq { verb } => dlq::run(verb, &cli.config),
        Verb::User { verb } => user::run(verb, &cli.config),
        Verb::Recommend(args) => ask::recommend(args),
        Verb::Similar(args) => ask::similar(args),
        Verb::Config { verb } => config::verbs::run(verb, &cli.config),
        Verb::Version { output } => version(*output),
        Verb::Bench { verb } => bench::run(verb, &cli.config),
        Verb::Completions { shell } => completions(*shell),
    }
}

/// Logs go to stderr, coloured on a terminal unless `NO_COLOR` is set.
fn start_logs(filter: &str) -> Outcome {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .or_stop(Exit::Usage, || format!("--log-filter {filter}"))
        .map_err(|stop| stop.remedy("write it like info, or warn,eddyline=debug"))?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !plain)
        .init();
    Ok(())
}

/// Only what tests for crashes set in the environment kills this process, or lets it panic.
fn arm_crash_points() -> Outcome {
    let points = [eddyline_dataflows::CRASH_POINTS, eddyline_replay::CRASH_POINTS].concat();
    eddyline_connect::crash::arm_from_env(&points)
        .or_stop(Exit::Usage, || "reading the environment".into())
        .map_err(|stop| stop.remedy("eddyline bench crashes --points names them"))?;
    eddyline_connect::panic_on::arm_from_env(eddyline_dataflows::Stage::OF_RECORDS)
        .or_stop(Exit::Usage, || "reading the environment".into())
}

/// A panic is a bug: say so, and end the main thread's panics with the code for it.
fn tell_of_bugs() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        node::crashes::note_panic(panic);
        eprintln!(
            "this is a bug in eddyline {}; please report it with the lines above",
            env!("CARGO_PKG_VERSION")
        );
        if std::thread::current().name() == Some("main") {
            std::process::exit(Exit::Bug as i32);
        }
    }));
}

fn version(format: output::Format) -> Outcome {
    let version = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "algorithm_version": eddyline_schemas::lineage::ALGORITHM_VERSION,
    });
    match format {
        output::Format::Json => output::print_json(&version),
        output::Format::Ndjson => output::print_json_line(&version),
        output::Format::Table => output::print_line(&format!(
            "eddyline {} (algorithm version {})",
            env!("CARGO_PKG_VERSION"),
            eddyline_schemas::lineage::ALGORITHM_VERSION
        )),
    }
}

fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "eddyline", &mut script);
    std::io::stdout()
        .write_all(&script)
        .map_err(|error| Stop::from(anyhow::Error::from(error).context("writing to stdout")))
}
