//! Where strings end.

use memchr::{memchr, memchr_iter};

/// Where the string ends whose inside is at the beginning of `text`: at a quote that is neither doubled nor behind an
/// odd number of backslashes. `None` if it has no end.
pub(super) fn end(text: &[u8], quote: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr(quote, text.get(from..)?)?;
        let backslashes = text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
        if backslashes % 2 == 1 {
            from = at + 1;
        } else if text.get(at + 1) == Some(&quote) {
            from = at + 2;
        } else {
            return Some(at);
        }
    }
}

/// Where two bytes stand next to each other first.
pub(super) fn find_pair(text: &[u8], [first, second]: [u8; 2]) -> Option<usize> {
    memchr_iter(first, text).find(|at| text.get(at + 1) == Some(&second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_a_quote_that_is_not_escaped() {
        for (text, expected) in [
            (&b"a'b"[..], Some(1)),
            (b"'", Some(0)),
            (b"a''b'", Some(4)),
            (br"a\'b'", Some(4)),
            (br"a\\'b'", Some(3)),
            (br"\\\''", Some(4)),
            (b"a''", None),
            (b"", None),
            (br"\'", None),
        ] {
            assert_eq!(end(text, b'\''), expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_pair_stands_together() {
        assert_eq!(find_pair(b"**a*/", *b"*/"), Some(3));
        assert_eq!(find_pair(b"$$$", *b"$$"), Some(0));
        assert_eq!(find_pair(b"*a/", *b"*/"), None);
        assert_eq!(find_pair(b"*", *b"*/"), None);
    }
}
