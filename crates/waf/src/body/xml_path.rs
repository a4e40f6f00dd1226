//! Paths into an XML document, `XML:/a/b`: a subset of XPath 1.0 that is found while the document is read once.
//!
//! A path is absolute. Its steps are child (`/`) or descendant (`//`) elements: `name`, `prefix:name` (the prefix is one
//! of the rule's `xmlns`), `*`, each with any number of `[local-name()='name']`; the last may be `text()`, `@name` or
//! `@*` instead, or an element with `[text()]`, which has text of its own. A name without a prefix is in no namespace.
//! An element stands for all text in it. Text between two tags is one, whatever references, sections and comments are
//! in it. Examples: `/soap:Envelope/soap:Body//id`, `//item[local-name()='price']/@currency`.

use std::fmt;
use std::ops::Range;

/// Steps of one path.
const MAX_STEPS: usize = 32;

/// A path, ready to be looked for.
#[derive(Clone, PartialEq, Eq)]
pub struct XmlPath {
    text: String,
    steps: Vec<Step>,
    selects: Selects,
}

#[derive(Clone, PartialEq, Eq)]
struct Step {
    /// `//`: at any depth.
    deep: bool,
    name: Option<Name>,
    /// `[local-name()='x']`.
    local_names: Vec<String>,
}

/// A name and its namespace; none is the empty one.
#[derive(Clone, PartialEq, Eq)]
struct Name {
    namespace: String,
    local: String,
}

#[derive(Clone, PartialEq, Eq)]
enum Selects {
    Elements {
        with_text: bool,
    },
    Text,
    /// Attributes of this name, or all.
    Attributes(Option<Name>),
}

impl XmlPath {
    /// Reads a path; `namespaces` are prefixes and what they stand for. `Err` says what is not understood.
    pub fn parse(text: &str, namespaces: &[(String, String)]) -> Result<Self, String> {
        let mut path = Self {
            text: text.to_owned(),
            steps: Vec::new(),
            selects: Selects::Elements { with_text: false },
        };
        let mut rest = text;
        loop {
            let below = rest.strip_prefix('/').ok_or("a path begins with / or //")?;
            let deep = below.starts_with('/');
            rest = below.strip_prefix('/').unwrap_or(below);
            let end = step_end(rest);
            let (step, behind) = rest.split_at(end);
            rest = behind;
            path.step(deep, step, rest.is_empty(), namespaces)?;
            if rest.is_empty() {
                return Ok(path);
            }
            if path.steps.len() >= MAX_STEPS {
                return Err(format!("a path of more than {MAX_STEPS} steps"));
            }
        }
    }

    /// The path as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn step(
        &mut self,
        deep: bool,
        step: &str,
        last: bool,
        namespaces: &[(String, String)],
    ) -> Result<(), String> {
        let (test, predicates) = step.split_at(step.find('[').unwrap_or(step.len()));
        let attribute = test.strip_prefix('@');
        if attribute.is_some() || test == "text()" {
            if !last || !predicates.is_empty() {
                return Err(format!("{test} is the last step and takes no predicate"));
            }
            if deep || self.steps.is_empty() {
                self.steps.push(Step { deep: true, name: None, local_names: Vec::new() });
            }
            self.selects = match attribute {
                Some("*") => Selects::Attributes(None),
                Some(name) => Selects::Attributes(Some(Name::parse(name, namespaces)?)),
                None => Selects::Text,
            };
            return Ok(());
        }
        let name = if test == "*" { None } else { Some(Name::parse(test, namespaces)?) };
        let mut local_names = Vec::new();
        for predicate in predicates.split_terminator(']') {
            let predicate = predicate.strip_prefix('[').map(str::trim);
            match predicate.and_then(|predicate| {
                Some(predicate.strip_prefix("local-name()")?.trim_start().strip_prefix('=')?.trim())
            }) {
                Some(quoted) => local_names.push(unquoted(quoted)?.to_owned()),
                None if predicate == Some("text()") && last => {
                    self.selects = Selects::Elements { with_text: true };
                }
                None => {
                    return Err(format!(
                        "{predicates} is not understood: a step takes [local-name()='x'], the last one [text()]"
                    ));
                }
            }
        }
        self.steps.push(Step { deep, name, local_names });
        Ok(())
    }
}

impl fmt::Debug for XmlPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("XmlPath").field(&self.text).finish()
    }
}

/// Where the first step of `text` ends: at a slash outside of brackets.
fn step_end(text: &str) -> usize {
    let mut depth = 0_usize;
    let outside = text.char_indices().find(|(_, letter)| {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            '/' => return depth == 0,
            _ => {}
        }
        false
    });
    outside.map_or(text.len(), |(offset, _)| offset)
}

fn unquoted(text: &str) -> Result<&str, String> {
    let inner = ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    inner.filter(|name| is_name(name)).ok_or_else(|| format!("{text} is not a name in quotes"))
}

fn is_name(text: &str) -> bool {
    let allowed = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    text.starts_with(|first: char| first.is_alphabetic() || first == '_') && text.chars().all(allowed)
}

impl Name {
    fn parse(text: &str, namespaces: &[(String, String)]) -> Result<Self, String> {
        let (prefix, local) =
            text.split_once(':').map_or((None, text), |(prefix, local)| (Some(prefix), local));
        if !is_name(local) {
            return Err(format!("{text} is not a step that is understood"));
        }
        let namespace = match prefix {
            None => String::new(),
            Some(prefix) => {
                let known = namespaces.iter().find(|(known, _)| known == prefix);
                known
                    .map(|(_, href)| href.clone())
                    .ok_or_else(|| format!("no xmlns of the rule is {prefix}"))?
            }
        };
        Ok(Self { namespace, local: local.to_owned() })
    }

    fn is(&self, namespace: &str, local: &str) -> bool {
        self.namespace == namespace && self.local == local
    }
}

impl Step {
    fn takes(&self, namespace: &str, local: &str) -> bool {
        self.name.as_ref().is_none_or(|name| name.is(namespace, local))
            && self.local_names.iter().all(|name| name == local)
    }
}

/// Looks for paths in a document whose tags and texts it is told in order. Text is told by where it stands in all text
/// of the document.
#[derive(Debug)]
pub(super) struct Finder<'p> {
    paths: &'p [XmlPath],
    /// Per open element and path, which beginnings of the path the element is the end of, or carries on: bit `n` for
    /// the first `n` steps. The document itself is the first.
    states: Vec<u64>,
    scopes: Vec<(usize, String, String)>,
    open: Vec<Open>,
    found: Vec<Found>,
    /// Whether a tag stood since the last text.
    tag_since_text: bool,
}

/// An element that a path selects and that is still open.
#[derive(Debug)]
struct Open {
    depth: usize,
    found: usize,
    has_text: bool,
}

#[derive(Debug)]
struct Found {
    path: usize,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Range(Range<usize>),
    Attribute(String),
    Nothing,
}

impl<'p> Finder<'p> {
    pub(super) fn new(paths: &'p [XmlPath]) -> Self {
        Self {
            paths,
            states: vec![1; paths.len()],
            scopes: Vec::new(),
            open: Vec::new(),
            found: Vec::new(),
            tag_since_text: true,
        }
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_idle(&self) -> bool {
        self.paths.is_empty()
    }

    /// How many values were found so far.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    fn depth(&self) -> usize {
        self.states.len() / self.paths.len() - 1
    }

    /// An element begins, behind `at` bytes of text.
    pub(super) fn open(&mut self, name: &str, attributes: &[(String, String)], at: usize) {
        self.tag_since_text = true;
        let depth = self.depth() + 1;
        for (name, value) in attributes {
            if let Some(prefix) =
                name.strip_prefix("xmlns").filter(|rest| rest.is_empty() || rest.starts_with(':'))
            {
                self.scopes.push((depth, prefix.trim_start_matches(':').to_owned(), value.clone()));
            }
        }
        let (namespace, local) = self.resolve(name, true);
        let above = self.states.len() - self.paths.len();
        for (index, path) in self.paths.iter().enumerate() {
            let before = self.states[above + index];
            let mut state = 0;
            for (number, step) in
                path.steps.iter().enumerate().filter(|(number, _)| before & (1 << number) != 0)
            {
                if step.takes(&namespace, &local) {
                    state |= 1 << (number + 1);
                }
                if step.deep {
                    state |= 1 << number;
                }
            }
            self.states.push(state);
            if !path.is_done(state) {
                continue;
            }
            match &path.selects {
                Selects::Elements { .. } => {
                    self.open.push(Open { depth, found: self.found.len(), has_text: false });
                    self.found.push(Found { path: index, value: Value::Range(at..at) });
                }
                Selects::Text => {}
                Selects::Attributes(wanted) => {
                    for (name, value) in attributes.iter().filter(|(name, _)| !name.starts_with("xmlns")) {
                        let (namespace, local) = self.resolve(name, false);
                        if wanted.as_ref().is_none_or(|wanted| wanted.is(&namespace, &local)) {
                            self.found.push(Found { path: index, value: Value::Attribute(value.clone()) });
                        }
                    }
                }
            }
        }
    }

    /// The element that was opened last ends, behind `at` bytes of text.
    pub(super) fn close(&mut self, at: usize) {
        self.tag_since_text = true;
        let depth = self.depth();
        while let Some(Open { found, has_text, .. }) = self.open.pop_if(|open| open.depth == depth) {
            let Found { path, value } = &mut self.found[found];
            match (&self.paths[*path].selects, &mut *value) {
                (Selects::Elements { with_text: true }, _) if !has_text => *value = Value::Nothing,
                (_, Value::Range(range)) => range.end = at,
                _ => {}
            }
        }
        self.scopes.retain(|(opened, ..)| *opened < depth);
        self.states.truncate(self.states.len() - self.paths.len());
    }

    /// Text of the element that is open.
    pub(super) fn text(&mut self, place: Range<usize>) {
        if place.is_empty() {
            return;
        }
        let depth = self.depth();
        self.open.iter_mut().filter(|open| open.depth == depth).for_each(|open| open.has_text = true);
        let above = self.states.len() - self.paths.len();
        for (index, path) in self.paths.iter().enumerate() {
            if path.selects != Selects::Text || !path.is_done(self.states[above + index]) {
                continue;
            }
            let last = self.found.iter_mut().rev().find(|found| found.path == index);
            match last.map(|found| &mut found.value) {
                Some(Value::Range(range)) if !self.tag_since_text && range.end == place.start => {
                    range.end = place.end;
                }
                _ => self.found.push(Found { path: index, value: Value::Range(place.clone()) }),
            }
        }
        self.tag_since_text = false;
    }

    /// What was found, each value with the index of its path, in document order; `None` if it is more than `most` bytes.
    /// An element that never ends stands for all text behind it.
    pub(super) fn finish(self, text: &[u8], most: usize) -> Option<Vec<(usize, Vec<u8>)>> {
        let never_closed: Vec<usize> = self.open.iter().map(|open| open.found).collect();
        let mut bytes = 0;
        let mut values = Vec::new();
        for (number, Found { path, value }) in self.found.into_iter().enumerate() {
            let value = match value {
                Value::Range(range) if never_closed.contains(&number) => text.get(range.start..)?,
                Value::Range(range) => text.get(range)?,
                Value::Attribute(ref value) => value.as_bytes(),
                Value::Nothing => continue,
            };
            bytes += value.len();
            if bytes > most {
                return None;
            }
            values.push((path, value.to_vec()));
        }
        Some(values)
    }

    /// Namespace and local name. An attribute without a prefix is in no namespace (Namespaces in XML 1.0, section 6.2).
    fn resolve(&self, name: &str, is_element: bool) -> (String, String) {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        if prefix.is_empty() && !is_element {
            return (String::new(), local.to_owned());
        }
        let scope = self.scopes.iter().rev().find(|(_, known, _)| known == prefix);
        (scope.map(|(_, _, href)| href.clone()).unwrap_or_default(), local.to_owned())
    }
}

impl XmlPath {
    fn is_done(&self, state: u64) -> bool {
        state & (1 << self.steps.len()) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::XmlPath;
    use crate::body::{BodyErrorKind, Limits, xml};
    use proptest::prelude::*;

    fn path(text: &str) -> Result<XmlPath, String> {
        XmlPath::parse(text, &[("s".to_owned(), "urn:s".to_owned())])
    }

    fn find(text: &str, body: &str) -> Vec<String> {
        let parsed = xml::parse_paths(body.as_bytes(), &Limits::default(), &[path(text).unwrap()]);
        assert_eq!(parsed.error, None);
        parsed.found.into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect()
    }

    const SHOP: &str = "<shop><book lang='en' p:lang='x' xmlns:p='urn:p'><price>1</price><t/></book>\
        <book><price>2<b>3</b></price></book><x><price> 4</price></x></shop>";

    #[test]
    fn elements_attributes_and_text() {
        for (text, expected) in [
            ("/shop/book/price", vec!["1", "23"]),
            ("//price", vec!["1", "23", " 4"]),
            ("/shop//b", vec!["3"]),
            ("/shop/*/price", vec!["1", "23", " 4"]),
            ("/shop/book", vec!["1", "23"]),
            ("/shop/book[text()]", vec![]),
            ("/shop/book/price[text()]", vec!["1", "23"]),
            ("/shop/*[local-name()='x']/price", vec![" 4"]),
            ("//book/@lang", vec!["en"]),
            ("//@*", vec!["en", "x"]),
            ("//price/text()", vec!["1", "2", " 4"]),
            ("//text()", vec!["1", "2", "3", " 4"]),
            ("/book", vec![]),
            ("/shop/price", vec![]),
        ] {
            assert_eq!(find(text, SHOP), expected, "{text}");
        }
    }

    #[test]
    fn text_between_two_tags_is_one() {
        assert_eq!(find("/a/text()", "<a>x&#121;<![CDATA[z]]><!-- c -->w<b/>v</a>"), ["xyzw", "v"]);
    }

    #[test]
    fn names_are_in_namespaces() {
        let soap = "<e:E xmlns:e='urn:s'><E xmlns='urn:s'><i/>d</E><E xmlns='urn:o'>o</E><E>n</E></e:E>";
        assert_eq!(find("/s:E/s:E", soap), ["d"]);
        assert_eq!(find("/s:E/E", soap), ["n"]);
        assert_eq!(find("//*[local-name()='E']", soap), ["don", "d", "o", "n"]);
    }

    #[test]
    fn what_is_not_understood_says_so() {
        for (text, why) in [
            ("a", "a path begins with"),
            ("", "a path begins with"),
            ("/a/", "not a step"),
            ("///a", "not a step"),
            ("/a[1]", "is not understood"),
            ("/a[text()]/b", "is not understood"),
            ("/a[local-name()=b]", "not a name in quotes"),
            ("/a/text()/b", "is the last step"),
            ("/@b[text()]", "takes no predicate"),
            ("/x:a", "no xmlns of the rule is x"),
            ("/a/..", "not a step"),
            ("/count(//a)", "not a step"),
        ] {
            assert!(path(text).unwrap_err().contains(why), "{text}: {:?}", path(text));
        }
        assert!(path(&"/a".repeat(33)).unwrap_err().contains("more than 32 steps"));
    }

    #[test]
    fn nested_elements_that_are_all_selected_are_bounded() {
        let body = format!("{}{}{}", "<a>".repeat(200), "x".repeat(100_000), "</a>".repeat(200));
        let parsed = xml::parse_paths(body.as_bytes(), &Limits::default(), &[path("//a").unwrap()]);
        assert_eq!(parsed.error.map(|error| error.kind), Some(BodyErrorKind::Limit));
        assert!(parsed.found.is_empty());
    }

    #[test]
    fn a_document_that_breaks_off_shows_what_was_read() {
        let parsed = xml::parse_paths(b"<a><b>x</b><b>y", &Limits::default(), &[path("//b").unwrap()]);
        assert!(parsed.error.is_some());
        assert_eq!(parsed.found, [(0, b"x".to_vec()), (0, b"y".to_vec())]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r"[/a@*:s\[\]()'= text-]{0,24}", body in r"[<>/ab s:='x!\[\]-]{0,48}") {
            if let Ok(path) = path(&text) {
                let _ = xml::parse_paths(body.as_bytes(), &Limits::default(), &[path]);
            }
        }
    }
}
