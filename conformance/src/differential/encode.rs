//! What is done to a value before it is put somewhere: encodings that the transformations undo, and damage.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use fastrand::Rng;

/// No value grows beyond this, in bytes; the engines' own limits are not what is compared.
const MAX_VALUE_BYTES: usize = 4_096;

type Encoding = fn(&mut Rng, &[u8]) -> Vec<u8>;

/// Every way to change a value, all equally likely.
const ENCODINGS: &[Encoding] = &[
    |rng, value| each(value, |byte| picked(rng, 2, byte, format!("%{byte:02x}"))),
    |_, value| each(value, |byte| special(byte, format!("%{byte:02X}"))),
    |_, value| each(value, |byte| special(byte, format!("%25{byte:02x}"))),
    |rng, value| each(value, |byte| picked(rng, 3, byte, format!("%u00{byte:02x}"))),
    |rng, value| each(value, |byte| picked(rng, 3, byte, format!("%uff{:02x}", byte.wrapping_sub(0x20)))),
    |rng, value| each(value, |byte| picked(rng, 3, byte, format!("&#{byte};"))),
    |rng, value| each(value, |byte| picked(rng, 3, byte, format!("&#x{byte:x}"))),
    |_, value| each(value, |byte| entity(byte, ";")),
    |_, value| each(value, |byte| entity(byte, "")),
    |rng, value| each(value, |byte| picked(rng, 3, byte, format!("\\x{byte:02x}"))),
    |rng, value| each(value, |byte| picked(rng, 3, byte, format!("\\u00{byte:02x}"))),
    |rng, value| each(value, |byte| picked(rng, 3, byte, format!("\\{byte:o}"))),
    |rng, value| each(value, |byte| picked(rng, 3, byte, format!("\\{byte:x} "))),
    |_, value| STANDARD.encode(value).into_bytes(),
    |_, value| STANDARD_NO_PAD.encode(value).into_bytes(),
    |_, value| each(value, |byte| format!("{byte:02x}").into_bytes()),
    |_, value| [&b"0x"[..], &each(value, |byte| format!("{byte:02X}").into_bytes())].concat(),
    |rng, value| each(value, |byte| vec![if rng.bool() { byte.to_ascii_uppercase() } else { byte }]),
    |rng, value| each(value, |byte| if byte == b' ' { choose(rng, BLANKS).to_vec() } else { vec![byte] }),
    // Overlong UTF-8.
    |rng, value| {
        each(value, |byte| {
            if byte < 128 && rng.u8(..3) == 0 { vec![0xc0 | byte >> 6, 0x80 | byte & 63] } else { vec![byte] }
        })
    },
    // Full-width forms in UTF-8 (U+FF01 to U+FF5E).
    |rng, value| {
        each(value, |byte| {
            if byte.is_ascii_graphic() && rng.u8(..3) == 0 {
                char::from_u32(0xfee0 + u32::from(byte))
                    .map_or(vec![byte], |char| char.to_string().into_bytes())
            } else {
                vec![byte]
            }
        })
    },
    insert,
    insert,
    |rng, value| without(rng, value),
    |rng, value| value[..rng.usize(..=value.len())].to_vec(),
    |rng, value| value[rng.usize(..=value.len())..].to_vec(),
    |rng, value| {
        let mut value = value.to_vec();
        flip(rng, &mut value);
        value
    },
    |rng, value| value.repeat(rng.usize(2..12)),
    |rng, value| [value, *choose(rng, SCRAPS), value].concat(),
];

const BLANKS: &[&[u8]] =
    &[b"\t", b"\n", b"\r\n", b"\x0b", b"\x0c", b"\xa0", b"  ", b"/**/", b"+", b"\0", b"%20", b"$IFS"];
/// What parsers, decoders and patterns trip over.
const SCRAPS: &[&[u8]] = &[
    b"\0",
    b"%",
    b"%u",
    b"%zz",
    b"%0",
    b"&#",
    b"&#x",
    b"&lt",
    b"\\",
    b"\\x",
    b"\\u",
    b"/*",
    b"*/",
    b"/**/",
    b"/*!50000",
    b"--",
    b"#",
    b";",
    b"'",
    b"\"",
    b"`",
    b"<",
    b">",
    b"<!--",
    b"-->",
    b"\r\n",
    b"\n",
    b"\t",
    b"\x80",
    b"\xff",
    b"\xc0\xaf",
    b"\xe2\x80\xa8",
    b"\xef\xbc\x9c",
    b"\xed\xa0\x80",
    b"\xf5\x80\x80\x80",
    b"../",
    b"..\\",
    b"//",
    b"/./",
    b"=",
    b"&",
    b"+",
    b"@",
    b"$(",
    b"${",
    b"{{",
    b"0x",
    b"\x7f",
    b"^",
    b"[",
    b"]",
    b"(",
    b")",
    b",",
];

/// `value` changed `times` times.
pub(super) fn changed(rng: &mut Rng, value: &[u8], times: usize) -> Vec<u8> {
    let mut value = value.to_vec();
    for _ in 0..times {
        value = choose(rng, ENCODINGS)(rng, &value);
        value.truncate(MAX_VALUE_BYTES);
    }
    value
}

/// One of `items`, which are never none.
pub(super) fn choose<'a, T>(rng: &mut Rng, items: &'a [T]) -> &'a T {
    &items[rng.usize(..items.len())]
}

/// Percent-encodes all that would end a value in a query or form.
pub(super) fn form(value: &[u8]) -> Vec<u8> {
    each(value, |byte| match byte {
        b' ' => b"+".to_vec(),
        0..=0x1f | 0x7f.. | b'&' | b'+' | b'#' | b'%' | b'=' => format!("%{byte:02X}").into_bytes(),
        _ => vec![byte],
    })
}

/// Damages bytes as a broken or hostile sender would.
pub(super) fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    match rng.u8(..7) {
        0 => flip(rng, bytes),
        1 | 2 => *bytes = insert(rng, bytes),
        3 => *bytes = without(rng, bytes),
        4 => bytes.truncate(rng.usize(..=bytes.len())),
        5 => {
            let start = rng.usize(..=bytes.len());
            let piece = bytes[start..(start + rng.usize(..40)).min(bytes.len())].to_vec();
            let at = rng.usize(..=bytes.len());
            bytes.splice(at..at, piece);
        }
        _ => {
            let (from, to) = *choose(
                rng,
                &[
                    (&b"\r\n"[..], &b"\n"[..]),
                    (b"\"", b"'"),
                    (b"\"", b""),
                    (b";", b","),
                    (b"=", b" = "),
                    (b":", b" :"),
                ],
            );
            *bytes = replaced(bytes, from, to);
        }
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    out
}

fn insert(rng: &mut Rng, value: &[u8]) -> Vec<u8> {
    let at = rng.usize(..=value.len());
    [&value[..at], *choose(rng, SCRAPS), &value[at..]].concat()
}

fn without(rng: &mut Rng, value: &[u8]) -> Vec<u8> {
    let start = rng.usize(..=value.len());
    let end = (start + rng.usize(1..4)).min(value.len());
    [&value[..start], &value[end..]].concat()
}

fn flip(rng: &mut Rng, value: &mut [u8]) {
    if !value.is_empty() {
        let at = rng.usize(..value.len());
        value[at] ^= 1 << rng.u8(..8);
    }
}

fn each(value: &[u8], mut write: impl FnMut(u8) -> Vec<u8>) -> Vec<u8> {
    value.iter().flat_map(|byte| write(*byte)).collect()
}

/// Writes one byte of `one_in` as `text`, the others as they are.
fn picked(rng: &mut Rng, one_in: u8, byte: u8, text: String) -> Vec<u8> {
    if rng.u8(..one_in) == 0 { text.into_bytes() } else { vec![byte] }
}

fn special(byte: u8, text: String) -> Vec<u8> {
    if byte.is_ascii_alphanumeric() { vec![byte] } else { text.into_bytes() }
}

fn entity(byte: u8, end: &str) -> Vec<u8> {
    let name = match byte {
        b'<' => "lt",
        b'>' => "gt",
        b'&' => "amp",
        b'"' => "quot",
        0xa0 | b' ' => "nbsp",
        _ => return vec![byte],
    };
    format!("&{name}{end}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_any_value_is_bounded_and_repeats_from_its_seed() {
        for seed in 0..2_000 {
            let once = changed(&mut Rng::with_seed(seed), b"' OR 1=1 --", 5);
            assert!(once.len() <= MAX_VALUE_BYTES);
            assert_eq!(once, changed(&mut Rng::with_seed(seed), b"' OR 1=1 --", 5));
        }
    }

    #[test]
    fn a_form_value_stays_one_value() {
        assert_eq!(form(b"a &=\0"), b"a+%26%3D%00");
    }
}
