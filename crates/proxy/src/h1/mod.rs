//! HTTP/1.0 and HTTP/1.1, written for this proxy: a strict reader, and connections on both sides that pass bodies
//! without gathering them.

pub(crate) mod body;
pub(crate) mod parse;
pub(crate) mod server;
pub(crate) mod transfer;

use crate::client_addr::is_forwarding_header;
use crate::head::{Fields, Known, tokens};

/// Whether a field stays behind: hop-by-hop by its name, or nominated by `Connection` (RFC 9110 section 7.6.1).
/// `nominated` tells whether `Connection` nominates anything at all, which it hardly ever does.
pub(crate) fn stays_behind(known: Known, name: &[u8], fields: &Fields, nominated: bool) -> bool {
    known.is_hop_by_hop()
        || (nominated
            && fields.values(Known::Connection).any(|v| tokens(v).any(|t| t.eq_ignore_ascii_case(name))))
}

/// Whether a field may stand after a body. Framing and routing fields have no meaning there (RFC 9110 section 6.5.1), and
/// what only a proxy may say of a client cannot be let in by the back door.
pub(crate) fn may_trail(known: Known, name: &[u8]) -> bool {
    known == Known::Other && !is_forwarding_header(name)
}

/// Whether `Connection` nominates fields beyond the usual options.
pub(crate) fn nominates(fields: &Fields) -> bool {
    fields.values(Known::Connection).any(|v| {
        tokens(v).any(|t| {
            !t.eq_ignore_ascii_case(b"close")
                && !t.eq_ignore_ascii_case(b"keep-alive")
                && !t.eq_ignore_ascii_case(b"upgrade")
        })
    })
}

/// Writes one field line.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
