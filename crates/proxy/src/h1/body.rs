//! HTTP/1 message bodies: where the bytes of a body begin and end in what was read (RFC 9112 sections 6 and 7).
//!
//! The decoder owns no bytes. It looks at a read buffer and says how much of it is framing and how much is body,
//! so that a body passes from the reader's buffer to the writer without a copy.

use memchr::memchr;

use crate::h1::parse::{is_field_value, is_token};
use crate::head::{BodyLength, Fields};
use crate::limits::{MAX_CHUNK_LINE_BYTES, MAX_TRAILER_BYTES};

/// What stands at the front of the read buffer, after `skip` bytes of framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// This many body bytes, more than none.
    Data(usize),
    /// Nothing yet: read more.
    More,
    /// The body is complete.
    End,
}

/// The framing is broken: the message cannot be trusted any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokenFraming(pub(crate) &'static str);

/// Reads one body.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
    trailers: Fields,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    End,
    Length(u64),
    ChunkLine,
    ChunkData(u64),
    ChunkEnd,
    Trailers(usize),
    UntilClose,
}

impl Decoder {
    /// A decoder for a request body, or for a response body of a message that is not delimited by close.
    pub(crate) fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None => State::End,
            BodyLength::Known(n) => State::Length(n),
            BodyLength::Unknown => State::ChunkLine,
        };
        Self { state, trailers: Fields::default() }
    }

    /// A decoder for a response body that ends with the connection.
    pub(crate) fn until_close() -> Self {
        Self { state: State::UntilClose, trailers: Fields::default() }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// Trailer fields of a chunked body that has ended.
    pub(crate) fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Looks at `input`; gives the framing bytes to skip and what follows them.
    pub(crate) fn look(&mut self, input: &[u8]) -> Result<(usize, Part), BrokenFraming> {
        let mut skip = 0;
        loop {
            let rest = &input[skip..];
            match self.state {
                State::End => return Ok((skip, Part::End)),
                State::Length(n) | State::ChunkData(n) => {
                    let available = rest.len().min(usize::try_from(n).unwrap_or(usize::MAX));
                    return Ok((skip, if available == 0 { Part::More } else { Part::Data(available) }));
                }
                State::UntilClose => {
                    return Ok((skip, if rest.is_empty() { Part::More } else { Part::Data(rest.len()) }));
                }
                State::ChunkLine => match line(rest, MAX_CHUNK_LINE_BYTES)? {
                    None => return Ok((skip, Part::More)),
                    Some(text) => {
                        skip += text.len() + 2;
                        self.state = match chunk_size(text)? {
                            0 => State::Trailers(0),
                            n => State::ChunkData(n),
                        };
                    }
                },
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        skip += 2;
                        self.state = State::ChunkLine;
                    }
                    [] | [b'\r'] => return Ok((skip, Part::More)),
                    _ => return Err(BrokenFraming("chunk data is longer than its size")),
                },
                State::Trailers(seen) => match line(rest, MAX_TRAILER_BYTES.saturating_sub(seen))? {
                    None => return Ok((skip, Part::More)),
                    Some([]) => {
                        skip += 2;
                        self.state = State::End;
                    }
                    Some(text) => {
                        skip += text.len() + 2;
                        self.trailer(text)?;
                        self.state = State::Trailers(seen + text.len() + 2);
                    }
                },
            }
        }
    }

    /// Body bytes shown by [`look`](Self::look) were taken.
    pub(crate) fn took(&mut self, n: usize) {
        match &mut self.state {
            State::Length(left) | State::ChunkData(left) => {
                *left -= n as u64;
                if *left == 0 {
                    self.state = match self.state {
                        State::ChunkData(_) => State::ChunkEnd,
                        _ => State::End,
                    };
                }
            }
            _ => {}
        }
    }

    /// The connection ended: whether the body may end here.
    pub(crate) fn eof(&mut self) -> Result<(), BrokenFraming> {
        match self.state {
            State::End => Ok(()),
            State::UntilClose => {
                self.state = State::End;
                Ok(())
            }
            _ => Err(BrokenFraming("the connection ended before the body did")),
        }
    }

    fn trailer(&mut self, text: &[u8]) -> Result<(), BrokenFraming> {
        let colon = memchr(b':', text).ok_or(BrokenFraming("a trailer line has no colon"))?;
        let (name, value) = (&text[..colon], text[colon + 1..].trim_ascii());
        if !is_token(name) || !is_field_value(&text[colon + 1..]) {
            return Err(BrokenFraming("a trailer field is malformed"));
        }
        self.trailers.push(name, value);
        Ok(())
    }
}

/// The next line without its CRLF; `None`: it is not complete yet.
fn line(input: &[u8], max: usize) -> Result<Option<&[u8]>, BrokenFraming> {
    let window = &input[..input.len().min(max + 2)];
    let Some(lf) = memchr(b'\n', window) else {
        return if window.len() > max { Err(BrokenFraming("a framing line is too long")) } else { Ok(None) };
    };
    window[..lf].strip_suffix(b"\r").map(Some).ok_or(BrokenFraming("a framing line ends in a bare LF"))
}

/// `chunk-size [ chunk-ext ]` (RFC 9112 section 7.1); extensions are checked and dropped.
fn chunk_size(text: &[u8]) -> Result<u64, BrokenFraming> {
    let digits = text.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (size, extension) = text.split_at(digits);
    if digits == 0 || digits > 15 {
        return Err(BrokenFraming("a chunk size is not a hexadecimal number"));
    }
    // White space is allowed before an extension only (RFC 9112 section 7.1.1, "BWS").
    let plain = extension.is_empty() || extension.trim_ascii_start().first() == Some(&b';');
    if !plain || !is_field_value(extension) {
        return Err(BrokenFraming("a chunk size is followed by something else than an extension"));
    }
    Ok(size.iter().fold(0, |n, &b| n * 16 + u64::from((b as char).to_digit(16).unwrap_or(0))))
}

/// Writes the line that begins a chunk of `len` bytes.
pub(crate) fn push_chunk_size(out: &mut Vec<u8>, len: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(HEX[(len >> (digit * 4)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` cut into pieces of `step` bytes.
    fn decode(mut decoder: Decoder, input: &[u8], step: usize) -> Result<(Vec<u8>, usize), BrokenFraming> {
        let (mut out, mut buf, mut fed) = (Vec::new(), Vec::new(), 0);
        loop {
            let (skip, part) = decoder.look(&buf)?;
            buf.drain(..skip);
            match part {
                Part::Data(n) => {
                    out.extend(buf.drain(..n));
                    decoder.took(n);
                }
                Part::End => return Ok((out, fed - buf.len())),
                Part::More if fed == input.len() => {
                    decoder.eof()?;
                    return Ok((out, fed));
                }
                Part::More => {
                    let next = (fed + step).min(input.len());
                    buf.extend_from_slice(&input[fed..next]);
                    fed = next;
                }
            }
        }
    }

    fn chunked(input: &str, step: usize) -> Result<(Vec<u8>, usize), BrokenFraming> {
        decode(Decoder::new(BodyLength::Unknown), input.as_bytes(), step)
    }

    #[test]
    fn chunks_in_pieces_of_any_size() {
        let body = "5\r\nhello\r\n6 ;a=\"b\"\r\n world\r\n000\r\nX-T: 1\r\n\r\n";
        for step in 1..body.len() {
            assert_eq!(chunked(body, step), Ok((b"hello world".to_vec(), body.len())), "{step}");
        }
    }

    #[test]
    fn what_follows_the_body_stays() {
        assert_eq!(chunked("1\r\na\r\n0\r\n\r\nGET /", 100), Ok((b"a".to_vec(), 11)));
        let length = Decoder::new(BodyLength::Known(3));
        assert_eq!(decode(length, b"abcdef", 100), Ok((b"abc".to_vec(), 3)));
    }

    #[test]
    fn broken_framing_is_refused() {
        for body in [
            "x\r\n",
            "5\nhello\r\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "5 5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "-1\r\n",
            "\r\n",
            "fffffffffffffffff\r\n",
            "5\r\nhel",
            "0\r\nno colon\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "5;\u{0}\r\nhello\r\n0\r\n\r\n",
        ] {
            assert!(chunked(body, 3).is_err(), "accepted: {body:?}");
        }
        let endless = format!("5;{}", "a".repeat(MAX_CHUNK_LINE_BYTES + 1));
        assert!(chunked(&endless, 1000).is_err());
        let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(MAX_TRAILER_BYTES));
        assert!(chunked(&trailers, 1000).is_err());
    }

    #[test]
    fn chunk_sizes_are_written_as_they_are_read() {
        for n in [0, 1, 9, 10, 15, 16, 255, 256, 65_535, 1 << 20] {
            let mut out = Vec::new();
            push_chunk_size(&mut out, n);
            assert_eq!(out, format!("{n:x}\r\n").into_bytes());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_any_pieces_decode_alike(input: Vec<u8>, step in 1_usize..64) {
            let whole = decode(Decoder::new(BodyLength::Unknown), &input, input.len().max(1));
            let pieces = decode(Decoder::new(BodyLength::Unknown), &input, step);
            proptest::prop_assert_eq!(whole.map(|w| w.0), pieces.map(|p| p.0));
        }
    }
}
