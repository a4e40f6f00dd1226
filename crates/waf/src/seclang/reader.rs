//! From a file's text to directives: joins continued lines, drops comments, splits arguments.

use std::sync::Arc;

use super::argument::{Argument, Line, excerpt};
use super::{Directive, Mistake, Parsed};
use crate::limits;

/// All directives of `text`, in order; mistakes go to `mistakes`, and reading goes on behind them.
pub(crate) fn read(file: &Arc<str>, text: &str, mistakes: &mut Vec<Mistake>) -> Vec<Directive> {
    let mut directives = Vec::new();
    for line in logical_lines(file, text) {
        match directive(&Arc::new(line)) {
            Ok(directive) => directives.push(directive),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    directives
}

/// Joins physical lines that end in `\`. A comment ends with its own line, even one that ends in `\`: a rule below
/// it must not vanish.
fn logical_lines(file: &Arc<str>, text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut open: Option<Line> = None;
    for (index, physical) in text.split('\n').enumerate() {
        let number = index as u32 + 1;
        let physical = physical.strip_suffix('\r').unwrap_or(physical);
        let blank = physical.trim_start();
        if open.is_none() && (blank.is_empty() || blank.starts_with('#')) {
            continue;
        }
        let line = open.get_or_insert_with(|| Line {
            file: Arc::clone(file),
            text: String::new(),
            pieces: Vec::new(),
        });
        line.pieces.push((line.text.len(), number, 1));
        if let Some(continued) = physical.strip_suffix('\\') {
            line.text.push_str(continued);
        } else {
            line.text.push_str(physical);
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    lines
}

fn directive(line: &Arc<Line>) -> Parsed<Directive> {
    let text = line.text.as_str();
    let mistake = |offset: usize, message: &str| Mistake {
        place: line.place(offset),
        text: excerpt(&text[offset..]),
        message: message.to_owned(),
    };
    if text.len() > limits::DIRECTIVE_BYTES {
        return Err(mistake(0, &format!("a directive of more than {} bytes", limits::DIRECTIVE_BYTES)));
    }
    let start = text.len() - text.trim_start().len();
    let end = text[start..].find(char::is_whitespace).map_or(text.len(), |length| start + length);
    let mut arguments = Vec::new();
    let mut at = end;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let Some(first) = text[at..].chars().next() else { break };
        if first == '"' || first == '\'' {
            let Some(length) = closing_quote(&text[at + 1..], first) else {
                return Err(mistake(at, "a quote that is never closed"));
            };
            let inner = at + 1..at + 1 + length;
            at = inner.end + 1;
            if text[at..].chars().next().is_some_and(|next| !next.is_whitespace()) {
                return Err(mistake(at, "expected white space behind the closing quote"));
            }
            arguments.push(Argument::new(line, inner));
        } else {
            let stop = text[at..].find(char::is_whitespace).map_or(text.len(), |length| at + length);
            arguments.push(Argument::new(line, at..stop));
            at = stop;
        }
    }
    Ok(Directive { name: text[start..end].to_owned(), place: line.place(start), arguments })
}

/// Offset of the first `quote` in `text` that no `\` escapes.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (offset, character) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return Some(offset);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(text: &str) -> (Vec<Directive>, Vec<Mistake>) {
        let mut mistakes = Vec::new();
        let directives = read(&Arc::from("test.conf"), text, &mut mistakes);
        (directives, mistakes)
    }

    #[test]
    fn continued_lines_keep_their_places() {
        let (directives, mistakes) =
            read_all("# c \\\n\n  SecRule ARGS \"@rx \\\n  a\\\"b\" \\\n   'id:1'\n");
        assert!(mistakes.is_empty());
        let [rule] = &directives[..] else { panic!("one directive") };
        assert_eq!((rule.name.as_str(), rule.place.line, rule.place.column), ("SecRule", 3, 3));
        assert_eq!(rule.arguments[1].unescaped(), "@rx   a\"b");
        assert_eq!((rule.arguments[2].place().line, rule.arguments[2].place().column), (5, 5));
        assert_eq!(rule.arguments[2].raw(), "id:1");
    }

    #[test]
    fn an_open_quote_is_a_mistake_of_its_line_only() {
        let (directives, mistakes) = read_all("SecRule \"ARGS\nSecMarker a\nSecRule \"a\"b\n");
        assert_eq!(directives.len(), 1);
        assert_eq!(mistakes.iter().map(|mistake| mistake.place.line).collect::<Vec<_>>(), [1, 3]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,200}") {
            read_all(&text);
        }

        #[test]
        fn never_panics_on_what_looks_like_rules(text in r#"([ \\"'\n#a|:/@!&,]|Sec|é){0,60}"#) {
            read_all(&text);
        }
    }
}
