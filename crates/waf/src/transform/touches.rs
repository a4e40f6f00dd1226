//! Which bytes a value must have for a transformation to change it.

use super::Transformation;
use crate::alphabet::Alphabet;

/// White space of C and ASCII letters.
const SPACE: Alphabet = Alphabet::of(b" \t\n\x0b\x0c\r");
const UPPER: Alphabet = Alphabet::range(b'A', b'Z');
const LOWER: Alphabet = Alphabet::range(b'a', b'z');
/// Beyond ASCII.
const HIGH: Alphabet = Alphabet::range(0x80, 0xff);

impl Transformation {
    /// The bytes of which a value must have one to be changed: without any of them it is its own form. `None` for
    /// transformations that may change any value, the empty one included.
    ///
    /// Each set holds every byte at which the transformation's code leaves the path that copies; a property test
    /// compares the two.
    pub(crate) fn touches(self) -> Option<Alphabet> {
        Some(match self {
            Self::None => Alphabet::EMPTY,
            Self::CmdLine => Alphabet::of(b"\"'\\^,;/(").with(SPACE).with(UPPER),
            Self::CompressWhitespace | Self::Trim | Self::TrimLeft | Self::TrimRight => SPACE,
            Self::CssDecode | Self::EscapeSeqDecode | Self::JsDecode => Alphabet::of(b"\\"),
            Self::HtmlEntityDecode => Alphabet::of(b"&"),
            Self::Lowercase => UPPER,
            Self::NormalisePath => Alphabet::of(b"/."),
            Self::NormalisePathWin => Alphabet::of(b"/.\\"),
            Self::RemoveComments => Alphabet::of(b"/<-#"),
            Self::RemoveCommentsChar => Alphabet::of(b"/*<-#"),
            Self::RemoveNulls | Self::ReplaceNulls => Alphabet::of(b"\0"),
            Self::RemoveWhitespace => SPACE.with(HIGH),
            Self::ReplaceComments => Alphabet::of(b"/"),
            Self::SqlHexDecode => Alphabet::of(b"0"),
            Self::Uppercase => LOWER,
            Self::UrlDecode | Self::UrlDecodeUni => Alphabet::of(b"%+"),
            Self::Utf8ToUnicode => HIGH.with(Alphabet::of(b"\0")),
            Self::Base64Decode
            | Self::Base64DecodeExt
            | Self::Base64Encode
            | Self::HexDecode
            | Self::HexEncode
            | Self::Length
            | Self::Md5
            | Self::ParityEven7bit
            | Self::ParityOdd7bit
            | Self::ParityZero7bit
            | Self::PhpArgsNames
            | Self::Sha1
            | Self::UrlEncode => return None,
        })
    }
}
