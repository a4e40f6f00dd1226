//! Ids of requests: UUID version 7 (RFC 9562 section 5.7), so that sorting them sorts by time.
//!
//! After the 48-bit time in milliseconds come 42 bits that each thread draws once from the system's CSPRNG, and a
//! 32-bit counter that starts at random. No system call per request; two threads collide only if they drew the
//! same bits and stand at the same count in the same millisecond. Ids are names, not secrets: one lets others be
//! guessed.

use std::cell::Cell;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::ascii;

/// The id of one request, as text in the usual form (36 characters).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; LEN]);

const LEN: usize = 36;
const COUNTER_BITS: u32 = 32;

thread_local! {
    /// The 74 bits that are neither time, version nor variant.
    static NEXT: Cell<u128> = Cell::new(seed());
}

impl RequestId {
    /// A new id.
    pub fn new() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = since_1970.as_millis() & 0xffff_ffff_ffff;
        let bits = NEXT.get();
        let count = (bits as u32).wrapping_add(1);
        NEXT.set((bits >> COUNTER_BITS << COUNTER_BITS) | u128::from(count));
        let (high, low) = (bits >> 62 & 0xfff, bits & 0x3fff_ffff_ffff_ffff);
        Self(render(millis << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

fn seed() -> u128 {
    let mut bytes = [0; 16];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        // Ids must be unique, not secret: the generator's own seed (time, thread, addresses) will do.
        fastrand::fill(&mut bytes);
    }
    u128::from_le_bytes(bytes)
}

fn render(id: u128) -> [u8; LEN] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; LEN];
    let places = (0..LEN).filter(|at| !matches!(at, 8 | 13 | 18 | 23));
    for (nibble, at) in places.enumerate() {
        text[at] = HEX[(id >> (124 - 4 * nibble) & 0xf) as usize];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn it_is_a_version_7_uuid() {
        let id = RequestId::new().to_string();
        let groups: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'7');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
        assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')));
    }

    #[test]
    fn rendering_keeps_every_bit_in_its_place() {
        let text = render(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(ascii(&text), "01234567-89ab-cdef-0011-223344556677");
    }

    #[test]
    fn ids_of_all_threads_differ() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..20_000).map(|_| RequestId::new()).collect::<Vec<_>>()))
            .collect();
        let ids: HashSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.len(), 80_000);
    }

    #[test]
    fn the_counter_wraps_within_its_bits() {
        NEXT.set(u128::from(u32::MAX));
        let (last, first) = (RequestId::new(), RequestId::new());
        assert!(last.as_str().ends_with("ffffffff"), "{last}");
        assert!(first.as_str().ends_with("00000000"), "{first}");
        assert_eq!(last.as_str()[19..24], first.as_str()[19..24]);
    }
}
