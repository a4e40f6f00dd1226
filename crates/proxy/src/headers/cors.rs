//! Who may read a route's responses from other origins (Fetch standard, section 3.2, "CORS protocol").
//!
//! Policy: where a route has such rules the edge alone speaks of it. What a backend says is removed; a preflight never
//! reaches it. An origin that is not allowed is told nothing, which is how a browser is refused. Responses that differ
//! by origin say so in Vary, whether or not the request named one, so that no cache hands one origin's to another.

use veloflux_snapshot::headers::Cors;

use crate::head::{Fields, Known, RequestHead};

/// The method that a preflight asks about; `None`: the request is none.
pub(crate) fn preflight_method(head: &RequestHead) -> Option<&[u8]> {
    if head.method() != b"OPTIONS" {
        return None;
    }
    head.fields.first(Known::Origin)?;
    head.fields.first(Known::AccessControlRequestMethod)
}

/// Puts the edge's fields in the place of the backend's.
pub(super) fn finish(cors: &Cors, head: &RequestHead, own: &mut Fields, added: &mut Fields) {
    own.retain(|known, _| known != Known::Cors);
    let is_preflight = preflight_method(head).is_some();
    if is_preflight {
        added.push(b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    } else if !cors.is_for_all() {
        added.push(b"Vary", b"Origin");
    }
    let Some(origin) = head.fields.first(Known::Origin).filter(|origin| cors.allows(origin)) else { return };
    let allowed = if cors.is_for_all() { b"*" } else { origin };
    added.push(b"Access-Control-Allow-Origin", allowed);
    if cors.credentials {
        added.push(b"Access-Control-Allow-Credentials", b"true");
    }
    let mut list = |name: &[u8], value: &str| {
        if !value.is_empty() {
            added.push(name, value.as_bytes());
        }
    };
    if is_preflight {
        list(b"Access-Control-Allow-Methods", &cors.methods);
        list(b"Access-Control-Allow-Headers", &cors.headers);
        list(b"Access-Control-Max-Age", &cors.max_age_s);
    } else {
        list(b"Access-Control-Expose-Headers", &cors.exposed_headers);
    }
}
