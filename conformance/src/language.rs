//! `language-operators` and `language-transformations`: the vectors of secrules-language-tests, one input to one
//! operator or transformation each.
//!
//! A case is named by its file and its place in it, from 1: `eq-3`. The data's `ret` of a transformation says whether
//! libmodsecurity reports a change, which it does by its own rules per transformation; only the output is judged. The
//! groups that a regular expression must capture are judged too.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use veloflux_waf::operator::{Captures, DataFiles, Geo, Operator};
use veloflux_waf::transform::Transformation;

use crate::SuiteResult;
use crate::tally::{Difference, Tally};

/// The reason table of both suites.
const TABLE: &str = "language";
/// The suite over operators.
pub const OPERATORS: &str = "language-operators";
/// The suite over transformations.
pub const TRANSFORMATIONS: &str = "language-transformations";

/// Runs `language-operators` over the folder of secrules-language-tests.
pub fn operators(data: &Path) -> Result<SuiteResult, String> {
    run(OPERATORS, &data.join("operators"), |case| case.operate(data))
}

/// Runs `language-transformations` over the folder of secrules-language-tests.
pub fn transformations(data: &Path) -> Result<SuiteResult, String> {
    run(TRANSFORMATIONS, &data.join("transformations"), Case::transform)
}

/// One vector, as the data writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(rename = "type")]
    _kind: String,
    input: String,
    #[serde(default)]
    param: String,
    #[serde(default)]
    ret: u8,
    #[serde(default)]
    output: String,
    /// What the regular expression captures, in the order of the groups.
    re_groups: Option<Vec<String>>,
    /// Something that libmodsecurity must have been built with.
    #[serde(rename = "resource")]
    _resource: Option<String>,
}

impl Case {
    fn operate(&self, data: &Path) -> Result<(), Difference> {
        let input = unescape(&self.input);
        let mut captures = Captures::new();
        let expected = match &self.re_groups {
            Some(groups) => format!("{}, captured {groups:?}", self.ret != 0),
            None => format!("{}", self.ret != 0),
        };
        let got = match Operator::compile(&self.name, &self.param, &Folder(data)) {
            Err(error) => format!("no compilation: {error}"),
            Ok(operator) => match operator.matches(&input, &mut captures) {
                Err(failure) => format!("a failure: {failure}"),
                Ok(matched) if self.re_groups.is_some() => {
                    format!("{matched}, captured {:?}", captured(&captures, &input))
                }
                Ok(matched) => format!("{matched}"),
            },
        };
        if got == expected { Ok(()) } else { Err(Difference { expected, got }) }
    }

    fn transform(&self) -> Result<(), Difference> {
        let expected = unescape(&self.output);
        let Some(transformation) = Transformation::from_name(&self.name) else {
            return Err(Difference::new(printable(&expected), "no such transformation"));
        };
        let input = unescape(&self.input);
        let got = transformation.apply(&input);
        if *got == *expected { Ok(()) } else { Err(Difference::new(printable(&expected), printable(&got))) }
    }
}

fn captured(captures: &Captures, input: &[u8]) -> Vec<String> {
    let group =
        |number| String::from_utf8_lossy(captures.get(number, input).unwrap_or_default()).into_owned();
    (0..captures.len()).map(group).collect()
}

fn run(
    name: &str,
    folder: &Path,
    judge: impl Fn(&Case) -> Result<(), Difference>,
) -> Result<SuiteResult, String> {
    let mut tally = Tally::new(name, TABLE)?;
    for (file, cases) in files(folder)? {
        let before = tally.counts();
        for (place, case) in cases.iter().enumerate() {
            tally.add(&format!("{file}-{}", place + 1), None, || judge(case));
        }
        let after = tally.counts();
        let (passed, failed, skipped) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
        tally.note(format!("{file} passed {passed} failed {failed} skipped {skipped}"));
    }
    Ok(tally.finish())
}

/// The vectors of each file of a folder, by the file's name without its ending.
fn files(folder: &Path) -> Result<Vec<(String, Vec<Case>)>, String> {
    let error = |path: &Path, message: String| format!("{}: {message}", path.display());
    let entries = std::fs::read_dir(folder).map_err(|why| error(folder, why.to_string()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|why| error(folder, why.to_string()))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let read = |path: &Path| -> Result<(String, Vec<Case>), String> {
        let text = std::fs::read(path).map_err(|why| error(path, why.to_string()))?;
        let cases = serde_json::from_slice(&text).map_err(|why| error(path, why.to_string()))?;
        Ok((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), cases))
    };
    paths.iter().map(|path| read(path)).collect()
}

/// The data's folder as the rules see it: its paths begin where libmodsecurity's tests run.
struct Folder<'a>(&'a Path);

impl DataFiles for Folder<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        const ROOT: &str = "test-cases/secrules-language-tests/";
        let path = path.strip_prefix(ROOT).ok_or_else(|| format!("not under {ROOT}"))?;
        std::fs::read(self.0.join(path)).map_err(|error| error.to_string())
    }

    fn geo(&self) -> Option<Arc<dyn Geo>> {
        Some(Arc::new(EmptyAtlas))
    }
}

/// The geographic database of the data: it is there, and knows none of the addresses.
#[derive(Debug)]
struct EmptyAtlas;

impl Geo for EmptyAtlas {
    fn lookup(&self, _address: IpAddr) -> Result<Option<Vec<(&'static str, String)>>, &'static str> {
        Ok(None)
    }
}

/// Bytes that JSON cannot hold are written `\xHH` or `\uHHHH` (of which the low byte counts) in the data.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        let digits = match rest.as_bytes().get(1) {
            Some(b'x') => rest.get(2..4),
            Some(b'u') => rest.get(2..6),
            _ => None,
        };
        let value =
            digits.and_then(|digits| u16::from_str_radix(digits, 16).ok().map(|value| (value, digits)));
        if let Some((value, digits)) = value {
            bytes.push(value as u8);
            rest = &rest[2 + digits.len()..];
        } else {
            bytes.push(b'\\');
            rest = &rest[1..];
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn printable(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(json: &str) -> Case {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn bytes_are_unescaped() {
        assert_eq!(unescape(r"a\x00\u0041\n\x4"), b"a\0A\\n\\x4");
        assert_eq!(unescape("é"), "é".as_bytes());
    }

    #[test]
    fn a_vector_passes_only_with_its_result() {
        let right = case(r#"{"name":"streq","type":"op","input":"a","param":"a","ret":1}"#);
        assert!(right.operate(Path::new(".")).is_ok());
        let wrong = case(r#"{"name":"streq","type":"op","input":"a","param":"a","ret":0}"#);
        assert_eq!(wrong.operate(Path::new(".")).unwrap_err().got, "true");
        let groups =
            r#"{"name":"rx","type":"op","input":"ab","param":"(a)b","ret":1,"re_groups":["ab","a"]}"#;
        assert!(case(groups).operate(Path::new(".")).is_ok());
        let lower = case(r#"{"name":"lowercase","type":"tfn","input":"A","output":"A","ret":1}"#);
        assert_eq!(lower.transform().unwrap_err().got, "\"a\"");
    }
}
