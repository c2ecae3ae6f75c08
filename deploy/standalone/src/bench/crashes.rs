//! `eddyline bench crashes`: seeded schedules of crashes and other faults against the epoch
//! protocol, in process; see `eddyline_dataflows::sim`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use eddyline_dataflows::CRASH_POINTS;
use eddyline_dataflows::sim::{Outcome as Schedule, Plant, run as run_schedule};
use serde::Serialize;

use crate::exit::{Exit, Outcome, Stop};
use crate::output::{Format, print_json, print_json_line, print_line, print_table};

/// Failing schedules that are named.
const NAMED: usize = 10;

/// Flags of `bench crashes`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CrashesArgs {
    /// How many schedules
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub schedules: u64,
    /// Seed of the first schedule; the next has the next seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Plants a bug, which must be found; `list` names them
    #[arg(long, value_name = "NAME")]
    pub plant: Option<String>,
    /// Names the crash points of a process, for `EDDYLINE_CRASH_AT=name:n`
    #[arg(long)]
    pub points: bool,
    /// Threads that run schedules [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

/// What is printed.
#[derive(Debug, Default, Serialize)]
struct Report {
    schedules: u64,
    mismatches: u64,
    lost: u64,
    doubled: u64,
    seed: u64,
    plant: Option<&'static str>,
    records: u64,
    epochs: u64,
    processes: u64,
    /// Of these, started from a snapshot.
    restored: u64,
    crashes: u64,
    zombies: u64,
    other_faults: u64,
    seconds: f64,
    schedules_per_minute: f64,
    failed: Vec<Failed>,
}

/// A schedule that did not end as it must: `--seed SEED --schedules 1` repeats it.
#[derive(Debug, Serialize)]
struct Failed {
    seed: u64,
    wrong: Vec<String>,
}

/// Runs the verb.
pub(crate) fn run(args: &CrashesArgs) -> Outcome {
    if args.points {
        let mut names = CRASH_POINTS.iter().chain(eddyline_replay::CRASH_POINTS);
        return names.try_for_each(|name| print_line(name));
    }
    let plant = match args.plant.as_deref() {
        None => None,
        Some("list") => {
            return Plant::ALL.iter().try_for_each(|plant| print_line(plant.name()));
        }
        Some(name) => Some(Plant::from_name(name).ok_or_else(|| {
            Stop::new(Exit::Usage, format!("no bug is called {name:?}"))
                .remedy("eddyline bench crashes --plant list names them")
        })?),
    };
    let report = measure(args, plant);
    print(args, &report)?;
    match (plant, report.mismatches) {
        (None, 0) | (Some(_), 1..) => Ok(()),
        (None, _) => {
            let seed = report.failed.first().map_or(args.seed, |failed| failed.seed);
            Err(Stop::new(Exit::Mismatch, format!("schedule {seed} and perhaps others failed"))
                .remedy(format!("repeat it with --seed {seed} --schedules 1")))
        }
        (Some(plant), _) => {
            let message = format!("{} was planted and not found", plant.name());
            Err(Stop::new(Exit::Mismatch, message).remedy("run more schedules"))
        }
    }
}

fn measure(args: &CrashesArgs, plant: Option<Plant>) -> Report {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = args.threads.unwrap_or_else(cores).max(1);
    let report =
        Mutex::new(Report { seed: args.seed, plant: plant.map(Plant::name), ..Report::default() });
    let next = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= args.schedules {
                        break;
                    }
                    let seed = args.seed.wrapping_add(at);
                    let schedule = run_schedule(seed, plant);
                    add(
                        &mut report.lock().expect("no schedule panics while it adds"),
                        seed,
                        schedule,
                    );
                }
            });
        }
    });
    let mut report = report.into_inner().expect("no schedule panics while it adds");
    report.seconds = started.elapsed().as_secs_f64();
    report.schedules_per_minute = report.schedules as f64 * 60.0 / report.seconds.max(1e-9);
    report.failed.sort_by_key(|failed| failed.seed);
    report.failed.truncate(NAMED);
    report
}

fn add(report: &mut Report, seed: u64, schedule: Schedule) {
    report.schedules += 1;
    report.mismatches += u64::from(schedule.is_mismatch());
    report.lost += schedule.lost;
    report.doubled += schedule.doubled;
    report.records += schedule.records;
    report.epochs += schedule.epochs;
    report.processes += schedule.processes;
    report.restored += schedule.restored;
    report.crashes += schedule.crashes;
    report.zombies += schedule.zombies;
    report.other_faults += schedule.faults;
    if schedule.is_mismatch() {
        report.failed.push(Failed { seed, wrong: schedule.wrong });
    }
}

fn print(args: &CrashesArgs, report: &Report) -> Outcome {
    match args.output {
        _ if args.json => print_json(report),
        Format::Json => print_json(report),
        Format::Ndjson => print_json_line(report),
        Format::Table => {
            let rows = [
                ("schedules", report.schedules),
                ("mismatches", report.mismatches),
                ("lost", report.lost),
                ("doubled", report.doubled),
                ("crashes", report.crashes),
                ("zombies", report.zombies),
                ("other faults", report.other_faults),
                ("epochs", report.epochs),
            ];
            let rows: Vec<_> =
                rows.iter().map(|(name, n)| vec![(*name).to_owned(), n.to_string()]).collect();
            print_table(&["what", "value"], &rows)?;
            report.failed.iter().try_for_each(|failed| {
                print_line(&format!("seed {}: {}", failed.seed, failed.wrong.join("; ")))
            })
        }
    }
}
