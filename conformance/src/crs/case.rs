//! Regression cases as their files hold them.
//!
//! Format: the ftw-tests-schema of the CRS project. Unknown keys are errors, so that a field which this runner
//! does not honour cannot change a case's meaning unnoticed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One regression case.
#[derive(Debug, Clone)]
pub struct Case {
    /// The rule that the case is about and the case's number, as in `920100-4`.
    pub id: String,
    /// What is sent, in order; a later stage may depend on an earlier one.
    pub stages: Vec<Stage>,
}

/// One request and what must come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// What to send.
    pub input: Input,
    /// What must be seen.
    pub output: Output,
}

/// A request, either as parts or whole.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// Where the author's server listened; this runner sends to its own.
    pub dest_addr: Option<String>,
    /// As `dest_addr`.
    pub port: Option<u16>,
    /// Default `GET`.
    pub method: Option<String>,
    /// Default `/`.
    pub uri: Option<String>,
    /// The protocol of the request line; default `HTTP/1.1`.
    pub version: Option<String>,
    /// Header fields, sent in the order of their names.
    pub headers: Option<BTreeMap<String, Option<String>>>,
    /// The body, which may hold a `{{ "x" | repeat N }}` template.
    pub data: Option<String>,
    /// The whole request in Base64, sent as it is.
    pub encoded_request: Option<String>,
    /// Whether `Connection`, `Content-Length` and a form `Content-Type` are added where missing; default yes.
    pub autocomplete_headers: Option<bool>,
}

/// Expectations; all that are there must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// The status of the answer.
    pub status: Option<u16>,
    /// The connection must end without a well-formed answer.
    pub expect_error: bool,
    /// Run the stage once more before calling it failed; needed for logs that are written late.
    pub retry_once: bool,
    /// What the log must and must not say.
    pub log: LogExpectation,
}

/// Expectations on the error log of one request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogExpectation {
    /// Rules that must all be there.
    pub expect_ids: Vec<u64>,
    /// Rules none of which may be there.
    pub no_expect_ids: Vec<u64>,
    /// Must match at least one line.
    pub match_regex: Option<String>,
    /// May match no line.
    pub no_match_regex: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[allow(dead_code, reason = "names authors and dates; read only so that other unknown keys stay errors")]
    meta: serde::de::IgnoredAny,
    #[serde(default)]
    #[allow(dead_code, reason = "as `meta`")]
    author: Option<serde::de::IgnoredAny>,
    rule_id: u64,
    tests: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    #[serde(rename = "test_id")]
    number: u64,
    #[serde(default)]
    #[allow(dead_code, reason = "as `File::meta`")]
    desc: Option<serde::de::IgnoredAny>,
    stages: Vec<Stage>,
}

/// A suite that cannot be read; always the fault of the data or of this runner, never of the engine under test.
#[derive(Debug)]
pub struct LoadError {
    file: PathBuf,
    message: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.message)
    }
}

impl std::error::Error for LoadError {}

/// Reads every case under `folder`, in the order of file names and then as written.
pub fn load(folder: &Path) -> Result<Vec<Case>, LoadError> {
    let mut files = Vec::new();
    collect_files(folder, &mut files)?;
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let failed = |message: String| LoadError { file: file.clone(), message };
        let text = std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
        cases.extend(parse(&text).map_err(failed)?);
    }
    Ok(cases)
}

/// Reads the cases of one file's `text`. A file whose text is all comments holds no case.
fn parse(text: &str) -> Result<Vec<Case>, String> {
    let files: Vec<File> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    let cases = files.into_iter().flat_map(|file| {
        let rule = file.rule_id;
        file.tests
            .into_iter()
            .map(move |test| Case { id: format!("{rule}-{}", test.number), stages: test.stages })
    });
    Ok(cases.collect())
}

fn collect_files(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let failed = |error: std::io::Error| LoadError { file: folder.to_owned(), message: error.to_string() };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            collect_files(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            into.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
---
meta:
  author: "somebody"
rule_id: 920100
tests:
  - test_id: 4
    desc: "a comment"
    stages:
      - input:
          dest_addr: "127.0.0.1"
          port: 80
          method: "OPTIONS"
          headers:
            User-Agent: "tester"
            Content-Length: 7
            Empty:
          version: 1.10
        output:
          status: 200
          log:
            no_expect_ids: [920100, 920101]
"#;

    #[test]
    fn a_case_keeps_its_scalars_as_written() {
        let cases = parse(FILE).unwrap();
        assert_eq!(cases.len(), 1);
        assert_eq!(cases[0].id, "920100-4");
        let stage = &cases[0].stages[0];
        assert_eq!(stage.input.version.as_deref(), Some("1.10"));
        let headers = stage.input.headers.as_ref().unwrap();
        assert_eq!(headers["Content-Length"].as_deref(), Some("7"));
        assert_eq!(headers["Empty"], None);
        assert_eq!(stage.output.log.no_expect_ids, [920_100, 920_101]);
        assert_eq!(stage.input.data, None);
    }

    #[test]
    fn a_file_of_comments_holds_no_case() {
        assert!(parse("# nothing\n# ---\n# tests:\n").unwrap().is_empty());
    }

    #[test]
    fn a_field_that_is_not_honoured_is_refused() {
        let error = parse(&FILE.replace("port: 80", "follow_redirect: true")).unwrap_err();
        assert!(error.contains("follow_redirect"), "{error}");
    }
}
