//! XML bodies (XML 1.0), as far as `XML:/*`, `XML://@*` and paths ([`XmlPath`]) look at them.
//!
//! Gives the text of the document (of all elements, CDATA included, in order) and the values of its attributes
//! (namespace declarations are none). Nothing outside the body is ever read and no entity is expanded: a reference to
//! anything but a character or one of the five predefined entities is an error, and so is whatever is not well-formed,
//! not UTF-8, or declares an encoding in which the bytes would read otherwise. Line ends are read as section 2.11 has
//! them, white space in attributes as section 3.3.3.
//! Example: `<a x="1">b<c>d</c></a>` gives the text `bd` and the attribute `1`.

use super::xml_path::{Finder, XmlPath};
use super::{BodyError, Limits};
use quick_xml::escape::unescape;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::{Error, Reader};
use std::borrow::Cow;

/// Encodings that agree with UTF-8 on ASCII. Other bytes must be UTF-8 whatever the declaration says.
const ENCODINGS: [&str; 5] = ["utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252"];

/// What was in an XML document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Xml {
    /// The text of the root element and all in it; `None` if there was no element.
    pub text: Option<Vec<u8>>,
    /// The values of all attributes, in document order.
    pub attributes: Vec<Vec<u8>>,
    /// What paths select, each value with the index of its path.
    pub found: Vec<(usize, Vec<u8>)>,
    /// Why reading stopped before the end, if it did.
    pub error: Option<BodyError>,
}

/// Reads an XML document.
pub fn parse(body: &[u8], limits: &Limits) -> Xml {
    parse_paths(body, limits, &[])
}

/// Reads an XML document and looks for `paths` in it.
pub fn parse_paths(body: &[u8], limits: &Limits, paths: &[XmlPath]) -> Xml {
    let mut xml = Xml::default();
    match std::str::from_utf8(body) {
        Ok(text) => {
            let mut reader = Reader::from_str(text);
            reader.config_mut().check_comments = true;
            let mut document = Document { xml: &mut xml, limits, depth: 0, finder: Finder::new(paths) };
            let result = document.read(&mut reader);
            let result = document.select().and(result);
            let offset = usize::try_from(reader.buffer_position()).unwrap_or(body.len());
            let strange = text.find(|char| !is_char(char));
            xml.error = match (result, strange) {
                (Err(failure), _) => Some(failure.at(offset)),
                (Ok(()), Some(at)) => Some(BodyError::malformed(at, "a character that XML does not have")),
                (Ok(()), None) => None,
            };
        }
        Err(error) => {
            xml.error = Some(BodyError::malformed(error.valid_up_to(), "the document is not UTF-8"));
        }
    }
    xml
}

struct Document<'d> {
    xml: &'d mut Xml,
    limits: &'d Limits,
    /// Elements that are open.
    depth: usize,
    finder: Finder<'d>,
}

/// Why reading stopped; the reader knows where.
enum Failure {
    Malformed(&'static str),
    Limit(&'static str),
}

impl Failure {
    fn at(self, offset: usize) -> BodyError {
        match self {
            Self::Malformed(message) => BodyError::malformed(offset, message),
            Self::Limit(message) => BodyError::limit(offset, message),
        }
    }
}

impl From<Error> for Failure {
    fn from(_: Error) -> Self {
        Self::Malformed("the document is not well-formed")
    }
}

impl Document<'_> {
    fn read(&mut self, reader: &mut Reader<&[u8]>) -> Result<(), Failure> {
        loop {
            match reader.read_event()? {
                Event::Start(element) => {
                    self.open(&element)?;
                    self.depth += 1;
                }
                Event::Empty(element) => {
                    self.open(&element)?;
                    self.close();
                }
                // The reader has checked that it closes the element that is open.
                Event::End(_) => {
                    self.close();
                    self.depth = self.depth.saturating_sub(1);
                }
                Event::Text(text) if text.contains("]]>") => {
                    return Err(Failure::Malformed("`]]>` in text"));
                }
                Event::Text(text) => self.text(&with_line_ends(&text))?,
                Event::CData(_) if self.depth == 0 => {
                    return Err(Failure::Malformed("CDATA outside the root element"));
                }
                Event::CData(text) => self.text(&with_line_ends(&text))?,
                Event::GeneralRef(reference) => self.reference(&reference)?,
                Event::DocType(_) | Event::Decl(_) if self.xml.text.is_some() => {
                    return Err(Failure::Malformed("a declaration after the root element has begun"));
                }
                Event::Decl(declaration) => check_declaration(&declaration)?,
                Event::PI(instruction) => check_name(instruction.target())?,
                Event::DocType(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        match (self.depth, &self.xml.text) {
            (0, Some(_)) => Ok(()),
            (0, None) => Err(Failure::Malformed("there is no element")),
            _ => Err(Failure::Malformed("an element is not closed")),
        }
    }

    /// Ends the search for paths.
    fn select(&mut self) -> Result<(), Failure> {
        let finder = std::mem::replace(&mut self.finder, Finder::new(&[]));
        let text = self.xml.text.as_deref().unwrap_or_default();
        let found = finder.finish(text, self.limits.max_xml_selected_bytes);
        self.xml.found = found.ok_or(Failure::Limit("paths select too many bytes"))?;
        Ok(())
    }

    /// Bytes of text so far.
    fn at(&self) -> usize {
        self.xml.text.as_ref().map_or(0, Vec::len)
    }

    fn close(&mut self) {
        if !self.finder.is_idle() {
            let at = self.at();
            self.finder.close(at);
        }
    }

    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), Failure> {
        if self.depth == 0 && self.xml.text.is_some() {
            return Err(Failure::Malformed("a second root element"));
        }
        if self.depth >= self.limits.max_xml_depth {
            return Err(Failure::Limit("elements are nested too deeply"));
        }
        check_name(element.name().as_ref())?;
        self.xml.text.get_or_insert_default();
        let mut seen = Vec::new();
        for (count, attribute) in element.attributes().enumerate() {
            if count >= self.limits.max_element_attributes {
                return Err(Failure::Limit("an element has too many attributes"));
            }
            let attribute =
                attribute.map_err(|_| Failure::Malformed("an attribute is malformed or repeated"))?;
            let name: &str = attribute.key.as_ref();
            check_name(name)?;
            if attribute.value.contains('<') {
                return Err(Failure::Malformed("`<` in an attribute"));
            }
            let value = with_line_ends(&attribute.value).replace(['\n', '\t'], " ");
            let value = unescape(&value)
                .map_err(|_| Failure::Malformed("an entity that is not predefined in an attribute"))?;
            if !self.finder.is_idle() {
                seen.push((name.to_owned(), value.clone().into_owned()));
            }
            if name == "xmlns" || name.starts_with("xmlns:") {
                continue;
            }
            if self.xml.attributes.len() >= self.limits.max_arguments {
                return Err(Failure::Limit("too many attributes"));
            }
            self.xml.attributes.push(value.into_owned().into_bytes());
        }
        if !self.finder.is_idle() {
            let at = self.at();
            self.finder.open(element.name().as_ref(), &seen, at);
            if self.finder.count() > self.limits.max_arguments {
                return Err(Failure::Limit("paths select too many values"));
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        match &mut self.xml.text {
            Some(all) if self.depth > 0 => {
                let start = all.len();
                all.extend_from_slice(text.as_bytes());
                if !self.finder.is_idle() {
                    self.finder.text(start..start + text.len());
                }
            }
            _ if text.trim_matches([' ', '\t', '\r', '\n', '\u{feff}']).is_empty() => {}
            _ => return Err(Failure::Malformed("text outside the root element")),
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), Failure> {
        let raw = format!("&{};", &**reference);
        let text = unescape(&raw).map_err(|_| Failure::Malformed("an entity that is not predefined"))?;
        if !text.chars().all(is_char) {
            return Err(Failure::Malformed("a reference to a character that XML does not have"));
        }
        if self.depth == 0 {
            return Err(Failure::Malformed("text outside the root element"));
        }
        self.text(&text)
    }
}

/// Production 2, `Char`.
fn is_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Production 5, `Name`, exact in ASCII; what names may hold beyond it nobody attacks with.
fn check_name(name: &str) -> Result<(), Failure> {
    let goes_on = |char: char| {
        starts_name(char)
            || matches!(char, '0'..='9' | '-' | '.' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
    };
    if name.starts_with(starts_name) && name.chars().all(goes_on) {
        Ok(())
    } else {
        Err(Failure::Malformed("a name that is none"))
    }
}

/// `NameStartChar` of section 2.3.
fn starts_name(char: char) -> bool {
    matches!(
        char,
        'a'..='z'
            | 'A'..='Z'
            | '_'
            | ':'
            | '\u{c0}'..='\u{d6}'
            | '\u{d8}'..='\u{f6}'
            | '\u{f8}'..='\u{2ff}'
            | '\u{370}'..='\u{37d}'
            | '\u{37f}'..='\u{1fff}'
            | '\u{200c}'..='\u{200d}'
            | '\u{2070}'..='\u{218f}'
            | '\u{2c00}'..='\u{2fef}'
            | '\u{3001}'..='\u{d7ff}'
            | '\u{f900}'..='\u{fdcf}'
            | '\u{fdf0}'..='\u{fffd}'
            | '\u{10000}'..='\u{effff}'
    )
}

fn with_line_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A declaration begins with its version (section 2.8).
fn check_declaration(declaration: &BytesDecl<'_>) -> Result<(), Failure> {
    let minor = declaration.version()?;
    let minor = minor.strip_prefix("1.").unwrap_or_default();
    if minor.is_empty() || !minor.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::Malformed("a declaration of another version than 1"));
    }
    let mut rest = declaration.trim_start_matches("xml");
    for name in ["version", "encoding", "standalone"] {
        rest = without_pseudo_attribute(rest, name).unwrap_or(rest);
    }
    if !rest.chars().all(is_space) {
        return Err(Failure::Malformed("a declaration of more than version, encoding and standalone"));
    }
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(encoding)) if ENCODINGS.iter().any(|known| encoding.eq_ignore_ascii_case(known)) => Ok(()),
        Some(_) => Err(Failure::Malformed("an encoding that is not UTF-8 or a superset of ASCII in it")),
    }
}

/// What follows `name="value"`, which white space sets off, in a declaration.
fn without_pseudo_attribute<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let after_name = text.strip_prefix(is_space)?.trim_start_matches(is_space).strip_prefix(name)?;
    let value = after_name.trim_start_matches(is_space).strip_prefix('=')?.trim_start_matches(is_space);
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    Some(value[1..].split_once(quote)?.1)
}

/// `S` of section 2.3.
fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyErrorKind;
    use proptest::prelude::*;

    fn read(body: &str) -> (String, Vec<String>) {
        let xml = parse(body.as_bytes(), &Limits::default());
        assert_eq!(xml.error, None, "{body}");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&xml.text.unwrap()), xml.attributes.iter().map(|value| text(value)).collect())
    }

    #[test]
    fn text_and_attributes() {
        let (text, attributes) =
            read("<?xml version=\"1.0\" encoding='UTF-8'?>\n<a x=\"1\" y='&lt;2'>b<c z=''>d</c><e/> f</a>\n");
        assert_eq!(
            (text.as_str(), attributes),
            ("bd f", vec!["1".to_owned(), "<2".to_owned(), String::new()])
        );
    }

    #[test]
    fn references_and_cdata_are_text() {
        assert_eq!(read("<a>&lt;&#x41;&#66;&amp;<![CDATA[<x>&y;]]></a>").0, "<AB&<x>&y;");
        assert_eq!(read("<!-- c --><?pi x?><!DOCTYPE a><a>x<!-- no --><?no no?></a>").0, "x");
    }

    #[test]
    fn line_ends_are_one_character_and_white_space_in_attributes_is_blank() {
        let (text, attributes) = read("<a b='1\r\n2\t3&#10;4'>x\r\ny\rz&#13;<![CDATA[\r]]></a>");
        assert_eq!((text.as_str(), &attributes[..]), ("x\ny\nz\r\n", &["1 2 3\n4".to_owned()][..]));
    }

    #[test]
    fn namespace_declarations_are_no_attributes() {
        assert_eq!(read("<n:a xmlns='u' xmlns:n='v' n:b='c'/>").1, ["c"]);
    }

    #[test]
    fn what_is_not_well_formed_is_an_error() {
        for wrong in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>x",
            "x<a/>",
            "<a b='1' b='2'/>",
            "<a b=1/>",
            "<a b='<'/>",
            "<a>&</a>",
            "<a>&x;</a>",
            "<a b='&x;'/>",
            "<a>&#0;</a>",
            "<a>&#x1b;</a>",
            "<a>\u{1b}</a>",
            "<a>\u{ffff}</a>",
            "<a b='\u{8}'/>",
            "<a \u{2028}=''/>",
            "<?xml version='1.0'e=''?><a/>",
            "<?xml version='1.0' e=''?><a/>",
            "<?xml version='1.0'encoding='utf-8'?><a/>",
            "<?xml version='1.0' standalone='yes' encoding='utf-8'?><a/>",
            "<??><a/>",
            "<? pi?><a/>",
            "<a ''=''/>",
            "<a 1='x'/>",
            "<1/>",
            "<'/>",
            "<a><!-- -- --></a>",
            "<a",
            "<a b='",
            "<![CDATA[x]]>",
            "&lt;<a/>",
            "<a/><!DOCTYPE a>",
            "<a><?xml version='1.0'?></a>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "<?xml version='1.0' encoding='UTF-7'?><a/>",
            "<?xml version='1.0' encoding='UTF-16'?><a/>",
            "<?xml?><a/>",
            "<?xml version=''?><a/>",
            "<a>]]></a>",
            "<?xml n=''?><a/>",
        ] {
            assert!(parse(wrong.as_bytes(), &Limits::default()).error.is_some(), "{wrong}");
        }
        assert!(parse(b"<a>\xff</a>", &Limits::default()).error.is_some());
        assert!(parse(b"\xff\xfe<\0a\0/\0>\0", &Limits::default()).error.is_some());
    }

    #[test]
    fn an_error_keeps_what_came_before() {
        let xml = parse(b"<a x='1'>b<c>", &Limits::default());
        assert_eq!((xml.text.as_deref(), xml.attributes.len()), (Some(&b"b"[..]), 1));
        assert_eq!(xml.error.map(|error| (error.kind, error.offset)), Some((BodyErrorKind::Malformed, 13)));
    }

    #[test]
    fn limits_hold() {
        let limits =
            Limits { max_arguments: 2, max_xml_depth: 2, max_element_attributes: 3, ..Limits::default() };
        let kind = |body: &str| parse(body.as_bytes(), &limits).error.map(|error| error.kind);
        assert_eq!((kind("<a><b/></a>"), kind("<a><b><c/></b></a>")), (None, Some(BodyErrorKind::Limit)));
        assert_eq!(kind("<a x='' y=''><b z=''/></a>"), Some(BodyErrorKind::Limit));
        assert_eq!(kind("<a xmlns:x='' xmlns:y='' xmlns:z='' xmlns='' />"), Some(BodyErrorKind::Limit));
    }

    proptest! {
        #[test]
        fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..64), text in r#"[<>/!?a&;='" \[\]#-]{0,32}"#) {
            for body in [&body[..], text.as_bytes()] {
                let xml = parse(body, &Limits::default());
                prop_assert!(xml.error.is_none_or(|error| error.offset <= body.len()));
                prop_assert!(xml.text.is_none_or(|text| text.len() <= body.len()));
            }
        }
    }
}
