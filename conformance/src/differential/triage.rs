//! The table of known disagreements, `conformance/reasons/differential.yaml`.
//!
//! A row speaks of some rules, of who alone matched them, and of requests that its conditions describe; it explains
//! nothing else. Its example is judged in every run: a row whose example the engines agree on is stale.

use std::collections::BTreeSet;
use std::path::Path;

use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;

use super::request::{Request, Written};

/// Rules that only add up what others found: they differ where those do.
pub(super) const SUMS: &[u64] = &[949_110, 949_111, 959_100, 959_101];
/// Where the ids of the release's rules begin; what is below is of the base configuration.
const RELEASE_RULES: u64 = 900_000;
/// In place of a rule's id: the engine could not judge the request.
pub(super) const FAILED: u64 = 0;

/// Not compared: a SecAction with `noauditlog`, of whose match the reference library tells nobody.
const UNTOLD: &[u64] = &[980_170];

/// Who alone matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    Ours,
    Theirs,
}

/// Rules that only one of the engines matched.
pub(super) type Differences = BTreeSet<(Side, u64)>;

/// What came of one request.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What the engines disagree on.
    pub(super) differences: Differences,
    /// What both matched.
    pub(super) both: BTreeSet<u64>,
}

impl Found {
    /// From the rules that each matched.
    pub(super) fn new(ours: &BTreeSet<u64>, theirs: &BTreeSet<u64>) -> Self {
        Self { differences: differences(ours, theirs), both: ours & theirs }
    }
}

fn differences(ours: &BTreeSet<u64>, theirs: &BTreeSet<u64>) -> Differences {
    let alone = |side, one: &BTreeSet<u64>, other: &BTreeSet<u64>| -> Vec<(Side, u64)> {
        one.difference(other).filter(|id| !UNTOLD.contains(id)).map(|id| (side, *id)).collect()
    };
    [alone(Side::Ours, ours, theirs), alone(Side::Theirs, theirs, ours)].concat().into_iter().collect()
}

/// Who is wrong where they disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wrong {
    /// The reference library.
    Theirs,
    /// Neither: documented behaviour differs, and both serve.
    Neither,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    ours: Rules,
    #[serde(default)]
    theirs: Rules,
    /// What was found beside: who matched which of these rules.
    #[serde(default)]
    beside: Vec<(Who, u64)>,
    #[serde(default)]
    when: Vec<Condition>,
    #[allow(dead_code, reason = "for people; read so that a row cannot be without it")]
    wrong: Wrong,
    reason: String,
    example: Written,
}

/// Rules that a row speaks of.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Rules {
    These(BTreeSet<u64>),
    All(All),
}

/// The release's rules, whichever, and those that the row names as found beside: for rows about what all of them look at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum All {
    All,
}

impl Default for Rules {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Rules {
    fn contain(&self, id: u64, beside: &[(Who, u64)]) -> bool {
        match self {
            Self::These(ids) => ids.contains(&id),
            Self::All(All::All) => id >= RELEASE_RULES || beside.iter().any(|(_, known)| *known == id),
        }
    }
}

/// Who matched a rule.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Who {
    Both,
    OnlyOurs,
    OnlyTheirs,
}

impl Who {
    fn matched(self, id: u64, found: &Found) -> bool {
        match self {
            Self::Both => found.both.contains(&id),
            Self::OnlyOurs => found.differences.contains(&(Side::Ours, id)),
            Self::OnlyTheirs => found.differences.contains(&(Side::Theirs, id)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    part: Part,
    #[serde(default)]
    matches: Option<String>,
    #[serde(default)]
    lacks: Option<String>,
}

/// What a condition looks at.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Target,
    ContentType,
    Cookie,
    /// Header fields, one `Name: value` a line.
    Headers,
    Body,
    /// Target, header fields and body.
    Whole,
}

impl Part {
    fn of(self, request: &Request) -> Vec<u8> {
        let headers = || -> Vec<u8> {
            let lines = request.headers.iter().map(|(name, value)| [name, &b": "[..], value, b"\n"].concat());
            lines.flatten().collect()
        };
        match self {
            Self::Target => request.target.clone(),
            Self::ContentType => request.header("Content-Type").to_vec(),
            Self::Cookie => request.header("Cookie").to_vec(),
            Self::Headers => headers(),
            Self::Body => request.body.clone(),
            Self::Whole => [&request.target, &b"\n"[..], &headers(), b"\n", &request.body].concat(),
        }
    }
}

struct Test {
    part: Part,
    pattern: Regex,
    wanted: bool,
}

struct Known {
    row: Row,
    tests: Vec<Test>,
    example: Request,
}

/// The rows, ready to be asked.
pub(super) struct Table(Vec<Known>);

impl Table {
    /// Reads the checked-in table.
    pub(super) fn load() -> Result<Self, String> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("reasons/differential.yaml");
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string());
        text.and_then(|text| Self::parse(&text)).map_err(|error| format!("{}: {error}", file.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let rows: Vec<Row> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        rows.into_iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    /// Name and example of every row.
    pub(super) fn examples(&self) -> impl Iterator<Item = (&str, &Request)> {
        self.0.iter().map(|known| (known.row.name.as_str(), &known.example))
    }

    /// The names of the rows that explain what differs, or what no row explains.
    pub(super) fn explain(&self, request: &Request, found: &Found) -> Result<Vec<&str>, Differences> {
        let mut names = Vec::new();
        let mut rest = Differences::new();
        for difference in &found.differences {
            match self.0.iter().find(|known| known.explains(request, found, *difference)) {
                Some(known) => names.push(known.row.name.as_str()),
                None => {
                    rest.insert(*difference);
                }
            }
        }
        let only_sums = rest.iter().all(|(_, id)| SUMS.contains(id));
        names.sort_unstable();
        names.dedup();
        if rest.is_empty() || (only_sums && !names.is_empty()) { Ok(names) } else { Err(rest) }
    }
}

impl Known {
    fn explains(&self, request: &Request, found: &Found, (side, id): (Side, u64)) -> bool {
        let rules = match side {
            Side::Ours => &self.row.ours,
            Side::Theirs => &self.row.theirs,
        };
        rules.contain(id, &self.row.beside)
            && self.row.beside.iter().all(|(who, id)| who.matched(*id, found))
            && self.tests.iter().all(|test| test.holds(request))
    }
}

impl Test {
    fn holds(&self, request: &Request) -> bool {
        self.pattern.is_match(&self.part.of(request)) == self.wanted
    }
}

fn known(row: Row) -> Result<Known, String> {
    let error = |why: &str| format!("{}: {why}", row.name);
    let none = |rules: &Rules| matches!(rules, Rules::These(ids) if ids.is_empty());
    let speaks_of_none = none(&row.ours) && none(&row.theirs);
    if row.reason.trim().is_empty() || row.when.is_empty() || speaks_of_none {
        return Err(error("a row needs rules, conditions and a reason"));
    }
    let mut tests = Vec::new();
    for condition in &row.when {
        let (pattern, wanted) = match (&condition.matches, &condition.lacks) {
            (Some(pattern), None) => (pattern, true),
            (None, Some(pattern)) => (pattern, false),
            _ => return Err(error("a condition has either `matches` or `lacks`")),
        };
        let pattern = RegexBuilder::new(pattern).unicode(false).case_insensitive(true).build();
        let pattern = pattern.map_err(|why| error(&why.to_string()))?;
        tests.push(Test { part: condition.part, pattern, wanted });
    }
    let example = row.example.request().ok_or_else(|| error("a character of the example is no byte"))?;
    Ok(Known { row, tests, example })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"
- name: nul
  theirs: [1]
  when: [{part: body, matches: '\x00'}, {part: content_type, lacks: json}]
  wrong: theirs
  reason: why
  example: {body: "\0"}
"#;

    fn with_body(body: &[u8]) -> Request {
        Request { body: body.to_vec(), ..Request::default() }
    }

    #[test]
    fn a_row_explains_its_rules_on_its_side_under_its_conditions() {
        let table = Table::parse(TABLE).unwrap();
        let explains = |request: &Request, differences: &[(Side, u64)]| {
            let found = Found { differences: differences.iter().copied().collect(), both: [3].into() };
            table.explain(request, &found).is_ok()
        };
        let request = with_body(b"a\0");
        assert!(explains(&request, &[(Side::Theirs, 1)]));
        assert!(explains(&request, &[(Side::Theirs, 1), (Side::Theirs, SUMS[0])]));
        assert!(!explains(&request, &[(Side::Theirs, SUMS[0])]));
        assert!(!explains(&request, &[(Side::Ours, 1)]));
        assert!(!explains(&request, &[(Side::Theirs, 1), (Side::Theirs, 2)]));
        assert!(!explains(&with_body(b"a"), &[(Side::Theirs, 1)]));
        let mut json = request;
        json.set_header("content-type", "application/json");
        assert!(!explains(&json, &[(Side::Theirs, 1)]));
    }

    #[test]
    fn a_row_may_ask_what_was_found_beside() {
        let all = TABLE.replace("theirs: [1]", "theirs: all");
        let both = |id| {
            let text = all.replace("  when:", &format!("  beside: [[both, {id}]]\n  when:"));
            let found = Found { differences: [(Side::Theirs, RELEASE_RULES)].into(), both: [3].into() };
            Table::parse(&text).unwrap().explain(&with_body(b"\0"), &found).is_ok()
        };
        assert!(both(3) && !both(4));
    }

    #[test]
    fn rows_without_conditions_or_reasons_are_refused() {
        assert!(Table::parse(&TABLE.replace("why", "''")).is_err());
        assert!(Table::parse(&TABLE.replace("theirs: [1]", "theirs: []")).is_err());
        assert!(Table::parse(&TABLE.replace("lacks: json", "lacks: '('")).is_err());
        assert!(Table::parse(&TABLE.replace("\\0\"", "\u{100}\"")).is_err());
    }

    #[test]
    fn the_checked_in_table_explains_its_own_examples() {
        let table = Table::load().unwrap();
        for known in &table.0 {
            let unmet = known.tests.iter().position(|test| !test.holds(&known.example));
            assert_eq!(unmet, None, "{}: a condition that the example does not meet", known.row.name);
            assert!(known.example.is_tellable(), "{}", known.row.name);
        }
    }
}
