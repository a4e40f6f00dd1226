//! Which bytes occur in a value: one pass over it, asked many times.

/// A set of bytes: one bit for each ASCII character; DEL and all bytes beyond ASCII share the last.
///
/// Because of the shared bit a set may hold more than it was given, never less: *no* is certain, *yes* is a maybe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Alphabet(u128);

/// The bit of DEL and of all bytes beyond ASCII.
const LAST: u8 = 0x7f;

/// Per byte, its bit.
const BIT_OF: [u128; 256] = {
    let mut bits = [1 << LAST; 256];
    let mut byte = 0;
    while byte < LAST {
        bits[byte as usize] = 1 << byte;
        byte += 1;
    }
    bits
};

impl Alphabet {
    pub(crate) const EMPTY: Self = Self(0);
    /// How many bits an alphabet may have.
    pub(crate) const BITS: usize = 128;

    /// The bytes of `text`.
    pub(crate) const fn of(text: &[u8]) -> Self {
        let mut bits = 0;
        let mut rest = text;
        while let [byte, tail @ ..] = rest {
            bits |= BIT_OF[*byte as usize];
            rest = tail;
        }
        Self(bits)
    }

    /// The bytes `first..=last`.
    pub(crate) const fn range(first: u8, last: u8) -> Self {
        let mut bits = 0;
        let mut byte = first as usize;
        while byte <= last as usize {
            bits |= BIT_OF[byte];
            byte += 1;
        }
        Self(bits)
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a byte may be in both.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all of it is in `other`.
    pub(crate) const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What is in both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// With all letters if it has one, and all digits if it has one.
    pub(crate) fn widened(self) -> Self {
        const LETTERS: Alphabet = Alphabet::range(b'A', b'Z').with(Alphabet::range(b'a', b'z'));
        const DIGITS: Alphabet = Alphabet::range(b'0', b'9');
        let all = |kind: Self| if self.meets(kind) { kind } else { Self::EMPTY };
        self.with(all(LETTERS)).with(all(DIGITS))
    }

    /// Its bits, as two numbers.
    pub(crate) const fn halves(self) -> (u64, u64) {
        (self.0 as u64, (self.0 >> 64) as u64)
    }

    /// Its bits, each below [`Alphabet::BITS`].
    pub(crate) fn bits(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (bit < Self::BITS).then_some(bit)
        })
    }

    /// How many bits it has.
    pub(crate) const fn len(self) -> u32 {
        self.0.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_is_certain() {
        let plain = Alphabet::of(b"plain words");
        assert!(plain.meets(Alphabet::of(b"w")) && !plain.meets(Alphabet::of(b"(<'")));
        assert!(!Alphabet::EMPTY.meets(Alphabet::range(0, 0xff)));
        assert!(!plain.meets(Alphabet::range(0x80, 0xff)));
    }

    #[test]
    fn letters_and_digits_are_a_kind_each() {
        let widened = |text: &[u8]| Alphabet::of(text).widened();
        assert_eq!(widened(b"a-1"), widened(b"-Zz97"));
        assert_ne!(widened(b"a-1"), widened(b"a-"));
        assert_eq!(widened(b"-"), Alphabet::of(b"-"));
    }

    #[test]
    fn bits_are_those_of_the_bytes() {
        assert_eq!(Alphabet::of(b"b\0b\xff").bits().collect::<Vec<_>>(), [0, 98, 127]);
        assert_eq!(Alphabet::EMPTY.bits().count(), 0);
    }

    #[test]
    fn bytes_beyond_ascii_are_one() {
        assert!(Alphabet::of(b"\xe9").meets(Alphabet::of(b"\x80")));
        assert_eq!(Alphabet::range(0x20, 0xff).len(), 96);
    }
}
