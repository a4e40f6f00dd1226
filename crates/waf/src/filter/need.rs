//! What a value must have to match one check.

use crate::alphabet::Alphabet;

/// Bytes of a text that is looked for. Four tell as much as more.
pub(super) const TEXT_BYTES: usize = 4;
/// Shortest text: single bytes are told by alphabets.
const MIN_TEXT_BYTES: usize = 2;
/// Alphabets kept of one check.
const MAX_ALPHABETS: usize = 6;
/// Bits of a byte range so wide that hardly a value lacks it.
const WIDE: u32 = 100;

/// Conditions that every value must meet that the check matches. Nothing known is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Need {
    /// So many bytes.
    pub(super) min_len: usize,
    /// At least one byte of each.
    pub(super) alphabets: Vec<Alphabet>,
    /// At least one of these, whatever the case of ASCII letters; in lower case.
    pub(super) texts: Option<Vec<Box<[u8]>>>,
    /// Or a byte of these instead of a text.
    pub(super) instead_of_text: Alphabet,
}

impl Need {
    /// A byte of `alphabet`.
    pub(crate) fn byte_of(alphabet: Alphabet) -> Self {
        Self { min_len: 1, alphabets: vec![alphabet], ..Self::default() }
    }

    /// One of `texts`, in any case.
    pub(crate) fn one_of<T: AsRef<[u8]>>(texts: &[T]) -> Self {
        let min_len = texts.iter().map(|text| text.as_ref().len()).min().unwrap_or(0);
        // Both cases: the alphabet knows the difference, the check may not.
        let alphabets = texts.iter().map(|text| {
            let text = text.as_ref();
            rarest(
                text.iter().map(|byte| Alphabet::of(&[byte.to_ascii_lowercase(), byte.to_ascii_uppercase()])),
            )
        });
        let alphabet = alphabets
            .collect::<Option<Vec<_>>>()
            .map(|all| all.into_iter().fold(Alphabet::EMPTY, Alphabet::with));
        Self::new(
            min_len,
            alphabet.into_iter().collect(),
            Some(texts.iter().map(|text| text.as_ref().to_vec()).collect()),
        )
    }

    /// With a byte of `bytes` in place of a text.
    pub(super) fn or_byte_of(self, bytes: Alphabet) -> Self {
        Self { instead_of_text: bytes, ..self }
    }

    /// Brings what is known to what the filter uses. `texts` are in any case.
    pub(super) fn new(min_len: usize, mut alphabets: Vec<Alphabet>, texts: Option<Vec<Vec<u8>>>) -> Self {
        alphabets.retain(|alphabet| alphabet.len() < WIDE);
        alphabets.sort_by_key(|alphabet| commonness(*alphabet));
        alphabets.dedup();
        alphabets.truncate(MAX_ALPHABETS);
        let texts = texts.filter(|texts| texts.iter().all(|text| text.len() >= MIN_TEXT_BYTES));
        let texts = texts.map(|texts| {
            let mut cut: Vec<Box<[u8]>> =
                texts.iter().map(|text| window(&text.to_ascii_lowercase()).into()).collect();
            cut.sort_unstable();
            cut.dedup();
            cut
        });
        Self { min_len, alphabets, texts, instead_of_text: Alphabet::EMPTY }
    }
}

/// The part of `text`, in lower case, that is least likely in an ordinary value.
fn window(text: &[u8]) -> &[u8] {
    let windows = text.windows(TEXT_BYTES.min(text.len()));
    windows.max_by_key(|window| rarity(window)).unwrap_or(text)
}

/// How much a text tells: roughly the bits of information of its rarest window.
pub(super) fn information(text: &[u8]) -> u32 {
    if text.len() < MIN_TEXT_BYTES { 0 } else { rarity(window(&text.to_ascii_lowercase())) }
}

fn rarity(text: &[u8]) -> u32 {
    text.iter()
        .map(|byte| match byte {
            b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 3,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'-' | b'.' | b'/' => 4,
            b'_' | b'=' | b',' | b':' | b';' | b'"' => 5,
            _ => 7,
        })
        .sum()
}

/// The alphabet that is least likely to be met.
pub(super) fn rarest(alphabets: impl Iterator<Item = Alphabet>) -> Option<Alphabet> {
    alphabets.min_by_key(|alphabet| commonness(*alphabet))
}

/// How likely a value is to have a byte of `alphabet`, for comparison only.
fn commonness(alphabet: Alphabet) -> u32 {
    const FREQUENT: Alphabet = Alphabet::range(b'a', b'z');
    const COMMON: Alphabet =
        Alphabet::range(b'A', b'Z').with(Alphabet::range(b'0', b'9')).with(Alphabet::of(b" -./_=,:;"));
    alphabet.len() + 20 * u32::from(alphabet.meets(COMMON)) + 40 * u32::from(alphabet.meets(FREQUENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_cut_to_what_tells_most() {
        let need = Need::one_of(&["/etc/passwd", "<script"]);
        assert_eq!(need.min_len, 7);
        let texts: Vec<&[u8]> = need.texts.iter().flatten().map(|text| &**text).collect();
        assert!(texts.contains(&&b"<scr"[..]) && texts.len() == 2, "{texts:?}");
    }

    #[test]
    fn a_short_phrase_leaves_no_texts() {
        let need = Need::one_of(&["ab", ";"]);
        assert_eq!((need.texts, need.min_len), (None, 1));
        assert_eq!(need.alphabets.len(), 1);
        assert_eq!(Need::one_of(&[""]), Need::default());
    }
}
