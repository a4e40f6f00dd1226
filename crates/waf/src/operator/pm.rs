//! `@pm`, `@pmf`, `@pmFromFile`: one of many phrases is somewhere in the input, whatever the case of ASCII letters.
//!
//! An argument's phrases are separated by white space; `|41 42|` writes bytes as hexadecimal digits, and
//! `\:`, `\;`, `\\`, `\"` stand for their second byte (anything malformed is taken as it is written). A file has one
//! phrase a line, as it is; empty lines and lines whose first visible byte is `#` are skipped. The phrase as the
//! input has it is captured. Example: `@pm select union` matches `SELECT 1`, `TX:0` is `SELECT`.

use super::{Captures, DataFiles, OperatorError};
use crate::filter::Need;
use crate::transform::bytes::{hex_pair, is_space};
use aho_corasick::AhoCorasick;

/// Bytes of all phrases of one rule.
const MAX_PHRASES_BYTES: usize = 8 * 1024 * 1024;

/// Phrases, compiled.
#[derive(Debug)]
pub(super) struct Phrases {
    automaton: AhoCorasick,
    need: Need,
}

impl Phrases {
    pub(super) fn from_argument(argument: &str) -> Result<Self, OperatorError> {
        let argument = unescape(argument.as_bytes()).unwrap_or_else(|| argument.as_bytes().to_vec());
        let phrases: Vec<&[u8]> = words(&argument).collect();
        if phrases.is_empty() {
            return Err(OperatorError::Argument { operator: "pm", message: "there is no phrase".to_owned() });
        }
        Self::compile("pm", &phrases)
    }

    pub(super) fn from_file(path: &str, files: &dyn DataFiles) -> Result<Self, OperatorError> {
        let content =
            files.read(path).map_err(|message| OperatorError::File { path: path.to_owned(), message })?;
        let lines = content.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let phrases: Vec<&[u8]> = lines.filter(|line| !is_comment(line)).collect();
        Self::compile("pmFromFile", &phrases)
    }

    /// Whether a phrase is in the input; the first that ends is captured.
    pub(super) fn matches(&self, input: &[u8], captures: &mut Captures) -> bool {
        let found = self.automaton.find(input);
        if let Some(found) = found {
            captures.set(0, found.range());
        }
        found.is_some()
    }

    /// What an input must hold: a phrase.
    pub(super) fn need(&self) -> &Need {
        &self.need
    }

    fn compile(operator: &'static str, phrases: &[&[u8]]) -> Result<Self, OperatorError> {
        let error = |message| OperatorError::Argument { operator, message };
        if phrases.iter().map(|phrase| phrase.len()).sum::<usize>() > MAX_PHRASES_BYTES {
            return Err(error(format!("more than {MAX_PHRASES_BYTES} bytes of phrases")));
        }
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(phrases);
        Ok(Self { automaton: automaton.map_err(|why| error(why.to_string()))?, need: Need::one_of(phrases) })
    }
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| is_space(byte)).filter(|word| !word.is_empty())
}

fn is_comment(line: &[u8]) -> bool {
    line.is_empty() || line.iter().find(|&&byte| !is_space(byte)) == Some(&b'#')
}

/// Resolves enclosing quotes, escapes and hexadecimal runs; `None` where something is malformed.
fn unescape(argument: &[u8]) -> Option<Vec<u8>> {
    let start = argument.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    let argument = match &argument[start..] {
        [b'"', inner @ .., b'"'] => inner,
        whole => whole,
    };
    let mut bytes = Vec::with_capacity(argument.len());
    let mut rest = argument;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'|' => {
                let (run, after) = rest.split_at(memchr::memchr(b'|', rest).unwrap_or(rest.len()));
                let digits: Vec<u8> = run.iter().copied().filter(|byte| *byte != b' ').collect();
                for pair in digits.chunks(2) {
                    bytes.push(hex_pair(pair)?);
                }
                rest = after.strip_prefix(b"|").unwrap_or(after);
            }
            b'\\' => {
                let (&escaped, tail) = tail.split_first()?;
                if !matches!(escaped, b':' | b';' | b'\\' | b'"') {
                    return None;
                }
                bytes.push(escaped);
                rest = tail;
            }
            _ => bytes.push(*byte),
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(phrases: &Phrases, input: &'static str) -> Option<String> {
        let mut captures = Captures::new();
        phrases
            .matches(input.as_bytes(), &mut captures)
            .then(|| String::from_utf8(captures.get(0, input.as_bytes()).unwrap().to_vec()).unwrap())
    }

    #[test]
    fn a_phrase_anywhere_in_any_case() {
        let phrases = Phrases::from_argument("select  union\tor").unwrap();
        assert_eq!(captured(&phrases, "1 UniOn all").as_deref(), Some("UniOn"));
        assert_eq!(captured(&phrases, "nothing"), None);
        assert_eq!(captured(&phrases, ""), None);
    }

    #[test]
    fn hexadecimal_runs_and_escapes() {
        let phrases = Phrases::from_argument("\"a|42 63|d x\\:y\"").unwrap();
        assert_eq!(captured(&phrases, "-aBcd-").as_deref(), Some("aBcd"));
        assert_eq!(captured(&phrases, "x:y").as_deref(), Some("x:y"));
    }

    #[test]
    fn malformed_notation_is_taken_as_written() {
        let phrases = Phrases::from_argument("a|zz| b\\n").unwrap();
        assert_eq!(captured(&phrases, "a|zz|").as_deref(), Some("a|zz|"));
        assert_eq!(captured(&phrases, "b\\n").as_deref(), Some("b\\n"));
        assert!(Phrases::from_argument("  ").is_err());
    }

    #[test]
    fn a_file_has_a_phrase_a_line() {
        struct One;
        impl DataFiles for One {
            fn read(&self, _: &str) -> Result<Vec<u8>, String> {
                Ok(b"# note\n\n  # too\n.htaccess\r\n two words\na|41|b\n".to_vec())
            }
        }
        let phrases = Phrases::from_file("x.data", &One).unwrap();
        assert_eq!(captured(&phrases, "/.HTaccess").as_deref(), Some(".HTaccess"));
        assert_eq!(captured(&phrases, "a two words").as_deref(), Some(" two words"));
        assert_eq!(captured(&phrases, "a|41|b").as_deref(), Some("a|41|b"));
        assert_eq!((captured(&phrases, "# note"), captured(&phrases, "aAb")), (None, None));
    }
}
