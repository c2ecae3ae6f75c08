//! How far each lineage is that this process keeps. The number of series is that of the lineages
//! that an operator registered.

use eddyline_schemas::lineage::{Epoch, Lineage};

use super::{Description, head, line, row};

/// Every metric here.
pub const LINEAGE_TABLE: [Description; 3] = [
    row("eddyline_lineage_epoch", "gauge", "last epoch of the lineage that can be asked"),
    row("eddyline_lineage_lag_epochs", "gauge", "bound epochs that the lineage lacks"),
    row("eddyline_lineage_active", "gauge", "1 of the lineage that answers"),
];

/// A lineage at one moment.
#[derive(Clone, Copy, Debug)]
pub struct LineageRow {
    /// Which.
    pub lineage: Lineage,
    /// How it is.
    pub state: &'static str,
    /// See the table.
    pub epoch: Epoch,
    /// See the table.
    pub lag_epochs: u64,
    /// See the table.
    pub is_active: bool,
}

/// The exposition.
#[must_use]
pub fn render(rows: &[LineageRow]) -> String {
    let mut to = String::new();
    let value = |row: &LineageRow| [row.epoch.0, row.lag_epochs, u64::from(row.is_active)];
    for (at, description) in LINEAGE_TABLE.into_iter().enumerate() {
        head(&mut to, description);
        for row in rows {
            let labels = format!("lineage=\"{}\",state=\"{}\"", row.lineage, row.state);
            line(&mut to, description.name, "", &labels, &value(row)[at]);
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;
    use eddyline_schemas::record::Digest;

    #[test]
    fn each_lineage_has_a_line_of_each_metric() {
        let one = LineageRow {
            lineage: Lineage::root(Digest::of(b"one")),
            state: "active",
            epoch: Epoch(7),
            lag_epochs: 2,
            is_active: true,
        };
        let two = LineageRow { state: "following", is_active: false, ..one };
        let text = render(&[one, two]);
        let lineage = one.lineage;
        let check = |line: &str| assert!(text.contains(line), "{line} not in {text}");
        check(&format!("eddyline_lineage_epoch{{lineage=\"{lineage}\",state=\"active\"}} 7\n"));
        check(&format!("lineage_lag_epochs{{lineage=\"{lineage}\",state=\"following\"}} 2\n"));
        check(&format!("lineage_active{{lineage=\"{lineage}\",state=\"following\"}} 0\n"));
        for row in LINEAGE_TABLE {
            assert!(row.name.starts_with("eddyline_") && row.kind == "gauge");
        }
    }
}
