//! What the user asked to be read: files, layouts and column maps.

use std::path::{Path, PathBuf};

use super::columns::{ColumnMap, EVENT_MEMBERS, ITEM_MEMBERS};
use super::convert::Kind;
use super::preset::Dataset;
use super::rows::Layout;
use crate::exit::{Exit, Outcome, Stop};

/// One file and how to read it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileSpec {
    /// Where; `-` is standard input.
    pub path: PathBuf,
    /// What its rows are.
    pub kind: Kind,
    /// How it is laid out.
    pub layout: Layout,
    /// Whether its first row names the columns.
    pub header: bool,
    /// Which column is which member.
    pub map: ColumnMap,
    /// Between the entries of a list, as in `Crime|Drama`.
    pub separator: String,
    /// Whether later rows of the same item say nothing new.
    pub first_row_of_item_only: bool,
}

/// All inputs of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InputSpec {
    /// For people.
    pub name: String,
    /// Files of events, in order.
    pub events: Vec<FileSpec>,
    /// Files of catalogue rows, in order; they are read first.
    pub items: Vec<FileSpec>,
    /// Ratings below it are not positive.
    pub positive_rating: Option<f64>,
    /// Whether events are put into the order of (timestamp, row).
    pub sort: bool,
}

/// Flags that say how inputs are read.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct InputArgs {
    /// A data set whose files and columns are known; needs --path
    #[arg(long, value_enum, requires = "path", conflicts_with_all = ["map", "items", "delimiter"])]
    pub dataset: Option<Dataset>,
    /// Folder of the data set
    #[arg(long, value_name = "DIR", requires = "dataset")]
    pub path: Option<PathBuf>,
    /// Columns of events: MEMBER=NUMBER, MEMBER=NAME or MEMBER=:CONSTANT, separated by commas
    #[arg(long, value_name = "MAP")]
    pub map: Option<ColumnMap>,
    /// Between columns, of any length; also tab, or json for JSON lines; guessed from the file's
    /// name
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub delimiter: Option<String>,
    /// The first row names the columns; implied by maps that use names, and by the lack of one
    #[arg(long)]
    pub header: bool,
    /// Files of catalogue rows, read before the events
    #[arg(long, value_name = "FILE")]
    pub items: Vec<PathBuf>,
    /// Columns of catalogue rows, as in --map
    #[arg(long, value_name = "MAP")]
    pub items_map: Option<ColumnMap>,
    /// Between columns of catalogue files; without it as --delimiter
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub items_delimiter: Option<String>,
    /// Between the entries of a category or tag list
    #[arg(long, value_name = "TEXT", default_value = "|", allow_hyphen_values = true)]
    pub separator: String,
}

impl InputArgs {
    /// The inputs meant by the flags and by `files` of events.
    pub(crate) fn spec(&self, files: &[PathBuf]) -> Outcome<InputSpec> {
        if let (Some(dataset), Some(path)) = (self.dataset, &self.path) {
            if files.is_empty() {
                return Ok(dataset.spec(path));
            }
            return Err(Stop::new(Exit::Usage, "a data set and files are given")
                .remedy("give --dataset with --path, or files with --map"));
        }
        if files.is_empty() && self.items.is_empty() {
            return Err(Stop::new(Exit::Usage, "nothing to read")
                .remedy("name a file, - for standard input, or --dataset NAME --path DIR"));
        }
        let map = self.map.clone().unwrap_or_default();
        let items_map = self.items_map.clone().unwrap_or_default();
        checked("--map", map.check(&EVENT_MEMBERS, "context"))?;
        checked("--items-map", items_map.check(&ITEM_MEMBERS, "attributes"))?;
        let delimiter = self.delimiter.as_deref();
        let items_delimiter = self.items_delimiter.as_deref().or(delimiter);
        let file = |path: &PathBuf, kind| match kind {
            Kind::Events => self.file(path, kind, &map, delimiter),
            Kind::Items => self.file(path, kind, &items_map, items_delimiter),
        };
        Ok(InputSpec {
            name: files.first().map_or("items".into(), |path| path.display().to_string()),
            events: files.iter().map(|path| file(path, Kind::Events)).collect(),
            items: self.items.iter().map(|path| file(path, Kind::Items)).collect(),
            positive_rating: None,
            sort: false,
        })
    }

    fn file(&self, path: &Path, kind: Kind, map: &ColumnMap, delimiter: Option<&str>) -> FileSpec {
        let by_name = || Layout::for_name(&path.to_string_lossy());
        let layout = delimiter.map_or_else(by_name, Layout::for_delimiter);
        let has_columns = layout != Layout::JsonLines;
        FileSpec {
            path: path.to_owned(),
            kind,
            header: has_columns && (self.header || map.names_columns() || map.pairs.is_empty()),
            layout,
            map: map.clone(),
            separator: self.separator.clone(),
            first_row_of_item_only: false,
        }
    }
}

fn checked(flag: &str, result: Result<(), String>) -> Outcome {
    result.map_err(|reason| Stop::new(Exit::Usage, format!("{flag}: {reason}")))
}
