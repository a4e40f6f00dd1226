//! `@validateByteRange`: some byte of the input is not among those that the argument allows.
//!
//! The argument is a list of bytes and ranges in decimal. Example: `@validateByteRange 32-126,9` matches `a\0b`.

use super::OperatorError;
use crate::alphabet::Alphabet;

/// The bytes that `@validateByteRange` allows.
#[derive(Debug)]
pub(super) struct ByteRange {
    allowed: [bool; 256],
}

impl ByteRange {
    /// Compiles `32-126,9,10,13`. A part that is no byte or range of bytes is an error.
    pub(super) fn compile(argument: &str) -> Result<Self, OperatorError> {
        let mut allowed = [false; 256];
        for part in argument.split(',').map(str::trim) {
            let (first, last) = parse(part).ok_or_else(|| OperatorError::Argument {
                operator: "validateByteRange",
                message: format!("`{part}` is no byte (0-255) or range of bytes such as 32-126"),
            })?;
            allowed[usize::from(first)..=usize::from(last)].fill(true);
        }
        Ok(Self { allowed })
    }

    /// The bytes that are not allowed.
    pub(super) fn outside(&self) -> Alphabet {
        let outside = (0..=u8::MAX).filter(|byte| !self.allowed[usize::from(*byte)]);
        outside.fold(Alphabet::EMPTY, |all, byte| all.with(Alphabet::of(&[byte])))
    }

    /// Whether some byte of the input is not allowed.
    pub(super) fn is_left_by(&self, input: &[u8]) -> bool {
        input.iter().any(|&byte| !self.allowed[usize::from(byte)])
    }
}

fn parse(part: &str) -> Option<(u8, u8)> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_outside_the_ranges_match() {
        let printable = ByteRange::compile("32-126, 9,10").unwrap();
        assert!(!printable.is_left_by(b"plain\ttext\n") && !printable.is_left_by(b""));
        assert!(
            printable.is_left_by(b"a\0") && printable.is_left_by(b"\x7f") && printable.is_left_by(b"\xff")
        );
        assert!(!ByteRange::compile("0-255").unwrap().is_left_by(b"\0\xff"));
    }

    #[test]
    fn a_range_that_is_none_does_not_compile() {
        for wrong in ["", "xxx", "256", "5-1", "1-2-3", "-1", "1,"] {
            assert!(ByteRange::compile(wrong).is_err(), "{wrong}");
        }
    }
}
