//! `Content-Disposition` of a part (RFC 7578 section 4.2, RFC 2183, RFC 5987), as strictly as ModSecurity v3 reads it.
//!
//! Only `name`, `filename` and `filename*` may be there, each once. `filename*` is checked, and only allowed beside a
//! `filename`, because backends differ in which of the two they use.
//! Example: `form-data; name="a"; filename=b.txt`.

use super::Flags;
use crate::transform::bytes::hex_pair;
use memchr::memmem;
use std::borrow::Cow;

/// Bytes besides letters and digits in the charset, and in the value, of `filename*`.
const CHARSET_BYTES: &[u8] = b"!#$%&+-^_`{}~";
const EXTENDED_BYTES: &[u8] = b"!#$&+-.^_`~";

/// What a content disposition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disposition<'a> {
    /// Not empty.
    pub(super) name: Cow<'a, [u8]>,
    /// Not empty.
    pub(super) filename: Option<Cow<'a, [u8]>>,
}

impl Disposition<'_> {
    pub(super) fn into_owned<'b>(self) -> Disposition<'b> {
        fn owned<'b>(text: Cow<'_, [u8]>) -> Cow<'b, [u8]> {
            Cow::Owned(text.into_owned())
        }
        Disposition { name: owned(self.name), filename: self.filename.map(owned) }
    }
}

/// Reads a header's value.
pub(super) fn parse<'a>(value: &'a [u8], flags: &mut Flags) -> Result<Disposition<'a>, &'static str> {
    let mut cursor = Cursor { text: value, at: 0 };
    if !value.starts_with(b"form-data") {
        return Err("a content disposition that is not form-data");
    }
    cursor.at = b"form-data".len();
    let (mut name, mut filename, mut extended) = (None, None, None);
    while cursor.next_parameter(flags)? {
        let key = cursor.key()?;
        let place = match key {
            b"name" => &mut name,
            b"filename" => &mut filename,
            b"filename*" => &mut extended,
            _ => return Err("a parameter that a content disposition may not have"),
        };
        let text = if key == b"filename*" { cursor.extended_value()? } else { cursor.value(flags)? };
        if place.replace(text).is_some() {
            return Err("a parameter twice in a content disposition");
        }
    }
    let filename = filename.filter(|filename| !filename.is_empty());
    if extended.is_some() && filename.is_none() {
        return Err("filename* without filename in a content disposition");
    }
    // A backend that looks for these bytes alone would not take the part for a file.
    if filename.is_some() && memmem::find(value, b"filename=").is_none() {
        return Err("a filename apart from its `=` in a content disposition");
    }
    let name = name.filter(|name| !name.is_empty()).ok_or("a part without a name")?;
    Ok(Disposition { name, filename })
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// After the type or a parameter: whether a semicolon and another parameter follow.
    fn next_parameter(&mut self, flags: &mut Flags) -> Result<bool, &'static str> {
        self.skip_blank();
        match self.peek() {
            None => Ok(false),
            Some(b';') => {
                self.at += 1;
                self.skip_blank();
                Ok(self.peek().is_some())
            }
            Some(_) => {
                flags.invalid_quoting |= matches!(self.text[self.at - 1], b'"' | b'\'');
                Err("a semicolon is missing in a content disposition")
            }
        }
    }

    /// A parameter's name and its `=`.
    fn key(&mut self) -> Result<&'a [u8], &'static str> {
        let key = self.take_while(|byte| !matches!(byte, b'=' | b'\t' | b' '));
        self.skip_blank();
        if self.peek() != Some(b'=') {
            return Err("a parameter without `=` in a content disposition");
        }
        self.at += 1;
        self.skip_blank();
        match self.peek() {
            Some(_) => Ok(key),
            None => Err("a parameter without a value in a content disposition"),
        }
    }

    /// A quoted string or token. Single quotes are read as some backends read them, and flagged.
    fn value(&mut self, flags: &mut Flags) -> Result<Cow<'a, [u8]>, &'static str> {
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''));
        let value = match quote {
            Some(quote) => self.quoted(quote)?,
            None => Cow::Borrowed(self.take_while(is_token_byte)),
        };
        flags.invalid_quoting |= quote == Some(b'\'') || (quote.is_none() && value.contains(&b'\''));
        Ok(value)
    }

    fn quoted(&mut self, quote: u8) -> Result<Cow<'a, [u8]>, &'static str> {
        self.at += 1;
        let start = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        while let Some(byte) = self.peek() {
            if byte == quote {
                let value = unescaped.map_or(Cow::Borrowed(&self.text[start..self.at]), Cow::Owned);
                self.at += 1;
                return Ok(value);
            }
            // Browsers send backslashes of file names as they are, so only these two are escapes.
            let escaped = self.text.get(self.at + 1).copied();
            if byte == b'\\' && (escaped == Some(quote) || escaped == Some(b'\\')) {
                unescaped.get_or_insert_with(|| self.text[start..self.at].to_vec());
                self.at += 1;
            }
            if let Some(unescaped) = &mut unescaped {
                unescaped.push(self.text[self.at]);
            }
            self.at += 1;
        }
        Err("a quote that is not closed in a content disposition")
    }

    /// `charset'language'value`, not decoded.
    fn extended_value(&mut self) -> Result<Cow<'a, [u8]>, &'static str> {
        const WRONG: &str = "filename* is not of the form charset'language'value";
        let charset = self.take_while(|byte| byte.is_ascii_alphanumeric() || CHARSET_BYTES.contains(&byte));
        if charset.is_empty() || self.peek() != Some(b'\'') {
            return Err(WRONG);
        }
        self.at += 1;
        self.take_while(|byte| byte != b'\'');
        if self.peek().is_none() {
            return Err(WRONG);
        }
        self.at += 1;
        let start = self.at;
        while let Some(byte) = self.peek().filter(|&byte| byte != b';') {
            match byte {
                b'%' if hex_pair(&self.text[self.at + 1..]).is_some() => self.at += 3,
                _ if byte.is_ascii_alphanumeric() || EXTENDED_BYTES.contains(&byte) => self.at += 1,
                _ => return Err(WRONG),
            }
        }
        Ok(Cow::Borrowed(&self.text[start..self.at]))
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|&&byte| accept(byte)).count();
        self.at += length;
        &rest[..length]
    }

    fn skip_blank(&mut self) {
        self.take_while(|byte| matches!(byte, b'\t' | b' '));
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

/// RFC 2045 section 5.1, `token`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> (Result<(String, Option<String>), &'static str>, bool) {
        let mut flags = Flags::default();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let parsed = parse(value.as_bytes(), &mut flags);
        let parsed = parsed.map(|found| (text(&found.name), found.filename.as_deref().map(text)));
        (parsed, flags.invalid_quoting)
    }

    #[test]
    fn names_in_quotes_or_as_tokens() {
        assert_eq!(read("form-data; name=\"a\"").0, Ok(("a".to_owned(), None)));
        assert_eq!(read("form-data;name=a;filename= b.c ").0, Ok(("a".to_owned(), Some("b.c".to_owned()))));
        assert_eq!(read("form-data; filename=\"C:\\x\\\\y\\\"z\"; name=a").0, {
            Ok(("a".to_owned(), Some("C:\\x\\y\"z".to_owned())))
        });
        assert_eq!(read("form-data; name=\"a\"; filename=\"\"").0, Ok(("a".to_owned(), None)));
        assert_eq!(read("form-data; name=a; filename=b; filename*=UTF-8'en'%e2%82%ac.x").0, {
            Ok(("a".to_owned(), Some("b".to_owned())))
        });
    }

    #[test]
    fn single_quotes_are_flagged() {
        assert_eq!(read("form-data; name='a;b'"), (Ok(("a;b".to_owned(), None)), true));
        assert_eq!(read("form-data; name=a'b"), (Ok(("a'b".to_owned(), None)), true));
        assert_eq!(read("form-data; name=\"a'b\""), (Ok(("a'b".to_owned(), None)), false));
        assert!(matches!(read("form-data; name=\"a\"b"), (Err(_), true)));
    }

    #[test]
    fn what_is_ambiguous_is_an_error() {
        for wrong in [
            "attachment; name=a",
            "form-data",
            "form-data;",
            "form-data name=a",
            "form-data; name",
            "form-data; name=",
            "form-data; name=\"a",
            "form-data; name=\"a\\",
            "form-data; name=\"\"",
            "form-data; filename=a",
            "form-data; name=a; name=b",
            "form-data; name=a; filename=b; filename=c",
            "form-data; name=a; size=1",
            "form-data; Name=a",
            "form-data; name=a b",
            "form-data; name=a, filename=b",
            "form-data; name=a; filename = b",
            "form-data; name=a; filename*=UTF-8''b",
            "form-data; name=a; filename=b; filename*=b",
            "form-data; name=a; filename=b; filename*=''b",
            "form-data; name=a; filename=b; filename*=UTF-8''%e2%8",
            "form-data; name=a; filename=b; filename*=UTF-8''a/b",
        ] {
            assert!(read(wrong).0.is_err(), "{wrong}");
        }
    }
}
