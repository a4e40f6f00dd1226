//! Text with macros: `%{TX.score}`, `%{MATCHED_VAR}`, `%{REQUEST_HEADERS.User-Agent}`.

use crate::compile::macro_target;
use crate::program::{Names, Target};
use crate::variable::Variable;

/// A text, cut at its macros.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    parts: Box<[Part]>,
    number: Option<i64>,
}

/// A piece of a [`Template`].
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Text(Box<[u8]>),
    /// The first value of the target.
    Value(Target),
}

impl Template {
    /// Reads `text`; `Err` says which macro names nothing that exists.
    pub(crate) fn parse(text: &str, names: &mut Names) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((start, end)) = find_macro(rest) {
            if start > 0 {
                parts.push(Part::Text(rest.as_bytes()[..start].into()));
            }
            let name = &rest[start + 2..end];
            let target = macro_target(name, names).map_err(|why| format!("%{{{name}}}: {why}"))?;
            parts.push(Part::Value(target));
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.as_bytes().into()));
        }
        let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        Ok(Self { parts: parts.into(), number })
    }

    /// The number that it is, where it is one as numbers are written out.
    pub(crate) fn number(&self) -> Option<i64> {
        self.number
    }

    /// The pieces, in order.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The variables that its macros read.
    pub(crate) fn variables(&self) -> impl Iterator<Item = Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value(target) => Some(target.variable),
        })
    }
}

/// Whether `text` holds a macro.
pub(crate) fn has_macro(text: &str) -> bool {
    find_macro(text).is_some()
}

/// Where the first macro of `text` begins, and the offset of its closing brace.
fn find_macro(text: &str) -> Option<(usize, usize)> {
    let start = text.find("%{")?;
    let end = text[start..].find('}')? + start;
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_cut_out() {
        let mut names = Names::default();
        let template = Template::parse("a%{tx.Score}b%{MATCHED_VAR}", &mut names).unwrap();
        assert_eq!(template.parts().len(), 4);
        assert_eq!(template.variables().collect::<Vec<_>>(), [Variable::Tx, Variable::MatchedVar]);
        assert!(names.find(b"score").is_some());
        let open = Template::parse("100%{", &mut names).unwrap();
        assert!(matches!(open.parts(), [Part::Text(text)] if **text == *b"100%{"));
    }

    #[test]
    fn a_macro_of_nothing_is_an_error() {
        let mut names = Names::default();
        assert!(Template::parse("%{NO_SUCH}", &mut names).is_err());
        assert!(Template::parse("%{REMOTE_ADDR.x}", &mut names).is_err());
    }
}
