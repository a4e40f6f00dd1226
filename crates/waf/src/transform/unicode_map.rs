//! `SecUnicodeMapFile`: what the characters of `%uXXXX` become in a code page, for `urlDecodeUni`.
//!
//! The file holds, for each code page, a line that begins with its number, and in it or behind it pairs `XXXX:XX`,
//! character and byte in hexadecimal digits. Example: `1251` and `0434:64` make `%u0434` a `d`.

use std::fmt;

/// The bytes of one code page's characters.
#[derive(Clone)]
pub(crate) struct UnicodeMap(Box<[Option<u8>]>);

/// UTF-16 units.
const UNITS: usize = 1 << 16;

impl UnicodeMap {
    /// Reads the code page of this number; `Err` says what is wrong.
    pub(crate) fn parse(text: &str, code_page: u32) -> Result<Self, String> {
        let mut map = vec![None; UNITS];
        let (mut found, mut inside) = (false, false);
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let mut words = line.split_whitespace().peekable();
            if let Some(number) = words.next_if(|word| !word.contains(':')) {
                inside = number.parse() == Ok(code_page);
                found |= inside;
            }
            for pair in words.filter(|word| inside && word.contains(':')) {
                let read = pair.split_once(':').and_then(|(unit, byte)| {
                    Some((u16::from_str_radix(unit, 16).ok()?, u8::from_str_radix(byte, 16).ok()?))
                });
                let (unit, byte) = read.ok_or_else(|| format!("{pair} is not of the form XXXX:XX"))?;
                map[usize::from(unit)] = Some(byte);
            }
        }
        if found { Ok(Self(map.into())) } else { Err(format!("the file has no code page {code_page}")) }
    }

    /// The byte of a UTF-16 unit that the code page names.
    pub(crate) fn byte(&self, unit: u16) -> Option<u8> {
        self.0[usize::from(unit)]
    }
}

impl fmt::Debug for UnicodeMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnicodeMap").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::UnicodeMap;

    const FILE: &str = "# maps\n20127 (US-ASCII)\n00a0:20 00a1:21\n0100:41\n\n1251 0434:64\n00a0:2d";

    #[test]
    fn a_code_page_is_its_own_lines() {
        let ascii = UnicodeMap::parse(FILE, 20127).unwrap();
        let byte = |unit| ascii.byte(unit);
        assert_eq!((byte(0xa0), byte(0x100), byte(0x434), byte(0x41)), (Some(0x20), Some(0x41), None, None));
        let cyrillic = UnicodeMap::parse(FILE, 1251).unwrap();
        assert_eq!(
            (cyrillic.byte(0x434), cyrillic.byte(0xa0), cyrillic.byte(0x100)),
            (Some(0x64), Some(0x2d), None)
        );
    }

    #[test]
    fn what_is_no_map_says_why() {
        let error = |text: &str| UnicodeMap::parse(text, 1251).unwrap_err();
        assert_eq!(error(""), "the file has no code page 1251");
        assert_eq!(error("1251\n0434:6g"), "0434:6g is not of the form XXXX:XX");
        assert_eq!(error("1251 0434:64 x:1"), "x:1 is not of the form XXXX:XX");
    }
}
