//! Reading an export back, as anybody would.

use std::collections::BTreeMap;

use eddyline_connect::objects::{MemoryObjects, ObjectName, ObjectStore};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

/// The rows of a table's first file, by column.
pub(crate) fn read(
    objects: &MemoryObjects,
    at: &ObjectName,
    table: &str,
) -> Vec<BTreeMap<String, Field>> {
    let name = at.join(table).and_then(|at| at.join("part-00000.parquet")).expect("plain names");
    let bytes = objects.get(&name).expect("memory").expect("it was written");
    let reader = SerializedFileReader::new(bytes).expect("it is Parquet");
    let rows = reader.get_row_iter(None).expect("it has rows").map(|row| row.expect("a row"));
    let columns = |row: Row| row.into_columns().into_iter().collect();
    rows.map(columns).collect()
}

pub(crate) fn text(field: &Field) -> &str {
    match field {
        Field::Str(text) => text,
        other => panic!("{other} is no text"),
    }
}

pub(crate) fn floats(field: &Field) -> Option<Vec<f32>> {
    let Field::ListInternal(list) = field else {
        assert_eq!(*field, Field::Null);
        return None;
    };
    let number = |field: &Field| match field {
        Field::Float(number) => *number,
        other => panic!("{other} is no number"),
    };
    Some(list.elements().iter().map(number).collect())
}
