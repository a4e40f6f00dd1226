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

use crate::reasons::{Reasons, Verdict};
use crate::{Miss, SuiteResult};

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

/// What was expected and what came instead.
struct Difference {
    expected: String,
    got: String,
}

impl Case {
    fn operate(&self, data: &Path) -> Option<Difference> {
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
        (got != expected).then_some(Difference { expected, got })
    }

    fn transform(&self) -> Option<Difference> {
        let expected = unescape(&self.output);
        let Some(transformation) = Transformation::from_name(&self.name) else {
            return Some(Difference { expected: printable(&expected), got: "no such transformation".into() });
        };
        let input = unescape(&self.input);
        let got = transformation.apply(&input);
        (*got != *expected).then(|| Difference { expected: printable(&expected), got: printable(&got) })
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
    judge: impl Fn(&Case) -> Option<Difference>,
) -> Result<SuiteResult, String> {
    let reasons = Reasons::load(TABLE, name).map_err(|error| error.to_string())?;
    let mut result = SuiteResult { name: name.to_owned(), ..SuiteResult::default() };
    let mut seen = Vec::new();
    for (file, cases) in files(folder)? {
        let before = (result.passed, result.failed, result.skipped);
        for (place, case) in cases.iter().enumerate() {
            let id = format!("{file}-{}", place + 1);
            tally(&mut result, &reasons, &id, || judge(case));
            seen.push(id);
        }
        let (passed, failed, skipped) =
            (result.passed - before.0, result.failed - before.1, result.skipped - before.2);
        result.per_file.push(format!("{file} passed {passed} failed {failed} skipped {skipped}"));
    }
    result.stale.extend(reasons.strangers(seen.iter().map(String::as_str)));
    Ok(result)
}

/// Counts one case.
fn tally(result: &mut SuiteResult, reasons: &Reasons, id: &str, judge: impl FnOnce() -> Option<Difference>) {
    let row = reasons.of(id);
    if row.is_some_and(|row| row.verdict == Verdict::Skip) {
        result.skipped += 1;
        return;
    }
    if let Some(Difference { expected, got }) = judge() {
        result.failed += 1;
        let reason = row.map(|row| row.reason.clone());
        result.misses.push(Miss { case: id.to_owned(), expected, got, reason });
        return;
    }
    result.passed += 1;
    if row.is_some() {
        result.stale.push(format!("{id}: passes"));
    }
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
    fn lookup(&self, _address: IpAddr) -> Option<Vec<(&'static str, String)>> {
        None
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
        assert!(right.operate(Path::new(".")).is_none());
        let wrong = case(r#"{"name":"streq","type":"op","input":"a","param":"a","ret":0}"#);
        assert_eq!(wrong.operate(Path::new(".")).unwrap().got, "true");
        let groups =
            r#"{"name":"rx","type":"op","input":"ab","param":"(a)b","ret":1,"re_groups":["ab","a"]}"#;
        assert!(case(groups).operate(Path::new(".")).is_none());
        let lower = case(r#"{"name":"lowercase","type":"tfn","input":"A","output":"A","ret":1}"#);
        assert_eq!(lower.transform().unwrap().got, "\"a\"");
    }

    #[test]
    fn rows_are_checked_against_what_happens() {
        let table = "
- {cases: [a-1, a-2], suites: [s], verdict: miss, reason: known}
- {cases: [a-3], suites: [s], verdict: skip, reason: not ours}
";
        let reasons = Reasons::parse(table, "s").unwrap();
        let mut result = SuiteResult::default();
        let differs = || Some(Difference { expected: "x".into(), got: "y".into() });
        tally(&mut result, &reasons, "a-1", differs);
        tally(&mut result, &reasons, "a-2", || None);
        tally(&mut result, &reasons, "a-3", differs);
        tally(&mut result, &reasons, "a-4", differs);
        assert_eq!((result.passed, result.failed, result.skipped), (1, 2, 1));
        assert_eq!(result.misses[0].reason.as_deref(), Some("known"));
        assert_eq!(result.misses[1].reason, None);
        assert_eq!(result.stale, ["a-2: passes"]);
    }
}
