//! One line of text into its fields.
//!
//! With a single-byte delimiter fields may be quoted as RFC 4180 says: a quote opens a field only
//! at its start, two quotes inside stand for one, and a quoted field may hold line ends. With a
//! longer delimiter, such as `::`, or a tab, nothing is quoted.

/// What a line turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// All fields.
    Fields(Vec<String>),
    /// A quoted field is still open: the record goes on in the next line.
    Open,
    /// A closing quote is followed by something else than a delimiter, in this field (from 1).
    Stray(usize),
}

/// Splits at each `delimiter`, quotes mean nothing.
#[must_use]
pub(crate) fn split_plain(line: &str, delimiter: &str) -> Vec<String> {
    line.split(delimiter).map(str::to_owned).collect()
}

/// Splits as RFC 4180 says.
#[must_use]
pub(crate) fn split_quoted(line: &str, delimiter: char) -> Split {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            match rest.split_once(delimiter) {
                Some((field, after)) => {
                    fields.push(field.to_owned());
                    rest = after;
                    continue;
                }
                None => {
                    fields.push(rest.to_owned());
                    return Split::Fields(fields);
                }
            }
        };
        let Some((field, after)) = unquote(quoted) else { return Split::Open };
        fields.push(field);
        match after.strip_prefix(delimiter) {
            Some(next) => rest = next,
            None if after.is_empty() => return Split::Fields(fields),
            None => return Split::Stray(fields.len()),
        }
    }
}

/// The content of a quoted field, and what follows its closing quote; `None` while it is open.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (inside, after) = rest.split_once('"')?;
        field.push_str(inside);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4180() {
        let check = |line: &str, want: &[&str]| {
            let want = want.iter().map(|&field| field.to_owned()).collect();
            assert_eq!(split_quoted(line, ','), Split::Fields(want), "{line}");
        };
        check("a,b,,d", &["a", "b", "", "d"]);
        check("", &[""]);
        check("\"a,b\",\"c\"\"d\"", &["a,b", "c\"d"]);
        check("5\" pipe,x", &["5\" pipe", "x"]);
        check("\"two\nlines\",", &["two\nlines", ""]);
        assert_eq!(split_quoted("a,\"open", ','), Split::Open);
        assert_eq!(split_quoted("\"a\"b,c", ','), Split::Stray(1));
    }

    #[test]
    fn long_delimiters() {
        assert_eq!(split_plain("1::The \"X\"::A|B", "::"), ["1", "The \"X\"", "A|B"]);
    }
}
