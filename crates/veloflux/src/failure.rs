//! Why a command did not do what it was asked.

use std::fmt;
use std::path::Path;

/// What is printed on standard error before the process ends with 1.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// What a command gives back.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Something could not be done with a file or folder.
    pub(crate) fn file(path: &Path, what: &str, error: &std::io::Error) -> Self {
        Self(format!("{}: cannot {what}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<veloflux_model::Report> for Failure {
    fn from(report: veloflux_model::Report) -> Self {
        Self(report.to_string())
    }
}
