//! TSIG: DNS messages authenticated by a shared key (RFC 8945), as far as one request and its answer take.

use std::fmt;

use aws_lc_rs::hmac;
use veloflux_model::process::TsigAlgorithm;

/// How far both clocks may be apart, in seconds (RFC 8945 section 10).
const FUDGE_S: u16 = 300;

/// Type of the record.
const TYPE_TSIG: u16 = 250;

/// Class ANY.
const CLASS_ANY: u16 = 255;

/// Length of a message's header, in bytes.
pub const HEADER_BYTES: usize = 12;

/// A shared key.
pub struct TsigKey {
    /// The key's name as labels.
    name: Vec<u8>,
    /// The algorithm's name as labels.
    algorithm: Vec<u8>,
    key: hmac::Key,
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TsigKey")
    }
}

/// Why an answer is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disbelief {
    /// It is not a whole DNS message.
    Malformed,
    /// It carries no signature.
    Unsigned,
    /// The server refused the request's signature, with this error (RFC 8945 section 3).
    Refused(u16),
    /// The signature is of another key, or of something else.
    Forged,
    /// It was signed too long ago, or in the future.
    Untimely,
}

impl fmt::Display for Disbelief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the answer is not a DNS message"),
            Self::Unsigned => f.write_str("the answer is not signed"),
            Self::Refused(16) => f.write_str("the server does not take the key's signature (BADSIG)"),
            Self::Refused(17) => f.write_str("the server does not know the key (BADKEY)"),
            Self::Refused(18) => f.write_str("the server's clock differs (BADTIME)"),
            Self::Refused(error) => write!(f, "the server refuses the signature (error {error})"),
            Self::Forged => f.write_str("the answer's signature is wrong"),
            Self::Untimely => f.write_str("the answer was signed at another time"),
        }
    }
}

impl TsigKey {
    /// The key `name`, a host name, with its `secret`.
    pub fn new(name: &str, algorithm: TsigAlgorithm, secret: &[u8]) -> Self {
        let (text, hash) = match algorithm {
            TsigAlgorithm::HmacSha256 => ("hmac-sha256", hmac::HMAC_SHA256),
            TsigAlgorithm::HmacSha384 => ("hmac-sha384", hmac::HMAC_SHA384),
            TsigAlgorithm::HmacSha512 => ("hmac-sha512", hmac::HMAC_SHA512),
        };
        Self { name: labels(name), algorithm: labels(text), key: hmac::Key::new(hash, secret) }
    }

    /// Signs `message` in place and gives back the signature, which the answer's depends on.
    pub fn sign(&self, message: &mut Vec<u8>, now_unix_s: u64) -> Vec<u8> {
        let variables = self.variables(now_unix_s, FUDGE_S, 0, &[]);
        let mut context = hmac::Context::with_key(&self.key);
        context.update(message);
        context.update(&variables);
        let mac = context.sign().as_ref().to_vec();

        let id = [message[0], message[1]];
        let mut data = self.algorithm.clone();
        data.extend_from_slice(&now_unix_s.to_be_bytes()[2..]);
        data.extend_from_slice(&FUDGE_S.to_be_bytes());
        data.extend_from_slice(&(mac.len() as u16).to_be_bytes());
        data.extend_from_slice(&mac);
        data.extend_from_slice(&id);
        // No error, no other data.
        data.extend_from_slice(&[0; 4]);
        record(message, &self.name, TYPE_TSIG, CLASS_ANY, 0, &data);
        let additional = u16::from_be_bytes([message[10], message[11]]) + 1;
        message[10..HEADER_BYTES].copy_from_slice(&additional.to_be_bytes());
        mac
    }

    /// Checks that `answer` was signed with this key, for the request with the signature `request_mac`.
    pub fn verify(&self, answer: &[u8], request_mac: &[u8], now_unix_s: u64) -> Result<(), Disbelief> {
        let found = Signature::find(answer)?;
        if found.mac.is_empty() && found.error != 0 {
            return Err(Disbelief::Refused(found.error));
        }
        let mut signed = answer[..found.start].to_vec();
        signed[..2].copy_from_slice(&found.original_id);
        let additional = u16::from_be_bytes([signed[10], signed[11]]) - 1;
        signed[10..HEADER_BYTES].copy_from_slice(&additional.to_be_bytes());

        let mut authenticated = (request_mac.len() as u16).to_be_bytes().to_vec();
        authenticated.extend_from_slice(request_mac);
        authenticated.extend_from_slice(&signed);
        authenticated.extend(self.variables(found.signed_unix_s, found.fudge_s, found.error, found.other));
        hmac::verify(&self.key, &authenticated, found.mac).map_err(|_| Disbelief::Forged)?;
        if found.error != 0 {
            return Err(Disbelief::Refused(found.error));
        }
        if now_unix_s.abs_diff(found.signed_unix_s) > u64::from(found.fudge_s.min(FUDGE_S)) {
            return Err(Disbelief::Untimely);
        }
        Ok(())
    }

    /// What is authenticated beside the message (RFC 8945 section 4.3.3).
    fn variables(&self, signed_unix_s: u64, fudge_s: u16, error: u16, other: &[u8]) -> Vec<u8> {
        let mut variables = self.name.clone();
        variables.extend_from_slice(&CLASS_ANY.to_be_bytes());
        variables.extend_from_slice(&[0; 4]);
        variables.extend_from_slice(&self.algorithm);
        variables.extend_from_slice(&signed_unix_s.to_be_bytes()[2..]);
        variables.extend_from_slice(&fudge_s.to_be_bytes());
        variables.extend_from_slice(&error.to_be_bytes());
        variables.extend_from_slice(&(other.len() as u16).to_be_bytes());
        variables.extend_from_slice(other);
        variables
    }
}

/// The TSIG record of an answer. Names of key and algorithm are not compared: a signature of another key is wrong anyway.
struct Signature<'a> {
    /// Where the record begins.
    start: usize,
    signed_unix_s: u64,
    fudge_s: u16,
    mac: &'a [u8],
    original_id: [u8; 2],
    error: u16,
    other: &'a [u8],
}

impl<'a> Signature<'a> {
    /// The last record, which a signature has to be.
    fn find(message: &'a [u8]) -> Result<Self, Disbelief> {
        let mut rest = Rest { message, at: 0 };
        rest.take(4)?;
        let questions = rest.u16()?;
        let records = [rest.u16()?, rest.u16()?];
        let additional = rest.u16()?;
        for _ in 0..questions {
            rest.name()?;
            rest.take(4)?;
        }
        let last = additional.checked_sub(1).ok_or(Disbelief::Unsigned)?;
        for _ in 0..records.iter().map(|count| u32::from(*count)).sum::<u32>() + u32::from(last) {
            rest.name()?;
            rest.take(8)?;
            let length = rest.u16()?;
            rest.take(length.into())?;
        }
        let start = rest.at;
        rest.name()?;
        if rest.u16()? != TYPE_TSIG {
            return Err(Disbelief::Unsigned);
        }
        if rest.u16()? != CLASS_ANY || rest.take(4)? != [0; 4] {
            return Err(Disbelief::Malformed);
        }
        let length = usize::from(rest.u16()?);
        let data = rest.at;
        rest.name()?;
        let seconds = rest.take(6)?.iter().fold(0_u64, |seconds, byte| seconds << 8 | u64::from(*byte));
        let fudge_s = rest.u16()?;
        let mac_length = rest.u16()?;
        let mac = rest.take(mac_length.into())?;
        let original_id = rest.u16()?.to_be_bytes();
        let error = rest.u16()?;
        let other_length = rest.u16()?;
        let other = rest.take(other_length.into())?;
        if rest.at != data + length || rest.at != message.len() {
            return Err(Disbelief::Malformed);
        }
        Ok(Self { start, signed_unix_s: seconds, fudge_s, mac, original_id, error, other })
    }
}

/// A message being read.
struct Rest<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Disbelief> {
        let end = self.at.checked_add(length).ok_or(Disbelief::Malformed)?;
        let taken = self.message.get(self.at..end).ok_or(Disbelief::Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, Disbelief> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Passes a name: labels up to the root, or up to a pointer (RFC 1035 section 4.1.4).
    fn name(&mut self) -> Result<(), Disbelief> {
        loop {
            match self.take(1)?[0] {
                0 => return Ok(()),
                length @ 1..=63 => {
                    self.take(length.into())?;
                }
                0xc0..=0xff => {
                    self.take(1)?;
                    return Ok(());
                }
                _ => return Err(Disbelief::Malformed),
            }
        }
    }
}

/// A name as labels (RFC 1035 section 3.1); it was checked where it was read.
pub fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len().min(63) as u8);
        bytes.extend_from_slice(&label.as_bytes()[..label.len().min(63)]);
    }
    bytes.push(0);
    bytes
}

/// Adds a resource record.
pub fn record(message: &mut Vec<u8>, name: &[u8], kind: u16, class: u16, ttl_s: u32, data: &[u8]) {
    message.extend_from_slice(name);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&class.to_be_bytes());
    message.extend_from_slice(&ttl_s.to_be_bytes());
    message.extend_from_slice(&(data.len() as u16).to_be_bytes());
    message.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(secret: u8) -> TsigKey {
        TsigKey::new("key.example", TsigAlgorithm::HmacSha256, &[secret; 32])
    }

    /// An answer signed as a server would: the request's signature goes before everything.
    fn answered(key: &TsigKey, request_mac: &[u8], now: u64) -> Vec<u8> {
        let mut message = vec![7, 7, 0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut prefix = (request_mac.len() as u16).to_be_bytes().to_vec();
        prefix.extend_from_slice(request_mac);
        let mut authenticated = [&prefix[..], &message].concat();
        authenticated.extend(key.variables(now, FUDGE_S, 0, &[]));
        let mac = hmac::sign(&key.key, &authenticated);
        let mut data = key.algorithm.clone();
        data.extend_from_slice(&now.to_be_bytes()[2..]);
        data.extend_from_slice(&FUDGE_S.to_be_bytes());
        data.extend_from_slice(&(mac.as_ref().len() as u16).to_be_bytes());
        data.extend_from_slice(mac.as_ref());
        data.extend_from_slice(&[7, 7, 0, 0, 0, 0]);
        record(&mut message, &key.name, TYPE_TSIG, CLASS_ANY, 0, &data);
        message[11] = 1;
        message
    }

    #[test]
    fn an_answer_is_believed_for_its_request_key_and_time_only() {
        let mut request = vec![7, 7, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mac = key(1).sign(&mut request, 1_000_000);
        assert_eq!(request[11], 1);
        let answer = answered(&key(1), &mac, 1_000_000);
        assert_eq!(key(1).verify(&answer, &mac, 1_000_100), Ok(()));
        assert_eq!(key(1).verify(&answer, &mac, 1_000_301), Err(Disbelief::Untimely));
        assert_eq!(key(1).verify(&answer, &mac[1..], 1_000_000), Err(Disbelief::Forged));
        assert_eq!(key(2).verify(&answer, &mac, 1_000_000), Err(Disbelief::Forged));
        assert_eq!(key(1).verify(&answer[..12], &mac, 1_000_000), Err(Disbelief::Malformed));
        let unsigned = [7, 7, 0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(key(1).verify(&unsigned, &mac, 1_000_000), Err(Disbelief::Unsigned));
        // The caller looks at the id, and names are not compared; every other byte counts.
        let names = [&key(1).name, &key(1).algorithm].map(Vec::len);
        let algorithm = HEADER_BYTES + names[0] + 10;
        let free = [0..2, HEADER_BYTES..HEADER_BYTES + names[0], algorithm..algorithm + names[1]];
        for at in (0..answer.len()).filter(|at| !free.iter().any(|range| range.contains(at))) {
            let mut changed = answer.clone();
            changed[at] ^= 0x20;
            assert!(key(1).verify(&changed, &mac, 1_000_000).is_err(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(answer in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(key(1).verify(&answer, b"mac", 0).is_err());
        }

        #[test]
        fn no_damaged_answer_is_believed(at in 0..60_usize, with in any::<u8>(), cut in 0..120_usize) {
            let mut answer = answered(&key(1), b"mac", 1_000);
            answer.truncate(answer.len().saturating_sub(cut.saturating_sub(100)));
            if let Some(byte) = answer.get_mut(at) {
                *byte = with;
            }
            let _ = key(1).verify(&answer, b"mac", 1_000);
        }
    }
}
