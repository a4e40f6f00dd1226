//! Finds SQL injections in single values, as libinjection does.
//!
//! The idea (Nick Galbreath, "New Techniques in SQLi Obfuscation: SQL never before used in SQLi", Black Hat USA 2012;
//! libinjection's documentation): do not parse SQL, which differs from server to server and which an attacker only
//! gives a part of. Instead
//!
//! 1. cut the value into [tokens](Token), each of a [kind](Kind): a word that SQL gives a meaning, a string, a number,
//!    an operator (`tokeniser`, `strings`, `words`),
//! 2. fold what says the same in fewer tokens, until there is nothing to fold or five tokens stand (`fold`),
//! 3. write the kinds of these as letters, the [fingerprint](Fingerprint), and look it up in a table of those that
//!    injections have (`fingerprint`),
//! 4. let go what is likely an ordinary text after all (`verdict`).
//!
//! Example: `1' OR 1=1--`, as the inside of a string, is the string `1`, the operator `OR`, the number `1` (`1=1` is
//! folded) and a comment: `s&1c`.
//!
//! An attacker's value may land outside of quotes or inside them, and in MySQL or elsewhere, where `#` and `--` mean
//! different things: a value is looked at in each situation that it can tell apart.
//!
//! Verdicts and fingerprints are those of libinjection 3.9, including its quirks: rules are written and tuned for them. Where
//! it finds nothing, numbers with an open exponent are left out as MySQL leaves them out, and as libinjection 4.0 does:
//! `1.e(select` hid injections from 3.9 (GoSecure, "A Scientific Notation Bug in MySQL left AWS WAF Clients Vulnerable to SQL
//! Injection", 2021). The tables are those that the crate `libinjectionrs` carries. Nothing is allocated, and work is linear in the
//! value's length: each situation reads the value at most once, and every token is folded away or ends the reading.

mod fingerprint;
mod fold;
mod gate;
mod strings;
mod token;
mod tokeniser;
mod verdict;
mod words;

#[cfg(test)]
mod tests;

pub use fingerprint::Fingerprint;
pub use token::{Kind, Token};

pub(crate) use gate::TWO_TOKENS;

use fold::Folded;
use tokeniser::{Dialect, OpenExponent, Start, Tokeniser};

/// Where a value may land: behind what quote, in what dialect, and which bytes it must have for that to matter.
struct Situation {
    start: Start,
    /// Tried first.
    dialect: Dialect,
    /// Whether MySQL is tried too where the first dialect saw what MySQL reads differently.
    and_mysql: bool,
}

/// In the order in which they are tried; quotes only of values that have such a quote, to end the string.
const SITUATIONS: [Situation; 3] = [
    Situation { start: Start::Outside, dialect: Dialect::Ansi, and_mysql: true },
    Situation { start: Start::Inside(b'\''), dialect: Dialect::Ansi, and_mysql: true },
    Situation { start: Start::Inside(b'"'), dialect: Dialect::MySql, and_mysql: false },
];

/// The fingerprint of the SQL injection that `value` is; `None` if it is none.
pub fn detect(value: &[u8]) -> Option<Fingerprint> {
    if gate::is_harmless(value) {
        return None;
    }
    let found = detect_with(value, OpenExponent::Word);
    if found.is_none() && has_open_exponent(value) {
        return detect_with(value, OpenExponent::Nothing);
    }
    found
}

fn detect_with(value: &[u8], exponent: OpenExponent) -> Option<Fingerprint> {
    for Situation { start, dialect, and_mysql } in SITUATIONS {
        if let Start::Inside(quote) = start
            && memchr::memchr(quote, value).is_none()
        {
            continue;
        }
        let folded = Folded::of(Tokeniser::new(value, start, dialect, exponent));
        if let Some(fingerprint) = verdict::injection(value, &folded) {
            return Some(fingerprint);
        }
        if and_mysql && folded.is_other_in_mysql() {
            let folded = Folded::of(Tokeniser::new(value, start, Dialect::MySql, exponent));
            if let Some(fingerprint) = verdict::injection(value, &folded) {
                return Some(fingerprint);
            }
        }
    }
    None
}

/// Whether some number in `value` may have an exponent without digits.
fn has_open_exponent(value: &[u8]) -> bool {
    memchr::memchr2_iter(b'e', b'E', value).any(|at| {
        let behind = &value[at + 1..];
        let behind = behind.strip_prefix(b"+").or_else(|| behind.strip_prefix(b"-")).unwrap_or(behind);
        at > 0
            && matches!(value[at - 1], b'0'..=b'9' | b'.')
            && !behind.first().is_some_and(u8::is_ascii_digit)
    })
}

/// The tokens of `value`, outside of quotes, before anything is folded: for whoever wants to see why.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = Token<'_>> {
    Tokeniser::new(value, Start::Outside, Dialect::Ansi, OpenExponent::Word)
}

/// The tokens that are left of `value`, outside of quotes, after folding: for whoever wants to see why.
pub fn folded(value: &[u8]) -> Vec<Token<'_>> {
    Folded::of(Tokeniser::new(value, Start::Outside, Dialect::Ansi, OpenExponent::Word)).tokens().to_vec()
}
