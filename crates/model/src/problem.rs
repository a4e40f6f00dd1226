//! What is wrong with a document, where, and what would be right.
//!
//! Printed as `file:line:column: message`, with the hint on its own line below.

use std::fmt;

use crate::located::Position;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands; line 0 when it concerns the whole document.
    pub position: Position,
    /// What is wrong, in one line.
    pub message: String,
    /// What would be right, in one line.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at `position`.
    pub fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, message: message.into(), hint: None }
    }

    /// Adds what would be right.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Most problems that a printed report shows; one mistake can repeat in each of ten thousand tenants.
const MAX_SHOWN: usize = 100;

/// Everything that is wrong with one file; the error type of reading, checking and compiling it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The file as its reader named it.
    pub file: String,
    /// At least one problem, in the order of the document.
    pub problems: Vec<Problem>,
}

impl Report {
    /// A report about `file`, sorted by position.
    pub fn new(file: impl Into<String>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.position);
        Self { file: file.into(), problems }
    }

    /// `Ok` when there is nothing to report.
    pub fn none_or(file: impl Into<String>, problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self::new(file, problems)) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(MAX_SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.file)?;
            if problem.position.line > 0 {
                write!(f, ":{}:{}", problem.position.line, problem.position.column)?;
            }
            write!(f, ": {}", problem.message)?;
            if let Some(hint) = &problem.hint {
                write!(f, "\n    {hint}")?;
            }
        }
        match self.problems.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more problems", self.file),
        }
    }
}

impl std::error::Error for Report {}

/// "did you mean `x`?" for the candidate nearest to `given`; where none is near, the whole list of candidates
/// (up to [`MAX_LISTED`]), each behind `what`.
pub fn suggestion<'a>(given: &str, what: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let mut candidates: Vec<&str> = candidates.into_iter().take(MAX_COMPARED).collect();
    let nearest = candidates.iter().map(|name| (edit_distance(given, name), *name)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + given.chars().count() / 4 => {
            format!("did you mean `{name}`?")
        }
        Some(_) => {
            candidates.sort_unstable();
            let rest = candidates.len().saturating_sub(MAX_LISTED);
            candidates.truncate(MAX_LISTED);
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            format!("{what}: {}{more}", candidates.join(", "))
        }
        None => format!("{what}: none"),
    }
}

/// Most candidates that one suggestion looks at.
const MAX_COMPARED: usize = 1000;

/// Most candidates that one suggestion lists.
pub const MAX_LISTED: usize = 20;

/// Longest text, in characters, that is compared; longer ones count as far away.
const MAX_COMPARED_CHARS: usize = 64;

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > MAX_COMPARED_CHARS || b.len() > MAX_COMPARED_CHARS {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &cb) in b.iter().enumerate() {
            let substituted = above[j] + usize::from(ca != cb);
            let mut best = substituted.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && ca == b[j - 1] && a[i - 1] == cb {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_a_swap_once() {
        assert_eq!(edit_distance("pool", "pool"), 0);
        assert_eq!(edit_distance("bakcends", "backends"), 1);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("web", "api"), 3);
    }

    #[test]
    fn suggests_the_nearest_or_lists_all() {
        assert_eq!(suggestion("wbe", "pools", ["web", "api"]), "did you mean `web`?");
        assert_eq!(suggestion("zzz", "pools", ["web", "api"]), "pools: api, web");
        assert_eq!(suggestion("zzz", "pools", []), "pools: none");
    }

    #[test]
    fn a_long_report_is_cut() {
        let problem = Problem::new(Position { line: 1, column: 1 }, "wrong");
        let printed = Report::new("s.yaml", vec![problem; MAX_SHOWN + 2]).to_string();
        assert_eq!(printed.lines().count(), MAX_SHOWN + 1);
        assert!(printed.ends_with("\ns.yaml: and 2 more problems"));
    }

    #[test]
    fn a_report_prints_in_document_order() {
        let at = |line| Position { line, column: 2 };
        let report = Report::new(
            "s.yaml",
            vec![Problem::new(at(9), "late"), Problem::new(at(3), "early").hint("try this")],
        );
        assert_eq!(report.to_string(), "s.yaml:3:2: early\n    try this\ns.yaml:9:2: late");
    }
}
