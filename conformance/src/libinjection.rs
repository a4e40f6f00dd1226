//! `libinjection`: the fixtures of libinjection, each an input and what the C original makes of it.
//!
//! `sqli` fixtures go through the firewall's own `@detectSQLi` and compare the captured fingerprint. `tokens` and
//! `folding` fixtures look inside the detector; `html5` fixtures ask the library behind the one of scripts. Inputs and expectations end before their last white space, as in the C original's test driver.

use std::path::Path;

use libinjectionrs::xss::{Html5Flags, Html5State};
use veloflux_waf::operator::{Captures, DataFiles, Operator};
use veloflux_waf::sqli::{self, Kind, Token};

use crate::SuiteResult;
use crate::tally::{Difference, Tally};

/// The suite's name, and its table's.
pub const NAME: &str = "libinjection";

/// Looks at an input, and prints as the C original's test driver does.
type Look = fn(&[u8]) -> String;

/// What a kind of fixture asks, by the beginning of its files' names.
const KINDS: [(&str, Look); 4] =
    [("folding", folding), ("html5", html5), ("sqli", fingerprint), ("tokens", tokens)];

/// Runs the suite over the folder of libinjection-fixtures.
pub fn run(data: &Path) -> Result<SuiteResult, String> {
    let mut tally = Tally::new(NAME, NAME)?;
    let fixtures = fixtures(&data.join("tests"))?;
    for (kind, look) in KINDS {
        let before = tally.counts();
        let prefix = format!("{kind}-");
        for fixture in fixtures.iter().filter(|fixture| fixture.name.starts_with(&prefix)) {
            tally.add(&fixture.name, None, || {
                let got = look(&fixture.input);
                if got.trim_end() == fixture.expected {
                    Ok(())
                } else {
                    Err(Difference::new(format!("{:?}", fixture.expected), format!("{got:?}")))
                }
            });
        }
        let after = tally.counts();
        tally.note(format!("{kind} passed {} failed {}", after.0 - before.0, after.1 - before.1));
    }
    let (passed, failed, skipped) = tally.counts();
    if passed + failed + skipped != fixtures.len() {
        return Err("fixtures of a kind that this runner does not know".to_owned());
    }
    Ok(tally.finish())
}

struct Fixture {
    /// Its file without `test-` and ending.
    name: String,
    input: Vec<u8>,
    expected: String,
}

fn fixtures(folder: &Path) -> Result<Vec<Fixture>, String> {
    let error = |path: &Path, what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let mut fixtures = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|why| error(folder, &why))? {
        let path = entry.map_err(|why| error(folder, &why))?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.strip_prefix("test-").ok_or_else(|| error(&path, &"no fixture"))?.to_owned();
        let content = std::fs::read(&path).map_err(|why| error(&path, &why))?;
        let (input, expected) =
            sections(&content).ok_or_else(|| error(&path, &"no input or no expectation"))?;
        fixtures.push(Fixture { name, input, expected });
    }
    fixtures.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(fixtures)
}

/// What stands below `--INPUT--` and below `--EXPECTED--`.
fn sections(content: &[u8]) -> Option<(Vec<u8>, String)> {
    const INPUT: &[u8] = b"--INPUT--\n";
    const EXPECTED: &[u8] = b"--EXPECTED--";
    let find = |text: &[u8], mark: &[u8]| text.windows(mark.len()).position(|window| window == mark);
    let input = &content[find(content, INPUT)? + INPUT.len()..];
    let end = find(input, EXPECTED)?;
    let expected = &input[end + EXPECTED.len()..];
    Some((
        input[..end].trim_ascii_end().to_vec(),
        String::from_utf8_lossy(expected.trim_ascii()).into_owned(),
    ))
}

/// The fingerprint that `@detectSQLi` captures; nothing where it does not match.
fn fingerprint(input: &[u8]) -> String {
    let operator = match Operator::compile("detectSQLi", "", &NoFiles) {
        Ok(operator) => operator,
        Err(error) => return format!("no compilation: {error}"),
    };
    let mut captures = Captures::new();
    match operator.matches(input, &mut captures) {
        Err(failure) => format!("a failure: {failure}"),
        Ok(false) => String::new(),
        Ok(true) => String::from_utf8_lossy(captures.get(0, input).unwrap_or_default()).into_owned(),
    }
}

fn tokens(input: &[u8]) -> String {
    lines(sqli::tokens(input).map(|token| shown(&token)))
}

fn folding(input: &[u8]) -> String {
    lines(sqli::folded(input).iter().map(shown))
}

fn html5(input: &[u8]) -> String {
    let mut state = Html5State::new(input, Html5Flags::DataState);
    let tokens = std::iter::from_fn(|| {
        state.next().then(|| {
            let text = &state.token_start[..state.token_len];
            format!("{},{},{}", state.token_type, state.token_len, String::from_utf8_lossy(text))
        })
    });
    lines(tokens)
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

/// A token as the C original's test driver prints it: kind, signs, and text between the quotes that it had.
fn shown(token: &Token<'_>) -> String {
    let quote = |quote: Option<u8>| quote.map(char::from).map(String::from).unwrap_or_default();
    // A name's backticks are not shown.
    let (open, close) = match token.kind {
        Kind::String | Kind::Variable => (quote(token.open), quote(token.close)),
        _ => Default::default(),
    };
    let signs = "@".repeat(token.signs.into());
    let text = String::from_utf8_lossy(token.text);
    format!("{} {signs}{open}{text}{close}", char::from(token.kind.letter()))
}

/// `@detectSQLi` reads no files.
struct NoFiles;

impl DataFiles for NoFiles {
    fn read(&self, _path: &str) -> Result<Vec<u8>, String> {
        Err("there are no files".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixture_is_cut_at_its_marks_and_last_white_space() {
        let fixture = b"--TEST--\nx\n--INPUT--\n a\nb \n--EXPECTED--\nE a\n\n";
        assert_eq!(sections(fixture), Some((b" a\nb".to_vec(), "E a".to_owned())));
        assert_eq!(sections(b"--INPUT--\na"), None);
    }

    #[test]
    fn each_kind_shows_what_the_original_prints() {
        assert_eq!(tokens(b"SELECT @@`v`,'x'"), "E SELECT\nv @@`v`\n, ,\ns 'x'");
        assert_eq!(folding(b"SELECT \"a\" \"b\";"), "E SELECT\ns \"a\"\n; ;");
        assert_eq!(html5(b"<a>"), "TAG_NAME_OPEN,1,a\nTAG_NAME_CLOSE,1,>");
        assert_eq!(fingerprint(b"1 = 1 OR 1"), "1&1");
        assert_eq!(fingerprint(b"foo"), "");
    }
}
