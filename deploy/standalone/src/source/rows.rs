//! Rows of a file: lines, quoted records or JSON objects, each with its number and raw text.
//!
//! A row that cannot be read is a value like any other, so that one bad line never ends a file.
//! Rows are numbered by the line on which they begin, from 1.

use std::io::BufRead;

use super::split::{Split, split_plain, split_quoted};

/// Longest row; anything longer is rejected whole.
const MAX_ROW_BYTES: usize = 1 << 20;

/// How a file is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Comma or another single character, quoting as in RFC 4180.
    Quoted(char),
    /// A delimiter of any length, no quoting.
    Plain(String),
    /// One JSON object a line.
    JsonLines,
}

impl Layout {
    /// The layout for a delimiter; `json` and `tab` are words for what is hard to type. Tabs are
    /// never quoted, as in the data sets that use them.
    #[must_use]
    pub(crate) fn for_delimiter(delimiter: &str) -> Self {
        match delimiter {
            "json" => return Self::JsonLines,
            "tab" => return Self::Plain("\t".into()),
            _ => {}
        }
        let mut chars = delimiter.chars();
        match (chars.next(), chars.next()) {
            (Some(single), None) if single != '\t' => Self::Quoted(single),
            _ => Self::Plain(delimiter.to_owned()),
        }
    }

    /// The layout that a file's name suggests.
    #[must_use]
    pub(crate) fn for_name(name: &str) -> Self {
        let name = name.strip_suffix(".gz").unwrap_or(name);
        match name.rsplit('.').next() {
            Some("jsonl" | "ndjson" | "json") => Self::JsonLines,
            Some("tsv" | "inter" | "item") => Self::Plain("\t".into()),
            _ => Self::Quoted(','),
        }
    }
}

/// What a row holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cells {
    /// Fields in order.
    Fields(Vec<String>),
    /// Members by name.
    Object(serde_json::Map<String, serde_json::Value>),
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Line on which it begins, from 1.
    pub line: u64,
    /// As it lies in the file, without the line end.
    pub raw: String,
    /// What it holds, or why it cannot be read.
    pub cells: Result<Cells, String>,
}

/// Reads row by row. Blank lines are passed over.
pub(crate) struct Rows<R> {
    reader: R,
    layout: Layout,
    line: u64,
}

impl<R: BufRead> Rows<R> {
    /// Reads from the start of a file.
    pub(crate) fn new(reader: R, layout: Layout) -> Self {
        Self { reader, layout, line: 0 }
    }

    /// The next line as text, or why it is none.
    fn next_line(&mut self) -> std::io::Result<Option<Result<String, String>>> {
        let mut bytes = Vec::new();
        if self.reader.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        if self.line == 1 && bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        Ok(Some(
            String::from_utf8(bytes)
                .map_err(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()),
        ))
    }

    fn next_row(&mut self) -> std::io::Result<Option<Row>> {
        loop {
            let Some(text) = self.next_line()? else { return Ok(None) };
            let line = self.line;
            return Ok(Some(match text {
                Ok(raw) if raw.trim().is_empty() => continue,
                Ok(raw) => self.finish_row(line, raw)?,
                Err(raw) => Row { line, raw, cells: Err("not UTF-8".into()) },
            }));
        }
    }

    fn finish_row(&mut self, line: u64, mut raw: String) -> std::io::Result<Row> {
        let delimiter = match &self.layout {
            Layout::Plain(delimiter) => {
                let cells = Ok(Cells::Fields(split_plain(&raw, delimiter)));
                return Ok(Row { line, raw, cells });
            }
            Layout::JsonLines => {
                let cells = parse_object(&raw);
                return Ok(Row { line, raw, cells });
            }
            Layout::Quoted(delimiter) => *delimiter,
        };
        loop {
            let cells = match split_quoted(&raw, delimiter) {
                Split::Fields(fields) => Ok(Cells::Fields(fields)),
                Split::Stray(field) => {
                    Err(format!("field {field} goes on after its closing quote"))
                }
                Split::Open if raw.len() > MAX_ROW_BYTES => Err("a quote is never closed".into()),
                Split::Open => match self.next_line()? {
                    Some(Ok(more)) => {
                        raw.push('\n');
                        raw.push_str(&more);
                        continue;
                    }
                    Some(Err(more)) => {
                        raw.push('\n');
                        raw.push_str(&more);
                        Err("not UTF-8".into())
                    }
                    None => Err("a quote is never closed".into()),
                },
            };
            return Ok(Row { line, raw, cells });
        }
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = std::io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}

fn parse_object(raw: &str) -> Result<Cells, String> {
    match serde_json::from_str(raw) {
        Ok(serde_json::Value::Object(members)) => Ok(Cells::Object(members)),
        Ok(_) => Err("not a JSON object".into()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8], layout: Layout) -> Vec<Row> {
        Rows::new(text, layout).map(|row| row.expect("memory can be read")).collect()
    }

    fn fields(fields: &[&str]) -> Result<Cells, String> {
        Ok(Cells::Fields(fields.iter().map(|&field| field.to_owned()).collect()))
    }

    #[test]
    fn records_may_span_lines_and_bad_ones_do_not_end_the_file() {
        let text = b"\xef\xbb\xbfa,\"two\nlines\"\r\n\n\"x\"y,1\nb,\xff\nc,d";
        let got = rows(text, Layout::Quoted(','));
        let lines: Vec<u64> = got.iter().map(|row| row.line).collect();
        assert_eq!(lines, [1, 4, 5, 6]);
        assert_eq!(got[0].cells, fields(&["a", "two\nlines"]));
        assert_eq!(got[1].cells, Err("field 1 goes on after its closing quote".into()));
        assert_eq!(got[2].cells, Err("not UTF-8".into()));
        assert_eq!(got[3].cells, fields(&["c", "d"]));
        assert_eq!(got[3].raw, "c,d");
    }

    #[test]
    fn json_lines() {
        let got = rows(b"{\"a\":1}\n[]\n{\n", Layout::JsonLines);
        assert!(matches!(&got[0].cells, Ok(Cells::Object(members)) if members["a"] == 1));
        assert_eq!(got[1].cells, Err("not a JSON object".into()));
        assert!(got[2].cells.as_ref().is_err_and(|reason| reason.starts_with("not JSON")));
    }

    #[test]
    fn layouts_by_name() {
        assert_eq!(Layout::for_name("a.csv.gz"), Layout::Quoted(','));
        assert_eq!(Layout::for_name("a.ndjson"), Layout::JsonLines);
        assert_eq!(Layout::for_name("ml-100k.inter"), Layout::Plain("\t".into()));
        assert_eq!(Layout::for_delimiter("::"), Layout::Plain("::".into()));
        assert_eq!(Layout::for_delimiter(";"), Layout::Quoted(';'));
    }
}
