//! Reading events and catalogue rows from files, for `ingest` and `evaluate` alike.
//!
//! Order of reading: [`columns`] and [`spec`] say what is meant, [`mod@file`] opens it, [`rows`] cuts
//! it into rows, [`convert`] makes each row an event as a producer would send it. Event ids are
//! derived from (hash of the file, row), so that reading a file again has no second effect and
//! equal rows stay two events. A row that makes no event is [`Rejected`] with its reason.

pub(crate) mod columns;
pub(crate) mod convert;
pub(crate) mod file;
pub(crate) mod positive;
pub(crate) mod preset;
pub(crate) mod rejects;
pub(crate) mod rows;
pub(crate) mod spec;
pub(crate) mod split;

use std::collections::HashSet;
use std::io::BufRead;

use eddyline_schemas::decode::{IdAssigner, decode_json_event};
use eddyline_schemas::event::Event;
use eddyline_schemas::time::TimestampMs;
use serde_json::{Map, Value};

use crate::exit::{Exit, OrStop, Outcome, Stop};
use convert::{Converter, Kind};
use file::InputFile;
use rows::{Cells, Row, Rows};
use spec::FileSpec;

/// An event with the row that it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Sourced {
    /// Number of the file.
    pub file: usize,
    /// Line on which the row begins.
    pub line: u64,
    /// The row.
    pub raw: String,
    /// As a producer would send it.
    pub json: Map<String, Value>,
    /// As the validator reads it.
    pub event: Event,
}

impl Sourced {
    /// Place in the order of (timestamp, row); events without a time come last.
    #[must_use]
    pub(crate) fn order(&self) -> (TimestampMs, usize, u64) {
        (self.event.timestamp.unwrap_or(TimestampMs(i64::MAX)), self.file, self.line)
    }
}

/// A row that makes no event.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Rejected {
    /// Number of the file.
    #[serde(skip)]
    pub file: usize,
    /// Line on which the row begins.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// The row.
    pub raw: String,
}

/// What a row turned out to be.
pub(crate) type Found = Result<Sourced, Rejected>;

/// Opened inputs.
#[derive(Debug)]
pub(crate) struct Source {
    /// Each with how to read it.
    pub files: Vec<(FileSpec, InputFile)>,
}

impl Source {
    /// Opens and hashes all files.
    pub(crate) fn open(specs: &[FileSpec]) -> Outcome<Self> {
        let mut files = Vec::new();
        for spec in specs {
            let input = InputFile::open(&spec.path)
                .or_stop(Exit::Io, || format!("cannot read {}", spec.path.display()))?;
            files.push((spec.clone(), input));
        }
        Ok(Self { files })
    }

    /// Calls `take` with each row of all files, in order.
    pub(crate) fn each(&self, mut take: impl FnMut(Found) -> Outcome) -> Outcome {
        for number in 0..self.files.len() {
            self.each_of(number, &mut take)?;
        }
        Ok(())
    }

    fn each_of(&self, number: usize, take: &mut impl FnMut(Found) -> Outcome) -> Outcome {
        let (spec, input) = &self.files[number];
        let failed = || format!("cannot read {}", input.name());
        let mut rows = Rows::new(input.reader().or_stop(Exit::Io, failed)?, spec.layout.clone());
        let header = read_header(spec, input, &mut rows)?;
        let converter = Converter::new(spec.kind, &spec.map, header.as_deref(), &spec.separator)
            .map_err(|reason| Stop::new(Exit::Usage, format!("{}: {reason}", input.name())))?;
        let maker = Maker { number, spec, input, converter };
        let mut seen = HashSet::new();
        for row in rows {
            let found = maker.make(row.or_stop(Exit::Io, failed)?);
            if let (true, Ok(sourced)) = (spec.first_row_of_item_only, &found)
                && !seen.insert(sourced.event.key().to_owned())
            {
                continue;
            }
            take(found)?;
        }
        Ok(())
    }

    /// All events, in the order of (timestamp, row) if asked for; rejected rows go to `reject`.
    pub(crate) fn collect(
        &self,
        sort: bool,
        mut reject: impl FnMut(Rejected) -> Outcome,
    ) -> Outcome<Vec<Sourced>> {
        let mut events = Vec::new();
        self.each(|found| {
            match found {
                Ok(sourced) => events.push(sourced),
                Err(rejected) => reject(rejected)?,
            }
            Ok(())
        })?;
        if sort {
            events.sort_by_key(Sourced::order);
        }
        Ok(events)
    }
}

fn read_header(
    spec: &FileSpec,
    input: &InputFile,
    rows: &mut Rows<Box<dyn BufRead>>,
) -> Outcome<Option<Vec<String>>> {
    if !spec.header {
        return Ok(None);
    }
    let first =
        rows.next().transpose().or_stop(Exit::Io, || format!("reading {}", input.name()))?;
    match first.map(|row| row.cells) {
        Some(Ok(Cells::Fields(names))) => {
            Ok(Some(names.into_iter().map(|name| name.trim().to_owned()).collect()))
        }
        Some(Ok(Cells::Object(_)) | Err(_)) | None => {
            Err(Stop::new(Exit::BadData, format!("{} has no header", input.name()))
                .remedy("map columns by number, as in --map user_id=1,item_id=2"))
        }
    }
}

/// Makes events of one file's rows.
struct Maker<'a> {
    number: usize,
    spec: &'a FileSpec,
    input: &'a InputFile,
    converter: Converter,
}

impl Maker<'_> {
    fn make(&self, row: Row) -> Found {
        let Row { line, raw, cells } = row;
        let made = cells.and_then(|cells| self.event(line, cells));
        match made {
            Ok((json, event)) => Ok(Sourced { file: self.number, line, raw, json, event }),
            Err(reason) => Err(Rejected { file: self.number, line, reason, raw }),
        }
    }

    fn event(&self, line: u64, cells: Cells) -> Result<(Map<String, Value>, Event), String> {
        let mut json = self.converter.convert(cells)?;
        let id = json.entry("event_id").or_insert(Value::Null);
        if id.is_null() {
            *id = event_id(self.input, self.spec.kind, line).into();
        }
        let event = validate(&json)?;
        Ok((json, event))
    }
}

/// Derived from file and row alone, the same in every run.
fn event_id(input: &InputFile, kind: Kind, line: u64) -> String {
    let hash = input.hash.to_string();
    match kind {
        Kind::Events => format!("{}-{line}", &hash[..16]),
        Kind::Items => format!("{}-i{line}", &hash[..16]),
    }
}

/// Asks the one validator that also guards the door and the log.
fn validate(json: &Map<String, Value>) -> Result<Event, String> {
    let text = serde_json::to_vec(json).expect("a JSON object can be written");
    let mut never = || unreachable!("each event got an id above");
    let mut ids = IdAssigner::new(&mut never);
    decode_json_event(&text, wall_clock(), &mut ids).map_err(|refusal| {
        match refusal.pointer.as_str() {
            "" => refusal.detail,
            pointer => format!("{pointer}: {}", refusal.detail),
        }
    })
}

/// Now, for the bound on timestamps and for `--shift-time-to-now`.
#[must_use]
pub(crate) fn wall_clock() -> TimestampMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    TimestampMs(since.map_or(0, |since| since.as_millis() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::preset::Dataset;

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("it can be written");
        }
        folder
    }

    fn read(specs: &[FileSpec]) -> (Vec<Sourced>, Vec<Rejected>) {
        let source = Source::open(specs).expect("the files are there");
        let mut rejected = Vec::new();
        let events = source.collect(true, |row| {
            rejected.push(row);
            Ok(())
        });
        (events.expect("they can be read"), rejected)
    }

    #[test]
    fn movietweetings() {
        let folder = folder_with(&[
            ("ratings.dat", "1::11::7::1365029107\n2::12::8::1364690142\n3::13::11::1364690142\n"),
            ("movies.dat", "0002844::Fantômas (1913)::Crime|Drama\n"),
        ]);
        let spec = Dataset::Movietweetings.spec(folder.path());
        let (events, rejected) = read(&spec.events);
        let users: Vec<&str> = events.iter().map(|sourced| sourced.event.key()).collect();
        assert_eq!(users, ["2", "1"], "in the order of time");
        assert_eq!(events[0].event.event_type.name(), "rate");
        assert_eq!((rejected.len(), rejected[0].line), (1, 3));
        assert!(rejected[0].reason.starts_with("/rating: "), "{}", rejected[0].reason);
        let (items, _) = read(&spec.items);
        let document = items[0].event.item.as_ref().expect("an upsert has one");
        assert_eq!(document.categories, ["Crime", "Drama"]);
        assert_eq!(document.title.as_deref(), Some("Fantômas (1913)"));
    }

    #[test]
    fn ml_100k() {
        let folder = folder_with(&[
            (
                "ml-100k.inter",
                "user_id:token\titem_id:token\trating:float\ttimestamp:float\n\
                               196\t242\t3\t881250949\n",
            ),
            (
                "ml-100k.item",
                "item_id:token\tmovie_title:token_seq\tyear:token\tclass:token_seq\n\
                              1\tToy Story\t1995\tAnimation Children's Comedy\n",
            ),
        ]);
        let spec = Dataset::Ml100k.spec(folder.path());
        let (events, rejected) = read(&spec.events);
        assert_eq!((events.len(), rejected.len()), (1, 0));
        assert_eq!(events[0].event.rating, Some(3.0));
        let (items, _) = read(&spec.items);
        let document = items[0].event.item.as_ref().expect("an upsert has one");
        assert_eq!(document.categories, ["Animation", "Children's", "Comedy"]);
        assert_eq!(document.attributes.get("year").map(String::as_str), Some("1995"));
    }

    #[test]
    fn online_retail() {
        let folder = folder_with(&[(
            "purchases.csv.gz",
            "timestamp,session_id,user_id,item_id,quantity,price,country,title\n\
             1291191960,536365,17850,85123A,6,2.55,United Kingdom,\"HOLDER, WHITE\"\n\
             1291191960,536365,17850,85123A,6,2.55,United Kingdom,HOLDR\n",
        )]);
        let spec = Dataset::OnlineRetail.spec(folder.path());
        let (events, rejected) = read(&spec.events);
        assert_eq!((events.len(), rejected.len()), (2, 0), "equal rows stay two events");
        assert_ne!(events[0].event.event_id, events[1].event.event_id);
        assert_eq!(events[0].event.quantity, Some(6.0));
        assert_eq!(events[0].event.context["country"], "United Kingdom");
        let (items, _) = read(&spec.items);
        assert_eq!(items.len(), 1, "the first title of an item counts");
    }

    #[test]
    fn ids_are_the_same_in_every_run() {
        let folder = folder_with(&[("ratings.dat", "1::11::7::1\n"), ("movies.dat", "")]);
        let spec = Dataset::Movietweetings.spec(folder.path());
        let id = || read(&spec.events).0[0].event.event_id.clone();
        assert_eq!(id(), id());
        std::fs::write(folder.path().join("ratings.dat"), "1::11::7::1\n\n").expect("writable");
        let (other, _) = read(&spec.events);
        assert_eq!(other.len(), 1);
    }

    #[test]
    fn rejected_rows_go_to_a_file() {
        let folder = folder_with(&[("ratings.dat", "1::11::x::1\n1::11\n1::11::5::1\n")]);
        let spec = Dataset::Movietweetings.spec(folder.path());
        let source = Source::open(&spec.events).expect("the file is there");
        let mut rejects = rejects::Rejects::new(&source, None);
        let events = source.collect(true, |row| rejects.add(&row)).expect("it can be read");
        assert_eq!((events.len(), rejects.count()), (1, 2));
        let paths = rejects.finish().expect("it can be written");
        assert_eq!(paths, [folder.path().join("ratings.dat.rejected.jsonl")]);
        let text = std::fs::read_to_string(&paths[0]).expect("it was written");
        let want = "{\"line\":1,\"reason\":\"rating: \\\"x\\\" is not a number\",\
                    \"raw\":\"1::11::x::1\"}\n\
                    {\"line\":2,\"reason\":\"rating: the row has 2 columns\",\"raw\":\"1::11\"}\n";
        assert_eq!(text, want);
    }
}
