//! Content codings of responses that the firewall looks at (RFC 9110 section 8.4.1): gzip, deflate, br (RFC 7932) and
//! zstd (RFC 8878), undone in memory for the firewall alone. The client gets what the backend sent.
//!
//! Bounded in what comes out, in the number of codings, and in the decoders' windows. What cannot be undone whole is an
//! error, never taken for a body that was looked at; only the end of a body that was cut off here may be missing.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;

/// Codings of one body. Two are a mistake already.
const MAX_CODINGS: usize = 2;
/// Largest window of zstd, in bytes: more is not for HTTP (RFC 9659). That of the others is smaller by definition but
/// for brotli's, which has 16 MiB at most (RFC 7932 section 9.1).
const MAX_ZSTD_WINDOW: u64 = 8 << 20;
/// Bytes decoded at a time.
const CHUNK_BYTES: usize = 16 << 10;

/// What a body says once it is decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Whether that is all of it.
    pub(crate) complete: bool,
}

/// A coding that is not known, or a body that is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undecodable;

/// Undoes `codings`, the values of `Content-Encoding`, on `body`, up to `limit` bytes. `complete` is false where `body`
/// is a prefix.
pub(crate) fn decode<'a, 'h>(
    codings: impl Iterator<Item = &'h [u8]>,
    body: &'a [u8],
    complete: bool,
    limit: usize,
) -> Result<Decoded<'a>, Undecodable> {
    let codings: Vec<Coding> = codings
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
        .map(Coding::named)
        .collect::<Result<_, _>>()?;
    if codings.len() > MAX_CODINGS {
        return Err(Undecodable);
    }
    let mut decoded = Decoded { bytes: Cow::Borrowed(body), complete };
    // The last one was applied last.
    for coding in codings.iter().rev() {
        let mut output = Output { bytes: Vec::new(), limit };
        // A decoder that panics has been given something that it does not understand.
        let undo = || coding.undo(&decoded.bytes, decoded.complete, &mut output);
        let whole = catch_unwind(AssertUnwindSafe(undo)).unwrap_or(Err(Undecodable))?;
        decoded = Decoded { bytes: Cow::Owned(output.bytes), complete: whole && decoded.complete };
    }
    Ok(decoded)
}

#[derive(Debug, Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn named(name: &[u8]) -> Result<Self, Undecodable> {
        Ok(match name.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Self::Gzip,
            b"deflate" => Self::Deflate,
            b"br" => Self::Brotli,
            b"zstd" => Self::Zstd,
            _ => return Err(Undecodable),
        })
    }

    /// Decodes `input`, whose end may be missing unless it is `complete`; whether all of it came out.
    fn undo(self, input: &[u8], complete: bool, output: &mut Output) -> Result<bool, Undecodable> {
        match self {
            Self::Gzip => output.read(MultiGzDecoder::new(input), complete),
            // Some send what the name says, without the zlib format that the RFC means (RFC 9110 section 8.4.1.2).
            Self::Deflate if is_zlib(input) => output.read(ZlibDecoder::new(input), complete),
            Self::Deflate => output.read(DeflateDecoder::new(input), complete),
            Self::Brotli => brotli(input, complete, output),
            Self::Zstd => zstd(input, complete, output),
        }
    }
}

/// RFC 1950 section 2.2: the method is 8, and both bytes together are a multiple of 31.
fn is_zlib(input: &[u8]) -> bool {
    matches!(input, [method, flags, ..]
        if method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0)
}

fn brotli(mut input: &[u8], complete: bool, output: &mut Output) -> Result<bool, Undecodable> {
    let alloc = StandardAlloc::default;
    // Strict: the format of the RFC, whose windows are bounded.
    let mut state = BrotliState::new_strict(alloc(), alloc(), alloc());
    let mut chunk = [0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        let (mut left, mut taken, mut room, mut made) = (input.len(), 0, chunk.len(), 0);
        let result = BrotliDecompressStream(
            &mut left, &mut taken, input, &mut room, &mut made, &mut chunk, &mut total, &mut state,
        );
        input = &input[taken..];
        if !output.add(&chunk[..made]) {
            return Ok(false);
        }
        match result {
            BrotliResult::NeedsMoreOutput => {}
            // What follows is no part of it, and for someone else perhaps is.
            BrotliResult::ResultSuccess if input.is_empty() => return Ok(true),
            BrotliResult::NeedsMoreInput if !complete => return Ok(false),
            BrotliResult::ResultSuccess | BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => {
                return Err(Undecodable);
            }
        }
    }
}

/// A body may be several frames (RFC 8878 section 3.1).
fn zstd(mut input: &[u8], complete: bool, output: &mut Output) -> Result<bool, Undecodable> {
    /// The longest header of a frame, in bytes: less may be a cut one.
    const HEADER_BYTES: usize = 18;
    while !input.is_empty() {
        if let Some(rest) = after_skippable_frame(input) {
            input = input.get(rest..).unwrap_or_default();
            continue;
        }
        let cut = !complete && input.len() < HEADER_BYTES;
        let mut rest = input;
        let Ok(frame) = StreamingDecoder::new_with_max_window_size(&mut rest, MAX_ZSTD_WINDOW) else {
            return if cut { Ok(false) } else { Err(Undecodable) };
        };
        // The decoder does not tell a cut frame from a broken one.
        match output.read(frame, true) {
            Ok(true) => input = rest,
            Ok(false) => return Ok(false),
            Err(Undecodable) if !complete => return Ok(false),
            Err(Undecodable) => return Err(Undecodable),
        }
    }
    Ok(complete)
}

/// Where the skippable frame ends that `input` begins with, if it does (RFC 8878 section 3.1.2).
fn after_skippable_frame(input: &[u8]) -> Option<usize> {
    let (magic, rest) = input.split_first_chunk::<4>()?;
    let (length, _) = rest.split_first_chunk::<4>()?;
    let is_skippable = u32::from_le_bytes(*magic) & 0xffff_fff0 == 0x184d_2a50;
    is_skippable.then(|| (u32::from_le_bytes(*length) as usize).saturating_add(8))
}

/// Decoded bytes, up to a limit.
struct Output {
    bytes: Vec<u8>,
    limit: usize,
}

impl Output {
    /// Adds `more` as far as there is room; whether there was.
    fn add(&mut self, more: &[u8]) -> bool {
        let room = self.limit - self.bytes.len();
        self.bytes.extend_from_slice(&more[..more.len().min(room)]);
        more.len() <= room
    }

    /// Adds all that `from` gives; whether there was room. An end that comes too early is an error where the input is
    /// `complete`.
    fn read(&mut self, mut from: impl Read, complete: bool) -> Result<bool, Undecodable> {
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => return Ok(true),
                Ok(n) if self.add(&chunk[..n]) => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && !complete => return Ok(false),
                Err(_) => return Err(Undecodable),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// One uncompressed meta-block, at most 64 KiB (RFC 7932 section 9.2), and the empty last one.
    fn brotli(text: &[u8]) -> Vec<u8> {
        let head = ((text.len() as u32 - 1) << 4 | 1 << 20).to_le_bytes();
        [&head[..3], text, &[0x03]].concat()
    }

    type Encode = fn(&[u8]) -> Vec<u8>;
    const ALL: [(&str, Encode); 5] =
        [("gzip", gzip), ("deflate", zlib), ("deflate", deflate), ("br", brotli), ("zstd", zstd)];

    fn decoded(
        coding: &str,
        body: &[u8],
        complete: bool,
        limit: usize,
    ) -> Result<(Vec<u8>, bool), Undecodable> {
        let decoded = decode([coding.as_bytes()].into_iter(), body, complete, limit)?;
        Ok((decoded.bytes.into_owned(), decoded.complete))
    }

    #[test]
    fn every_coding_comes_out_as_it_went_in() {
        let text = b"You have an error in your SQL syntax".repeat(100);
        for (coding, encode) in ALL {
            assert_eq!(decoded(coding, &encode(&text), true, 1 << 20), Ok((text.clone(), true)), "{coding}");
        }
        let twice = gzip(&zstd(&text));
        assert_eq!(decoded("zstd, GZIP", &twice, true, 1 << 20), Ok((text.clone(), true)));
        let members = [gzip(b"ab"), gzip(b"cd")].concat();
        assert_eq!(decoded("x-gzip", &members, true, 9), Ok((b"abcd".to_vec(), true)));
        let frames = [zstd(b"ab"), vec![0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9], zstd(b"cd")].concat();
        assert_eq!(decoded("zstd", &frames, true, 9), Ok((b"abcd".to_vec(), true)));
        assert_eq!(decoded("identity", &text, true, 1), Ok((text.clone(), true)));
        assert_eq!(decoded("", &text, false, 1), Ok((text, false)));
    }

    #[test]
    fn a_cut_body_gives_its_beginning() {
        let text: Vec<u8> =
            (0..60_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()).collect();
        let text = &text[..60_000];
        for (coding, encode) in ALL {
            let encoded = encode(text);
            let half = &encoded[..encoded.len() / 2];
            let (begun, complete) = decoded(coding, half, false, 1 << 20).unwrap();
            assert!(!complete && text.starts_with(&begun), "{coding}: {}", begun.len());
            assert_eq!(decoded(coding, half, true, 1 << 20), Err(Undecodable), "{coding}");
        }
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let zeros = vec![0; 32 << 20];
        for (coding, encode) in [("gzip", gzip as Encode), ("deflate", zlib), ("zstd", zstd)] {
            let bomb = encode(&zeros);
            assert!(bomb.len() < 200 << 10, "{coding}: {}", bomb.len());
            let (out, complete) = decoded(coding, &bomb, true, 10_000).unwrap();
            assert!(!complete && out == zeros[..10_000], "{coding}");
        }
        // The limit holds for what comes between, too.
        let (out, complete) = decoded("gzip, gzip", &gzip(&gzip(&zeros)), true, 1_000).unwrap();
        assert!(!complete && out.len() <= 1_000);
        // A window of 1 GiB, in zstd's frame header and in brotli's large-window format.
        assert_eq!(decoded("zstd", &[0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0, 1, 0, 0], true, 9), Err(Undecodable));
        assert_eq!(decoded("br", &[0x11, 0x1e, 0x03], true, 9), Err(Undecodable));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for coding in ["compress", "dcb", "gzip, gzip, gzip", "gzip;q=1", "br zstd"] {
            assert_eq!(decoded(coding, &gzip(b"x"), true, 9), Err(Undecodable), "{coding}");
        }
        for (coding, _) in ALL {
            assert_eq!(decoded(coding, b"plain text, by mistake", true, 99), Err(Undecodable), "{coding}");
        }
        assert_eq!(decoded("br", &[&brotli(b"seen")[..], b"unseen"].concat(), true, 99), Err(Undecodable));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_exceed_the_limit(
            coding in prop::sample::select(vec!["gzip", "deflate", "br", "zstd", "br, gzip"]),
            begin in prop::sample::select(vec![vec![], gzip(b"abc"), zlib(b"abc"), brotli(b"abc"), zstd(b"abc")]),
            cut in 0..16_usize,
            rest in prop::collection::vec(any::<u8>(), 0..64),
            complete: bool,
            limit in 0..64_usize,
        ) {
            let body = [&begin[..begin.len().saturating_sub(cut)], &rest].concat();
            if let Ok((bytes, _)) = decoded(coding, &body, complete, limit) {
                prop_assert!(bytes.len() <= limit);
            }
        }
    }
}
