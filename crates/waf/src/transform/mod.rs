//! Transformations: pure functions from bytes to bytes that undo what an attacker wraps a payload in.
//!
//! Each is ModSecurity v3's of the same name (reference: ModSecurity Reference Manual v3, "Transformation
//! functions"), including its answers to malformed input, because rules are written against those. None fails:
//! what cannot be decoded is kept.

mod base64_decode;
mod base64_decode_ext;
mod base64_encode;
pub(crate) mod bytes;
mod cmd_line;
mod compress_whitespace;
mod css_decode;
mod escape_seq_decode;
mod hex_decode;
mod hex_encode;
mod html_entity_decode;
mod js_decode;
mod length;
mod lowercase;
mod md5;
mod normalise_path;
mod normalise_path_win;
mod output;
mod parity_even_7bit;
mod parity_odd_7bit;
mod parity_zero_7bit;
mod php_args_names;
mod remove_comments;
mod remove_comments_char;
mod remove_nulls;
mod remove_whitespace;
mod replace_comments;
mod replace_nulls;
mod sha1;
mod sql_hex_decode;
mod touches;
mod trim;
mod trim_left;
mod trim_right;
mod uppercase;
pub(crate) mod url_decode;
mod url_decode_uni;
mod url_encode;
mod utf8_to_unicode;

use std::borrow::Cow;

/// Declares the enum, its names and its dispatch from one table, so that none can be forgotten in another.
macro_rules! transformations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $(| $alias:literal)* => $apply:path;)*) => {
        /// One transformation; see the module of each for examples.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Transformation {
            $($(#[$doc])* $variant,)*
        }

        impl Transformation {
            /// Every transformation, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The transformation that SecLang calls `name` (`t:name`), whatever the case of its letters.
            pub fn from_name(name: &str) -> Option<Self> {
                $(if name.eq_ignore_ascii_case($name) $(|| name.eq_ignore_ascii_case($alias))* {
                    return Some(Self::$variant);
                })*
                None
            }

            /// The name that ModSecurity's manual uses.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn dispatch(self, input: &[u8]) -> Cow<'_, [u8]> {
                match self {
                    $(Self::$variant => $apply(input),)*
                }
            }
        }
    };
}

transformations! {
    /// Decodes Base64 strictly: anything malformed gives nothing.
    Base64Decode = "base64Decode" => base64_decode::apply;
    /// Decodes Base64 forgivingly: what is not of the alphabet is skipped.
    Base64DecodeExt = "base64DecodeExt" => base64_decode_ext::apply;
    /// Encodes as Base64.
    Base64Encode = "base64Encode" => base64_encode::apply;
    /// Normalises a command line as a Windows or Unix shell would read it.
    CmdLine = "cmdLine" | "cmd_line" => cmd_line::apply;
    /// Makes each run of white space one space.
    CompressWhitespace = "compressWhitespace" | "compress_whitespace" => compress_whitespace::apply;
    /// Decodes CSS 2.x escapes.
    CssDecode = "cssDecode" => css_decode::apply;
    /// Decodes ANSI C escapes.
    EscapeSeqDecode = "escapeSeqDecode" => escape_seq_decode::apply;
    /// Decodes pairs of hexadecimal digits.
    HexDecode = "hexDecode" => hex_decode::apply;
    /// Encodes each byte as two hexadecimal digits.
    HexEncode = "hexEncode" => hex_encode::apply;
    /// Decodes the HTML entities that stand for one byte.
    HtmlEntityDecode = "htmlEntityDecode" => html_entity_decode::apply;
    /// Decodes JavaScript escapes.
    JsDecode = "jsDecode" => js_decode::apply;
    /// The input's length in bytes, as decimal digits.
    Length = "length" => length::apply;
    /// ASCII letters to lower case.
    Lowercase = "lowercase" => lowercase::apply;
    /// The MD5 digest, 16 raw bytes.
    Md5 = "md5" => md5::apply;
    /// Nothing; in a rule it forgets the inherited transformations.
    None = "none" => Cow::Borrowed;
    /// Resolves `//`, `/./` and `/../`.
    NormalisePath = "normalisePath" | "normalizePath" => normalise_path::apply;
    /// As `normalisePath`, with backslashes made slashes first.
    NormalisePathWin = "normalisePathWin" | "normalizePathWin" => normalise_path_win::apply;
    /// Sets each byte's high bit so that its parity is even.
    ParityEven7bit = "parityEven7bit" => parity_even_7bit::apply;
    /// Sets each byte's high bit so that its parity is odd.
    ParityOdd7bit = "parityOdd7bit" => parity_odd_7bit::apply;
    /// Clears each byte's high bit.
    ParityZero7bit = "parityZero7bit" => parity_zero_7bit::apply;
    /// Renames an argument as PHP does.
    PhpArgsNames = "phpArgsNames" => php_args_names::apply;
    /// Removes comments of C, HTML, SQL and shell.
    RemoveComments = "removeComments" => remove_comments::apply;
    /// Removes the marks of comments but not what is inside.
    RemoveCommentsChar = "removeCommentsChar" => remove_comments_char::apply;
    /// Removes NUL bytes.
    RemoveNulls = "removeNulls" => remove_nulls::apply;
    /// Removes white space and non-breaking spaces.
    RemoveWhitespace = "removeWhitespace" => remove_whitespace::apply;
    /// Makes each C comment one space.
    ReplaceComments = "replaceComments" => replace_comments::apply;
    /// Makes each NUL byte a space.
    ReplaceNulls = "replaceNulls" => replace_nulls::apply;
    /// The SHA-1 digest, 20 raw bytes.
    Sha1 = "sha1" => sha1::apply;
    /// Decodes SQL's `0x4142` notation.
    SqlHexDecode = "sqlHexDecode" => sql_hex_decode::apply;
    /// Removes white space from both ends.
    Trim = "trim" => trim::apply;
    /// Removes white space from the left end.
    TrimLeft = "trimLeft" => trim_left::apply;
    /// Removes white space from the right end.
    TrimRight = "trimRight" => trim_right::apply;
    /// ASCII letters to upper case.
    Uppercase = "uppercase" => uppercase::apply;
    /// Decodes URL encoding.
    UrlDecode = "urlDecode" => url_decode::apply;
    /// Decodes URL encoding and `%uXXXX`.
    UrlDecodeUni = "urlDecodeUni" => url_decode_uni::apply;
    /// URL-encodes all but letters, digits and `*`.
    UrlEncode = "urlEncode" => url_encode::apply;
    /// Writes UTF-8 sequences as `%uXXXX`.
    Utf8ToUnicode = "utf8toUnicode" => utf8_to_unicode::apply;
}

impl Transformation {
    /// Applies it. The result is [`Cow::Borrowed`] exactly when it equals the input.
    pub fn apply(self, input: &[u8]) -> Cow<'_, [u8]> {
        let output = self.dispatch(input);
        debug_assert_eq!(matches!(output, Cow::Borrowed(_)), *output == *input, "{}", self.name());
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_found_whatever_their_case() {
        assert_eq!(Transformation::from_name("URLDECODEUNI"), Some(Transformation::UrlDecodeUni));
        assert_eq!(Transformation::from_name("normalizepath"), Some(Transformation::NormalisePath));
        assert_eq!(Transformation::from_name("cmd_line"), Some(Transformation::CmdLine));
        assert_eq!(Transformation::from_name("rot13"), None);
        for &each in Transformation::ALL {
            assert_eq!(Transformation::from_name(each.name()), Some(each));
        }
    }

    /// Bytes that look like what the transformations decode, so that the search does not starve.
    fn spiced() -> impl Strategy<Value = Vec<u8>> {
        let token = prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            prop::sample::select(vec![
                &b"%"[..],
                b"%u",
                b"%uff1c",
                b"\\",
                b"\\u",
                b"\\x",
                b"&#",
                b"&#x",
                b"&lt",
                b"/*",
                b"*/",
                b"<!--",
                b"-->",
                b"--",
                b"0x",
                b"/",
                b"..",
                b".",
                b"=",
                b" ",
                b"[",
                b"]",
                b"4",
                b"f",
                b"\0",
                b"\xc3",
                b"\xe2",
                b"\xf0",
                b"\x80",
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn what_it_does_not_touch_stays(input in spiced()) {
            for each in Transformation::ALL {
                // Without the bytes that it touches, so that every transformation is asked about every input.
                let Some(touches) = each.touches() else { continue };
                let is_touched = |byte: &u8| touches.meets(crate::alphabet::Alphabet::of(&[*byte]));
                let untouched: Vec<u8> = input.iter().copied().filter(|byte| !is_touched(byte)).collect();
                prop_assert_eq!(&*each.apply(&untouched), &untouched[..], "{}", each.name());
            }
        }

        #[test]
        fn borrowed_exactly_when_unchanged(input in spiced()) {
            for &each in Transformation::ALL {
                let output = each.apply(&input);
                prop_assert_eq!(matches!(output, Cow::Borrowed(_)), *output == *input, "{}", each.name());
            }
        }

        #[test]
        fn encodings_are_undone(input in prop::collection::vec(any::<u8>(), 0..64)) {
            use Transformation as T;
            for (encode, decode) in
                [(T::Base64Encode, T::Base64Decode), (T::HexEncode, T::HexDecode), (T::UrlEncode, T::UrlDecode)]
            {
                let encoded = encode.apply(&input);
                let decoded = decode.apply(&encoded);
                prop_assert_eq!(&*decoded, &*input, "{}", encode.name());
            }
        }
    }
}
