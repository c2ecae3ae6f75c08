//! Data sets whose files and columns are known.

use std::path::{Path, PathBuf};

use super::columns::ColumnMap;
use super::convert::Kind;
use super::rows::Layout;
use super::spec::{FileSpec, InputSpec};

/// A known data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dataset {
    /// MovieTweetings: ratings.dat and movies.dat
    Movietweetings,
    /// MovieLens 100k as RecBole ships it: ml-100k.inter and ml-100k.item
    #[value(name = "ml-100k")]
    Ml100k,
    /// UCI Online Retail: purchases.csv.gz
    OnlineRetail,
}

impl Dataset {
    /// Its files in the folder `path`.
    #[must_use]
    pub(crate) fn spec(self, path: &Path) -> InputSpec {
        let (name, items, events, positive_rating) = match self {
            Self::Movietweetings => {
                let (items, events) = movietweetings(path);
                ("movietweetings", items, events, Some(7.0))
            }
            Self::Ml100k => {
                let (items, events) = ml_100k(path);
                ("ml-100k", items, events, Some(4.0))
            }
            Self::OnlineRetail => {
                let (items, events) = online_retail(path);
                ("online-retail", items, events, None)
            }
        };
        let (events, items) = (vec![events], vec![items]);
        InputSpec { name: name.into(), events, items, positive_rating, sort: true }
    }
}

fn movietweetings(path: &Path) -> (FileSpec, FileSpec) {
    let plain = || Layout::Plain("::".into());
    let items = "item_id=1,title=2,category=3";
    let events = "user_id=1,item_id=2,rating=3,timestamp=4,event_type=:rate";
    (
        file(path.join("movies.dat"), Kind::Items, plain(), items),
        file(path.join("ratings.dat"), Kind::Events, plain(), events),
    )
}

fn ml_100k(path: &Path) -> (FileSpec, FileSpec) {
    let plain = || Layout::Plain("\t".into());
    let items = "item_id=1,title=2,attributes.year=3,category=4";
    let events = "user_id=1,item_id=2,rating=3,timestamp=4,event_type=:rate";
    let items = file(path.join("ml-100k.item"), Kind::Items, plain(), items);
    let events = file(path.join("ml-100k.inter"), Kind::Events, plain(), events);
    (FileSpec { header: true, separator: " ".into(), ..items }, FileSpec { header: true, ..events })
}

fn online_retail(path: &Path) -> (FileSpec, FileSpec) {
    let both = path.join("purchases.csv.gz");
    let events = "user_id=user_id,item_id=item_id,timestamp=timestamp,session_id=session_id,\
                  quantity=quantity,price=price,currency=:GBP,context.country=country,\
                  event_type=:purchase";
    let items = file(both.clone(), Kind::Items, Layout::Quoted(','), "item_id=item_id,title=title");
    let events = file(both, Kind::Events, Layout::Quoted(','), events);
    (
        // Each purchase repeats its item's title, with typing errors now and then.
        FileSpec { header: true, first_row_of_item_only: true, ..items },
        FileSpec { header: true, ..events },
    )
}

fn file(path: PathBuf, kind: Kind, layout: Layout, map: &str) -> FileSpec {
    FileSpec {
        path,
        kind,
        layout,
        header: false,
        map: map.parse::<ColumnMap>().expect("the maps above are read by the tests of this folder"),
        separator: "|".into(),
        first_row_of_item_only: false,
    }
}
