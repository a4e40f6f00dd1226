//! Reads OCSP responses (RFC 6960 section 4.2.1), as far as is needed to know for which certificate one is, what it
//! says, and until when. Its signature is the client's to check: a response that its issuer did not make is refused
//! there, and harms nobody but who supplied it.

use x509_parser::asn1_rs::{Any, Class, FromDer};
use x509_parser::time::ASN1Time;

/// Longest response, in bytes; usual ones have less than 3 KiB.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// Most certificates that one response may be about.
const MAX_SINGLES: usize = 64;

/// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1, as in DER.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

const INTEGER: u32 = 2;
const OCTET_STRING: u32 = 4;
const OBJECT_IDENTIFIER: u32 = 6;
const ENUMERATED: u32 = 10;
const SEQUENCE: u32 = 16;

/// A successful response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspResponse {
    /// What it says, at least one.
    pub singles: Vec<SingleResponse>,
}

/// What a response says about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleResponse {
    /// The certificate's serial number, as in DER.
    pub serial: Vec<u8>,
    /// What its issuer knows.
    pub status: CertStatus,
    /// When that was known to be right, in seconds since 1970.
    pub this_update_unix_s: i64,
    /// When there will be news, in seconds since 1970.
    pub next_update_unix_s: Option<i64>,
}

/// The state of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertStatus {
    /// Not revoked.
    Good,
    /// Revoked.
    Revoked,
    /// The responder does not know the certificate.
    Unknown,
}

impl OcspResponse {
    /// Reads a response in DER; fails with what is wrong, in words.
    pub fn parse(der: &[u8]) -> Result<Self, &'static str> {
        if der.len() > MAX_RESPONSE_BYTES {
            return Err("it is longer than 64 KiB");
        }
        let mut file = Elements(der);
        let mut response = Elements(file.universal(SEQUENCE)?);
        if !file.0.is_empty() {
            return Err("something follows it");
        }
        if response.universal(ENUMERATED)? != [0] {
            return Err("it says that the responder failed");
        }
        let mut bytes = Elements(response.context(0)?);
        let mut bytes = Elements(bytes.universal(SEQUENCE)?);
        if bytes.universal(OBJECT_IDENTIFIER)? != BASIC {
            return Err("its type is not known");
        }
        let mut basic = Elements(bytes.universal(OCTET_STRING)?);
        let mut basic = Elements(basic.universal(SEQUENCE)?);
        let mut data = Elements(basic.universal(SEQUENCE)?);
        let mut first = data.next()?;
        if is_context(&first, 0) {
            // Version 1 said out loud.
            first = data.next()?;
        }
        if !is_context(&first, 1) && !is_context(&first, 2) {
            return Err(MALFORMED);
        }
        // producedAt
        data.next()?;
        let mut list = Elements(data.universal(SEQUENCE)?);
        let mut singles = Vec::new();
        while !list.0.is_empty() {
            if singles.len() == MAX_SINGLES {
                return Err("it is about more than 64 certificates");
            }
            singles.push(single(list.universal(SEQUENCE)?)?);
        }
        if singles.is_empty() {
            return Err("it is about no certificate");
        }
        Ok(Self { singles })
    }
}

fn single(content: &[u8]) -> Result<SingleResponse, &'static str> {
    let mut content = Elements(content);
    let mut id = Elements(content.universal(SEQUENCE)?);
    // The digest's algorithm, and the digests of the issuer's name and key.
    id.universal(SEQUENCE)?;
    id.universal(OCTET_STRING)?;
    id.universal(OCTET_STRING)?;
    let serial = id.universal(INTEGER)?.to_vec();
    if serial.is_empty() {
        return Err(MALFORMED);
    }
    let status = content.next()?;
    let status = match status.header.tag().0 {
        _ if status.header.class() != Class::ContextSpecific => return Err(MALFORMED),
        0 => CertStatus::Good,
        1 => CertStatus::Revoked,
        2 => CertStatus::Unknown,
        _ => return Err(MALFORMED),
    };
    let this_update_unix_s = content.time()?;
    let mut next_update_unix_s = None;
    while !content.0.is_empty() {
        let extra = content.next()?;
        if is_context(&extra, 0) {
            next_update_unix_s = Some(Elements(extra.data).time()?);
        }
    }
    Ok(SingleResponse { serial, status, this_update_unix_s, next_update_unix_s })
}

const MALFORMED: &str = "it is not an OCSP response in DER";

fn is_context(element: &Any<'_>, tag: u32) -> bool {
    element.header.class() == Class::ContextSpecific && element.header.tag().0 == tag
}

/// DER elements, one after the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn next(&mut self) -> Result<Any<'a>, &'static str> {
        let (rest, element) = Any::from_der(self.0).map_err(|_| MALFORMED)?;
        self.0 = rest;
        Ok(element)
    }

    /// The content of the next element, which has this tag.
    fn universal(&mut self, tag: u32) -> Result<&'a [u8], &'static str> {
        let element = self.next()?;
        let fits = element.header.class() == Class::Universal && element.header.tag().0 == tag;
        if fits { Ok(element.data) } else { Err(MALFORMED) }
    }

    fn context(&mut self, tag: u32) -> Result<&'a [u8], &'static str> {
        let element = self.next()?;
        if is_context(&element, tag) { Ok(element.data) } else { Err(MALFORMED) }
    }

    fn time(&mut self) -> Result<i64, &'static str> {
        let (rest, time) = ASN1Time::from_der(self.0).map_err(|_| MALFORMED)?;
        self.0 = rest;
        Ok(time.timestamp())
    }
}
