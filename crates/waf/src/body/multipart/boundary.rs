//! The boundary: in the content type, and in lines of the body.

use super::Flags;
use crate::transform::bytes::{is_space, without_leading_space};
use memchr::memmem;

/// Bytes of a content type that may hold a boundary.
const MAX_CONTENT_TYPE_BYTES: usize = 1024;
/// The only type that is read.
const MEDIA_TYPE: &[u8] = b"multipart/form-data";
const PARAMETER: &[u8] = b"boundary";

/// What separates parts.
pub(super) struct Boundary {
    /// With its two hyphens.
    delimiter: Vec<u8>,
    /// Finds the delimiter inside a line.
    finder: memmem::Finder<'static>,
}

/// What a line of the body is.
pub(super) enum Found<'l> {
    /// It begins with the delimiter; this follows on the line.
    Boundary { after: &'l [u8] },
    /// It looks like a boundary, or has one inside, and is none.
    Foreign,
    /// It is an attempt at the boundary that some readers take and some do not.
    Error(&'static str),
    /// It is no boundary.
    Nothing,
}

impl Boundary {
    fn new(boundary: &[u8]) -> Self {
        let delimiter = [b"--", boundary].concat();
        Self { finder: memmem::Finder::new(&delimiter).into_owned(), delimiter }
    }

    pub(super) fn find<'l>(&self, line: &'l [u8], is_quoted: bool) -> Found<'l> {
        if let Some(after) = line.strip_prefix(&self.delimiter[..]) {
            return Found::Boundary { after };
        }
        // `--` and a bare LF are too short to look like a boundary.
        let Some(after_hyphens) = line.strip_prefix(b"--").filter(|_| line.len() > 3) else {
            return if self.finder.find(line).is_some() { Found::Foreign } else { Found::Nothing };
        };
        let boundary = &self.delimiter[2..];
        if is_quoted && after_hyphens.strip_prefix(b"\"").is_some_and(|rest| rest.starts_with(boundary)) {
            return Found::Error("a boundary in quotes");
        }
        let unspaced = without_leading_space(after_hyphens);
        if unspaced.len() < after_hyphens.len() && unspaced.starts_with(boundary) {
            return Found::Error("white space before a boundary");
        }
        Found::Foreign
    }
}

/// Reads the boundary of a content type, as strictly as ModSecurity v3 does.
pub(super) fn parse(content_type: &[u8], flags: &mut Flags) -> Result<Boundary, &'static str> {
    if content_type.len() > MAX_CONTENT_TYPE_BYTES {
        return Err("the content type is too long");
    }
    let is_form =
        content_type.get(..MEDIA_TYPE.len()).is_some_and(|start| start.eq_ignore_ascii_case(MEDIA_TYPE));
    if !is_form {
        return Err("the content type is not multipart/form-data");
    }
    if count_parameters(content_type) > 1 {
        return Err("more than one boundary in the content type");
    }
    let Some(at) = memmem::find(content_type, PARAMETER) else {
        return Err(match count_parameters(content_type) {
            0 => "no boundary in the content type",
            _ => "`boundary` in capitals in the content type",
        });
    };
    check_separator(&content_type[MEDIA_TYPE.len()..at.max(MEDIA_TYPE.len())], flags)?;
    let after_name = &content_type[at + PARAMETER.len()..];
    let Some(equals) = memchr::memchr(b'=', after_name) else { return Err("a boundary without `=`") };
    let (between, value) = (&after_name[..equals], &after_name[equals + 1..]);
    if !between.iter().all(|&byte| is_space(byte)) {
        return Err("something between `boundary` and `=` in the content type");
    }
    flags.boundary_whitespace |= !between.is_empty() || value.first().copied().is_some_and(is_space);
    let boundary = unquote(value, flags)?;
    if count_parameters(boundary) > 0 {
        return Err("a boundary that names another");
    }
    Ok(Boundary::new(without_parameters(boundary)?))
}

/// Between the media type and `boundary` there may be white space and one semicolon.
fn check_separator(between: &[u8], flags: &mut Flags) -> Result<(), &'static str> {
    let mut rest = between.iter().filter(|&&byte| !is_space(byte));
    match (rest.next(), rest.next()) {
        (None, _) => flags.missing_semicolon = true,
        (Some(b';'), None) => {}
        _ => return Err("something before the boundary in the content type"),
    }
    Ok(())
}

fn unquote<'v>(value: &'v [u8], flags: &mut Flags) -> Result<&'v [u8], &'static str> {
    match value {
        [b'"', inner @ .., b'"'] => {
            flags.boundary_quoted = true;
            Ok(inner)
        }
        [b'"', ..] | [.., b'"'] => Err("a boundary with one quote"),
        _ => Ok(value),
    }
}

/// The boundary, checked; a parameter that follows it is tolerated, as some frameworks send one.
fn without_parameters(boundary: &[u8]) -> Result<&[u8], &'static str> {
    let candidate = match memchr::memchr(b';', boundary) {
        Some(semicolon) => &boundary[..semicolon],
        None => boundary,
    };
    // RFC 2046 section 5.1.1, `bcharsnospace`, and spaces except at the end.
    let is_valid = |&byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    match candidate {
        [] => Err("an empty boundary"),
        [.., b' '] => Err("a boundary that ends in a space"),
        _ if candidate.iter().all(is_valid) => Ok(candidate),
        _ => Err("a boundary of bytes that it may not have"),
    }
}

/// How often `boundary` occurs with a `=` somewhere after it, whatever its case.
fn count_parameters(text: &[u8]) -> usize {
    let lower = text.to_ascii_lowercase();
    let has_value = |at: &usize| lower[*at..].contains(&b'=');
    memmem::find_iter(&lower, PARAMETER).filter(has_value).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags_of(content_type: &str) -> Result<Flags, &'static str> {
        let mut flags = Flags::default();
        parse(content_type.as_bytes(), &mut flags).map(|_| flags)
    }

    fn delimiter(content_type: &str) -> String {
        let boundary = parse(content_type.as_bytes(), &mut Flags::default());
        String::from_utf8(boundary.map_err(str::to_owned).unwrap().delimiter).unwrap()
    }

    #[test]
    fn the_boundary_is_what_follows_the_equals_sign() {
        assert_eq!(delimiter("multipart/form-data; boundary=0000"), "--0000");
        assert_eq!(delimiter("Multipart/Form-Data;boundary=\"a b\""), "--a b");
        assert_eq!(delimiter("multipart/form-data; boundary=00; charset=UTF-8"), "--00");
        assert_eq!(delimiter("multipart/form-data; boundary=a'()+_,-./:=?b"), "--a'()+_,-./:=?b");
        assert_eq!(delimiter("multipart/form-data; boundary=--0xKhTmLbOuNdArY"), "----0xKhTmLbOuNdArY");
    }

    #[test]
    fn what_is_unusual_is_flagged() {
        assert_eq!(flags_of("multipart/form-data; boundary=0"), Ok(Flags::default()));
        assert_eq!(
            flags_of("multipart/form-data boundary=0"),
            Ok(Flags { missing_semicolon: true, ..Flags::default() })
        );
        assert_eq!(
            flags_of("multipart/form-data; boundary=\"0\""),
            Ok(Flags { boundary_quoted: true, ..Flags::default() })
        );
        for spaced in ["multipart/form-data; boundary =0", "multipart/form-data; boundary= 0"] {
            assert_eq!(
                flags_of(spaced),
                Ok(Flags { boundary_whitespace: true, ..Flags::default() }),
                "{spaced}"
            );
        }
    }

    #[test]
    fn what_is_ambiguous_is_an_error() {
        for wrong in [
            "",
            "multipart/mixed; boundary=0",
            "multipart/form-data",
            "multipart/form-data; bOundAry=0",
            "multipart/form-data, boundary=0",
            "multipart/form-data; a=b; boundary=0",
            "multipart/form-data; boundary=0; boundary=1",
            "multipart/form-data; boundaryx=0",
            "multipart/form-data; boundary",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"\"",
            "multipart/form-data; boundary=\"0",
            "multipart/form-data; boundary=0\"",
            "multipart/form-data; boundary=0 ",
            "multipart/form-data; boundary=0\t1",
            "multipart/form-data; boundary=0@1",
            "multipart/form-data; boundary=boundary=1",
        ] {
            assert!(flags_of(wrong).is_err(), "{wrong}");
        }
        assert!(
            flags_of(&format!("multipart/form-data; boundary={}", "0".repeat(MAX_CONTENT_TYPE_BYTES)))
                .is_err()
        );
    }
}
