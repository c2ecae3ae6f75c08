//! One table of an export: its columns, and its rows as Parquet files of bounded size.

use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::objects::{ObjectName, ObjectStore};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::ExportError;

/// Rows of a file, and of a row group.
const PART_ROWS: usize = 1 << 18;
const GROUP_ROWS: usize = 1 << 15;

/// A column: its name, and what a row has in it.
pub(super) enum Column<R> {
    /// Text, or null.
    Text(&'static str, for<'r> fn(&'r R) -> Option<&'r str>),
    /// A number that is not negative.
    Long(&'static str, fn(&R) -> i64),
    /// A measure.
    Float(&'static str, fn(&R) -> f32),
    /// Yes or no.
    Flag(&'static str, fn(&R) -> bool),
    /// A vector, or null.
    Floats(&'static str, for<'r> fn(&'r R) -> Option<&'r [f32]>),
}

/// A table.
pub(super) struct Table<R> {
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column<R>>,
}

impl<R> Table<R> {
    /// Writes all rows, in at least one file; how many they are.
    pub(super) fn write(
        &self,
        objects: &dyn ObjectStore,
        place: &ObjectName,
        rows: &[R],
    ) -> std::result::Result<u64, ExportError> {
        let encode = |source| ExportError::Encode { table: self.name, source };
        let folder = place.join(self.name).expect("a plain name");
        for part in 0..rows.len().div_ceil(PART_ROWS).max(1) {
            let from = part * PART_ROWS;
            let of_part = &rows[from..rows.len().min(from + PART_ROWS)];
            let name = folder.join(&format!("part-{part:05}.parquet")).expect("a plain name");
            objects.put_if_absent(&name, self.encode(of_part).map_err(encode)?)?;
        }
        Ok(rows.len() as u64)
    }

    fn encode(&self, rows: &[R]) -> Result<Bytes> {
        let lines: String = self.columns.iter().map(Column::declared).collect();
        let schema = parse_message_type(&format!("message {} {{ {lines} }}", self.name))?;
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let coded = WriterProperties::builder().set_compression(zstd).build();
        let (schema, coded) = (Arc::new(schema), Arc::new(coded));
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, coded)?;
        for group in rows.chunks(GROUP_ROWS) {
            let mut to = writer.next_row_group()?;
            for column in &self.columns {
                let mut leaf = to.next_column()?.expect("the schema has a leaf for each column");
                column.write(&mut leaf, group)?;
                leaf.close()?;
            }
            to.close()?;
        }
        Ok(Bytes::from(writer.into_inner()?))
    }
}

impl<R> Column<R> {
    fn declared(&self) -> String {
        match self {
            Self::Text(name, _) => format!("optional binary {name} (STRING); "),
            Self::Long(name, _) => format!("required int64 {name}; "),
            Self::Float(name, _) => format!("required float {name}; "),
            Self::Flag(name, _) => format!("required boolean {name}; "),
            Self::Floats(name, _) => format!(
                "optional group {name} (LIST) {{ repeated group list {{ required float element; }} }} "
            ),
        }
    }

    fn write(&self, to: &mut SerializedColumnWriter<'_>, rows: &[R]) -> Result<()> {
        match self {
            Self::Text(_, of) => {
                let texts = || rows.iter().map(of);
                let defined: Vec<i16> = texts().map(|text| i16::from(text.is_some())).collect();
                let values: Vec<ByteArray> = texts().flatten().map(ByteArray::from).collect();
                to.typed::<ByteArrayType>().write_batch(&values, Some(&defined), None)?;
            }
            Self::Long(_, of) => required::<R, Int64Type>(to, rows, of)?,
            Self::Float(_, of) => required::<R, FloatType>(to, rows, of)?,
            Self::Flag(_, of) => required::<R, BoolType>(to, rows, of)?,
            Self::Floats(_, of) => vectors(to, rows, *of)?,
        }
        Ok(())
    }
}

fn required<R, T: DataType>(
    to: &mut SerializedColumnWriter<'_>,
    rows: &[R],
    of: impl Fn(&R) -> T::T,
) -> Result<()> {
    let values: Vec<T::T> = rows.iter().map(of).collect();
    to.typed::<T>().write_batch(&values, None, None).map(drop)
}

/// Levels of an optional list of required elements: 0 no list, 1 an empty one, 2 an element.
fn vectors<R>(
    to: &mut SerializedColumnWriter<'_>,
    rows: &[R],
    of: for<'r> fn(&'r R) -> Option<&'r [f32]>,
) -> Result<()> {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for vector in rows.iter().map(of) {
        let elements = vector.unwrap_or_default();
        if elements.is_empty() {
            defined.push(i16::from(vector.is_some()));
            repeated.push(0);
        }
        values.extend_from_slice(elements);
        defined.extend(elements.iter().map(|_| 2));
        repeated.extend((0..elements.len()).map(|at| i16::from(at > 0)));
    }
    to.typed::<FloatType>().write_batch(&values, Some(&defined), Some(&repeated)).map(drop)
}
