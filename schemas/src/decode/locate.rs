//! Places in JSON text: from a parser's line and column to a JSON pointer (RFC 6901), and a check
//! of text that no type describes. Only refusals and unknown members come here.
//!
//! Nothing here recurses, so no nesting can exhaust the stack.

/// Deepest nesting of objects and lists, the event itself being 1.
pub(super) const MAX_DEPTH: usize = 32;

/// Bytes before the place that a parser calls (line, column).
pub(super) fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column).min(text.len())
}

/// Line and column of an offset, both from 1, as parsers count.
pub(super) fn line_and_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line, 1 + before.len() - start)
}

/// Where the reader of a container is.
enum Frame<'a> {
    /// In an object, after this member name (as it is written, escapes and all).
    Object { name: Option<&'a str>, expects_name: bool },
    /// In a list, at this index; at none before its first element has begun.
    List(Option<usize>),
}

/// The JSON pointer of the value that lies before `offset`, or that is being read there.
pub(super) fn pointer_at(text: &str, offset: usize) -> String {
    let bytes = text.as_bytes();
    let mut frames: Vec<Frame<'_>> = Vec::new();
    let mut at = 0;
    while at < offset {
        if !bytes[at].is_ascii_whitespace() {
            frames.last_mut().into_iter().for_each(begin_list);
        }
        match bytes[at] {
            b'{' => frames.push(Frame::Object { name: None, expects_name: true }),
            b'[' => frames.push(Frame::List(None)),
            b'}' | b']' => {
                frames.pop();
            }
            b',' => {
                frames.last_mut().into_iter().for_each(next_member);
            }
            b'"' => {
                let end = end_of_text(bytes, at);
                if let Some(Frame::Object { name, expects_name: expects @ true }) =
                    frames.last_mut()
                {
                    *name = text.get(at..end);
                    *expects = false;
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    frames.iter().filter_map(segment).collect()
}

/// Notes that a list's first element has begun.
fn begin_list(frame: &mut Frame<'_>) {
    if let Frame::List(index @ None) = frame {
        *index = Some(0);
    }
}

fn next_member(frame: &mut Frame<'_>) {
    match frame {
        Frame::Object { name, expects_name } => {
            *name = None;
            *expects_name = true;
        }
        Frame::List(index) => *index = index.map(|index| index + 1),
    }
}

/// The offset after the text that begins with the quote at `start`.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn segment(frame: &Frame<'_>) -> Option<String> {
    match frame {
        Frame::List(index) => index.map(|index| format!("/{index}")),
        Frame::Object { name, .. } => {
            let name: String = serde_json::from_str((*name)?).ok()?;
            Some(format!("/{}", escape(&name)))
        }
    }
}

/// A member name as a segment of a JSON pointer.
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What is wrong with the JSON text of an unknown member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Untyped {
    TooDeep,
    NotFinite,
}

/// Checks well-formed JSON that lies `depth` levels deep: nesting and the range of its numbers.
pub(super) fn check_untyped(text: &str, mut depth: usize) -> Result<(), Untyped> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_text(bytes, at);
                continue;
            }
            b'{' | b'[' if depth == MAX_DEPTH => return Err(Untyped::TooDeep),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'-' | b'0'..=b'9' => {
                let in_number =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = bytes[at..].iter().take_while(|byte| in_number(byte)).count();
                let number = text[at..at + length].parse::<f64>();
                if !number.is_ok_and(f64::is_finite) {
                    return Err(Untyped::NotFinite);
                }
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_becomes_a_pointer() {
        let check = |text: &str, want: &str| {
            let offset = text.find('^').expect("the place is marked");
            let text = text.replace('^', "");
            assert_eq!(pointer_at(&text, offset), want, "{text}");
        };
        check("^", "");
        check("{^", "");
        check(r#"{"a":1^}"#, "/a");
        check(r#"{"a":1,^"b":2}"#, "");
        check(r#"{"a":1,"b"^:2}"#, "/b");
        check(r#"{"a":{"x":[0,1,{"y":"}"^"#, "/a/x/2/y");
        check(r#"{"a":[[],[]^"#, "/a/1");
        check(r#"{"a":[ ^1]"#, "/a");
        check(r#"{"a":[1^]"#, "/a/0");
        check(r#"{"a":{}^}"#, "/a");
        check(r#"{"a/b~\u0041":1^}"#, "/a~1b~0A");
        check(r#"{"a\"":"\\",^"#, "");
    }

    #[test]
    fn untyped_json_is_bounded() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(check_untyped(&nested(31), 1), Ok(()));
        assert_eq!(check_untyped(&nested(32), 1), Err(Untyped::TooDeep));
        assert_eq!(check_untyped(r#"{"[[":[-1.5e300,"1e999"]}"#, 1), Ok(()));
        assert_eq!(check_untyped("[1, 1e999]", 1), Err(Untyped::NotFinite));
    }

    #[test]
    fn offsets_and_lines_agree() {
        let text = "{\n \"a\": x\n}";
        assert_eq!(offset_of(text, 2, 6), 8);
        assert_eq!(line_and_column(text.as_bytes(), 8), (2, 7));
    }
}
