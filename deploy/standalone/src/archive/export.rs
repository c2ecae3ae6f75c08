//! `eddyline archive export`: archived events as lines of JSON, which `eddyline ingest` takes.
//!
//! In the order in which they were bound, late events and repeated ones too: whoever takes them in
//! decides again. What is no event is left out and counted.

use std::fs::{File, rename};
use std::io::{BufWriter, Write, stdout};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_connect::objects::Access;
use eddyline_dataflows::{BoundContent, BoundRecord, epoch_at, for_each_record, last_bound_epoch};
use eddyline_replay::ReplayError;
use eddyline_replay::archive::ArchiveLog;
use eddyline_schemas::codec::event_json;
use eddyline_schemas::decode::{IdAssigner, decode_json_event};
use eddyline_schemas::event::Event;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::Topic;

use super::{no_archive, of_archive, open_archive};
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};
use crate::output::Progress;
use crate::replay::of_replay;

/// Flags of `archive export`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// File to write, which must not exist; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    /// Only what was bound behind this epoch, or after this time, such as 2026-11-22T10:00:00Z
    #[arg(long, value_name = "EPOCH|TIME")]
    pub after: Option<String>,
    /// Only what was bound up to this epoch, or by this time
    #[arg(long, value_name = "EPOCH|TIME")]
    pub until: Option<String>,
    /// Only one topic: user_events, feedback or item_events
    #[arg(long, value_name = "TOPIC", value_parser = crate::dlq::input_topic)]
    pub topic: Option<Topic>,
}

/// What was written and what was left out.
#[derive(Debug, Default)]
struct Counts {
    events: u64,
    dead_letters: u64,
    erased: u64,
    unsayable: u64,
}

/// Runs the verb.
pub(super) fn run(args: &ExportArgs, config: &Config) -> Outcome {
    let objects = open_archive(config, Access::Read)?;
    let log = ArchiveLog::open(objects).map_err(|error| of_archive(error, config))?;
    if log.catalogue().all_files().next().is_none() {
        return Err(no_archive(config));
    }
    let log: Arc<dyn EventLog> = Arc::new(log);
    let last = last_bound_epoch(Arc::clone(&log)).map_err(of_engine)?;
    let epoch = |when: &Option<String>, otherwise| match when {
        Some(when) => epoch_of(&*log, when, last),
        None => Ok(otherwise),
    };
    let (after, until) = (epoch(&args.after, Epoch(0))?, epoch(&args.until, last)?);
    if after >= until {
        let message = format!("nothing was bound behind epoch {after} and up to {until}");
        return Err(
            Stop::new(Exit::Usage, message).remedy(format!("the archive has epochs 1 to {last}"))
        );
    }
    let mut out = Output::create(&args.out)?;
    let mut counts = Counts::default();
    let mut progress = Progress::new("epochs", until.0);
    let written = for_each_record(&log, (after, Some(until)), |bound| {
        progress.set(bound.epoch.0);
        if args.topic.is_some_and(|topic| topic != bound.at.topic) {
            return Ok(());
        }
        write(&mut out, &bound, &mut counts)
    });
    progress.finish();
    match written {
        Ok(()) | Err(Ended::Stopped(ControlFlow::Break(()))) => {}
        Err(Ended::Stopped(ControlFlow::Continue(stop))) => return Err(stop),
        Err(Ended::Engine(error)) => return Err(of_engine(error)),
    }
    out.finish()?;
    let Counts { events, dead_letters, erased, unsayable } = counts;
    eprintln!(
        "{events} events of epochs {} to {until}; left out: {dead_letters} dead letters, \
         {erased} erased, {unsayable} that JSON cannot say",
        after.next()
    );
    Ok(())
}

/// An epoch, or the last one that was bound by a time.
fn epoch_of(log: &dyn EventLog, when: &str, last: Epoch) -> Outcome<Epoch> {
    let epoch = match when.parse() {
        Ok(epoch) => Epoch(epoch),
        Err(_) => {
            let time = TimestampMs::from_rfc3339(when)
                .or_stop(Exit::Usage, || format!("{when:?} is no epoch and no time"))
                .map_err(|stop| stop.remedy("write it like 4711 or 2026-11-22T10:00:00Z"))?;
            epoch_at(log, time).map_err(of_engine)?
        }
    };
    if epoch > last {
        return Err(of_replay(ReplayError::NoSuchEpoch { asked: epoch, last }));
    }
    Ok(epoch)
}

/// Why the walk ended early.
enum Ended {
    Engine(eddyline_dataflows::EngineError),
    /// `Break` when whoever reads wants no more, which is their right.
    Stopped(ControlFlow<(), Stop>),
}

impl From<eddyline_dataflows::EngineError> for Ended {
    fn from(error: eddyline_dataflows::EngineError) -> Self {
        Self::Engine(error)
    }
}

fn write(out: &mut Output, bound: &BoundRecord, counts: &mut Counts) -> Result<(), Ended> {
    match &bound.content {
        BoundContent::Event(event) => {
            let text = event_json(event, bound.record.append_time);
            if is_said(&text, event, bound.record.append_time) {
                counts.events += 1;
                return out.line(&text);
            }
            counts.unsayable += 1;
            let BoundRecord { at, offset, .. } = bound;
            tracing::warn!(%at, offset, "an event of this kind cannot be said in JSON: left out");
        }
        BoundContent::DeadLetter(_) | BoundContent::Skipped => counts.dead_letters += 1,
        BoundContent::Erased => counts.erased += 1,
    }
    Ok(())
}

/// Whether the door would take the text as that event.
fn is_said(text: &str, event: &Event, append_time: TimestampMs) -> bool {
    let mut no_random = || [0; 16];
    let mut ids = IdAssigner::new(&mut no_random);
    let as_sent = |event: Event| Event {
        timestamp: event.timestamp.or(Some(append_time)),
        id_origin: eddyline_schemas::event::IdOrigin::Producer,
        // Kept as it was written, which may be with other white space.
        unknown: None,
        ..event
    };
    decode_json_event(text.as_bytes(), append_time, &mut ids)
        .is_ok_and(|again| as_sent(again) == as_sent(event.clone()))
}

/// Where lines go. A file has another name until it is whole.
struct Output {
    to: BufWriter<Box<dyn Write>>,
    names: Option<(PathBuf, PathBuf)>,
}

impl Output {
    fn create(out: &Path) -> Outcome<Self> {
        if out == Path::new("-") {
            return Ok(Self { to: BufWriter::new(Box::new(stdout())), names: None });
        }
        if out.exists() {
            return Err(Stop::new(Exit::Usage, format!("{} exists", out.display()))
                .remedy("name another file, or remove it"));
        }
        let mut partial = out.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file =
            File::create(&partial).or_stop(Exit::Io, || format!("making {}", partial.display()))?;
        let names = Some((partial, out.to_owned()));
        Ok(Self { to: BufWriter::new(Box::new(file)), names })
    }

    fn line(&mut self, text: &str) -> Result<(), Ended> {
        let written = self.to.write_all(text.as_bytes()).and_then(|()| self.to.write_all(b"\n"));
        written.map_err(|error| {
            Ended::Stopped(if error.kind() == std::io::ErrorKind::BrokenPipe {
                ControlFlow::Break(())
            } else {
                let stop = Err::<(), _>(error).or_stop(Exit::Io, || "writing events".into());
                ControlFlow::Continue(stop.expect_err("made from an error"))
            })
        })
    }

    fn finish(mut self) -> Outcome {
        match self.to.flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            flushed => flushed.or_stop(Exit::Io, || "writing events".into())?,
        }
        if let Some((partial, out)) = &self.names {
            rename(partial, out).or_stop(Exit::Io, || format!("naming {}", out.display()))?;
        }
        Ok(())
    }
}
