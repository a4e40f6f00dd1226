//! Documents from YAML and back.
//!
//! Strict: unknown and duplicate keys are errors, booleans are `true` and `false` only, merge keys and non-plain
//! tags are refused. Bounded before anything is built: size, depth, node count and aliases, so that a hostile or
//! broken file costs at most its own size.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Budget, Error, Options};

use crate::located::Position;
use crate::problem::{Problem, Report, suggestion};

/// Longest document, in bytes. 10,000 tenants with a dozen routes each take about 20 MiB.
pub const MAX_DOCUMENT_BYTES: usize = 64 << 20;

/// Deepest nesting of lists and mappings; the documents themselves need 8.
const MAX_DEPTH: usize = 32;

/// Most nodes (scalars, lists, mappings) in one document; an event bound of twice that follows from it.
const MAX_NODES: usize = 8_000_000;

/// Most aliases (`*name`) and anchors (`&name`) in one document.
const MAX_ALIASES: usize = 1_000;

/// Most events that all aliases together may stand for.
const MAX_REPLAYED_EVENTS: usize = 1_000_000;

/// A document that is read whole or not at all.
pub trait Document: Serialize + DeserializeOwned {
    /// Everything that is wrong although each value is well-formed.
    fn problems(&self) -> Vec<Problem>;

    /// Reads `text`; `file` is how messages name it.
    fn parse(file: &str, text: &str) -> Result<Self, Report> {
        let one = |problem| Report::new(file, vec![problem]);
        if text.len() > MAX_DOCUMENT_BYTES {
            let message = format!("the document is longer than {} MiB", MAX_DOCUMENT_BYTES >> 20);
            return Err(one(Problem::new(Position::default(), message)));
        }
        let document: Self =
            serde_saphyr::from_str_with_options(text, options()).map_err(|error| one(describe(&error)))?;
        Report::none_or(file, document.problems())?;
        Ok(document)
    }

    /// The document as YAML that [`parse`](Document::parse) reads back as the same document.
    fn print(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(self)
    }
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_depth = MAX_DEPTH;
    budget.flow_nesting_limit = MAX_DEPTH;
    budget.max_nodes = MAX_NODES;
    budget.max_events = 2 * MAX_NODES;
    budget.max_aliases = MAX_ALIASES;
    budget.max_anchors = MAX_ALIASES;
    budget.max_documents = 1;
    budget.max_total_scalar_bytes = MAX_DOCUMENT_BYTES;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = MAX_REPLAYED_EVENTS;
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.merge_keys = MergeKeyPolicy::Error;
    options.strict_booleans = true;
    options.reject_unsupported_tags = true;
    options.emit_comments = false;
    options.with_snippet = false;
    options
}

/// Turns the parser's error into ours: one line of what is wrong, one of what would be right.
fn describe(error: &Error) -> Problem {
    let error = error.without_snippet();
    let position = error.location().map(Position::from).unwrap_or_default();
    let problem = |message: String| Problem::new(position, message);
    match error {
        // Our own value types say what would be right behind a line break (see `value::Invalid`).
        Error::Message { msg, .. } => match msg.split_once('\n') {
            Some((message, hint)) => problem(message.to_owned()).hint(hint),
            None => problem(msg.clone()),
        },
        Error::SerdeUnknownField { field, expected, .. } => problem(format!("unknown key `{field}`"))
            .hint(suggestion(field, "keys allowed here", expected.iter().copied())),
        Error::SerdeUnknownVariant { variant, expected, .. } => problem(format!(
            "`{variant}` is not a choice here"
        ))
        .hint(suggestion(variant, "choices", expected.iter().copied())),
        Error::SerdeMissingField { field, .. } => problem(format!("the key `{field}` is missing")),
        Error::DuplicateMappingKey { key, .. } => {
            problem(format!("the key `{}` stands here twice", key.as_deref().unwrap_or("?")))
        }
        Error::InvalidScalar { ty, .. } => problem(format!("this is not {}", plain_type(ty))),
        Error::InvalidBooleanStrict { .. } => {
            problem("this is not a boolean".to_owned()).hint("write `true` or `false`")
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            problem(format!("{unexpected} where {expected} is expected"))
        }
        Error::MergeKeyNotAllowed { .. } => {
            problem("merge keys (`<<`) are not supported".to_owned()).hint("write the keys out")
        }
        Error::AliasError { error, .. } => Problem { position, ..describe(error) },
        Error::Budget { breach, .. } => problem(format!("the document goes over a bound: {breach:?}")),
        Error::Unexpected { expected, .. } => problem(format!("this is not {}", plain_type(expected))),
        other => {
            let text = other.to_string();
            let line = text.lines().next().unwrap_or("not valid YAML");
            // The position is printed in front already.
            problem(line.split(" at line ").next().unwrap_or(line).to_owned())
        }
    }
}

fn plain_type(ty: &str) -> &str {
    match ty {
        "bool" => "a boolean (`true` or `false`)",
        "sequence start" => "a list",
        "mapping start" => "a mapping",
        t if t.starts_with(['u', 'i']) => "a whole number",
        t if t.starts_with('f') => "a number",
        other => other,
    }
}
