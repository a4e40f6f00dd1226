//! The `Cookie` header, as ModSecurity v3 reads it (RFC 6265 section 4.2.1, forgivingly).
//!
//! Pairs are separated by `;`, name and value by the first `=`; nothing is decoded. White space before a name and at
//! the end of the header is dropped; a pair without a name is skipped. Example: `a=1; b=x=y; c` gives `a` = `1`,
//! `b` = `x=y`, `c` = nothing.

use super::{Argument, Arguments, Limits};
use crate::transform::bytes::{without_leading_space, without_trailing_space};
use std::borrow::Cow;

/// Reads one `Cookie` header's value.
pub fn parse<'a>(header: &'a [u8], limits: &Limits) -> Arguments<'a> {
    let mut cookies = Arguments::default();
    let mut offset = 0;
    for pair in without_trailing_space(header).split(|&byte| byte == b';') {
        let equals = memchr::memchr(b'=', pair);
        let (name, value) = match equals {
            Some(equals) => (&pair[..equals], &pair[equals + 1..]),
            None => (pair, &pair[pair.len()..]),
        };
        let name = without_leading_space(name);
        let cookie = Argument { name: Cow::Borrowed(name), value: Cow::Borrowed(value) };
        if !name.is_empty()
            && let Err(error) = cookies.push(cookie, offset, limits)
        {
            cookies.error = Some(error);
            break;
        }
        offset += pair.len() + 1;
    }
    cookies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(header: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let parsed = parse(header.as_bytes(), &Limits::default());
        assert_eq!(parsed.error, None);
        parsed.list.iter().map(|cookie| (text(&cookie.name), text(&cookie.value))).collect()
    }

    fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn pairs_are_taken_as_they_are() {
        assert_eq!(pairs("a=1; b=x=y; c"), expected(&[("a", "1"), ("b", "x=y"), ("c", "")]));
        assert_eq!(pairs("a=%41+ ; \t b= 2 \r\n"), expected(&[("a", "%41+ "), ("b", " 2")]));
    }

    #[test]
    fn pairs_without_a_name_are_skipped() {
        assert_eq!(pairs(";; =x;a=1;"), expected(&[("a", "1")]));
        assert_eq!(pairs("  "), expected(&[]));
    }

    #[test]
    fn too_many_cookies_is_an_error() {
        let limits = Limits { max_arguments: 1, ..Limits::default() };
        let parsed = parse(b"a=1;b=2", &limits);
        assert_eq!((parsed.list.len(), parsed.error.map(|error| error.offset)), (1, Some(4)));
    }
}
