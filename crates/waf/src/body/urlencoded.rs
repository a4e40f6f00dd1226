//! Query strings and `application/x-www-form-urlencoded` bodies, as ModSecurity v3 reads them.
//!
//! Pairs are separated by one byte (`&` unless the rules say otherwise), name and value by the first `=`; both are
//! URL-decoded, and escapes that are none stay as they are. A pair without `=` has an empty value; an empty pair is an
//! argument with an empty name, except after the last separator. Example: `a=1&b=%2Fetc&c` gives `a` = `1`,
//! `b` = `/etc`, `c` = nothing.

use super::{Argument, Arguments, Limits};
use crate::transform::url_decode::{apply as url_decode, has_invalid_escape};

/// The usual separator of pairs.
pub const SEPARATOR: u8 = b'&';

/// What was in a query string or form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UrlEncoded<'a> {
    /// The arguments, and whether there were too many.
    pub arguments: Arguments<'a>,
    /// Whether some `%` is not followed by two hexadecimal digits (`URLENCODED_ERROR`).
    pub has_invalid_escape: bool,
}

/// Reads pairs separated by `separator`.
pub fn parse<'a>(input: &'a [u8], separator: u8, limits: &Limits) -> UrlEncoded<'a> {
    let mut arguments = Arguments::default();
    let mut offset = 0;
    for (name, value) in pairs(input, separator) {
        let argument = Argument { name: url_decode(name), value: url_decode(value) };
        if let Err(error) = arguments.push(argument, offset, limits) {
            arguments.error = Some(error);
            break;
        }
        // Behind the value stands the separator.
        offset = (value.as_ptr() as usize - input.as_ptr() as usize) + value.len() + 1;
    }
    UrlEncoded { arguments, has_invalid_escape: has_invalid_escape(input) }
}

/// Names and values as they stand, undecoded.
pub(crate) fn pairs(input: &[u8], separator: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = input.strip_suffix(&[separator]).unwrap_or(input).split(move |&byte| byte == separator);
    pairs.filter(|_| !input.is_empty()).map(|pair| match memchr::memchr(b'=', pair) {
        Some(equals) => (&pair[..equals], &pair[equals + 1..]),
        None => (pair, &pair[pair.len()..]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyErrorKind;
    use proptest::prelude::*;

    fn pairs(input: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let parsed = parse(input.as_bytes(), SEPARATOR, &Limits::default());
        assert_eq!(parsed.arguments.error, None);
        parsed.arguments.list.iter().map(|argument| (text(&argument.name), text(&argument.value))).collect()
    }

    fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_and_values_are_decoded() {
        assert_eq!(pairs("a=1&b=%2Fetc+x&c"), expected(&[("a", "1"), ("b", "/etc x"), ("c", "")]));
        assert_eq!(pairs("a%3D=b=c&a%3D=d"), expected(&[("a=", "b=c"), ("a=", "d")]));
    }

    #[test]
    fn empty_pairs_count_except_the_last() {
        assert_eq!(pairs(""), expected(&[]));
        assert_eq!(pairs("a=1&"), expected(&[("a", "1")]));
        assert_eq!(pairs("&a&&=x"), expected(&[("", ""), ("a", ""), ("", ""), ("", "x")]));
    }

    #[test]
    fn invalid_escapes_stay_and_are_noticed() {
        let parsed = parse(b"a=%zz&b=%4", SEPARATOR, &Limits::default());
        assert!(parsed.has_invalid_escape);
        assert_eq!(&*parsed.arguments.list[0].value, b"%zz");
        assert!(!parse(b"a=%20", SEPARATOR, &Limits::default()).has_invalid_escape);
    }

    #[test]
    fn another_separator() {
        let parsed = parse(b"a=1;b=2&3", b';', &Limits::default());
        assert_eq!((parsed.arguments.list.len(), &*parsed.arguments.list[1].value), (2, &b"2&3"[..]));
    }

    #[test]
    fn too_many_arguments_is_an_error_beside_the_first_ones() {
        let limits = Limits { max_arguments: 2, ..Limits::default() };
        let parsed = parse(b"a&b&c", SEPARATOR, &limits);
        assert_eq!(parsed.arguments.list.len(), 2);
        let error = parsed.arguments.error.unwrap();
        assert_eq!((error.kind, error.offset), (BodyErrorKind::Limit, 4));
    }

    proptest! {
        #[test]
        fn any_bytes_give_as_many_arguments_as_separators(input in prop::collection::vec(any::<u8>(), 1..64)) {
            let parsed = parse(&input, SEPARATOR, &Limits::default());
            let separators = memchr::memchr_iter(SEPARATOR, &input[..input.len() - 1]).count();
            prop_assert_eq!(parsed.arguments.list.len(), separators + 1);
        }
    }
}
