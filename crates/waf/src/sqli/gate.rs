//! Values that cannot be injections, told apart without reading tokens.

use crate::alphabet::Alphabet;

/// Bytes of which a value of two tokens or more has one: what ends a word, and what numbers are made of. Every listed
/// fingerprint but that of evil tokens has two, and evil tokens have such bytes too.
pub(crate) const TWO_TOKENS: Alphabet =
    Alphabet::of(b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r\"\0.`$0123456789")
        .with(Alphabet::range(0x80, 0xff));

/// What a byte can be a part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Of a word.
    Letter,
    /// Of words and numbers.
    Digit,
    /// Of numbers, and of operators that are no beginning of a comment.
    Sign,
    Other,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'.' | b',' | b':' | b'+' | b'=' | b'%' | b'?' | b' ' | b'\t' | b'\r' | b'\n' => Class::Sign,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

/// Whether `value` is a single word, or numbers and signs, as most values are. One token is no injection (an evil one has
/// other bytes); and no fingerprint is listed that is made of numbers, operators, dots, commas and colons alone.
pub(super) fn is_harmless(value: &[u8]) -> bool {
    let class = |byte: &u8| CLASSES[usize::from(*byte)];
    match value.first().map(class) {
        Some(Class::Letter) => value.iter().all(|byte| matches!(class(byte), Class::Letter | Class::Digit)),
        _ => value.iter().all(|byte| matches!(class(byte), Class::Digit | Class::Sign)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::listed;
    use super::super::{Kind, detect, tokens};
    use super::*;
    use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;
    use proptest::prelude::*;

    /// What tokens of numbers and signs are.
    const HARMLESS: [Kind; 6] =
        [Kind::Number, Kind::Operator, Kind::Dot, Kind::Comma, Kind::Colon, Kind::Unknown];

    #[test]
    fn the_table_lists_nothing_harmless() {
        let is_harmless =
            |letter: &u8| HARMLESS.iter().any(|kind| kind.letter().eq_ignore_ascii_case(letter));
        let lists_one = |letters: &[u8]| letters.len() == 1 && letters != b"X";
        assert!(!listed().any(|letters| letters.iter().all(is_harmless) || lists_one(letters)));
        let of_signs = |word: &str| word.bytes().all(|byte| CLASSES[usize::from(byte)] == Class::Sign);
        let mut signs = SQL_KEYWORDS.iter().filter(|row| of_signs(row.word));
        assert!(signs.all(|row| row.token_type == b'o'));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_the_gate_stops_has_harmless_tokens(
            word in "(union|select|or|x|sp_password|0x|e|[a-zA-Z_])[a-zA-Z0-9_]{0,40}",
            number in "[0-9.,:+=%?\\s-]{0,40}",
        ) {
            for value in [word, number] {
                let tokens: Vec<_> = tokens(value.as_bytes()).collect();
                let are_harmless = tokens.len() < 2 || tokens.iter().all(|token| HARMLESS.contains(&token.kind));
                prop_assert!(!is_harmless(value.as_bytes()) || are_harmless, "{:?}: {:?}", value, tokens);
            }
        }

        #[test]
        fn two_tokens_have_a_byte_that_makes_two(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let value: Vec<u8> = value.into_iter().filter(|byte| !TWO_TOKENS.meets(Alphabet::of(&[*byte]))).collect();
            prop_assert!(tokens(&value).count() < 2 && detect(&value).is_none(), "{:?}", value);
        }
    }

    #[test]
    fn words_and_numbers_are_stopped_and_no_mixture_is() {
        for value in ["", "union_1", "1.5", "2024-01-01".replace('-', ":").as_str(), "1 = 1"] {
            assert!(is_harmless(value.as_bytes()), "{value}");
        }
        for value in ["1e5", "1or1", "1--", "a b", "'", "1/*"] {
            assert!(!is_harmless(value.as_bytes()), "{value}");
        }
    }
}
