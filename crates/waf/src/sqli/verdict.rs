//! From folded tokens to a verdict: listed fingerprints, but for what is likelier an ordinary text.

use memchr::memmem;

use super::fingerprint::Fingerprint;
use super::fold::Folded;
use super::token::{Kind, Token};

/// SQL Server keeps statements that hold this out of its log: nobody writes it by chance.
const UNLOGGED: &[u8] = b"sp_password";

/// The fingerprint of the injection that `folded`, of `value`, is; `None` if it is none.
pub(super) fn injection(value: &[u8], folded: &Folded<'_>) -> Option<Fingerprint> {
    let tokens = folded.tokens();
    let fingerprint = Fingerprint::of(tokens);
    let is_injection = fingerprint.is_listed()
        && match fingerprint.as_bytes() {
            [_, .., b'c'] if memmem::find(value, UNLOGGED).is_some() => true,
            [_, _] => two_tokens_are(value, tokens, folded.read()),
            [_, _, _] => three_tokens_are(fingerprint, tokens, folded.read()),
            _ => true,
        };
    is_injection.then_some(fingerprint)
}

/// Two tokens are hard to tell from ordinary text; `read` is how many there were before folding.
fn two_tokens_are(value: &[u8], tokens: &[Token<'_>], read: usize) -> bool {
    let [first, second] = tokens else { return true };
    let begins_with = |byte: u8| second.text.first() == Some(&byte);
    match (first.kind, second.kind) {
        // "1 union".
        (_, Kind::Union) => read != 2,
        _ if begins_with(b'#') => false,
        (Kind::Bareword, Kind::Comment) => begins_with(b'/'),
        (Kind::Number, Kind::Comment) => {
            // `1234-ABCDEF--` is a name rather than a number with a comment. The original looks behind as many bytes as the
            // number has, wherever it is, and takes bytes beyond ASCII for white space.
            let behind = value.get(first.text.len()..).unwrap_or_default();
            begins_with(b'/')
                || read > 2
                || behind.starts_with(b"/*")
                || behind.starts_with(b"--")
                || behind.first().is_none_or(|&byte| byte <= b' ' || !byte.is_ascii())
        }
        // `--` in a text; at its end it is suspicious.
        _ => second.text.len() <= 2 || !begins_with(b'-'),
    }
}

fn three_tokens_are(fingerprint: Fingerprint, tokens: &[Token<'_>], read: usize) -> bool {
    let [first, second, third] = tokens else { return true };
    match fingerprint.as_bytes() {
        // `foo' + 'bar`: strings that a quote outside of the value begins and ends.
        b"sos" | b"s&s" => first.open.is_none() && third.close.is_none() && first.close == third.open,
        // "sexy and 17"; with more, as in "sexy and 17<18", it is one.
        b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => read != 3,
        // Of keywords in the middle only INTO OUTFILE and INTO DUMPFILE.
        _ if second.kind == Kind::Keyword => {
            second.text.len() >= 5 && second.text[..4].eq_ignore_ascii_case(b"INTO")
        }
        _ => true,
    }
}
