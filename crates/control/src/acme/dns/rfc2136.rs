//! Records written by dynamic update (RFC 2136) over TCP, signed by TSIG.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use veloflux_model::process;
use veloflux_model::value::BackendAddress;

use super::{Action, DnsError};
use crate::tsig::{Disbelief, HEADER_BYTES, TsigKey, labels, record};

/// Opcode UPDATE, in the header's second pair of bytes (RFC 2136 section 2.2).
const OPCODE_UPDATE: u16 = 5 << 11;

const TYPE_SOA: u16 = 6;
const TYPE_TXT: u16 = 16;
const CLASS_IN: u16 = 1;
/// "Delete this one record" (RFC 2136 section 2.5.4).
const CLASS_NONE: u16 = 254;

/// Life of a record in caches, in seconds: it is looked at once.
const TTL_S: u32 = 60;

/// The name server.
pub(crate) struct Rfc2136 {
    server: BackendAddress,
    /// Longest first.
    zones: Vec<String>,
    key: TsigKey,
    timeout: Duration,
}

impl fmt::Debug for Rfc2136 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rfc2136({})", self.server)
    }
}

impl Rfc2136 {
    pub(crate) fn new(update: &process::Rfc2136, secret: &[u8], timeout: Duration) -> Self {
        let mut zones: Vec<String> = update.zones.iter().map(|zone| zone.as_str().to_owned()).collect();
        zones.sort_by_key(|zone| std::cmp::Reverse(zone.len()));
        let key = TsigKey::new(update.key_name.as_str(), update.key_algorithm, secret);
        Self { server: update.server.clone(), zones, key, timeout }
    }

    pub(super) async fn change(&self, action: Action, name: &str, value: &str) -> Result<(), DnsError> {
        let zone =
            self.zone(name).ok_or_else(|| DnsError::new(format!("no zone of `zones` holds {name}")))?;
        tokio::time::timeout(self.timeout, self.exchange(action, zone, name, value))
            .await
            .map_err(|_| DnsError::new(format!("{}: no answer in {:?}", self.server, self.timeout)))?
            .map_err(|error| DnsError::new(format!("{}: {error}", self.server)))
    }

    fn zone(&self, name: &str) -> Option<&str> {
        self.zones
            .iter()
            .map(String::as_str)
            .find(|zone| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    }

    async fn exchange(&self, action: Action, zone: &str, name: &str, value: &str) -> Result<(), DnsError> {
        let id = fastrand::u16(..);
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut message = update(id, action, zone, name, value);
        let mac = self.key.sign(&mut message, now());
        let mut stream = match &self.server {
            BackendAddress::Ip(address) => TcpStream::connect(address).await,
            BackendAddress::Dns(host, port) => TcpStream::connect((&**host, *port)).await,
        }
        .map_err(DnsError::new)?;
        // Over TCP a message's length goes before it (RFC 1035 section 4.2.2).
        let framed = [&(message.len() as u16).to_be_bytes(), &message[..]].concat();
        stream.write_all(&framed).await.map_err(DnsError::new)?;
        let length = stream.read_u16().await.map_err(DnsError::new)?;
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.map_err(DnsError::new)?;

        let signed = self.key.verify(&answer, &mac, now());
        let header = answer.get(..HEADER_BYTES).unwrap_or_default();
        let code = header.get(3).map(|byte| byte & 0x0f);
        match (signed, code) {
            (Ok(()), Some(0)) if header[..2] == id.to_be_bytes() => Ok(()),
            (Ok(()), Some(0)) => Err(DnsError::new("the answer is to another request")),
            // A server that does not take the update may not sign what it says.
            (Ok(()) | Err(Disbelief::Unsigned), Some(code)) if code != 0 => {
                Err(DnsError::new(format!("the server refuses the update of {zone}: {}", code_name(code))))
            }
            (Err(disbelief), _) => Err(DnsError::new(disbelief)),
            (Ok(()), _) => Err(DnsError::new("the answer is not a DNS message")),
        }
    }
}

/// An update that adds or takes away one TXT record.
fn update(id: u16, action: Action, zone: &str, name: &str, value: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(512);
    // One zone, no prerequisites, one update, nothing additional yet.
    for word in [id, OPCODE_UPDATE, 1, 0, 1, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.extend_from_slice(&labels(zone));
    message.extend_from_slice(&TYPE_SOA.to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    // The value of a challenge has 43 characters: one string of at most 255.
    let value = &value.as_bytes()[..value.len().min(255)];
    let data = [&[value.len() as u8], value].concat();
    let (class, ttl_s) = match action {
        Action::Present => (CLASS_IN, TTL_S),
        Action::Cleanup => (CLASS_NONE, 0),
    };
    record(&mut message, &labels(name), TYPE_TXT, class, ttl_s, &data);
    message
}

/// Names of the answers that an update may get (RFC 2136 section 2.2).
fn code_name(code: u8) -> String {
    let name = match code {
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        _ => return format!("code {code}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_zone_on_a_label_boundary_is_taken() {
        let zones = ["example.org", "sub.example.org", "org.example"];
        let update = process::Rfc2136 {
            server: "127.0.0.1:53".parse().unwrap(),
            zones: zones.iter().map(|zone| veloflux_model::At::nowhere(zone.parse().unwrap())).collect(),
            key_name: "key".parse().unwrap(),
            key_algorithm: process::TsigAlgorithm::HmacSha256,
            key_file: "key".parse().unwrap(),
        };
        let server = Rfc2136::new(&update, b"secret", Duration::ZERO);
        assert_eq!(server.zone("_acme-challenge.a.sub.example.org"), Some("sub.example.org"));
        assert_eq!(server.zone("_acme-challenge.example.org"), Some("example.org"));
        assert_eq!(server.zone("_acme-challenge.notexample.org"), None);
    }
}
