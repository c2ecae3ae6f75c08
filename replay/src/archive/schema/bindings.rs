//! Columns of the bindings topic.

use eddyline_schemas::binding::{Binding, BindingRecord, BoundRange};
use parquet::data_type::ByteArray;

use super::super::column::{Column, Leaf, Row, Says};

fn said(row: &Row) -> Option<&BindingRecord> {
    match &row.says {
        Says::Binding(record) => Some(record),
        Says::Event(_) | Says::Nothing => None,
    }
}

fn binding(row: &Row) -> Option<&Binding> {
    match said(row)? {
        BindingRecord::Binding(binding) => Some(binding),
        BindingRecord::Fence(_) | BindingRecord::Control(_) => None,
    }
}

fn of_ranges<T>(row: &Row, of: fn(&BoundRange) -> T) -> Option<Vec<T>> {
    Some(binding(row)?.ranges.iter().map(of).collect())
}

pub(super) const COLUMNS: &[Column] = &[
    Column {
        declared: "optional binary kind (STRING);",
        leaves: &[Leaf::Word(|row| {
            Some(ByteArray::from(match said(row)? {
                BindingRecord::Fence(_) => "fence",
                BindingRecord::Binding(_) => "binding",
                BindingRecord::Control(_) => "control",
            }))
        })],
    },
    Column {
        declared: "optional int64 term;",
        leaves: &[Leaf::Long(|row| {
            Some(match said(row)? {
                BindingRecord::Fence(fence) => fence.term.0 as i64,
                BindingRecord::Binding(binding) => binding.term.0 as i64,
                BindingRecord::Control(control) => control.term.0 as i64,
            })
        })],
    },
    Column {
        declared: "optional int64 bound_epoch;",
        leaves: &[Leaf::Long(|row| Some(binding(row)?.epoch.0 as i64))],
    },
    Column {
        declared: "optional int64 logical_time (TIMESTAMP(MILLIS,true));",
        leaves: &[Leaf::Long(|row| Some(binding(row)?.logical_time.0))],
    },
    Column {
        declared: "optional group ranges (LIST) { repeated group list { required group element { \
                   required binary topic (STRING); required int32 partition; \
                   required int64 start; required int64 end; required int64 count; } } }",
        leaves: &[
            Leaf::Words(|row| of_ranges(row, |range| range.partition.topic.name().into())),
            Leaf::Ints(|row| of_ranges(row, |range| range.partition.partition as i32)),
            Leaf::Longs(|row| of_ranges(row, |range| range.start as i64)),
            Leaf::Longs(|row| of_ranges(row, |range| range.end as i64)),
            Leaf::Longs(|row| of_ranges(row, |range| range.count as i64)),
        ],
    },
];
