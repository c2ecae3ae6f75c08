//! `eddyline ingest`: files to a running server, over the same door as everyone else.
//!
//! The catalogue goes first, then the events, in batches. Rows that make no event go to a file
//! with their reasons. An interrupted run goes on where it was; running twice has no second
//! effect. At the end the pipeline is asked where everything ended up.

mod batch;
mod report;
mod resume;
mod send;

use std::path::PathBuf;

use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;

pub(crate) use batch::{Batch, MAX_EVENTS};
use report::{Report, is_mostly_late, is_old};
use resume::Resume;
use send::Sender;

use crate::client::{Client, ClientArgs};
use crate::exit::{Exit, Outcome, Stop};
use crate::output::{Format, Progress};
use crate::source::file::beside;
use crate::source::rejects::Rejects;
use crate::source::spec::{InputArgs, InputSpec};
use crate::source::{Found, Source, Sourced, wall_clock};

/// Flags of `ingest`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct IngestArgs {
    /// Files of events: CSV, TSV, JSON lines or any delimiter, also as gzip; - is standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub client: ClientArgs,
    /// Send events in the order of (timestamp, row) instead of the file's; presets always do
    #[arg(long)]
    pub sort: bool,
    /// Move all timestamps so that the newest event is of now
    #[arg(long)]
    pub shift_time_to_now: bool,
    /// Read and check everything, send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Send everything again, even what an interrupted run already sent
    #[arg(long)]
    pub restart: bool,
    /// File for rejected rows, instead of one beside each input
    #[arg(long, value_name = "FILE")]
    pub rejected: Option<PathBuf>,
    /// How the summary is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
}

/// Runs the verb.
pub(crate) fn run(args: &IngestArgs) -> Outcome {
    let mut spec = args.input.spec(&args.files)?;
    spec.sort |= args.sort;
    let items = Source::open(&spec.items)?;
    let events = Source::open(&spec.events)?;
    Rejects::clear(&[&items, &events], args.rejected.as_deref());
    let report = match args.dry_run {
        true => dry_run(args, &items, &events)?,
        false => Run::start(args, &spec, &items, &events)?.all()?,
    };
    report.print(args.output)?;
    if report.rows > 0 && report.rows == report.rejected_rows {
        return Err(Stop::new(Exit::BadData, "every row was rejected")
            .remedy("compare --map with the file; the file of rejected rows tells why"));
    }
    Ok(())
}

fn dry_run(args: &IngestArgs, items: &Source, events: &Source) -> Outcome<Report> {
    let mut report = Report::default();
    for source in [items, events] {
        let mut rejects = Rejects::new(source, args.rejected.clone());
        source.each(|found| {
            report.rows += 1;
            match found {
                Ok(_) => Ok(()),
                Err(rejected) => rejects.add(&rejected),
            }
        })?;
        report.rejected_rows += rejects.count();
        report.rejected_files.extend(rejects.finish()?);
    }
    Ok(report)
}

/// One run against a server.
struct Run<'a> {
    args: &'a IngestArgs,
    sort: bool,
    items: &'a Source,
    events: &'a Source,
    client: Client,
    before: report::Pipeline,
    resume: Resume,
    report: Report,
}

impl<'a> Run<'a> {
    fn start(
        args: &'a IngestArgs,
        spec: &InputSpec,
        items: &'a Source,
        events: &'a Source,
    ) -> Outcome<Self> {
        let client = args.client.client();
        let before = report::Pipeline::ask(&client)?;
        let client = client.patient();
        let first = events.files.first().or(items.files.first());
        let path = first.map(|(_, input)| beside(input, ".progress.json"));
        if let (true, Some(path)) = (args.restart, &path) {
            let _ = std::fs::remove_file(path);
        }
        let inputs = inputs_hash(&[items, events]);
        let resume = Resume::open(path, inputs, client.base(), before.on_log());
        let (sort, report) = (spec.sort, Report::default());
        Ok(Self { args, sort, items, events, client, before, resume, report })
    }

    fn all(mut self) -> Outcome<Report> {
        if self.resume.sent() > 0 {
            eprintln!("going on after {} events of an earlier run", self.resume.sent());
        }
        let newest = if self.args.shift_time_to_now { newest(self.events)? } else { None };
        let shift = newest.map_or(0, |newest| wall_clock().0 - newest.0);
        let shift = self.resume.shift_ms(shift);
        let client = self.client.clone();
        let mut sender = Sender::new(&client, self.resume.sent(), self.before.on_log());
        let (items, events) = (self.items, self.events);
        self.send(items, false, 0, &mut sender)?;
        self.report.newest = None; // the catalogue's times move nothing that fades
        self.send(events, self.sort, shift, &mut sender)?;
        self.report.take(&sender);
        self.resume.finish();
        let after = report::Pipeline::wait(&self.client, self.before.accepted + sender.accepted())?;
        self.report.late = after.late.saturating_sub(self.before.late);
        if is_mostly_late(&self.report) {
            eprintln!("{}", report::LATE_ADVICE);
        }
        if !self.args.shift_time_to_now && is_old(self.report.newest, wall_clock()) {
            eprintln!("{}", report::OLD_ADVICE);
        }
        Ok(self.report)
    }

    fn send(&mut self, source: &Source, sort: bool, shift: i64, to: &mut Sender<'_>) -> Outcome {
        let mut rejects = Rejects::new(source, self.args.rejected.clone());
        let (resume, report) = (&mut self.resume, &mut self.report);
        if sort {
            let sorted = source.collect(true, |rejected| rejects.add(&rejected))?;
            report.rows += sorted.len() as u64 + rejects.count();
            let mut progress = Progress::new("events", sorted.len() as u64);
            for (number, sourced) in sorted.into_iter().enumerate() {
                report.newest = report.newest.max(sourced.event.timestamp);
                to.event(shifted(sourced, shift), &mut rejects, resume)?;
                progress.set(number as u64 + 1);
            }
            progress.finish();
        } else {
            let mut progress = Progress::new("rows", 0);
            source.each(|found: Found| {
                report.rows += 1;
                progress.set(report.rows);
                match found {
                    Ok(sourced) => {
                        report.newest = report.newest.max(sourced.event.timestamp);
                        to.event(shifted(sourced, shift), &mut rejects, resume)
                    }
                    Err(rejected) => rejects.add(&rejected),
                }
            })?;
            progress.finish();
        }
        to.flush_into(&mut rejects, resume)?;
        report.rejected_rows += rejects.count();
        report.rejected_files.extend(rejects.finish()?);
        Ok(())
    }
}

/// Depends on the bytes of all inputs and on how they are read.
fn inputs_hash(sources: &[&Source]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for (spec, input) in sources.iter().flat_map(|source| &source.files) {
        hasher.update(&input.hash.0);
        let how = format!("{:?}{:?}{:?}{}", spec.kind, spec.layout, spec.map, spec.separator);
        hasher.update(Digest::of(how.as_bytes()).0.as_slice());
    }
    Digest(*hasher.finalize().as_bytes())
}

fn newest(source: &Source) -> Outcome<Option<TimestampMs>> {
    let mut newest = None;
    source.each(|found| {
        newest = newest.max(found.ok().and_then(|sourced| sourced.event.timestamp));
        Ok(())
    })?;
    Ok(newest)
}

fn shifted(mut sourced: Sourced, shift_ms: i64) -> Sourced {
    if let (Some(time), true) = (sourced.event.timestamp, shift_ms != 0) {
        let time = time.plus_ms(shift_ms);
        sourced.event.timestamp = Some(time);
        sourced.json.insert("timestamp".into(), time.to_string().into());
    }
    sourced
}
