//! Data sets whose files and columns are known.

use std::path::Path;

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
        let file = |name: &str, kind, layout, header, map: &str| FileSpec {
            path: path.join(name),
            kind,
            layout,
            header,
            map: map.parse::<ColumnMap>().expect("the maps below are valid, see the test"),
            separator: "|".into(),
            first_row_of_item_only: false,
        };
        let plain = |delimiter: &str| Layout::Plain(delimiter.into());
        let (name, mut items, events, positive_rating) = match self {
            Self::Movietweetings => (
                "movietweetings",
                file("movies.dat", Kind::Items, plain("::"), false, "item_id=1,title=2,category=3"),
                file(
                    "ratings.dat",
                    Kind::Events,
                    plain("::"),
                    false,
                    "user_id=1,item_id=2,rating=3,timestamp=4,event_type=:rate",
                ),
                Some(7.0),
            ),
            Self::Ml100k => (
                "ml-100k",
                file(
                    "ml-100k.item",
                    Kind::Items,
                    plain("\t"),
                    true,
                    "item_id=1,title=2,attributes.year=3,category=4",
                ),
                file(
                    "ml-100k.inter",
                    Kind::Events,
                    plain("\t"),
                    true,
                    "user_id=1,item_id=2,rating=3,timestamp=4,event_type=:rate",
                ),
                Some(4.0),
            ),
            Self::OnlineRetail => (
                "online-retail",
                file(
                    "purchases.csv.gz",
                    Kind::Items,
                    Layout::Quoted(','),
                    true,
                    "item_id=item_id,title=title",
                ),
                file(
                    "purchases.csv.gz",
                    Kind::Events,
                    Layout::Quoted(','),
                    true,
                    "user_id=user_id,item_id=item_id,timestamp=timestamp,session_id=session_id,\
                     quantity=quantity,price=price,currency=:GBP,context.country=country,\
                     event_type=:purchase",
                ),
                None,
            ),
        };
        match self {
            Self::Movietweetings => {}
            Self::Ml100k => items.separator = " ".into(),
            // Each purchase repeats its item's title, with typing errors now and then.
            Self::OnlineRetail => items.first_row_of_item_only = true,
        }
        let (events, items) = (vec![events], vec![items]);
        InputSpec { name: name.into(), events, items, positive_rating, sort: true }
    }
}
